import { describe, expect, test } from '@jest/globals';
import { createRandom } from '../../../src/random.ts';
import { autoregressiveNoise } from '../../../src/resilience/calibration/scenarios.ts';
import { createDetrendPlan, type Detrending } from '../../../src/resilience/early-warning/detrend.ts';
import { createFamilies } from '../../../src/resilience/early-warning/families.ts';
import { createRollingPlan, lagOne } from '../../../src/resilience/early-warning/indicators.ts';
import {
  autoregress,
  chooseProcesses,
  type Observation,
  testFamilies,
} from '../../../src/resilience/early-warning/surrogates.ts';
import { slowing, whiteNoise } from './series-of.ts';

function observe(
  values: Float64Array,
  method: Detrending = 'GAUSSIAN',
  referenceLagOne?: number,
): Observation {
  const { length } = values;
  const detrend = createDetrendPlan(length, { method, bandwidth: 0.2, periods: [] });
  const state = new Float64Array(length);
  const residuals = new Float64Array(length);
  detrend.state(values, state);
  detrend.residuals(values, residuals);
  const families = createFamilies(createRollingPlan(length, 0.5));
  return { state, residuals, detrend, families, ...(referenceLagOne !== undefined && { referenceLagOne }) };
}

const squares = (values: Float64Array) => values.reduce((sum, value) => sum + value * value, 0);

/** Mean lag-1 autocorrelation from a sample on, and mean square, of many surrogates of a process. */
function surrogateMoments(observation: Observation, process: { phi: number; scale: number }, from: number) {
  const { state, detrend } = observation;
  const random = createRandom(99);
  const count = 200;
  const values = new Float64Array(state.length);
  const residuals = new Float64Array(state.length);
  let correlation = 0;
  let square = 0;
  for (let k = 0; k < count; k++) {
    autoregress(
      process,
      values.map(() => random.normal()),
      values,
    );
    detrend.residuals(
      values.map((value, t) => value + state[t]!),
      residuals,
    );
    correlation += lagOne(residuals, from, state.length) / count;
    square += squares(residuals) / state.length / count;
  }
  return { correlation, square };
}

describe('the process behind the surrogates', () => {
  test('an autoregression starts in its stationary distribution', () => {
    const random = createRandom(5);
    let first = 0;
    let last = 0;
    const values = new Float64Array(5);
    for (let k = 0; k < 5_000; k++) {
      autoregress(
        { phi: 0.8, scale: 3 },
        values.map(() => random.normal()),
        values,
      );
      first += values[0]! ** 2 / 5_000;
      last += values[4]! ** 2 / 5_000;
    }
    expect(first / (9 / 0.36)).toBeCloseTo(1, 1);
    expect(last / (9 / 0.36)).toBeCloseTo(1, 1);
  });

  test.each(['GAUSSIAN', 'LOWESS', 'NONE'] as const)(
    'has the observed autocorrelation and variance after detrending: %s',
    (method) => {
      for (const phi of [0, 0.6, 0.9]) {
        const observation = observe(autoregressiveNoise(phi, 128, createRandom(8)), method);
        const { fitted } = chooseProcesses(observation, createRandom(1));
        const moments = surrogateMoments(observation, fitted, 0);
        const { residuals } = observation;
        expect(Math.abs(moments.correlation - lagOne(residuals, 0, 128))).toBeLessThan(0.05);
        expect(Math.abs((moments.square * 128) / squares(residuals) - 1)).toBeLessThan(0.15);
      }
    },
  );

  test('has more memory than its residuals show, since detrending takes memory away', () => {
    const observation = observe(autoregressiveNoise(0.8, 512, createRandom(3)));
    const { fitted, referred } = chooseProcesses(observation, createRandom(1));
    expect(fitted.phi).toBeGreaterThan(lagOne(observation.residuals, 0, 512));
    expect(referred).toBeUndefined();
  });

  test("with a known reference LEVEL's process has that memory in the last quarter", () => {
    const observation = observe(slowing(2, 512), 'GAUSSIAN', 0.4);
    const { fitted, referred } = chooseProcesses(observation, createRandom(1));
    expect(referred!.phi).toBeLessThan(fitted.phi);
    expect(Math.abs(surrogateMoments(observation, referred!, 384).correlation - 0.4)).toBeLessThan(0.04);
  });

  test('is the nearest possible one for residuals smoother than any of them', () => {
    const wave = Float64Array.from({ length: 256 }, (_, t) => Math.sin((2 * Math.PI * t) / 60));
    const { fitted } = chooseProcesses(observe(wave), createRandom(1));
    expect(fitted.phi).toBeCloseTo(0.999, 6);
    const alternating = Float64Array.from({ length: 256 }, (_, t) => (t % 2 === 0 ? 1 : -1));
    expect(chooseProcesses(observe(alternating), createRandom(1)).fitted.phi).toBeCloseTo(-0.98, 6);
  });
});

describe('testing the families', () => {
  test('the same random numbers give the same bits, others give others', () => {
    const observation = observe(whiteNoise(6, 128));
    const outcome = (seed: number) => {
      const { trend, level } = testFamilies(observation, 399, createRandom(seed));
      return [trend.p, trend.threshold(0.05), level.p, level.threshold(0.05)];
    };
    expect(outcome(1)).toEqual(outcome(1));
    expect(outcome(1)).not.toEqual(outcome(2));
  });

  test('a rise that fills the whole series is seen only against a known reference', () => {
    const risen = autoregressiveNoise(0.9, 256, createRandom(21));
    const known = testFamilies(observe(risen, 'GAUSSIAN', 0.4), 399, createRandom(1));
    const unknown = testFamilies(observe(risen), 399, createRandom(1));
    expect(known.level.p).toBeLessThan(0.01);
    expect(unknown.level.p).toBeGreaterThan(0.05);
  });

  test('slowing down is found by both families', () => {
    const { trend, level } = testFamilies(observe(slowing(1, 256)), 399, createRandom(1));
    expect(trend.p).toBeLessThan(0.02);
    expect(level.p).toBeLessThan(0.02);
  });
});
