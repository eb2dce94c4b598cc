/** Theil-Sen slopes and the normal distribution. Reference vectors: SciPy 1.17. */
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { normalCdf, normalQuantile } from '../../src/numeric/quantile.ts';
import { createTheilSen } from '../../src/numeric/theil-sen.ts';
import { normalsOf } from './support/arrays.ts';

const theilSen = createTheilSen(200);

describe('the Theil-Sen slope', () => {
  test('has the values of scipy.stats.theilslopes(y, range(n), 0.95), with and without ties', () => {
    const tied = theilSen.fit(Float64Array.of(3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8));
    expect(tied.slope).toBeCloseTo(0.3666666666666667, 15);
    expect([tied.low, tied.high]).toEqual([0, 0.8]);
    const other = theilSen.fit(Float64Array.of(1.5, 2, 2.25, 4, 3, 5.5, 6));
    expect(other.slope).toBe(0.75);
    expect([other.low, other.high]).toEqual([0.375, 1.0833333333333333]);
  });

  test('of a line is its slope whatever a quarter of the values do', () => {
    const line = Float64Array.from({ length: 41 }, (_, i) => 2 - 0.5 * i);
    expect(theilSen.fit(line)).toEqual({
      slope: -0.5,
      low: -0.5,
      high: -0.5,
      statistic: Number.NEGATIVE_INFINITY,
    });
    const wild = line.slice();
    for (let k = 0; k < 10; k++) wild[4 * k] = 1000 * (k % 2 === 0 ? 1 : -1);
    expect(theilSen.fit(wild).slope).toBe(-0.5);
    expect(theilSen.fit(new Float64Array(9).fill(3))).toMatchObject({ slope: 0, statistic: 0 });
  });

  test('turns with the values and does not depend on their offset', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: -999, max: 999 }), { minLength: 2, maxLength: 30 }), (list) => {
        const plain = theilSen.fit(Float64Array.from(list));
        const moved = theilSen.fit(Float64Array.from(list, (v) => v + 12));
        const turned = theilSen.fit(Float64Array.from(list, (v) => -v));
        expect(moved).toEqual(plain);
        expect(turned.slope + 0).toBe(-plain.slope + 0);
      }),
    );
  });

  test('of noise has a statistic of about unit variance; a trend raises it', () => {
    const fits = Array.from({ length: 400 }, (_, seed) => theilSen.fit(normalsOf(64, seed)).statistic);
    const variance = fits.reduce((sum, t) => sum + t * t, 0) / fits.length;
    expect(variance).toBeGreaterThan(0.75);
    expect(variance).toBeLessThan(1.35);
    const rising = normalsOf(64, 1).map((v, i) => v + 0.05 * i);
    expect(theilSen.fit(rising).statistic).toBeGreaterThan(4);
  });

  test('of one value is refused, and of more than planned', () => {
    expect(() => theilSen.fit(Float64Array.of(1))).toThrow(RangeError);
    expect(() => theilSen.fit(new Float64Array(201))).toThrow(RangeError);
  });
});

describe('the normal distribution', () => {
  test('has the values of scipy.stats.norm.cdf far into the tail', () => {
    const reference: [number, number][] = [
      [-37.5, 4.605353009581954e-308],
      [-8, 6.22096057427174e-16],
      [-3, 0.0013498980316300933],
      [-1, 0.15865525393145707],
      [0, 0.5],
      [0.5, 0.6914624612740131],
      [2, 0.9772498680518208],
      [6, 0.9999999990134123],
    ];
    for (const [x, expected] of reference) expect(normalCdf(x) / expected).toBeCloseTo(1, 11);
    expect([normalCdf(Number.NEGATIVE_INFINITY), normalCdf(Number.POSITIVE_INFINITY)]).toEqual([0, 1]);
    expect(normalCdf(Number.NaN)).toBeNaN();
  });

  test('is undone by its quantile', () => {
    fc.assert(
      fc.property(fc.double({ min: 1e-300, max: 0.999999, noNaN: true }), (p) => {
        expect(normalCdf(normalQuantile(p)) / p).toBeCloseTo(1, 9);
      }),
    );
  });
});
