/**
 * Pivoted Cholesky factors of positive semidefinite matrices: the few rows that hold most of the trace, and the factor of
 * the whole matrix on them (N. Higham, "Accuracy and Stability of Numerical Algorithms", 10.3). Only additions,
 * multiplications, divisions and square roots, so the same matrix gives the same bits on every machine.
 */

/** A pivot this small beside the greatest diagonal entry is rounding. */
const PIVOT_MIN = 1e-14;

export interface PivotedFactor {
  readonly rank: number;
  /** Rows chosen, in order. */
  readonly pivots: readonly number[];
  /** L of matrix ~ L L', n x rank, row-major; its rows at the pivots are lower triangular. */
  readonly factor: Float64Array;
}

/**
 * Factors the symmetric n x n `matrix` (row-major) until what is left of the trace is at most `share` of it, or
 * `rankMax` rows are chosen. O(n rank^2).
 */
export function pivotedCholesky(
  matrix: Float64Array,
  n: number,
  rankMax: number,
  share: number,
): PivotedFactor {
  const most = Math.min(n, rankMax);
  const columns: Float64Array[] = [];
  const pivots: number[] = [];
  const left = Float64Array.from({ length: n }, (_, i) => matrix[i * n + i]!);
  const trace = left.reduce((sum, value) => sum + value, 0);
  const least = PIVOT_MIN * left.reduce((a, b) => Math.max(a, b), 0);
  while (pivots.length < most && left.reduce((sum, value) => sum + value, 0) > share * trace) {
    const pivot = left.reduce((best, value, at) => (value > left[best]! ? at : best), 0);
    if (!(left[pivot]! > least)) break;
    const root = Math.sqrt(left[pivot]!);
    const column = new Float64Array(n);
    for (let i = 0; i < n; i++) {
      let rest = matrix[i * n + pivot]!;
      for (const done of columns) rest -= done[i]! * done[pivot]!;
      column[i] = rest / root;
    }
    for (const done of pivots) column[done] = 0;
    column[pivot] = root;
    for (let i = 0; i < n; i++) left[i] = Math.max(0, left[i]! - column[i]! ** 2);
    left[pivot] = 0;
    pivots.push(pivot);
    columns.push(column);
  }
  const rank = pivots.length;
  const factor = new Float64Array(n * rank);
  for (const [k, column] of columns.entries()) for (let i = 0; i < n; i++) factor[i * rank + k] = column[i]!;
  return { rank, pivots, factor };
}
