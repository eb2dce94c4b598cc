/** Fourier transform, Gaussian and local smoothing, medians, seasons: closed forms, symmetries, reference vectors. */
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { createFft } from '../../src/numeric/fft.ts';
import { createGaussianSmoother } from '../../src/numeric/gaussian-smoother.ts';
import { createHarmonicRegression } from '../../src/numeric/harmonics.ts';
import { createLowess } from '../../src/numeric/lowess.ts';
import { medianOf } from '../../src/numeric/selection.ts';
import { createRandom } from '../../src/random.ts';

const value = fc.double({ min: -1e3, max: 1e3, noNaN: true });
const series = (minLength: number, maxLength: number) =>
  fc.array(value, { minLength, maxLength }).map((list) => Float64Array.from(list));

function noise(length: number, seed: number): Float64Array {
  const random = createRandom(seed);
  return Float64Array.from({ length }, () => random.normal());
}

function smoothed(
  plan: { smooth(values: Float64Array, out: Float64Array): void },
  values: Float64Array,
): Float64Array {
  const out = new Float64Array(values.length);
  plan.smooth(values, out);
  return out;
}

function furthest(a: Float64Array, b: Float64Array): number {
  return Math.max(...a.map((one, at) => Math.abs(one - b[at]!)));
}

describe('the Fourier transform', () => {
  const reversed = (k: number, bits: number) =>
    Array.from({ length: bits }, (_, bit) => ((k >> bit) & 1) << (bits - 1 - bit)).reduce((a, b) => a | b, 0);

  test.each([0, 1, 2, 3, 6])('of 2^%i samples is the defining sum, in bit-reversed order', (bits) => {
    const size = 2 ** bits;
    const real = noise(size, 1);
    const imaginary = noise(size, 2);
    const [re, im] = [Float64Array.from(real), Float64Array.from(imaginary)];
    createFft(size).forward(re, im);
    for (let k = 0; k < size; k++) {
      let sumRe = 0;
      let sumIm = 0;
      for (let j = 0; j < size; j++) {
        const [c, s] = [Math.cos((2 * Math.PI * j * k) / size), Math.sin((2 * Math.PI * j * k) / size)];
        sumRe += real[j]! * c + imaginary[j]! * s;
        sumIm += imaginary[j]! * c - real[j]! * s;
      }
      expect(re[reversed(k, bits)]).toBeCloseTo(sumRe, 11);
      expect(im[reversed(k, bits)]).toBeCloseTo(sumIm, 11);
    }
  });

  test('goes back to the samples, and keeps their energy', () => {
    const fft = createFft(256);
    const [real, imaginary] = [noise(256, 3), noise(256, 4)];
    const [re, im] = [Float64Array.from(real), Float64Array.from(imaginary)];
    const energy = (a: Float64Array, b: Float64Array) =>
      a.reduce((sum, x, k) => sum + x * x + b[k]! * b[k]!, 0);
    fft.forward(re, im);
    expect(energy(re, im) / 256).toBeCloseTo(energy(real, imaginary), 9);
    fft.inverse(re, im);
    expect(furthest(re, real)).toBeLessThan(1e-14);
    expect(furthest(im, imaginary)).toBeLessThan(1e-14);
  });

  test('refuses a size that is no power of two', () => {
    for (const size of [0, 3, 12, -2, Number.NaN]) expect(() => createFft(size)).toThrow(RangeError);
  });
});

