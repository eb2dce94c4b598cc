/** Indicators of windows: definitions on known processes, undefined values, recovery rates. */
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { createRandom } from '../../../src/random.ts';
import {
  createRollingPlan,
  type IndicatorName,
  indicatorsOf,
  lagOne,
  recoveryRate,
  recoveryRateSecondOrder,
} from '../../../src/resilience/early-warning/indicators.ts';

/** First-order autoregression whose coefficient runs linearly from `from` to `to`. */
function autoregressive(length: number, from: number, to: number, seed: number): Float64Array {
  const random = createRandom(seed);
  let x = 0;
  return Float64Array.from({ length }, (_, t) => {
    x = (from + ((to - from) * t) / length) * x + random.normal();
    return x;
  });
}

function judge(residuals: Float64Array, rolling = 0.5, values = residuals) {
  const found = indicatorsOf(values, residuals, createRollingPlan(residuals.length, rolling), 60_000);
  return (name: IndicatorName) => found.find((one) => one.name === name)!;
}

describe('rolling windows', () => {
  test('are floor(rolling n) samples, one for each place they fit', () => {
    expect(createRollingPlan(861, 0.25)).toMatchObject({ length: 861, window: 215, count: 647 });
    expect(createRollingPlan(50, 1)).toMatchObject({ window: 50, count: 1 });
    expect(() => createRollingPlan(20, 0.1)).toThrow(RangeError);
  });

  test('have the variance and correlation of their samples', () => {
    const values = autoregressive(80, 0.6, 0.6, 1);
    const plan = createRollingPlan(80, 0.5);
    const [variance, correlation] = [new Float64Array(plan.count), new Float64Array(plan.count)];
    plan.variance(values, variance);
    plan.autocorrelation(values, 1, correlation);
    for (let i = 0; i < plan.count; i++) {
      const part = values.slice(i, i + plan.window);
      const mean = part.reduce((a, b) => a + b) / plan.window;
      const squares = part.reduce((sum, x) => sum + (x - mean) ** 2, 0);
      expect(variance[i]).toBeCloseTo(squares / (plan.window - 1), 12);
      expect(correlation[i]).toBeCloseTo(lagOne(values, i, i + plan.window), 12);
    }
  });

  test('without variation have variance 0 and count as without memory', () => {
    const values = autoregressive(100, 0.6, 0.6, 2).fill(0.1, 40);
    const plan = createRollingPlan(100, 0.5);
    const out = new Float64Array(plan.count);
    plan.variance(values, out);
    expect(out.at(-1)).toBe(0);
    plan.autocorrelation(values, 1, out);
    expect(out.at(-1)).toBe(0);
    expect(lagOne(values, 50, 100)).toBe(0);
  });
});

