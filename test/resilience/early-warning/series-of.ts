/** Seeded series and the plain way to judge them, for the tests of the early warning. */
import { createRandom } from '../../../src/random.ts';
import { autoregressiveNoise } from '../../../src/resilience/calibration/scenarios.ts';
import type { AssessmentOptions, RunMetric } from '../../../src/resilience/early-warning/assessment.ts';
import type { Series } from '../../../src/resilience/early-warning/series.ts';
import { runMetric } from '../../../src/resilience/early-warning/worker.ts';

export const OPTIONS: AssessmentOptions = {
  surrogates: 199,
  alpha: 0.05,
  detrend: 'GAUSSIAN',
  bandwidth: 0.2,
  rolling: 0.5,
  seed: 7,
};

/** Judges on the calling thread. */
export const runHere: RunMetric = (job) => Promise.resolve(runMetric(job));

export function seriesOf(name: string, values: ArrayLike<number>): Series {
  return { name, intervalMs: 60_000, values: Float64Array.from(values) };
}

export function whiteNoise(seed: number, length: number): Float64Array {
  return autoregressiveNoise(0, length, createRandom(seed));
}

/** Noise whose recovery rate falls linearly from `rate` a sample to 0 at the end. */
export function slowing(seed: number, length: number, rate = 1): Float64Array {
  const random = createRandom(seed);
  let value = 0;
  return Float64Array.from({ length }, (_, t) => {
    value = Math.exp(-rate * (1 - t / length)) * value + random.normal();
    return value;
  });
}