describe('the Gaussian smoother', () => {
  test('is scipy.ndimage.gaussian_filter1d, also where the kernel is longer than the series', () => {
    const wide = smoothed(createGaussianSmoother(5, 3), Float64Array.of(2, -1, 0.5, 7, 3));
    const narrow = smoothed(createGaussianSmoother(8, 1.3), Float64Array.of(3, 1, 4, 1, 5, 9, 2, 6));
    const wideReference = [
      1.936447672363235, 2.0749191998548873, 2.299439020232793, 2.524724758241606, 2.6644693493074794,
    ];
    const narrowReference = [
      2.4295461791141673, 2.4448961726028546, 2.7027839152198063, 3.4338774482811427, 4.556234890890588,
      5.242227332446193, 5.172257194860443, 5.018176866584805,
    ];
    expect(furthest(wide, Float64Array.from(wideReference))).toBeLessThan(1e-14);
    expect(furthest(narrow, Float64Array.from(narrowReference))).toBeLessThan(1e-14);
  });

  test('keeps constants exactly and sums nearly', () => {
    fc.assert(
      fc.property(
        value,
        fc.integer({ min: 1, max: 90 }),
        fc.double({ min: 0, max: 30, noNaN: true }),
        (c, n, sigma) => {
          const out = smoothed(createGaussianSmoother(n, sigma), new Float64Array(n).fill(c));
          expect(out.every((x) => x === c)).toBe(true);
        },
      ),
    );
    const values = noise(300, 5);
    const out = smoothed(createGaussianSmoother(300, 21), values);
    // Reflection at half a sample gives back at the ends what the kernel takes out.
    expect(out.reduce((a, b) => a + b)).toBeCloseTo(
      values.reduce((a, b) => a + b),
      10,
    );
  });

  test('is linear', () => {
    fc.assert(
      fc.property(series(12, 12), series(12, 12), value, (a, b, factor) => {
        const plan = createGaussianSmoother(12, 2.5);
        const joint = smoothed(
          plan,
          a.map((x, t) => x + factor * b[t]!),
        );
        const [outA, outB] = [smoothed(plan, a), smoothed(plan, b)];
        const apart = outA.map((x, t) => x + factor * outB[t]!);
        expect(furthest(joint, apart)).toBeLessThan(1e-12 * (1e3 + Math.abs(factor) * 1e3));
      }),
    );
  });

  test('may write over its input', () => {
    const values = noise(65, 6);
    const plan = createGaussianSmoother(65, 4);
    const apart = smoothed(plan, values);
    plan.smooth(values, values);
    expect(values).toEqual(apart);
  });

  test('needs samples and a width', () => {
    expect(() => createGaussianSmoother(0, 1)).toThrow(RangeError);
    expect(() => createGaussianSmoother(10, -1)).toThrow(RangeError);
  });

  test('leaves a series alone at sigma 0', () => {
    const values = noise(33, 7);
    expect(furthest(smoothed(createGaussianSmoother(33, 0), values), values)).toBeLessThan(1e-14);
  });
});

describe('the local regression', () => {
  test('gives the reference values of a series with an outlier', () => {
    // Cleveland's algorithm written out separately in NumPy, span 1/2.
    const reference = [
      1.0969333900466696, 1.605118866340928, 2.1514071304543467, 2.6192441141434966, 3.1168698217687028,
      3.642477927279737, 4.082976323758913, 4.568997044473248, 5.06900801436387, 5.5004076932663395,
      6.120384855236589, 6.734999080922637,
    ];
    const values = Float64Array.of(1, 2, 1.5, 3, 9, 3.5, 4, 5, 4.5, 6, 5.5, 7);
    expect(furthest(smoothed(createLowess(12, 0.5), values), Float64Array.from(reference))).toBeLessThan(
      1e-13,
    );
  });

  test('of a line is the line', () => {
    fc.assert(
      fc.property(
        value,
        value,
        fc.integer({ min: 5, max: 120 }),
        fc.double({ min: 0.05, max: 1, noNaN: true }),
        (level, slope, n, span) => {
          const line = Float64Array.from({ length: n }, (_, t) => level + slope * t);
          const scale = Math.abs(level) + Math.abs(slope) * n;
          expect(furthest(smoothed(createLowess(n, span), line), line)).toBeLessThanOrEqual(
            1e-12 * scale + 1e-300,
          );
        },
      ),
    );
  });

  test('is the line under outliers that touch less than half of each neighborhood', () => {
    const line = Float64Array.from({ length: 100 }, (_, t) => 3 - 0.1 * t);
    const spoiled = line.map((height, t) => (t % 9 === 4 ? height + 50 : height));
    expect(furthest(smoothed(createLowess(100, 0.4), spoiled), line)).toBeLessThan(0.05);
  });

  test('leaves a sample as it is where all its neighbors are outliers', () => {
    const wild = noise(13, 9);
    const values = noise(80, 10).map((x, t) => (t >= 30 && t < 43 ? 1e4 * wild[t - 30]! : x));
    const out = smoothed(createLowess(80, 0.08), values);
    expect(out.every(Number.isFinite)).toBe(true);
    expect([...out.keys()].filter((t) => out[t] === values[t]).length).toBeGreaterThan(2);
    expect(Math.max(...out.slice(0, 25).map(Math.abs))).toBeLessThan(3);
  });

  test('stops where most of the series is fitted exactly', () => {
    const values = new Float64Array(90);
    values[44] = 9;
    const out = smoothed(createLowess(90, 0.2), values);
    // No pass takes the outlier out: the median residual says nothing about its size.
    expect(out[44]).toBeGreaterThan(0.5);
    expect(out[20]).toBe(0);
  });

  test('counts its neighbors as floor(span n + 1e-10), at least 2', () => {
    expect(createLowess(861, 0.2).neighbors).toBe(172);
    expect(createLowess(100, 0.29).neighbors).toBe(29);
    expect(createLowess(100, 0.001).neighbors).toBe(2);
    expect(() => createLowess(100, 1.01)).toThrow(RangeError);
  });
});

