/** Sums, entropy, log-sum-exp, stencils and block sums: closed forms, symmetries, refinement, references. */
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { addHistogram, histogramEntropy } from '../../src/numeric/entropy.ts';
import { coarserShape } from '../../src/numeric/kernels/grid-plan.ts';
import { type BoundaryRule, type GradientScheme, ghostIndex } from '../../src/numeric/stencil.ts';
import { createRandom } from '../../src/random.ts';
import { blockSum } from './support/plain-block-sum.ts';
import { addEntropy, ENTROPY } from './support/plain-entropy.ts';
import { gradient } from './support/plain-gradient.ts';
import { logSumExp } from './support/plain-log-sum-exp.ts';
import {
  addMoments,
  addSquaredDeviations,
  addSum,
  compensatedSum,
  createMoments,
  MOMENTS,
  pairValue,
} from './support/plain-sums.ts';

const finite = fc.double({ min: -1e6, max: 1e6, noNaN: true });

describe('compensated sums', () => {
  test('recover what plain summation loses', () => {
    expect(compensatedSum(Float64Array.of(1, 1e100, 1, -1e100))).toBe(2);
    const tenths = new Float64Array(1_000_000).fill(0.1);
    expect(compensatedSum(tenths)).toBe(100_000);
    expect(tenths.reduce((sum, v) => sum + v, 0)).not.toBe(100_000);
  });

  test('slices give the same bits as one pass', () => {
    fc.assert(
      fc.property(fc.array(finite, { minLength: 1, maxLength: 60 }), fc.nat(), (list, cut) => {
        const values = Float64Array.from(list);
        const at = cut % values.length;
        const whole = createMoments();
        addMoments(values, 0, values.length, whole);
        const parts = createMoments();
        addMoments(values, 0, at, parts);
        addMoments(values, at, values.length, parts);
        expect(parts).toEqual(whole);
        const sum = new Float64Array(2);
        addSum(values, 0, at, sum);
        addSum(values, at, values.length, sum);
        expect(pairValue(sum)).toBe(compensatedSum(values));
      }),
    );
  });

  test('moments split by sign, and sign change swaps the halves', () => {
    const values = Float64Array.of(3, -1, 0, 2, -5);
    const moments = createMoments();
    addMoments(values, 0, 5, moments);
    expect(pairValue(moments, MOMENTS.positive)).toBe(5);
    expect(pairValue(moments, MOMENTS.negative)).toBe(-6);
    expect([moments[MOMENTS.min], moments[MOMENTS.max]]).toEqual([-5, 3]);
    const mirrored = createMoments();
    addMoments(
      values.map((v) => -v),
      0,
      5,
      mirrored,
    );
    expect(pairValue(mirrored, MOMENTS.positive)).toBe(6);
  });

  test('the variance of a large offset is exact', () => {
    const values = Float64Array.of(1e9 + 4, 1e9 + 7, 1e9 + 13, 1e9 + 16);
    const squares = new Float64Array(2);
    addSquaredDeviations(values, 0, 4, compensatedSum(values) / 4, squares);
    expect(pairValue(squares) / 4).toBe(22.5);
  });
});

