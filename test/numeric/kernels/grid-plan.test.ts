/** Compiled stencils and block sums against their plain forms, closed forms, conservation, refinement, scipy.ndimage. */
import { describe, expect, test } from '@jest/globals';
import { createArena } from '../../../src/numeric/kernels/arena.ts';
import { coarserShape, createGridPlan } from '../../../src/numeric/kernels/grid-plan.ts';
import type { BoundaryRule, GradientScheme } from '../../../src/numeric/stencil.ts';
import { createRandom } from '../../../src/random.ts';
import { expectSameBits, normalsOf, placed, relativeError } from '../support/arrays.ts';
import { blockSum } from '../support/plain-block-sum.ts';
import { gradient } from '../support/plain-gradient.ts';
import { plainLaplacian, plainStencil } from '../support/plain-stencils.ts';

const SHAPES = [
  [1, 1],
  [1, 6],
  [6, 1],
  [2, 2],
  [3, 5],
  [5, 4],
  [7, 8],
  [16, 17],
] as const;
const BOUNDARIES: BoundaryRule[] = ['PERIODIC', 'NEUMANN', 'DIRICHLET'];
const SCHEMES: GradientScheme[] = ['SOBEL', 'CENTRAL2', 'CENTRAL4'];
const CASES = SHAPES.flatMap(([rows, cols]) => BOUNDARIES.map((rule) => [rows, cols, rule] as const));

function gridOf(rows: number, cols: number, values: ArrayLike<number> = normalsOf(rows * cols, 7)) {
  const arena = createArena(1);
  const take = () => arena.float64(rows * cols);
  return {
    arena,
    plan: createGridPlan(arena, rows, cols),
    values: placed(arena, values),
    out: take(),
    other: take(),
  };
}

describe('compiled slopes', () => {
  test.each(CASES)('have the bits of the plain ones, %d x %d, %s', (rows, cols, boundary) => {
    const { plan, values, out, other } = gridOf(rows, cols);
    for (const scheme of SCHEMES) {
      const plainRow = new Float64Array(rows * cols);
      const plainCol = new Float64Array(rows * cols);
      gradient(values, { rows, cols, scheme, boundary, spacing: 0.3 }, 0, rows, plainRow, plainCol);
      plan.gradient(values, { scheme, boundary, spacing: 0.3 }, out, other);
      expectSameBits(out, plainRow);
      expectSameBits(other, plainCol);
    }
  });

  test('do not depend on the bands they are taken in', () => {
    const { arena, plan, values, out, other } = gridOf(9, 7);
    for (const scheme of SCHEMES) {
      const how = { scheme, boundary: 'DIRICHLET', spacing: 1 } as const;
      plan.gradient(values, how, out, other);
      const row = arena.float64(63);
      const col = arena.float64(63);
      for (const [fromRow, toRow] of [
        [4, 9],
        [0, 1],
        [1, 4],
      ] as const) {
        plan.gradient(values, how, row, col, { fromRow, toRow });
      }
      expect([row, col]).toEqual([out, other]);
    }
  });

  test('have the size of their two parts', () => {
    const { plan, out, other } = gridOf(3, 3);
    out.set([3, 0, 1, 5, 8, 7, -3, 0, 2]);
    other.set([4, 0, 0, 12, 15, 24, -4, -9, 0]);
    plan.slopeSizes(out, other, out);
    expect([...out]).toEqual([5, 0, 1, 13, 17, 25, 5, 9, 2]);
  });

  test('energy.totals slopes converge with the order of their scheme', () => {
    const error = (scheme: GradientScheme, n: number) => {
      const wave = Float64Array.from({ length: n * n }, (_, at) => Math.sin((2 * Math.PI * (at % n)) / n));
      const { plan, values, out, other } = gridOf(n, n, wave);
      plan.gradient(values, { scheme, boundary: 'PERIODIC', spacing: 1 / n }, out, other);
      const slope = (at: number) => 2 * Math.PI * Math.cos((2 * Math.PI * (at % n)) / n);
      return relativeError(
        other,
        Float64Array.from(wave, (_, at) => slope(at)),
      );
    };
    const orderOf = (scheme: GradientScheme) => Math.log2(error(scheme, 16) / error(scheme, 32));
    expect(orderOf('SOBEL')).toBeGreaterThan(1.9);
    expect(orderOf('CENTRAL2')).toBeGreaterThan(1.9);
    expect(orderOf('CENTRAL4')).toBeGreaterThan(3.9);
  });
});

