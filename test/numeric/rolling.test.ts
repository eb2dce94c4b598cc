/** Statistics of windows against plain recomputation; rank correlation, memory, entropy and spectrum of one series. */
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { dominantRoot, laggedCorrelation } from '../../src/numeric/autoregression.ts';
import { createKendall } from '../../src/numeric/kendall.ts';
import { createRolling } from '../../src/numeric/rolling.ts';
import { createSampleEntropy } from '../../src/numeric/sample-entropy.ts';
import { createSpectralRatio } from '../../src/numeric/spectral-ratio.ts';
import { createRandom } from '../../src/random.ts';

const value = fc.double({ min: -1e3, max: 1e3, noNaN: true });
const windowed = fc.integer({ min: 2, max: 40 }).chain((length) =>
  fc.record({
    values: fc.array(value, { minLength: length, maxLength: length }).map((list) => Float64Array.from(list)),
    window: fc.integer({ min: 2, max: length }),
  }),
);

/** Sum of the k-th powers of the deviations, by two passes. */
function powerSum(values: Float64Array, k: number): number {
  const mean = values.reduce((a, b) => a + b) / values.length;
  return values.reduce((sum, x) => sum + (x - mean) ** k, 0);
}

function autoregressive(length: number, phi: number, seed: number): Float64Array {
  const random = createRandom(seed);
  let x = 0;
  return Float64Array.from({ length }, () => {
    x = phi * x + random.normal();
    return x;
  });
}

function spreads(values: Float64Array, window: number): { mean: Float64Array; squares: Float64Array } {
  const rolling = createRolling(values.length, window);
  const mean = new Float64Array(rolling.count);
  const squares = new Float64Array(rolling.count);
  rolling.spread(values, mean, squares);
  return { mean, squares };
}

function correlations(values: Float64Array, window: number, lag: number): Float64Array {
  const rolling = createRolling(values.length, window);
  const out = new Float64Array(rolling.count);
  rolling.correlation(values, lag, out);
  return out;
}

describe('the moments of every window', () => {
  test('are those of the window taken alone', () => {
    fc.assert(
      fc.property(windowed, ({ values, window }) => {
        const rolling = createRolling(values.length, window);
        const [mean, squares, again, cubes, fourths] = Array.from(
          { length: 5 },
          () => new Float64Array(rolling.count),
        ) as [Float64Array, Float64Array, Float64Array, Float64Array, Float64Array];
        rolling.spread(values, mean, squares);
        rolling.powers(values, again, cubes, fourths);
        expect(rolling.count).toBe(values.length - window + 1);
        for (let i = 0; i < rolling.count; i++) {
          const part = values.slice(i, i + window);
          expect(Math.abs(mean[i]! - part.reduce((a, b) => a + b) / window)).toBeLessThan(1e-11);
          expect(Math.abs(squares[i]! - powerSum(part, 2))).toBeLessThan(1e-12 * window * 1e6);
          expect(Math.abs(again[i]! - powerSum(part, 2))).toBeLessThan(1e-12 * window * 1e6);
          expect(Math.abs(cubes[i]! - powerSum(part, 3))).toBeLessThan(1e-12 * window * 8e9);
          expect(Math.abs(fourths[i]! - powerSum(part, 4))).toBeLessThan(1e-12 * window * 16e12);
        }
      }),
    );
  });

  test('are exactly 0 in a stretch without variation, whatever stood before it', () => {
    const values = autoregressive(300, 0.5, 1).map((x, t) => (t < 100 ? 1e6 * x : 0.1));
    const rolling = createRolling(300, 60);
    const [squares, cubes, fourths] = [0, 1, 2].map(() => new Float64Array(rolling.count)) as [
      Float64Array,
      Float64Array,
      Float64Array,
    ];
    rolling.powers(values, squares, cubes, fourths);
    for (let i = 100; i < rolling.count; i++) {
      expect([squares[i]!, cubes[i]!, fourths[i]!].map(Math.abs)).toEqual([0, 0, 0]);
    }
    expect(
      spreads(values, 60)
        .squares.slice(100)
        .every((x) => x === 0),
    ).toBe(true);
  });

  test('keep ten digits of a variation of 1e-5 after a shock of 1e6, where running sums keep none', () => {
    const values = autoregressive(400, 0.5, 2).map((x, t) => (t === 50 ? 1e6 : 1e-5 * x));
    const { squares } = spreads(values, 100);
    for (let i = 51; i <= 300; i++) {
      const alone = powerSum(values.slice(i, i + 100), 2);
      expect(Math.abs(squares[i]! / alone - 1)).toBeLessThan(1e-10);
    }
  });

  test('of a series far from 0 keep their digits', () => {
    const { squares } = spreads(
      Float64Array.of(1e9 + 4, 1e9 + 7, 1e9 + 13, 1e9 + 16, 1e9 + 4, 1e9 + 7, 1e9 + 13),
      4,
    );
    expect([...squares]).toEqual([90, 90, 90, 90]);
  });

  test('need a window that fits', () => {
    for (const window of [1, 11, 2.5, Number.NaN])
      expect(() => createRolling(10, window)).toThrow(RangeError);
  });
});