describe('entropy', () => {
  const entropy = (values: Float64Array) => {
    const total = compensatedSum(values.map(Math.abs));
    const out = new Float64Array(ENTROPY.size);
    addEntropy(values, 0, values.length, total, out);
    return { entropy: pairValue(out, ENTROPY.entropy), squaredLog: pairValue(out, ENTROPY.squaredLog) };
  };

  test('of n equal parts is ln n, and its squared log is (ln n)^2', () => {
    const { entropy: value, squaredLog } = entropy(new Float64Array(1024).fill(7));
    expect(value).toBeCloseTo(Math.log(1024), 12);
    expect(squaredLog).toBeCloseTo(Math.log(1024) ** 2, 11);
  });

  test('does not depend on order, scale or sign', () => {
    fc.assert(
      fc.property(
        fc.array(fc.double({ min: 0.01, max: 9, noNaN: true }), { minLength: 2, maxLength: 40 }),
        (list) => {
          const plain = entropy(Float64Array.from(list)).entropy;
          const changed = Float64Array.from([...list].reverse(), (v, i) => (i % 2 ? -8 : 8) * v);
          expect(entropy(changed).entropy).toBeCloseTo(plain, 12);
        },
      ),
    );
  });

  test('energy.golden entropy of [1, 2, 3, 4] is the reference value of scipy.stats.entropy', () => {
    expect(entropy(Float64Array.of(1, 2, 3, 4)).entropy).toBeCloseTo(1.2798542258336674, 14);
  });

  test('the histogram counts every value, outer ones at the ends', () => {
    const counts = new Uint32Array(4);
    addHistogram(Float64Array.of(-9, 0, 0.99, 1, 2.5, 4, 99), 0, 7, 0, 4, counts);
    expect([...counts]).toEqual([3, 1, 1, 2]);
    const flat = new Uint32Array(4);
    addHistogram(Float64Array.of(5, 5, 5), 0, 3, 5, 5, flat);
    expect([...flat]).toEqual([3, 0, 0, 0]);
  });

  test('the histogram entropy carries the Miller-Madow correction', () => {
    expect(histogramEntropy(Uint32Array.of(5, 5, 0, 0))).toBeCloseTo(Math.log(2) + 1 / 20, 14);
    expect(histogramEntropy(Uint32Array.of(7, 0))).toBe(0);
    expect(histogramEntropy(new Uint32Array(3))).toBeUndefined();
  });

  test('the histogram entropy of a uniform law converges to ln of the bins', () => {
    const random = createRandom(1);
    const error = (n: number) => {
      const counts = new Uint32Array(16);
      addHistogram(
        Float64Array.from({ length: n }, () => random.uniform()),
        0,
        n,
        0,
        1,
        counts,
      );
      return Math.abs(histogramEntropy(counts)! - Math.log(16));
    };
    expect(error(100)).toBeLessThan(0.1);
    expect(error(100_000)).toBeLessThan(5e-4);
  });
});

describe('log-sum-exp', () => {
  test('has its closed forms', () => {
    expect(logSumExp(Float64Array.of(0, 0, 0, 0))).toBeCloseTo(Math.log(4), 15);
    expect(logSumExp(new Float64Array(0))).toBe(Number.NEGATIVE_INFINITY);
    // 1 + e + ... + e^9 = (e^10 - 1) / (e - 1).
    const powers = Float64Array.from({ length: 10 }, (_, k) => k);
    expect(logSumExp(powers)).toBeCloseTo(Math.log(Math.expm1(10) / Math.expm1(1)), 13);
  });

  test('shifts with its argument and never overflows', () => {
    fc.assert(
      fc.property(fc.array(fc.double({ min: -50, max: 50, noNaN: true }), { minLength: 1 }), (list) => {
        const base = logSumExp(Float64Array.from(list));
        expect(logSumExp(Float64Array.from(list, (v) => v + 1e4)) - 1e4).toBeCloseTo(base, 9);
      }),
    );
    expect(logSumExp(Float64Array.of(1e300, -1e300))).toBe(1e300);
  });
});

function slopes(
  values: Float64Array,
  rows: number,
  cols: number,
  scheme: GradientScheme,
  boundary: BoundaryRule = 'NEUMANN',
  spacing = 1,
) {
  const row = new Float64Array(values.length);
  const col = new Float64Array(values.length);
  gradient(values, { rows, cols, scheme, boundary, spacing }, 0, rows, row, col);
  return { row, col };
}

const SCHEMES: GradientScheme[] = ['SOBEL', 'CENTRAL2', 'CENTRAL4'];
const BOUNDARIES: BoundaryRule[] = ['PERIODIC', 'NEUMANN', 'DIRICHLET'];

