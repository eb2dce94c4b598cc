/** Jacobi eigensystem and inverse symmetric root. */
import { describe, expect, test } from '@jest/globals';
import { inverseSymmetricRoot, symmetricEigen } from '../../src/numeric/eigen.ts';
import { createRandom } from '../../src/random.ts';

function eigen(matrix: readonly number[], n: number) {
  const values = new Float64Array(n);
  const vectors = new Float64Array(n * n);
  symmetricEigen(Float64Array.from(matrix), n, values, vectors);
  return { values, vectors };
}

function randomSymmetric(n: number, seed: number): number[] {
  const random = createRandom(seed);
  const matrix = new Array<number>(n * n).fill(0);
  for (let i = 0; i < n; i++) {
    for (let j = 0; j <= i; j++) {
      matrix[i * n + j] = random.normal();
      matrix[j * n + i] = matrix[i * n + j]!;
    }
  }
  return matrix;
}

describe('the symmetric eigensystem', () => {
  test('a path graph has its closed form 2 - 2 cos(k pi / (n + 1))', () => {
    const n = 24;
    const matrix = new Array<number>(n * n).fill(0);
    for (let i = 0; i < n; i++) {
      matrix[i * n + i] = 2;
      if (i + 1 < n) {
        matrix[i * n + i + 1] = -1;
        matrix[(i + 1) * n + i] = -1;
      }
    }
    const found = [...eigen(matrix, n).values].sort((a, b) => a - b);
    found.forEach((value, k) => {
      expect(value).toBeCloseTo(2 - 2 * Math.cos(((k + 1) * Math.PI) / (n + 1)), 12);
    });
  });

  test.each([1, 2, 7, 38, 64])('V diag(l) V gives the matrix back and V is orthogonal, side %d', (n) => {
    const matrix = randomSymmetric(n, n);
    const { values, vectors } = eigen(matrix, n);
    let worst = 0;
    for (let i = 0; i < n; i++) {
      for (let j = 0; j < n; j++) {
        let rebuilt = 0;
        let dot = 0;
        for (let k = 0; k < n; k++) {
          rebuilt += values[k]! * vectors[k * n + i]! * vectors[k * n + j]!;
          dot += vectors[i * n + k]! * vectors[j * n + k]!;
        }
        worst = Math.max(worst, Math.abs(rebuilt - matrix[i * n + j]!), Math.abs(dot - (i === j ? 1 : 0)));
      }
    }
    expect(worst).toBeLessThan(1e-12);
  });

  test('trace and Frobenius norm are kept', () => {
    const n = 20;
    const matrix = randomSymmetric(n, 5);
    const { values } = eigen(matrix, n);
    let trace = 0;
    for (let i = 0; i < n; i++) trace += matrix[i * n + i]!;
    expect(values.reduce((a, b) => a + b, 0)).toBeCloseTo(trace, 11);
    expect(values.reduce((a, b) => a + b * b, 0)).toBeCloseTo(
      matrix.reduce((a, b) => a + b * b, 0),
      10,
    );
  });

  test('the 4 x 4 Hilbert matrix has the reference eigenvalues of numpy.linalg.eigvalsh(scipy.linalg.hilbert(4))', () => {
    const matrix = Array.from({ length: 16 }, (_, at) => 1 / (Math.floor(at / 4) + (at % 4) + 1));
    const found = [...eigen(matrix, 4).values].sort((a, b) => a - b);
    const reference = [9.670230402261117e-5, 0.006738273605760749, 0.16914122022145003, 1.5002142800592424];
    found.forEach((value, k) => {
      expect(value).toBeCloseTo(reference[k]!, 14);
    });
  });

  test('a rank-one matrix ends quickly and has one eigenvalue', () => {
    const n = 64;
    const { values } = eigen(new Array<number>(n * n).fill(1), n);
    const sorted = [...values].sort((a, b) => b - a);
    expect(sorted[0]).toBeCloseTo(n, 11);
    expect(Math.abs(sorted[1]!)).toBeLessThan(1e-12);
  });

  test('a side over 64 is refused', () => {
    expect(() => eigen(new Array<number>(65 * 65).fill(0), 65)).toThrow(RangeError);
  });
});

describe('the inverse symmetric root', () => {
  const root = (matrix: readonly number[], n: number, floor: number) => {
    const out = new Float64Array(n * n);
    inverseSymmetricRoot(Float64Array.from(matrix), n, floor, new Float64Array(n * n + n), out);
    return out;
  };

  test('of [[1, r], [r, 1]] has its closed form', () => {
    const r = 0.6;
    const out = root([1, r, r, 1], 2, 1e-3);
    const sum = 1 / Math.sqrt(1 + r);
    const difference = 1 / Math.sqrt(1 - r);
    expect(out[0]).toBeCloseTo((sum + difference) / 2, 14);
    expect(out[1]).toBeCloseTo((sum - difference) / 2, 14);
  });

  test('is exactly symmetric, and R P R is the identity', () => {
    const n = 12;
    const base = randomSymmetric(n, 3);
    const matrix = new Array<number>(n * n).fill(0);
    for (let i = 0; i < n; i++) {
      for (let j = 0; j < n; j++) {
        for (let k = 0; k < n; k++) matrix[i * n + j]! += base[i * n + k]! * base[j * n + k]!;
      }
    }
    const out = root(matrix, n, 0);
    for (let i = 0; i < n; i++) {
      for (let j = 0; j < n; j++) {
        expect(out[i * n + j]).toBe(out[j * n + i]);
        let value = 0;
        for (let k = 0; k < n; k++) {
          for (let l = 0; l < n; l++) value += out[i * n + k]! * matrix[k * n + l]! * out[l * n + j]!;
        }
        expect(value).toBeCloseTo(i === j ? 1 : 0, 8);
      }
    }
  });

  test('raises eigenvalues to the floor', () => {
    const out = root([1, 1, 1, 1], 2, 1e-3);
    // Eigenvalues 2 and 0: along (1, -1) the root is 1 / sqrt(0.001).
    expect(out[0]! - out[1]!).toBeCloseTo(1 / Math.sqrt(1e-3), 10);
  });
});
