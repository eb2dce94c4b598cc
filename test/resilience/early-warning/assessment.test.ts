import { afterAll, describe, expect, test } from '@jest/globals';
import { createWorkerPool, type WorkerPool } from '../../../src/numeric/worker-pool.ts';
import { createRandom } from '../../../src/random.ts';
import { autoregressiveNoise, RICKER } from '../../../src/resilience/calibration/scenarios.ts';
import { type Assessment, assess, type RunMetric } from '../../../src/resilience/early-warning/assessment.ts';
import type { MetricReference } from '../../../src/resilience/early-warning/metric-assessment.ts';
import { severityRank } from '../../../src/resilience/early-warning/severity.ts';
import { createMetricRunner } from '../../../src/resilience/early-warning/worker.ts';
import { OPTIONS, runHere, seriesOf, slowing, whiteNoise } from './series-of.ts';

const pools: WorkerPool[] = [];
afterAll(() => Promise.all(pools.map((pool) => pool.close())));

function runOn(threads: number): RunMetric {
  const pool = createWorkerPool({ threads, queueMax: 100 });
  pools.push(pool);
  return createMetricRunner(pool);
}

/** Where all looks are judged but those that say otherwise. */
const run = runOn(2);

const mixed = [
  seriesOf('latency', slowing(1, 256)),
  seriesOf('cpu', whiteNoise(2, 128)),
  seriesOf('queue', whiteNoise(3, 200)),
  seriesOf('constant', new Float64Array(100).fill(3)),
  seriesOf('short', whiteNoise(4, 30)),
];

/** Runs tasks 0..count-1 a few at a time. */
async function inTurns<Result>(count: number, task: (index: number) => Promise<Result>): Promise<Result[]> {
  const results: Result[] = [];
  for (let from = 0; from < count; from += 10)
    results.push(...(await Promise.all(Array.from({ length: 10 }, (_, index) => task(from + index)))));
  return results;
}

/**
 * Kolmogorov's distance from the uniform distribution in the lower half, where alarms lie; near 1 a p that took few
 * draws is coarse by construction.
 */
function distanceFromUniform(pValues: readonly number[]): number {
  const sorted = [...pValues].sort((a, b) => a - b);
  const { length } = sorted;
  const distances = sorted.map((p, i) => Math.max(Math.abs(p - i / length), Math.abs(p - (i + 1) / length)));
  return Math.max(...distances.filter((_, i) => sorted[i]! <= 0.5));
}