describe('the lagged correlation of every window', () => {
  test('is that of the window taken alone', () => {
    fc.assert(
      fc.property(windowed, fc.integer({ min: 1, max: 3 }), ({ values, window }, lag) => {
        fc.pre(window - lag >= 2);
        const out = correlations(values, window, lag);
        out.forEach((r, i) => {
          const [x, y] = [values.slice(i, i + window - lag), values.slice(i + lag, i + window)];
          // Correlations of sides that hardly vary are rounding noise in any order of summation.
          if (Math.min(powerSum(x, 2), powerSum(y, 2)) < 1e-4) return;
          expect(Math.abs(r - laggedCorrelation(values, i, i + window, lag))).toBeLessThan(1e-8);
        });
      }),
    );
  });

  test('is not a number exactly where a side does not vary', () => {
    const values = autoregressive(60, 0, 3).map((x, t) => (t >= 20 && t < 41 ? 0.3 : x));
    const out = correlations(values, 20, 1);
    // Samples 20..40 are equal: windows at 20 and 21 vary on neither side of their pairs, 19 and 22 only on one.
    expect([...out.keys()].filter((i) => Number.isNaN(out[i]!))).toEqual([19, 20, 21, 22]);
    expect(laggedCorrelation(values, 20, 40, 1)).toBeNaN();
  });

  test('lies within -1 and 1 and is 1 on a line, -1 on an alternation', () => {
    const line = correlations(
      Float64Array.from({ length: 50 }, (_, t) => 0.1 * t),
      20,
      1,
    );
    const alternation = correlations(
      Float64Array.from({ length: 50 }, (_, t) => (t % 2 ? 0.7 : -0.2)),
      20,
      1,
    );
    expect(line.every((r) => r <= 1 && r > 1 - 1e-12)).toBe(true);
    expect(alternation.every((r) => r >= -1 && r < -1 + 1e-12)).toBe(true);
  });

  test('needs two pairs', () => {
    expect(() => correlations(autoregressive(20, 0, 3), 4, 3)).toThrow(RangeError);
    expect(laggedCorrelation(autoregressive(20, 0, 3), 3, 6, 2)).toBeNaN();
  });

  test('neither overflows nor vanishes for very small values', () => {
    const values = autoregressive(80, 0.8, 4);
    const tiny = correlations(
      values.map((x) => x * 1e-120),
      40,
      1,
    );
    correlations(values, 40, 1).forEach((r, i) => {
      expect(tiny[i]).toBeCloseTo(r, 10);
    });
  });
});