describe('gradients', () => {
  test.each(SCHEMES)('energy.totals %s takes the slope of a linear ramp exactly', (scheme) => {
    const [rows, cols, h] = [9, 11, 0.5];
    const values = Float64Array.from({ length: rows * cols }, (_, at) => {
      return 3 * h * Math.floor(at / cols) - 2 * h * (at % cols);
    });
    const { row, col } = slopes(values, rows, cols, scheme, 'NEUMANN', h);
    for (let i = 2; i < rows - 2; i++) {
      for (let j = 2; j < cols - 2; j++) {
        expect(row[i * cols + j]).toBeCloseTo(3, 13);
        expect(col[i * cols + j]).toBeCloseTo(-2, 13);
      }
    }
  });

  test.each([
    ['SOBEL', 2],
    ['CENTRAL2', 2],
    ['CENTRAL4', 4],
  ] as [GradientScheme, number][])('energy.totals %s is of order %d on a periodic wave', (scheme, order) => {
    const error = (n: number) => {
      const h = 1 / n;
      const k = 2 * Math.PI;
      const wave = (at: number) => Math.sin(k * Math.floor(at / n) * h) * Math.cos(k * (at % n) * h);
      const values = Float64Array.from({ length: n * n }, (_, at) => wave(at));
      const { row, col } = slopes(values, n, n, scheme, 'PERIODIC', h);
      let worst = 0;
      for (let at = 0; at < n * n; at++) {
        const [y, x] = [k * Math.floor(at / n) * h, k * (at % n) * h];
        worst = Math.max(worst, Math.abs(row[at]! - k * Math.cos(y) * Math.cos(x)));
        worst = Math.max(worst, Math.abs(col[at]! + k * Math.sin(y) * Math.sin(x)));
      }
      return worst;
    };
    expect(Math.log2(error(32) / error(64))).toBeGreaterThan(order - 0.1);
  });

  test.each(SCHEMES.flatMap((s) => BOUNDARIES.map((b) => [s, b] as const)))(
    '%s under %s has zero slope along a side of length 1',
    (scheme, boundary) => {
      const line = Float64Array.of(1, 5, 2, 8, 3, 9);
      const wide = slopes(line, 1, 6, scheme, boundary);
      const tall = slopes(line, 6, 1, scheme, boundary);
      expect([...wide.row, ...tall.col]).toEqual(new Array(12).fill(0));
      expect([...wide.col]).toEqual([...tall.row]);
      if (scheme !== 'CENTRAL4') expect(wide.col[2]).toBe((8 - 5) / 2);
      expect(slopes(Float64Array.of(4), 1, 1, scheme, boundary).row[0]).toBe(0);
    },
  );

  test('a transposed grid swaps the two slopes, under every scheme and boundary', () => {
    const random = createRandom(2);
    const [rows, cols] = [5, 7];
    const values = Float64Array.from({ length: rows * cols }, () => random.normal());
    const turned = Float64Array.from(values, (_, at) => values[(at % rows) * cols + Math.floor(at / rows)]!);
    for (const scheme of SCHEMES) {
      for (const boundary of BOUNDARIES) {
        const plain = slopes(values, rows, cols, scheme, boundary);
        const other = slopes(turned, cols, rows, scheme, boundary);
        for (let i = 0; i < rows; i++) {
          for (let j = 0; j < cols; j++) {
            expect(other.col[j * rows + i]).toBeCloseTo(plain.row[i * cols + j]!, 13);
          }
        }
      }
    }
  });

  test('slopes under PERIODIC sum to zero', () => {
    const random = createRandom(3);
    const values = Float64Array.from({ length: 48 }, () => random.normal());
    for (const scheme of SCHEMES) {
      const { row, col } = slopes(values, 6, 8, scheme, 'PERIODIC');
      expect(compensatedSum(row)).toBeCloseTo(0, 12);
      expect(compensatedSum(col)).toBeCloseTo(0, 12);
    }
  });

  test('SOBEL is scipy.ndimage.sobel / 8 in modes reflect, wrap and constant', () => {
    // scipy.ndimage.sobel(numpy.array([[1, 2, 4], [0, 3, 9]], float), axis=0, then 1, mode=...) / 8
    const values = Float64Array.of(1, 2, 4, 0, 3, 9);
    const reference: [BoundaryRule, number[], number[]][] = [
      ['NEUMANN', [-0.25, 0.75, 2, -0.25, 0.75, 2], [0.75, 2.25, 1.5, 1.25, 3.75, 2.5]],
      ['PERIODIC', [0, 0, 0, 0, 0, 0], [-2, 3, -1, -2, 3, -1]],
      ['DIRICHLET', [0.375, 1.875, 2.625, -0.5, -1.125, -1.25], [0.875, 1.875, -0.875, 1, 2.625, -1]],
    ];
    for (const [boundary, rowSlopes, colSlopes] of reference) {
      const { row, col } = slopes(values, 2, 3, 'SOBEL', boundary);
      expect([...row]).toEqual(rowSlopes);
      expect([...col]).toEqual(colSlopes);
    }
  });

  test('bands of rows give the same bits as the whole grid', () => {
    const random = createRandom(4);
    const values = Float64Array.from({ length: 70 }, () => random.normal());
    for (const scheme of SCHEMES) {
      const whole = slopes(values, 10, 7, scheme, 'PERIODIC');
      const row = new Float64Array(70);
      const col = new Float64Array(70);
      const plan = { rows: 10, cols: 7, scheme, boundary: 'PERIODIC', spacing: 1 } as const;
      gradient(values, plan, 0, 4, row, col);
      gradient(values, plan, 4, 10, row, col);
      expect([row, col]).toEqual([whole.row, whole.col]);
    }
  });

  test('ghost cells are mirrored, wrapped or absent', () => {
    expect([-2, -1, 3, 4].map((i) => ghostIndex(i, 3, 'NEUMANN'))).toEqual([1, 0, 2, 1]);
    expect([-2, -1, 3, 4].map((i) => ghostIndex(i, 3, 'PERIODIC'))).toEqual([1, 2, 0, 1]);
    expect([-1, 3].map((i) => ghostIndex(i, 3, 'DIRICHLET'))).toEqual([-1, -1]);
    expect([-2, -1, 1, 2].map((i) => ghostIndex(i, 1, 'NEUMANN'))).toEqual([0, 0, 0, 0]);
  });
});