describe('a look', () => {
  test('gives the same findings whatever the order of the series', async () => {
    const forward = await assess(mixed, OPTIONS, run);
    expect(await assess([...mixed].reverse(), OPTIONS, run)).toEqual(forward);
    expect(forward.metrics.map(({ finding }) => finding.name)).toEqual([
      'constant',
      'cpu',
      'latency',
      'queue',
      'short',
    ]);
  });

  test('gives the same bits on one thread, on two and on the calling one', async () => {
    const quiet = mixed.filter(({ name }) => name !== 'latency');
    const onTwo = await assess(quiet, OPTIONS, run);
    expect(await assess(quiet, OPTIONS, runOn(1))).toEqual(onTwo);
    expect(await assess(quiet, OPTIONS, runHere)).toEqual(onTwo);
    expect(await assess(quiet, { ...OPTIONS, seed: 8 }, run)).not.toEqual(onTwo);
  });

  test('leaves the series as they were', async () => {
    const values = slowing(5, 128);
    const before = values.slice();
    await assess([seriesOf('cpu', values)], OPTIONS, run);
    expect(values).toEqual(before);
  });

  test('counts only what could be judged', async () => {
    const assessment = await assess(mixed, OPTIONS, run);
    expect(assessment.tests).toBe(6);
    const unknown = assessment.metrics.filter(({ severity }) => severity === 'UNKNOWN');
    expect(unknown.map(({ finding }) => [finding.name, finding.status, finding.tests.length])).toEqual([
      ['constant', 'DEGENERATE', 0],
      ['short', 'INSUFFICIENT', 0],
    ]);
    for (const { finding, signals } of unknown) {
      expect(finding.why).not.toBe('');
      expect(signals).toEqual([]);
    }
    const alone = await assess(mixed.slice(0, 3), OPTIONS, run);
    expect(alone.metrics).toEqual(assessment.metrics.filter(({ severity }) => severity !== 'UNKNOWN'));
  });

  test('that can judge nothing is UNKNOWN', async () => {
    const assessment = await assess([mixed[3]!, mixed[4]!], OPTIONS, run);
    expect(assessment).toMatchObject({ severity: 'UNKNOWN', tests: 0 });
    expect(await assess([], OPTIONS, run)).toMatchObject({ severity: 'UNKNOWN', metrics: [] });
  });

  test('corrects p for every test of the look', async () => {
    const { metrics } = await assess(mixed, OPTIONS, run);
    const signals = metrics.flatMap((metric) => metric.signals);
    const smallest = signals.reduce((least, signal) => (signal.p < least.p ? signal : least));
    expect(smallest.pAdjusted).toBeCloseTo(6 * smallest.p, 12);
    expect(smallest.metric).toBe('latency');
    for (const { p, pAdjusted } of signals) expect(pAdjusted).toBeGreaterThanOrEqual(p);
  });

  test('draws enough surrogates for strong evidence among many tests', async () => {
    const many = Array.from({ length: 12 }, (_, k) => seriesOf(`quiet-${k}`, whiteNoise(50 + k, 64)));
    const { severity, metrics } = await assess([...many, seriesOf('slowing', slowing(6, 512))], OPTIONS, run);
    const found = metrics.find(({ finding }) => finding.name === 'slowing')!;
    // 26 tests: 199 surrogates could not bring an adjusted p under .13.
    expect(Math.max(...found.finding.tests.map((one) => one.surrogates))).toBeGreaterThan(199);
    expect(severityRank(severity)).toBeGreaterThanOrEqual(severityRank('HIGH'));
  });

  test('in which one metric fails stops the others', async () => {
    const failure = new Error('the worker failed');
    const stopped: unknown[] = [];
    const failing: RunMetric = ({ series }, signal) =>
      series.name === 'queue'
        ? Promise.reject(failure)
        : new Promise((_, reject) => {
            signal!.addEventListener('abort', () => {
              stopped.push(signal!.reason);
              reject(signal!.reason);
            });
          });
    await expect(assess(mixed, OPTIONS, failing)).rejects.toBe(failure);
    expect(stopped).toEqual([failure, failure]);
  });

  test('ends with the reason of its signal and leaves the threads free', async () => {
    const controller = new AbortController();
    const one = runOn(1);
    const long = Array.from({ length: 8 }, (_, k) => seriesOf(`long-${k}`, whiteNoise(k, 4_096)));
    const look = assess(long, OPTIONS, one, new Map(), controller.signal);
    const reason = new Error('nobody waits');
    controller.abort(reason);
    await expect(look).rejects.toBe(reason);
    expect((await assess([mixed[1]!], OPTIONS, one)).tests).toBe(2);
  });
});

