/** Cholesky factors and conjugate gradients. Reference vectors: numpy.linalg (NumPy 2.4). */
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { cholesky, logDeterminant, solveCholesky, solveLower } from '../../src/numeric/cholesky.ts';
import { createCgSolver, type LinearSystem } from '../../src/numeric/conjugate-gradients.ts';
import { normalsOf, relativeError } from './support/arrays.ts';

/** B B' + I of a random B. */
function positiveDefinite(n: number, seed: number): Float64Array {
  const b = normalsOf(n * n, seed);
  return Float64Array.from({ length: n * n }, (_, at) => {
    const [i, j] = [Math.floor(at / n), at % n];
    let sum = i === j ? 1 : 0;
    for (let k = 0; k < n; k++) sum += b[i * n + k]! * b[j * n + k]!;
    return sum;
  });
}

function multiply(matrix: Float64Array, n: number, x: Float64Array): Float64Array {
  return Float64Array.from({ length: n }, (_, i) => {
    let sum = 0;
    for (let k = 0; k < n; k++) sum += matrix[i * n + k]! * x[k]!;
    return sum;
  });
}

describe('the Cholesky factor', () => {
  test('has the reference values', () => {
    // A = [[4, 2, -2], [2, 5, 1], [-2, 1, 6]]: numpy.linalg.cholesky, slogdet, solve(A, [1, 2, 3])
    const factor = new Float64Array(9);
    expect(cholesky(Float64Array.of(4, 2, -2, 2, 5, 1, -2, 1, 6), 3, factor)).toBe(true);
    expect([...factor]).toEqual([2, 0, 0, 1, 2, 0, -1, 1, 2]);
    expect(logDeterminant(factor, 3)).toBeCloseTo(4.1588830833596715, 14);
    const x = new Float64Array(3);
    solveCholesky(factor, 3, Float64Array.of(1, 2, 3), x);
    expect([...x]).toEqual([0.578125, 0.03125, 0.6875]);
  });

  test('gives the matrix back and solves with it, in place too', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 20 }), fc.nat(), (n, seed) => {
        const matrix = positiveDefinite(n, seed);
        const factor = matrix.slice();
        expect(cholesky(factor, n, factor)).toBe(true);
        const rebuilt = Float64Array.from(matrix, (_, at) => {
          const [i, j] = [Math.floor(at / n), at % n];
          let sum = 0;
          for (let k = 0; k < n; k++) sum += factor[i * n + k]! * factor[j * n + k]!;
          return sum;
        });
        expect(relativeError(rebuilt, matrix)).toBeLessThan(1e-14);
        const x = normalsOf(n, seed + 1);
        const b = multiply(matrix, n, x);
        const lower = new Float64Array(n);
        solveLower(factor, n, b, lower);
        expect(relativeError(multiply(factor, n, lower), b)).toBeLessThan(1e-13);
        solveCholesky(factor, n, b, b);
        expect(relativeError(b, x)).toBeLessThan(1e-10);
      }),
    );
  });

  test('refuses what is not positive definite', () => {
    const factor = new Float64Array(4);
    expect(cholesky(Float64Array.of(1, 2, 2, 1), 2, factor)).toBe(false);
    expect(cholesky(Float64Array.of(1, 1, 1, 1), 2, factor)).toBe(false);
    expect(cholesky(Float64Array.of(0), 1, factor)).toBe(false);
  });
});