describe('block sums', () => {
  test('keep the total over observed cells down to one cell', () => {
    const random = createRandom(6);
    let [rows, cols] = [13, 6];
    let values = Float64Array.from({ length: rows * cols }, () => random.below(1000) - 500);
    let observed = Uint8Array.from({ length: rows * cols }, () => (random.uniform() < 0.8 ? 1 : 0));
    const total = values.reduce((sum, v, i) => sum + v * observed[i]!, 0);
    while (rows * cols > 1) {
      const shape = coarserShape(rows, cols);
      const coarse = new Float64Array(shape.rows * shape.cols);
      const mask = new Uint8Array(coarse.length);
      blockSum(values, observed, rows, cols, coarse, mask);
      expect(coarse.reduce((a, b) => a + b, 0)).toBe(total);
      [values, observed, rows, cols] = [coarse, mask, shape.rows, shape.cols];
    }
  });

  test('a coarse cell without observed cells is unobserved', () => {
    const out = new Float64Array(2);
    const mask = new Uint8Array(2);
    blockSum(Float64Array.of(1, 2, 9, 3, 4, 9), Uint8Array.of(1, 0, 0, 1, 1, 0), 2, 3, out, mask);
    expect([[...out], [...mask]]).toEqual([
      [8, 0],
      [1, 0],
    ]);
  });
});