describe('what a look finds', () => {
  const lookAt = (values: Float64Array, rest: object = {}): Promise<Assessment> =>
    assess([{ ...seriesOf('metric', values), ...rest }], OPTIONS, run);

  test('a series that does not vary never alarms, whatever its value', async () => {
    for (const value of [0, 1, -7.25, 1e12])
      expect(await lookAt(new Float64Array(512).fill(value))).toMatchObject({ severity: 'UNKNOWN' });
  });

  test('a straight line does not alarm', async () => {
    const { severity } = await lookAt(Float64Array.from({ length: 512 }, (_, t) => 3 + 0.1 * t));
    expect(severityRank(severity)).toBeLessThanOrEqual(0);
  });

  test('a season alone does not alarm', async () => {
    const intervalMs = 900_000;
    const wave = Float64Array.from({ length: 512 }, (_, t) => Math.sin((2 * Math.PI * t) / 96));
    expect(await lookAt(wave, { intervalMs })).toMatchObject({ severity: 'UNKNOWN' });
    const noise = whiteNoise(12, 512);
    const { severity } = await lookAt(
      wave.map((value, t) => value + 0.3 * noise[t]!),
      { intervalMs },
    );
    expect(severity).toBe('NORMAL');
  });

  test('a fishery before its collapse is HIGH in most runs, an undisturbed one seldom', async () => {
    const countOf = async (driven: boolean) => {
      const looks = await inTurns(10, (seed) => lookAt(RICKER.sample(driven, createRandom(seed))));
      return looks.filter(({ severity }) => severityRank(severity) >= severityRank('HIGH')).length;
    };
    expect(await countOf(true)).toBeGreaterThanOrEqual(8);
    expect(await countOf(false)).toBeLessThanOrEqual(1);
  });

  test('the recovery that is lost, the limit that is near and the words are reported', async () => {
    const values = slowing(1, 512);
    const last = values.at(-1)!;
    const near = { limit: last + 0.01, direction: 'LOWER' } as const;
    const { severity, metrics } = await lookAt(values, near);
    const { finding, signals } = metrics[0]!;
    expect(severity).toBe('IMMINENT');
    expect(finding.present!.recoveryRate).toBeLessThan(0.5 * finding.reference!.recoveryRate);
    expect(finding.limitMargin).toBeCloseTo(0.01 / Math.abs(last + 0.01), 9);
    expect(finding.indicators.map(({ name }) => name)).toContain('autocorrelation_1');
    expect(finding.tests.map(({ family, windowSamples }) => [family, windowSamples])).toEqual([
      ['TREND', 256],
      ['LEVEL', 128],
    ]);
    for (const signal of signals) {
      expect(signal.description).toContain('metric');
      expect(signal.severity === 'NORMAL').toBe(signal.value < signal.threshold && signal.pAdjusted > 0.05);
    }
    const far = await lookAt(values, { limit: last + 1_000, direction: 'LOWER' });
    expect(far.severity).toBe('CRITICAL');
    expect(
      (await lookAt(values, { limit: last + 1, direction: 'HIGHER' })).metrics[0]!.finding.limitMargin,
    ).toBe(0);
  });

  test('a known reference takes the place of the first quarter', async () => {
    const reference: MetricReference = { lagOne: 0.1, recoveryRate: 0.04, recoveryRate2: 0.04 };
    const risen = Float64Array.from(slowing(9, 512).subarray(256));
    const known = await assess([seriesOf('metric', risen)], OPTIONS, run, new Map([['metric', reference]]));
    expect(known.metrics[0]!.finding.reference).toEqual(reference);
    expect(known.metrics[0]!.finding.tests[1]!.p).toBeLessThan(0.01);
    expect((await lookAt(risen)).metrics[0]!.finding.reference).not.toEqual(reference);
  });

  test('p is nearly uniform where nothing is wrong, with and without a known reference', async () => {
    const count = 200;
    const lookAtNoise = async (seed: number, references?: ReadonlyMap<string, MetricReference>) => {
      const values = autoregressiveNoise(0.5, 128, createRandom(1_000 + seed));
      const { metrics } = await assess([seriesOf('metric', values)], { ...OPTIONS, seed }, run, references);
      return metrics[0]!.finding;
    };
    const unknown = await inTurns(count, (seed) => lookAtNoise(seed));
    const median = unknown.map(({ present }) => present!.lagOne).sort((a, b) => a - b)[count / 2]!;
    const references = new Map([['metric', { ...unknown[0]!.present!, lagOne: median }]]);
    const known = await inTurns(count, (seed) => lookAtNoise(seed, references));
    // Kolmogorov and Smirnov's bound at 1 %.
    for (const findings of [unknown, known])
      for (const family of [0, 1])
        expect(distanceFromUniform(findings.map(({ tests }) => tests[family]!.p))).toBeLessThan(
          1.63 / Math.sqrt(count),
        );
    expect(known.map(({ tests }) => tests[0]!.p)).toEqual(unknown.map(({ tests }) => tests[0]!.p));
  });

  test('LOWESS and no detrending judge as well', async () => {
    for (const detrend of ['LOWESS', 'NONE'] as const) {
      const calm = await assess([seriesOf('metric', whiteNoise(31, 128))], { ...OPTIONS, detrend }, run);
      expect(calm.severity).toBe('NORMAL');
      const ramp = await assess([seriesOf('metric', slowing(1, 256))], { ...OPTIONS, detrend }, run);
      expect(severityRank(ramp.severity)).toBeGreaterThanOrEqual(1);
    }
  });
});