describe('the compiled Laplacian', () => {
  test.each(CASES)('has the bits of the plain one, %d x %d, %s', (rows, cols, boundary) => {
    const { plan, values, out } = gridOf(rows, cols);
    plan.laplacian(values, { boundary, spacing: 0.5 }, out);
    expectSameBits(out, plainLaplacian({ values, rows, cols, boundary }, 0, 4));
    plan.heatStep(values, { boundary, number: 0.2 }, out);
    expectSameBits(out, plainLaplacian({ values, rows, cols, boundary }, 1, 0.2));
  });

  test('is scipy.ndimage.laplace in modes reflect, wrap and constant', () => {
    // scipy.ndimage.laplace(numpy.array([[1, 2, 4, 8], [0, 3, 9, 27], [5, 1, 4, 2]], float), mode=...)
    const { plan, values, out } = gridOf(3, 4, [1, 2, 4, 8, 0, 3, 9, 27, 5, 1, 4, 2]);
    const reference: [BoundaryRule, number[]][] = [
      ['NEUMANN', [0, 2, 7, 15, 9, 0, 2, -62, -9, 9, 0, 27]],
      ['PERIODIC', [11, 1, 7, 2, 36, 0, 2, -89, -16, 10, 0, 36]],
      ['DIRICHLET', [-2, 0, 3, -1, 9, 0, 2, -89, -19, 8, -4, 23]],
    ];
    for (const [boundary, expected] of reference) {
      plan.laplacian(values, { boundary, spacing: 1 }, out);
      expect([...out]).toEqual(expected);
    }
  });

  test('energy.totals Laplacian is -4 sin^2(k / 2) times a wave, and of second order', () => {
    const n = 24;
    const wave = Float64Array.from({ length: n * n }, (_, at) => Math.cos((2 * Math.PI * 3 * (at % n)) / n));
    const { plan, values, out } = gridOf(n, n, wave);
    plan.laplacian(values, { boundary: 'PERIODIC', spacing: 1 }, out);
    const factor = -4 * Math.sin((Math.PI * 3) / n) ** 2;
    expect(
      relativeError(
        out,
        wave.map((v) => factor * v),
      ),
    ).toBeLessThan(1e-14);
    const error = (size: number) => {
      const once = Float64Array.from({ length: size * size }, (_, at) => Math.cos((2 * Math.PI * at) / size));
      const grid = gridOf(size, size, once);
      grid.plan.laplacian(grid.values, { boundary: 'PERIODIC', spacing: 1 / size }, grid.out);
      return relativeError(
        grid.out,
        once.map((v) => -4 * Math.PI ** 2 * v),
      );
    };
    expect(Math.log2(error(16) / error(32))).toBeCloseTo(2, 1);
  });

  test.each(['PERIODIC', 'NEUMANN'] as const)('heat keeps its total and flattens, %s', (boundary) => {
    const { plan, values, out } = gridOf(12, 15);
    const total = values.reduce((sum, v) => sum + v, 0);
    const spread = (grid: Float64Array) => grid.reduce((sum, v) => sum + v * v, 0);
    let [from, to] = [values, out];
    for (let step = 0; step < 200; step++) {
      const before = spread(from);
      plan.heatStep(from, { boundary, number: 0.25 }, to);
      expect(spread(to)).toBeLessThanOrEqual(before);
      [from, to] = [to, from];
    }
    expect(from.reduce((sum, v) => sum + v, 0)).toBeCloseTo(total, 11);
  });

  test('energy.golden heat in one direction follows exp(-nu k^2 t) as the grid is refined', () => {
    // nu = 0.01, k = 2 pi, t = 1 on the unit square: 0.673825451.
    const error = (n: number) => {
      const steps = n * n;
      const number = (0.01 * n * n) / steps;
      const wave = Float64Array.from({ length: n * n }, (_, at) => Math.sin((2 * Math.PI * (at % n)) / n));
      const { plan, values, out } = gridOf(n, n, wave);
      let [from, to] = [values, out];
      for (let step = 0; step < steps; step++) {
        plan.heatStep(from, { boundary: 'PERIODIC', number }, to);
        [from, to] = [to, from];
      }
      return Math.abs(from[n / 4]! - 0.673825451);
    };
    expect(error(32)).toBeLessThan(1e-3);
    expect(Math.log2(error(16) / error(32))).toBeGreaterThan(1.9);
  });
});