describe('conjugate gradients', () => {
  /** -u'' + shift u on a ring of n cells. */
  const ring = (n: number, shift: number): LinearSystem => ({
    size: n,
    apply(x, out) {
      for (let i = 0; i < n; i++) out[i] = (2 + shift) * x[i]! - x[(i + 1) % n]! - x[(i + n - 1) % n]!;
    },
  });

  test('solve what Cholesky solves', () => {
    const n = 12;
    const matrix = positiveDefinite(n, 3);
    const b = normalsOf(n, 4);
    const factor = new Float64Array(n * n);
    cholesky(matrix, n, factor);
    const expected = new Float64Array(n);
    solveCholesky(factor, n, b, expected);
    const x = new Float64Array(n);
    const system: LinearSystem = { size: n, apply: (v, out) => out.set(multiply(matrix, n, v)) };
    const outcome = createCgSolver(n).solve(system, b, x, { tolerance: 1e-12, iterationsMax: 200 });
    expect(outcome.converged).toBe(true);
    expect(relativeError(x, expected)).toBeLessThan(1e-9);
  });

  test('need no more iterations than there are different eigenvalues', () => {
    // Waves of the ring come in pairs: 9 eigenvalues of 16 cells.
    const x = new Float64Array(16);
    const outcome = createCgSolver(16).solve(ring(16, 0.5), normalsOf(16, 1), x, {
      tolerance: 1e-10,
      iterationsMax: 100,
    });
    expect(outcome.converged).toBe(true);
    expect(outcome.iterations).toBeLessThanOrEqual(9);
  });

  test('the better the preconditioner the fewer the iterations; an exact one needs one', () => {
    const n = 50;
    const scale = Float64Array.from({ length: n }, (_, i) => 10 ** ((6 * i) / n));
    const system: LinearSystem = {
      size: n,
      apply(x, out) {
        for (let i = 0; i < n; i++) out[i] = scale[i]! * x[i]!;
      },
    };
    const jacobi: LinearSystem = {
      ...system,
      precondition(x, out) {
        for (let i = 0; i < n; i++) out[i] = x[i]! / scale[i]!;
      },
    };
    const b = normalsOf(n, 2);
    const options = { tolerance: 1e-8, iterationsMax: 500 };
    const plain = createCgSolver(n).solve(system, b, new Float64Array(n), options);
    const better = createCgSolver(n).solve(jacobi, b, new Float64Array(n), options);
    expect(better).toMatchObject({ converged: true, iterations: 1 });
    expect(plain.iterations).toBeGreaterThan(20);
  });

  test('say when they have not converged, and when the matrix is not positive definite', () => {
    const b = normalsOf(64, 3);
    const solver = createCgSolver(64);
    const few = solver.solve(ring(64, 1e-4), b, new Float64Array(64), { tolerance: 1e-10, iterationsMax: 3 });
    expect(few).toMatchObject({ converged: false, iterations: 3 });
    expect(few.residual).toBeGreaterThan(1e-10);
    const negative = solver.solve(ring(64, -5), b, new Float64Array(64), {
      tolerance: 1e-10,
      iterationsMax: 9,
    });
    expect(negative.converged).toBe(false);
    expect(() =>
      solver.solve(ring(3, 1), b, new Float64Array(3), { tolerance: 1, iterationsMax: 1 }),
    ).toThrow(RangeError);
  });

  test('start from the guess given: the answer needs nothing, zero gives zero', () => {
    const system = ring(8, 1);
    const x = normalsOf(8, 5);
    const b = new Float64Array(8);
    system.apply(x, b);
    const options = { tolerance: 1e-12, iterationsMax: 10 };
    expect(createCgSolver(8).solve(system, b, x.slice(), options).iterations).toBe(0);
    expect(createCgSolver(8).solve(system, new Float64Array(8), x, options)).toEqual({
      converged: true,
      iterations: 0,
      residual: 0,
    });
    expect([...x]).toEqual(new Array(8).fill(0));
  });

  test('converge as fast as the condition allows: iterations grow as its root', () => {
    const iterations = (shift: number) =>
      createCgSolver(4000).solve(ring(4000, shift), normalsOf(4000, 6), new Float64Array(4000), {
        tolerance: 1e-8,
        iterationsMax: 500,
      }).iterations;
    const growth = iterations(0.01) / iterations(0.04);
    expect(growth).toBeGreaterThan(1.5);
    expect(growth).toBeLessThan(2.5);
  });
});
