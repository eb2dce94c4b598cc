/** Splitting series into season, trend and residuals: what is conserved, what is taken out, what survives. */
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { createRandom } from '../../../src/random.ts';
import {
  createDetrendPlan,
  type Detrending,
  type DetrendOptions,
} from '../../../src/resilience/early-warning/detrend.ts';

function split(values: Float64Array, options: Partial<DetrendOptions> = {}) {
  const plan = createDetrendPlan(values.length, {
    method: 'GAUSSIAN',
    bandwidth: 0.2,
    periods: [],
    ...options,
  });
  const residuals = new Float64Array(values.length);
  const state = new Float64Array(values.length);
  plan.residuals(values, residuals);
  plan.state(values, state);
  return { residuals, state };
}

function noise(length: number, seed: number): Float64Array {
  const random = createRandom(seed);
  return Float64Array.from({ length }, () => random.normal());
}

const wave = (length: number, period: number) =>
  Float64Array.from({ length }, (_, t) => Math.sin((2 * Math.PI * t) / period));

function deviation(values: Float64Array): number {
  const mean = values.reduce((a, b) => a + b) / values.length;
  return Math.sqrt(values.reduce((sum, x) => sum + (x - mean) ** 2, 0) / values.length);
}

const furthest = (a: Float64Array, b: Float64Array) =>
  Math.max(...a.map((one, at) => Math.abs(one - b[at]!)));

const methods: readonly Detrending[] = ['GAUSSIAN', 'LOWESS', 'NONE'];

describe('a detrended series', () => {
  test.each(methods)('is the sum of its state and its residuals: %s', (method) => {
    fc.assert(
      fc.property(
        fc.array(fc.double({ min: -1e3, max: 1e3, noNaN: true }), { minLength: 50, maxLength: 90 }),
        (list) => {
          const values = Float64Array.from(list);
          const { residuals, state } = split(values, { method, periods: [24, 70] });
          expect(
            furthest(
              values,
              state.map((x, t) => x + residuals[t]!),
            ),
          ).toBeLessThan(1e-9);
        },
      ),
      { numRuns: 30 },
    );
  });

  test.each(methods)('has the same residuals after a change of level: %s', (method) => {
    const values = noise(120, 1);
    const raised = values.map((x) => x + 512);
    const options = { method, periods: [24] };
    const apart = split(raised, options).residuals.map((x, t) => x - split(values, options).residuals[t]!);
    const shift = method === 'NONE' ? 512 : 0;
    expect(Math.max(...apart.map((x) => Math.abs(x - shift)))).toBeLessThan(1e-9);
  });

  test('without a method keeps its trend in the residuals', () => {
    const values = noise(60, 2);
    expect(split(values, { method: 'NONE' }).residuals).toEqual(values);
    expect(split(values, { method: 'NONE' }).state.every((x) => x === 0)).toBe(true);
  });

  test('has no residuals on a line, under local regression', () => {
    const line = Float64Array.from({ length: 80 }, (_, t) => 3 + 0.25 * t);
    expect(Math.max(...split(line, { method: 'LOWESS' }).residuals.map(Math.abs))).toBeLessThan(1e-11);
  });
});

describe('a season', () => {
  test('goes out with its harmonics when the series holds two of it', () => {
    const shape = Float64Array.from(
      { length: 192 },
      (_, t) => 3 * Math.sin((2 * Math.PI * t) / 96) + Math.cos((6 * Math.PI * t) / 96),
    );
    const disturbance = noise(192, 3).map((x) => 0.1 * x);
    const values = shape.map((x, t) => x + disturbance[t]!);
    const without = split(values, { method: 'NONE', periods: [96] }).residuals;
    expect(deviation(without)).toBeLessThan(0.11);
    expect(deviation(split(values, { method: 'NONE', periods: [97] }).residuals)).toBeGreaterThan(2);
  });

  test('that the series does not hold twice is followed by the trend instead', () => {
    const values = wave(512, 300);
    const followed = split(values, { periods: [300] }).residuals;
    const smoothedOver = split(values).residuals;
    // sigma is 300 / 16 instead of 37.9; away from the ends a wave keeps 1 - exp(-(2 pi / 16)^2 / 2) = 7.4 % of itself.
    expect(deviation(followed.slice(100, 412)) / deviation(values.slice(100, 412))).toBeCloseTo(0.0741, 3);
    expect(deviation(smoothedOver)).toBeGreaterThan(3 * deviation(followed));
  });

  test('does not take a drift for itself', () => {
    const drift = Float64Array.from({ length: 130 }, (_, t) => 0.5 * t);
    const { residuals } = split(drift, { method: 'NONE', periods: [60] });
    expect(furthest(residuals, drift)).toBeLessThan(1e-10);
  });
});

describe('a plan', () => {
  test('gives the same bits each time, whatever it was used for between', () => {
    const [values, other] = [noise(100, 4), noise(100, 5)];
    for (const method of methods) {
      const plan = createDetrendPlan(100, { method, bandwidth: 0.3, periods: [20] });
      const [first, again] = [new Float64Array(100), new Float64Array(100)];
      plan.residuals(values, first);
      plan.residuals(other, again);
      plan.residuals(values, again);
      expect(again).toEqual(first);
    }
  });

  test('needs a bandwidth in (0, 1]', () => {
    for (const bandwidth of [0, -0.1, 1.01, Number.NaN]) {
      expect(() => createDetrendPlan(60, { method: 'GAUSSIAN', bandwidth, periods: [] })).toThrow(RangeError);
    }
  });
});
