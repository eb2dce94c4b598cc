/** Incomplete gamma functions and quantiles. Reference vectors: mpmath 1.3 at 40 digits, and scipy 1.17 (`scipy.stats`). */
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { gammaP, gammaQ, logGamma, logGammaQ } from '../../src/numeric/incomplete-gamma.ts';
import { chiSquareQuantile, normalQuantile } from '../../src/numeric/quantile.ts';

const relative = (actual: number, expected: number) => Math.abs(actual - expected) / Math.abs(expected);

describe('incomplete gamma functions', () => {
  test('ln Gamma of integers and half-integers has its closed form', () => {
    let factorial = 1;
    for (let n = 1; n <= 20; n++) {
      expect(logGamma(n)).toBeCloseTo(Math.log(factorial), 12);
      factorial *= n;
    }
    expect(logGamma(0.5)).toBeCloseTo(0.5 * Math.log(Math.PI), 14);
    expect(relative(logGamma(1000.5), 5908.674175848678)).toBeLessThan(1e-14);
  });

  test('shape 1 is the exponential distribution: P = 1 - e^-x, ln Q = -x', () => {
    for (const x of [1e-12, 0.1, 1, 1.999, 2, 2.001, 30, 700, 1e6]) {
      expect(relative(gammaP(1, x), -Math.expm1(-x))).toBeLessThan(1e-13);
      expect(relative(logGammaQ(1, x), -x)).toBeLessThan(1e-13);
    }
  });

  // log(gammainc(a, x, inf, regularized=True)) of mpmath.
  const tail: [number, number, number][] = [
    [0.5, 0.1, -0.4235463234759657],
    [0.5, 3, -4.24708474678559],
    [0.5, 1e6, -1000007.4801207219],
    [3, 1, -0.08370926812584494],
    [3, 4.1, -1.4969400127554209],
    [3, 500, -488.25993099435027],
    [19, 19, -0.7561205124762154],
    [19, 21, -1.1983874181080578],
    [19, 1000, -912.0377048428874],
    [32, 32, -0.7413120987362548],
    [32, 60, -10.472660898351936],
    [32, 1e6, -999649.81136525597],
    [9.5, 1e3, -952.9648858472164],
  ];
  test.each(tail)('ln Q(%d, %d) is the reference value', (a, x, expected) => {
    expect(relative(logGammaQ(a, x), expected)).toBeLessThan(2e-13);
  });

  test('ln Q close to certainty keeps its absolute accuracy', () => {
    expect(Math.abs(logGammaQ(19, 5) + 1.4016988744411115e-6)).toBeLessThan(1e-16);
    expect(logGammaQ(19, 0)).toBe(0);
  });

  test('P + Q = 1, P rises and ln Q falls with x', () => {
    fc.assert(
      fc.property(
        fc.double({ min: 0.5, max: 40, noNaN: true }),
        fc.double({ min: 1e-3, max: 200, noNaN: true }),
        (a, x) => {
          expect(gammaP(a, x) + gammaQ(a, x)).toBeCloseTo(1, 12);
          expect(gammaP(a, x * 1.01)).toBeGreaterThanOrEqual(gammaP(a, x));
          expect(logGammaQ(a, x * 1.01)).toBeLessThanOrEqual(logGammaQ(a, x));
        },
      ),
    );
  });

  test('ln Q satisfies the recurrence Q(a+1, x) = Q(a, x) + x^a e^-x / Gamma(a+1)', () => {
    for (const a of [0.5, 2, 9.5, 31]) {
      for (const x of [0.3, 4, 12, 80]) {
        const next = gammaQ(a, x) + Math.exp(a * Math.log(x) - x - logGamma(a + 1));
        expect(relative(gammaQ(a + 1, x), next)).toBeLessThan(1e-12);
      }
    }
  });

  test('arguments outside the domain give NaN', () => {
    for (const bad of [gammaP(0, 1), gammaP(1, -1), logGammaQ(Number.NaN, 1), logGamma(0)])
      expect(bad).toBeNaN();
  });
});

describe('quantiles', () => {
  const normal: [number, number][] = [
    [1e-300, -37.0470962993612],
    [1e-10, -6.361340902404056],
    [0.01, -2.3263478740408408],
    [0.3, -0.5244005127080409],
    [0.975, 1.959963984540054],
    [0.999999, 4.753424308817087],
  ];
  test.each(normal)('the normal quantile of %d is the reference value', (p, expected) => {
    expect(relative(normalQuantile(p), expected)).toBeLessThan(1e-13);
  });

  test('the normal quantile is odd about one half', () => {
    expect(normalQuantile(0.5)).toBe(0);
    for (const p of [0.001, 0.02, 0.2, 0.4]) {
      expect(normalQuantile(1 - p)).toBeCloseTo(-normalQuantile(p), 12);
    }
  });

  const chiSquare: [number, number, number][] = [
    [0.975, 1, 5.023886187314888],
    [0.975, 2, 7.377758908227871],
    [0.975, 6, 14.44937533544792],
    [0.975, 38, 56.895520535055965],
    [0.975, 64, 88.0040510064975],
    [0.05, 1, 0.003932140000019522],
    [1e-6, 3, 0.00024181048720124264],
    [0.999999, 10, 46.86304684671568],
    [0.5, 38, 37.33545272914338],
  ];
  test.each(chiSquare)(
    'the chi-square quantile of %d with %d degrees is the reference value',
    (p, d, expected) => {
      expect(relative(chiSquareQuantile(p, d), expected)).toBeLessThan(1e-11);
    },
  );

  test('two degrees have the closed form -2 ln(1 - p)', () => {
    for (const p of [1e-9, 0.1, 0.5, 0.99]) {
      expect(relative(chiSquareQuantile(p, 2), -2 * Math.log1p(-p))).toBeLessThan(1e-11);
    }
  });

  test('the chi-square quantile inverts the distribution', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 64 }),
        fc.double({ min: 1e-6, max: 1 - 1e-6, noNaN: true }),
        (d, p) => {
          expect(gammaP(d / 2, chiSquareQuantile(p, d) / 2)).toBeCloseTo(p, 10);
        },
      ),
    );
  });

  test('the ends of the support and probabilities outside it are told apart', () => {
    expect([chiSquareQuantile(0, 3), chiSquareQuantile(1, 3)]).toEqual([0, Number.POSITIVE_INFINITY]);
    expect([normalQuantile(0), normalQuantile(1)]).toEqual([
      Number.NEGATIVE_INFINITY,
      Number.POSITIVE_INFINITY,
    ]);
    for (const bad of [normalQuantile(1.1), chiSquareQuantile(-1, 2), chiSquareQuantile(0.5, 0)])
      expect(bad).toBeNaN();
  });
});
