import { describe, expect, test } from '@jest/globals';
import { createRandom } from '../../../src/random.ts';
import { autoregressiveNoise, MAY, NOISES, RICKER } from '../../../src/resilience/calibration/scenarios.ts';
import {
  alarmRates,
  alarmsAreRare,
  areaUnderCurve,
  deviateOf,
  wilson,
} from '../../../src/resilience/calibration/score.ts';

describe('scores', () => {
  test("Wilson's interval agrees with published values", () => {
    // R: binom::binom.confint(7, 50, methods = "wilson").
    expect(wilson(7, 50).low).toBeCloseTo(0.0695, 4);
    expect(wilson(7, 50).high).toBeCloseTo(0.2619, 4);
    expect(wilson(0, 20)).toMatchObject({ share: 0, low: 0 });
    expect(wilson(0, 20).high).toBeCloseTo(0.1611, 4);
    expect(wilson(20, 20).high).toBe(1);
  });

  test('the area under the curve counts pairs in the right order, ties half', () => {
    expect(areaUnderCurve([3, 4], [1, 2])).toBe(1);
    expect(areaUnderCurve([1, 2], [3, 4])).toBe(0);
    expect(areaUnderCurve([1, 1], [1])).toBe(0.5);
    expect(areaUnderCurve([1, 3, 2], [2, 0])).toBeCloseTo(4.5 / 6, 12);
  });

  test('rates count looks at least as severe, unknown ones never', () => {
    const rates = alarmRates(['NORMAL', 'ELEVATED', 'HIGH', 'IMMINENT', 'UNKNOWN']);
    expect([rates.ELEVATED.count, rates.HIGH.count, rates.CRITICAL.count]).toEqual([3, 2, 1]);
  });

  test('alarms are rare when the upper ends of both intervals are', () => {
    const looks = (normal: number, elevated: number, critical: number) =>
      alarmRates([
        ...new Array<'NORMAL'>(normal).fill('NORMAL'),
        ...new Array<'ELEVATED'>(elevated).fill('ELEVATED'),
        ...new Array<'CRITICAL'>(critical).fill('CRITICAL'),
      ]);
    expect(alarmsAreRare(looks(380, 16, 4))).toBe(true);
    expect(alarmsAreRare(looks(360, 36, 4))).toBe(false);
    expect(alarmsAreRare(looks(382, 0, 18))).toBe(false);
    expect(alarmsAreRare(looks(20, 0, 0))).toBe(false);
  });

  test('the deviate of a finding is that of its smaller p', () => {
    const test = { value: 0, threshold: 0, surrogates: 199, windowSamples: 10 };
    const finding = {
      name: 'metric',
      status: 'OK',
      samples: 100,
      indicators: [],
      tests: [
        { ...test, family: 'TREND', p: 0.5 },
        { ...test, family: 'LEVEL', p: 0.025 },
      ],
    } as const;
    expect(deviateOf(finding)).toBeCloseTo(1.959964, 6);
  });
});

describe('scenarios', () => {
  test('noise has the variance and memory it names', () => {
    const values = autoregressiveNoise(0.8, 100_000, createRandom(1));
    let variance = 0;
    let product = 0;
    for (let t = 1; t < values.length; t++) {
      variance += values[t]! ** 2;
      product += values[t]! * values[t - 1]!;
    }
    expect(variance / values.length / (1 / 0.36)).toBeCloseTo(1, 1);
    expect(product / variance).toBeCloseTo(0.8, 2);
  });

  test('the same seed gives the same series, of the length asked for', () => {
    for (const noise of NOISES) {
      const values = noise.sample(64, createRandom(1));
      expect(values).toHaveLength(64);
      expect(noise.sample(64, createRandom(1))).toEqual(values);
      expect(noise.sample(64, createRandom(2))).not.toEqual(values);
    }
  });

  test('a ramp ends lower than its control', () => {
    for (const ramp of [RICKER, MAY]) {
      const driven = ramp.sample(true, createRandom(1));
      const control = ramp.sample(false, createRandom(1));
      expect(driven).toHaveLength(ramp.seen);
      expect(driven.at(-1)!).toBeLessThan(0.95 * control.at(-1)!);
      // Not collapsed yet: the fold lies behind what is seen.
      expect(driven.at(-1)!).toBeGreaterThan(0.3 * control.at(-1)!);
    }
  });
});
