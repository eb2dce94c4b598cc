import { describe, expect, test } from '@jest/globals';
import { createRandom } from '../../../src/random.ts';
import { autoregressiveNoise } from '../../../src/resilience/calibration/scenarios.ts';
import { createFamilies, fisherZ } from '../../../src/resilience/early-warning/families.ts';
import { createRollingPlan, lagOne } from '../../../src/resilience/early-warning/indicators.ts';
import { slowing } from './series-of.ts';

const length = 256;
const families = createFamilies(createRollingPlan(length, 0.5));

/** Definition of tau-b by pairs. */
function tau(values: readonly number[]): number {
  let balance = 0;
  let untied = 0;
  for (let j = 0; j < values.length; j++)
    for (let i = 0; i < j; i++) {
      balance += Math.sign(values[j]! - values[i]!);
      if (values[j] !== values[i]) untied++;
    }
  return balance / Math.sqrt(untied * ((values.length * (values.length - 1)) / 2));
}

describe('the families', () => {
  test('TREND is the tau of the variance plus the tau of the autocorrelation over rolling windows', () => {
    const residuals = autoregressiveNoise(0.6, length, createRandom(3));
    const variances: number[] = [];
    const correlations: number[] = [];
    for (let from = 0; from + 128 <= length; from++) {
      const window = residuals.subarray(from, from + 128);
      const mean = window.reduce((sum, value) => sum + value, 0) / 128;
      variances.push(window.reduce((sum, value) => sum + (value - mean) ** 2, 0) / 127);
      correlations.push(lagOne(residuals, from, from + 128));
    }
    expect(families.window).toBe(128);
    expect(families.trend(residuals)).toBeCloseTo(tau(variances) + tau(correlations), 10);
  });

  test('LEVEL compares the last quarter with the first, or with a given autocorrelation', () => {
    const residuals = autoregressiveNoise(0.6, length, createRandom(4));
    const present = Math.atanh(lagOne(residuals, 192, 256));
    expect(families.quarter).toBe(64);
    expect(families.level(residuals)).toBeCloseTo(present - Math.atanh(lagOne(residuals, 0, 64)), 12);
    expect(families.level(residuals, 0.25)).toBeCloseTo(present - Math.atanh(0.25), 12);
  });

  test('both are large when recovery slows and do not change with the unit', () => {
    const residuals = slowing(1, length);
    const scaled = residuals.map((value) => 1_024 * value);
    expect(families.trend(residuals)).toBeGreaterThan(1);
    expect(families.level(residuals)).toBeGreaterThan(0.5);
    expect(families.trend(scaled)).toBe(families.trend(residuals));
    expect(families.level(scaled)).toBeCloseTo(families.level(residuals), 12);
  });

  test('stretches without variation give numbers', () => {
    const residuals = new Float64Array(length);
    residuals[250] = 1;
    expect(families.trend(residuals)).not.toBeNaN();
    expect(families.level(residuals)).not.toBeNaN();
    expect(families.trend(new Float64Array(length))).toBe(0);
  });

  test("Fisher's z is finite at both ends", () => {
    expect(fisherZ(1)).toBe(Math.atanh(0.999));
    expect(fisherZ(-1)).toBe(-Math.atanh(0.999));
    expect(fisherZ(0.5)).toBe(Math.atanh(0.5));
  });
});