describe('the compiled 5x5 stencil', () => {
  const weights = normalsOf(25, 3);

  test.each(CASES)('has the bits of the plain one, %d x %d, %s', (rows, cols, boundary) => {
    const { arena, plan, values, out } = gridOf(rows, cols);
    plan.stencil(values, { boundary, weights: placed(arena, weights), bias: 0.7 }, out);
    expectSameBits(out, plainStencil({ values, rows, cols, boundary }, weights, 0.7));
  });

  test('is scipy.ndimage.correlate in modes reflect, wrap and constant', () => {
    // scipy.ndimage.correlate(numpy.array([[1, 2, 4, 8], [0, 3, 9, 27], [5, 1, 4, 2]], float),
    //   numpy.arange(25).reshape(5, 5) - 12., mode=...)
    const { arena, plan, values, out } = gridOf(3, 4, [1, 2, 4, 8, 0, 3, 9, 27, 5, 1, 4, 2]);
    const ramp = placed(
      arena,
      Array.from({ length: 25 }, (_, k) => k - 12),
    );
    const reference: [BoundaryRule, number[]][] = [
      ['NEUMANN', [77, 48, -114, -295, 119, 98, -27, -141, 94, 249, 336, 256]],
      ['PERIODIC', [-216, -241, -54, -164, -23, 58, 33, 7, 84, 238, 176, 102]],
      ['DIRICHLET', [200, 400, 334, 236, 55, 70, 4, -64, -90, -260, -326, -364]],
    ];
    for (const [boundary, expected] of reference) {
      plan.stencil(values, { boundary, weights: ramp, bias: 0 }, out);
      expect([...out]).toEqual(expected);
    }
  });

  test('with weights that sum to 1 keeps the total of a periodic grid', () => {
    const { arena, plan, values, out } = gridOf(10, 13);
    const sum = weights.reduce((all, w) => all + w, 0);
    const fair = placed(
      arena,
      weights.map((w) => w / sum),
    );
    plan.stencil(values, { boundary: 'PERIODIC', weights: fair, bias: 0 }, out);
    expect(out.reduce((all, v) => all + v, 0)).toBeCloseTo(
      values.reduce((all, v) => all + v, 0),
      11,
    );
  });
});

describe('compiled block sums', () => {
  test.each(SHAPES)('are the plain ones, with and without a mask, %d x %d', (rows, cols) => {
    const { arena, plan, values } = gridOf(rows, cols);
    const shape = coarserShape(rows, cols);
    const cells = shape.rows * shape.cols;
    const random = createRandom(5);
    const some = Uint8Array.from({ length: rows * cols }, () => (random.uniform() < 0.6 ? 1 : 0));
    for (const observed of [some, new Uint8Array(rows * cols).fill(1)]) {
      const plain = { values: new Float64Array(cells), observed: new Uint8Array(cells) };
      blockSum(values, observed, rows, cols, plain.values, plain.observed);
      const mask = arena.uint8(rows * cols);
      mask.set(observed);
      const out = arena.float64(cells);
      const outMask = arena.uint8(cells);
      plan.blockSum(values, out, { observed: mask, out: outMask });
      expect([...outMask]).toEqual([...plain.observed]);
      expect(relativeError(out, plain.values)).toBeLessThan(1e-15);
    }
    const whole = arena.float64(cells);
    plan.blockSum(values, whole);
    const total = values.reduce((sum, v) => sum + v, 0);
    expect(whole.reduce((sum, v) => sum + v, 0)).toBeCloseTo(total, 12);
  });
});

test('a plan refuses sides that are none, bands beyond the grid and arrays too short', () => {
  const { arena, plan, values, out } = gridOf(3, 4);
  expect(() => createGridPlan(arena, 0, 4)).toThrow(RangeError);
  const how = { boundary: 'PERIODIC', spacing: 1 } as const;
  expect(() => plan.laplacian(values, how, out, { fromRow: 2, toRow: 4 })).toThrow(RangeError);
  expect(() => plan.laplacian(values, how, arena.float64(11))).toThrow(RangeError);
});