describe("Kendall's tau against time", () => {
  const tau = (values: readonly number[]) => createKendall(values.length).tau(Float64Array.from(values));

  test('is the count over all pairs, corrected for ties', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 12 }), { minLength: 2, maxLength: 70 }), (values) => {
        let score = 0;
        let untied = 0;
        for (let i = 0; i < values.length; i++) {
          for (let j = i + 1; j < values.length; j++) {
            score += Math.sign(values[j]! - values[i]!);
            if (values[i] !== values[j]) untied++;
          }
        }
        const pairs = (values.length * (values.length - 1)) / 2;
        expect(tau(values)).toBeCloseTo(untied === 0 ? 0 : score / Math.sqrt(pairs * untied), 14);
      }),
    );
  });

  test('is the reference value of scipy.stats.kendalltau', () => {
    expect(tau([1, 3, 2, 2, 5, 4, 4, 4, 6, 0, 2])).toBeCloseTo(0.1733656789191194, 15);
  });

  test('is exactly 1 and -1 on monotone series, 0 when nothing differs', () => {
    fc.assert(
      fc.property(fc.uniqueArray(value, { minLength: 2, maxLength: 90 }), (values) => {
        const rising = [...values].sort((a, b) => a - b);
        fc.pre(rising.every((x, i) => i === 0 || x > rising[i - 1]!));
        expect(tau(rising)).toBe(1);
        expect(tau(rising.toReversed())).toBe(-1);
      }),
    );
    expect(tau([4, 4, 4])).toBe(0);
    expect(tau([4])).toBe(0);
  });

  test('stays within -1 and 1 and does not change under increasing maps', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: -50, max: 50 }), { minLength: 2, maxLength: 60 }), (values) => {
        const plain = tau(values);
        expect(Math.abs(plain)).toBeLessThanOrEqual(1);
        expect(tau(values.map((x) => Math.exp(x / 10) - 7))).toBe(plain);
        expect(tau(values.map((x) => -x))).toBeCloseTo(-plain, 15);
      }),
    );
  });

  test('takes shorter series than planned, leaves them as they are and refuses longer ones', () => {
    const kendall = createKendall(40);
    const values = Float64Array.of(3, 1, 2);
    expect(kendall.tau(values)).toBeCloseTo(-1 / 3, 15);
    expect([...values]).toEqual([3, 1, 2]);
    expect(() => kendall.tau(new Float64Array(41))).toThrow(RangeError);
  });
});

describe('the dominant root', () => {
  test('of a first-order process is its coefficient', () => {
    for (const phi of [0.9, 0.3, -0.6, 0])
      expect(dominantRoot(phi, phi * phi)).toBeCloseTo(Math.abs(phi), 15);
  });

  test('of a second-order process is that of its polynomial, real or complex', () => {
    for (const [a, b] of [
      [1.2, -0.35],
      [0.4, 0.3],
      [0.5, -0.8],
      [-0.9, -0.1],
    ] as const) {
      const r1 = a / (1 - b);
      const root = Math.max(
        ...(a * a + 4 * b >= 0
          ? [1, -1].map((sign) => Math.abs(a + sign * Math.sqrt(a * a + 4 * b)) / 2)
          : [Math.sqrt(-b)]),
      );
      expect(dominantRoot(r1, a * r1 + b)).toBeCloseTo(root, 12);
    }
  });

  test('is the correlation where the equations are singular', () => {
    expect(dominantRoot(1, 1)).toBe(1);
    expect(dominantRoot(-1, 1)).toBe(1);
  });

  test('is found in a long series', () => {
    const random = createRandom(5);
    const x = new Float64Array(40_000);
    for (let t = 2; t < x.length; t++) x[t] = 1.2 * x[t - 1]! - 0.35 * x[t - 2]! + random.normal();
    const lag = (k: number) => laggedCorrelation(x, 0, x.length, k);
    expect(Math.abs(dominantRoot(lag(1), lag(2)) - 0.7)).toBeLessThan(0.03);
  });
});

