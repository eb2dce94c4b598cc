/** Factors of semidefinite matrices against the matrices they were made of. */
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { pivotedCholesky } from '../../src/numeric/pivoted-cholesky.ts';
import { createRandom } from '../../src/random.ts';

/** X X' of n random rows of `width` numbers. */
function squareOf(n: number, width: number, seed: number): Float64Array {
  const random = createRandom(seed);
  const rows = Array.from({ length: n }, () => Float64Array.from({ length: width }, () => random.normal()));
  return Float64Array.from({ length: n * n }, (_, at) =>
    rows[Math.floor(at / n)]!.reduce((sum, x, k) => sum + x * rows[at % n]![k]!, 0),
  );
}

describe('a pivoted factor', () => {
  test('gives the matrix back at its own rank, and is triangular at its pivots', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 12 }),
        fc.integer({ min: 1, max: 12 }),
        fc.nat(99),
        (n, width, seed) => {
          const matrix = squareOf(n, width, seed);
          const { rank, pivots, factor } = pivotedCholesky(matrix, n, n, 1e-13);
          expect(rank).toBe(Math.min(n, width));
          for (let i = 0; i < n; i++) {
            for (let j = 0; j < n; j++) {
              let sum = 0;
              for (let k = 0; k < rank; k++) sum += factor[i * rank + k]! * factor[j * rank + k]!;
              expect(sum).toBeCloseTo(matrix[i * n + j]!, 6);
            }
          }
          for (const [row, pivot] of pivots.entries())
            expect(factor.slice(pivot * rank + row + 1, (pivot + 1) * rank).every((x) => x === 0)).toBe(true);
        },
      ),
    );
  });

  test('stops at the share it may leave out, at the most rows it may choose, and at nothing', () => {
    const diagonal = Float64Array.of(4, 0, 0, 0, 100, 0, 0, 0, 1);
    expect(pivotedCholesky(diagonal, 3, 3, 0.05).pivots).toEqual([1]);
    expect(pivotedCholesky(diagonal, 3, 3, 0.01).pivots).toEqual([1, 0]);
    expect(pivotedCholesky(diagonal, 3, 2, 0).pivots).toEqual([1, 0]);
    expect(pivotedCholesky(new Float64Array(9), 3, 3, 0).rank).toBe(0);
  });
});