describe('the indicators of a series', () => {
  test('rise with its memory when it slows down', () => {
    const of = judge(autoregressive(512, 0.2, 0.97, 3));
    for (const name of ['variance', 'standard_deviation', 'autocorrelation_1', 'spectral_ratio'] as const) {
      expect(of(name).tau).toBeGreaterThan(0.5);
    }
    expect(of('recovery_rate').tau).toBeLessThan(-0.5);
    expect(of('recovery_rate').tau).toBeCloseTo(-of('autocorrelation_1').tau!, 12);
  });

  test('are near their theory for a long stationary series', () => {
    const phi = 0.7;
    const of = judge(autoregressive(5000, phi, phi, 4), 1);
    expect(Math.abs(of('variance').value! * (1 - phi * phi) - 1)).toBeLessThan(0.1);
    expect(of('standard_deviation').value).toBeCloseTo(Math.sqrt(of('variance').value!), 14);
    expect(Math.abs(of('autocorrelation_1').value! - phi)).toBeLessThan(0.05);
    expect(Math.abs(of('autocorrelation_2').value! - phi ** 2)).toBeLessThan(0.05);
    expect(Math.abs(of('autocorrelation_3').value! - phi ** 3)).toBeLessThan(0.05);
    expect(Math.abs(of('skewness').value!)).toBeLessThan(0.1);
    expect(Math.abs(of('kurtosis').value!)).toBeLessThan(0.2);
    expect(of('recovery_rate').value! / (-Math.log(phi) / 60)).toBeCloseTo(1, 1);
    expect(Math.abs(of('recovery_rate_2').value! / (-Math.log(phi) / 60) - 1)).toBeLessThan(0.2);
  });

  test('give the reference skew and kurtosis of scipy.stats, bias corrected', () => {
    const of = judge(Float64Array.of(1, 2, 4, 4, 7, 11, 3), 1);
    expect(of('skewness').value).toBeCloseTo(1.255957458591361, 14);
    expect(of('kurtosis').value).toBeCloseTo(1.3592717011556044, 13);
  });

  test('relate the residuals to the mean of the values', () => {
    const residuals = autoregressive(60, 0, 0, 5);
    const of = judge(
      residuals,
      0.5,
      residuals.map(() => 50),
    );
    expect(of('coefficient_of_variation').value).toBeCloseTo(of('standard_deviation').value! / 50, 14);
  });

  test('are undefined where a window has none, and their trends are over the windows that do', () => {
    const stopped = autoregressive(120, 0.5, 0.5, 6).fill(0.1, 60);
    const of = judge(stopped);
    expect(of('variance').value).toBe(0);
    for (const name of [
      'autocorrelation_1',
      'skewness',
      'kurtosis',
      'sample_entropy',
      'recovery_rate',
      'recovery_rate_2',
    ] as const) {
      expect(of(name).value).toBeUndefined();
    }
    expect(Number.isFinite(of('skewness').tau)).toBe(true);
    const nothing = judge(new Float64Array(100).fill(3));
    expect(nothing('variance')).toMatchObject({ value: 0, tau: 0 });
    expect(nothing('kurtosis')).toMatchObject({ value: undefined, tau: undefined });
  });

  test('never leave the numbers, whatever the series', () => {
    fc.assert(
      fc.property(
        fc.array(fc.oneof(fc.double({ min: -1e6, max: 1e6, noNaN: true }), fc.constant(1)), {
          minLength: 50,
          maxLength: 90,
        }),
        fc.constantFrom(0.1, 0.5, 0.9, 1),
        (list, rolling) => {
          const values = Float64Array.from(list);
          const plan = createRollingPlan(values.length, rolling);
          for (const { value, tau } of indicatorsOf(values, values, plan, 1000)) {
            if (value !== undefined) expect(Number.isFinite(value)).toBe(true);
            if (tau !== undefined) expect(Math.abs(tau)).toBeLessThanOrEqual(1);
          }
        },
      ),
    );
  });

  test('are named once each, with a trend for all but the sample entropy', () => {
    const values = autoregressive(512, 0.5, 0.5, 7);
    const found = indicatorsOf(values, values, createRollingPlan(512, 0.5), 1000);
    expect(found.map(({ name }) => name)).toEqual([
      'variance',
      'standard_deviation',
      'coefficient_of_variation',
      'autocorrelation_1',
      'autocorrelation_2',
      'autocorrelation_3',
      'skewness',
      'kurtosis',
      'spectral_ratio',
      'sample_entropy',
      'recovery_rate',
      'recovery_rate_2',
    ]);
    expect(found.filter(({ tau }) => tau === undefined).map(({ name }) => name)).toEqual(['sample_entropy']);
    expect(found.every(({ value }) => value !== undefined)).toBe(true);
  });
});

describe('the recovery rate', () => {
  test('is that of the correlation freed of its bias, in 1/s', () => {
    expect(recoveryRate(0.5, 103, 2000)).toBeCloseTo(-Math.log(52.5 / 100) / 2, 14);
  });

  test('is held between those of .999 and .02', () => {
    expect(recoveryRate(0.9999, 100, 1000)).toBeCloseTo(-Math.log(0.999), 14);
    expect(recoveryRate(-0.8, 100, 1000)).toBeCloseTo(-Math.log(0.02), 14);
  });

  test('of second order sees through noise in the measurement', () => {
    const random = createRandom(8);
    const hidden = autoregressive(20_000, 0.95, 0.95, 9);
    const measured = hidden.map((x) => x + 3 * random.normal());
    const exact = -Math.log(0.95);
    const first = recoveryRate(lagOne(measured, 0, 20_000), 20_000, 1000);
    const second = recoveryRateSecondOrder(measured, 0, 20_000, 1000);
    expect(first).toBeGreaterThan(8 * exact);
    expect(Math.abs(second - exact)).toBeLessThan(0.5 * (first - exact));
  });

  test('of a stretch without variation is that of no memory', () => {
    expect(recoveryRateSecondOrder(new Float64Array(60).fill(0.1), 0, 60, 1000)).toBe(
      recoveryRate(0, 60, 1000),
    );
  });
});