describe('the median', () => {
  test('is the middle of the sorted values', () => {
    fc.assert(
      fc.property(series(1, 40), (values) => {
        const sorted = [...values].sort((a, b) => a - b);
        const middle = sorted.length >> 1;
        const expected = sorted.length % 2 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
        expect(medianOf(values)).toBeCloseTo(expected, 9);
      }),
    );
  });

  test('takes ties, sorted runs and long arrays', () => {
    expect(medianOf(Float64Array.of(2, 2, 2, 2))).toBe(2);
    expect(medianOf(Float64Array.from({ length: 100_001 }, (_, t) => t))).toBe(50_000);
    expect(medianOf(Float64Array.from({ length: 100_000 }, (_, t) => -t))).toBe(-49_999.5);
    expect(medianOf(new Float64Array(0))).toBeNaN();
  });
});

describe('the harmonic regression', () => {
  const season = (periods: readonly number[], values: Float64Array) => {
    const out = new Float64Array(values.length);
    createHarmonicRegression(values.length, periods, 3).season(values, out);
    return out;
  };
  const wave = (length: number) =>
    Float64Array.from(
      { length },
      (_, t) => 2 * Math.sin((2 * Math.PI * t) / 24 + 0.4) - 0.7 * Math.cos((6 * Math.PI * t) / 24),
    );

  test('finds a season exactly, whatever level and drift it rides on', () => {
    fc.assert(
      fc.property(
        value,
        fc.double({ min: -1, max: 1, noNaN: true }),
        fc.integer({ min: 48, max: 200 }),
        (a, b, n) => {
          const only = wave(n);
          const riding = only.map((x, t) => x + a + b * t);
          expect(furthest(season([24], riding), only)).toBeLessThan(1e-9);
        },
      ),
    );
  });

  test('separates two seasons, and counts one given twice once', () => {
    const n = 336;
    const day = wave(n);
    const both = day.map((x, t) => x + Math.cos((2 * Math.PI * t) / 168));
    expect(furthest(season([24, 168], both), both)).toBeLessThan(1e-12);
    expect(furthest(season([24, 24, 12], day), day)).toBeLessThan(1e-12);
  });

  test('leaves out harmonics that the grid cannot carry', () => {
    const values = Float64Array.from({ length: 40 }, (_, t) => (t % 2 ? 1 : -1) + 3);
    const out = season([4], values);
    expect(out.every(Number.isFinite)).toBe(true);
    // Period 4 has its second harmonic at 2 samples, where only the cosine lives; the third is beyond the grid.
    expect(
      furthest(
        out,
        Float64Array.from({ length: 40 }, (_, t) => (t % 2 ? 1 : -1)),
      ),
    ).toBeLessThan(0.1);
  });

  test('is nothing without periods', () => {
    expect(season([], noise(20, 8)).every((x) => x === 0)).toBe(true);
  });
});
