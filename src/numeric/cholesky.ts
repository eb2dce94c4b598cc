/**
 * Cholesky factorization A = L L' of symmetric positive definite matrices, row-major n x n, of which only the lower
 * triangle is read; and what it solves. Values must be finite. Backward stable: the factor is exact for a matrix within
 * about n units in the last place of A (N. Higham, "Accuracy and Stability of Numerical Algorithms", 2002, 10.1).
 */

/**
 * Writes L to the lower triangle of `factor`, zeros above; `factor` may be the matrix. False when the matrix is not
 * positive definite to working precision; `factor` is then of no use. O(n^3 / 3).
 */
export function cholesky(matrix: Float64Array, n: number, factor: Float64Array): boolean {
  for (let i = 0; i < n; i++) {
    for (let j = 0; j <= i; j++) {
      let sum = matrix[i * n + j]!;
      for (let k = 0; k < j; k++) sum -= factor[i * n + k]! * factor[j * n + k]!;
      if (i > j) factor[i * n + j] = sum / factor[j * n + j]!;
      else if (sum > 0) factor[i * n + i] = Math.sqrt(sum);
      else return false;
    }
  }
  for (let i = 0; i < n; i++) factor.fill(0, i * n + i + 1, (i + 1) * n);
  return true;
}

/** Solves L y = b; `out` may be `b`. O(n^2). */
export function solveLower(factor: Float64Array, n: number, b: Float64Array, out: Float64Array): void {
  for (let i = 0; i < n; i++) {
    let sum = b[i]!;
    for (let k = 0; k < i; k++) sum -= factor[i * n + k]! * out[k]!;
    out[i] = sum / factor[i * n + i]!;
  }
}

/** Solves A x = L L' x = b; `out` may be `b`. O(n^2). */
export function solveCholesky(factor: Float64Array, n: number, b: Float64Array, out: Float64Array): void {
  solveLower(factor, n, b, out);
  for (let i = n - 1; i >= 0; i--) {
    let sum = out[i]!;
    for (let k = i + 1; k < n; k++) sum -= factor[k * n + i]! * out[k]!;
    out[i] = sum / factor[i * n + i]!;
  }
}

/** ln det A, twice the sum of the logarithms of the diagonal of L. */
export function logDeterminant(factor: Float64Array, n: number): number {
  let sum = 0;
  for (let i = 0; i < n; i++) sum += Math.log(factor[i * n + i]!);
  return 2 * sum;
}