describe('the sample entropy', () => {
  /** Richman and Moorman's definition, pair by pair. */
  function byDefinition(values: Float64Array): number {
    const n = values.length;
    const tolerance = 0.2 * Math.sqrt(powerSum(values, 2) / (n - 1));
    let pairs = 0;
    let triples = 0;
    for (let i = 0; i < n - 2; i++) {
      for (let j = i + 1; j < n - 2; j++) {
        const alike = [0, 1, 2].map((k) => Math.abs(values[i + k]! - values[j + k]!) <= tolerance);
        if (alike[0] && alike[1]) pairs++;
        if (alike[0] && alike[1] && alike[2]) triples++;
      }
    }
    return triples === 0 ? Number.NaN : Math.log(pairs / triples);
  }

  test('is its definition', () => {
    fc.assert(
      fc.property(
        fc.array(fc.double({ min: -1, max: 1, noNaN: true }), { minLength: 5, maxLength: 80 }),
        (list) => {
          const values = Float64Array.from(list);
          fc.pre(powerSum(values, 2) > 1e-6);
          expect(createSampleEntropy(values.length).of(values)).toBe(byDefinition(values));
        },
      ),
    );
    const spike = autoregressive(200, 0.9, 6).map((x, t) => (t === 90 ? 1e9 : x));
    expect(createSampleEntropy(200).of(spike)).toBe(byDefinition(spike));
  });

  test('gives the reference value of a wave with some disorder', () => {
    const values = Float64Array.from(
      { length: 60 },
      (_, i) => Math.sin(0.9 * i) + (0.3 * ((i * 7919) % 13)) / 13,
    );
    expect(createSampleEntropy(60).of(values)).toBeCloseTo(0.26415157504158676, 14);
  });

  test('is lower for a regular series than for noise, and none without variation', () => {
    const wave = Float64Array.from({ length: 256 }, (_, t) => Math.sin(t / 5));
    const entropy = createSampleEntropy(256);
    expect(entropy.of(wave)).toBeLessThan(0.5);
    expect(entropy.of(autoregressive(256, 0, 7))).toBeGreaterThan(1.7);
    expect(entropy.of(new Float64Array(256).fill(0.1))).toBeNaN();
  });
});

describe('the spectral ratio', () => {
  const ratios = (values: Float64Array, window: number) => {
    const plan = createSpectralRatio(values.length, window);
    const out = new Float64Array(plan.count);
    plan.ratios(values, out);
    return [...out];
  };

  test('is that of scipy.signal.welch with a Hamming window of 40 and 20 overlapping', () => {
    const values = Float64Array.from(
      { length: 130 },
      (_, t) => Math.sin(0.13 * t) + 0.5 * Math.cos(2.1 * t) + 0.01 * t + 0.3 * Math.sin(2.95 * t),
    );
    const reference = [9.343907900456662, 9.408259663288343, 9.381667202364197, 12.07158151194596];
    const found = ratios(values, 70);
    expect(found).toHaveLength(4);
    found.forEach((ratio, i) => {
      expect(ratio).toBeCloseTo(reference[i]!, 11);
    });
  });

  test('of an autoregression approaches the ratio of its expected powers', () => {
    const phi = 0.6;
    const lags = Array.from({ length: 40 }, (_, j) => j);
    const mean = (of: (j: number) => number) => lags.reduce((sum, j) => sum + of(j), 0) / 40;
    // Covariance of two samples of a segment about its mean, then expected power of a bin under the window.
    const toMean = lags.map((j) => mean((l) => phi ** Math.abs(j - l)));
    const covariance = (j: number, l: number) =>
      phi ** Math.abs(j - l) - toMean[j]! - toMean[l]! + mean((k) => toMean[k]!);
    const weight = (j: number) => 0.54 - 0.46 * Math.cos((2 * Math.PI * j) / 40);
    const power = (bin: number) =>
      mean((j) =>
        mean((l) => weight(j) * weight(l) * covariance(j, l) * Math.cos((2 * Math.PI * bin * (j - l)) / 40)),
      );
    const exact = (power(1) + power(2)) / 2 / ((power(18) + power(19) + power(20)) / 3);
    const found = ratios(autoregressive(40_000, phi, 8), 40_000)[0]!;
    expect(Math.abs(found / exact - 1)).toBeLessThan(0.05);
  });

  test('is about 1 for white noise, none without variation or without a whole segment', () => {
    expect(Math.abs(ratios(autoregressive(20_000, 0, 9), 20_000)[0]! - 1)).toBeLessThan(0.1);
    expect(ratios(new Float64Array(80).fill(0.1), 60)).toEqual([Number.NaN, Number.NaN]);
    expect(ratios(autoregressive(80, 0, 10), 39)).toEqual([]);
  });
});
