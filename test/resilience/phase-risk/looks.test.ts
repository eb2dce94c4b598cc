/** Looks on the fake clock: the join of both feeds, what is waited for and how long, turns, failures, bits. */
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { RunMetric } from '../../../src/resilience/early-warning/assessment.ts';
import type { MetricJob, MetricReference } from '../../../src/resilience/early-warning/metric-assessment.ts';
import { runMetric } from '../../../src/resilience/early-warning/worker.ts';
import { cellKey } from '../../../src/resilience/fleet.ts';
import { createDetectors, type Detectors } from '../../../src/resilience/phase-risk/detectors.ts';
import {
  createRiskLooks,
  type LookResult,
  type RiskLooks,
} from '../../../src/resilience/phase-risk/looks.ts';
import { createFakeClock, type FakeClock, settle } from '../../support/fake-clock.ts';
import { silentLogger } from '../../support/stores.ts';
import { config, MINUTE_MS } from '../worlds.ts';
import { judgeByHash, recovering, rules } from './worlds.ts';

const GRACE_MS = 10_000;
const A = { domain: 'fleet', cluster: 'a' };
const B = { domain: 'fleet', cluster: 'b' };
const NONE: ReadonlyMap<string, MetricReference> = new Map();
/** Minutes of both feeds before a look, and its instant. */
const MINUTES = 60;
const AT_MS = MINUTES * MINUTE_MS;

let clock: FakeClock;
let detectors: Detectors;
let looks: RiskLooks;
let jobs: MetricJob[];
beforeEach(() => open());
afterEach(() => {
  looks.stop();
  expect(clock.pending()).toBe(0);
});

function open(run: RunMetric = judgeByHash): void {
  clock = createFakeClock();
  detectors = createDetectors(clock, config.gridMs);
  jobs = [];
  looks = createRiskLooks({
    options: { ...config, mapGraceMs: GRACE_MS, detrend: 'GAUSSIAN', ceiling: rules.ceiling },
    detectors,
    run: (job, signal) => {
      jobs.push(job);
      return run(job, signal);
    },
    clock,
    logger: silentLogger,
  });
}

const span = (minute: number) => ({ startMs: minute * MINUTE_MS, endMs: (minute + 1) * MINUTE_MS });
const values = recovering(2 * MINUTES, 1);

function windows(cell: typeof A, from: number, to: number): void {
  for (let minute = from; minute < to; minute++)
    detectors.take('windows', cellKey(cell), span(minute), [
      { metric: 'utilization', value: values[minute]! },
      { metric: 'load_variance', value: -values[minute]! },
    ]);
}

function maps(cell: typeof A, from: number, to: number): void {
  for (let minute = from; minute < to; minute++)
    detectors.take('maps', cellKey(cell), span(minute), [
      { metric: 'map_energy', value: 2 * values[minute]! },
      { metric: 'map_entropy', value: values[minute]! ** 2 },
    ]);
}

/** The look at `AT_MS`, as far as it has come. */
function follow(cell: typeof A = A, atMs = AT_MS) {
  const followed: { result?: LookResult; error?: unknown } = {};
  void looks.result(cell, atMs, NONE).then(
    (result) => {
      followed.result = result;
    },
    (error: unknown) => {
      followed.error = error;
    },
  );
  return followed;
}

const metricsOf = ({ result }: { result?: LookResult }) =>
  result?.assessment.metrics.map(({ finding }) => `${finding.name} ${finding.samples}`);
const ALL = ['load_variance 60', 'map_energy 60', 'map_entropy 60', 'utilization 60'];
const WINDOWS_ONLY = ['load_variance 60', 'utilization 60'];

describe('the join of both feeds', () => {
  test('a look waits until the maps have passed its instant', async () => {
    windows(A, 0, MINUTES + 2);
    maps(A, 0, MINUTES - 1);
    const look = follow();
    await settle();
    expect(look.result).toBeUndefined();
    maps(A, MINUTES - 1, MINUTES);
    await settle();
    expect(metricsOf(look)).toEqual(ALL);
    expect(look.result!.intervalMs).toBe(MINUTE_MS);
  });

  test('maps that are far ahead change nothing', async () => {
    maps(A, 0, 2 * MINUTES);
    windows(A, 0, MINUTES);
    const look = follow();
    await settle();
    expect(metricsOf(look)).toEqual(ALL);
    expect(jobs.find(({ series }) => series.name === 'map_energy')!.series.values).toHaveLength(MINUTES);
  });

  test('whatever the order of the feeds, a look stands on the same and finds the same', async () => {
    const orders = fc.array(fc.boolean(), { minLength: 10, maxLength: 200 });
    const found: LookResult[] = [];
    await fc.assert(
      fc.asyncProperty(orders, async (order) => {
        open();
        const next = { windows: 0, maps: 0 };
        let look: { result?: LookResult } | undefined;
        for (let step = 0; next.windows < MINUTES + 2 || next.maps < MINUTES + 20; step++) {
          const mapsFirst = order[step % order.length]!;
          if (mapsFirst ? next.maps < MINUTES + 20 : next.windows >= MINUTES + 2)
            maps(A, next.maps, ++next.maps);
          else windows(A, next.windows, ++next.windows);
          if (next.windows === MINUTES) look ??= follow();
        }
        await settle();
        found.push(look!.result!);
        expect(found.at(-1)).toEqual(found[0]);
        looks.stop();
      }),
      { numRuns: 40 },
    );
    expect(metricsOf({ result: found[0]! })).toEqual(ALL);
  });

  test('the limit of utilization is its ceiling; nothing else has one', async () => {
    windows(A, 0, MINUTES);
    maps(A, 0, MINUTES);
    follow();
    await settle();
    expect(jobs.map(({ series }) => [series.name, series.limit, series.direction])).toEqual([
      ['load_variance', undefined, undefined],
      ['map_energy', undefined, undefined],
      ['map_entropy', undefined, undefined],
      ['utilization', 0.8, 'LOWER'],
    ]);
  });

  test('windows are taken as they were when the look was begun', async () => {
    windows(A, 0, MINUTES);
    looks.begin(A, AT_MS, NONE);
    detectors.restore('windows', new Map());
    maps(A, 0, MINUTES);
    const look = follow();
    await settle();
    expect(metricsOf(look)).toEqual(ALL);
  });
});

describe('maps that do not come', () => {
  test('are waited for as long as the grace lasts', async () => {
    windows(A, 0, MINUTES);
    const look = follow();
    await clock.advance(GRACE_MS - 1);
    expect(look.result).toBeUndefined();
    await clock.advance(1);
    expect(metricsOf(look)).toEqual(WINDOWS_ONLY);
  });

  test('are looked at as far as they came', async () => {
    windows(A, 0, MINUTES);
    maps(A, 0, MINUTES - 2);
    const look = follow();
    await clock.advance(GRACE_MS);
    expect(metricsOf(look)).toEqual([
      'load_variance 60',
      'map_energy 58',
      'map_entropy 58',
      'utilization 60',
    ]);
  });

  test('are given up once, until they go on', async () => {
    windows(A, 0, MINUTES + 30);
    maps(A, 0, 10);
    const first = follow();
    await clock.advance(GRACE_MS);
    expect(first.result).toBeDefined();
    const second = follow(A, AT_MS + 15 * MINUTE_MS);
    await settle();
    expect(second.result).toBeDefined();
    maps(A, 10, 11);
    const third = follow(A, AT_MS + 30 * MINUTE_MS);
    await clock.advance(GRACE_MS - 1);
    expect(third.result).toBeUndefined();
    maps(A, 11, MINUTES + 30);
    await settle();
    expect(metricsOf(third)).toContain('map_energy 90');
  });

  test('of one cell given up leave those of another to be waited for', async () => {
    windows(A, 0, MINUTES);
    windows(B, 0, MINUTES);
    follow(A);
    await clock.advance(GRACE_MS);
    const look = follow(B);
    await settle();
    expect(look.result).toBeUndefined();
    maps(B, 0, MINUTES);
    await settle();
    expect(metricsOf(look)).toEqual(ALL);
  });

  test('may still come while those of other cells do, but not for ever', async () => {
    windows(A, 0, MINUTES);
    const look = follow();
    for (let minute = 0; minute < 6; minute++) {
      await clock.advance(GRACE_MS - 1);
      expect(look.result).toBeUndefined();
      maps(B, minute, minute + 1);
    }
    await clock.advance(6);
    maps(B, 6, 7);
    await settle();
    expect(metricsOf(look)).toEqual(WINDOWS_ONLY);
  });

  test('are not kept waiting for by windows that go on', async () => {
    windows(A, 0, MINUTES);
    const look = follow();
    await clock.advance(GRACE_MS / 2);
    windows(A, MINUTES, MINUTES + 1);
    windows(B, 0, 1);
    await clock.advance(GRACE_MS / 2);
    expect(metricsOf(look)).toEqual(WINDOWS_ONLY);
  });
});

describe('turns', () => {
  test('one look is computed at a time, and a cell that waits for maps keeps nobody waiting', async () => {
    const release: (() => void)[] = [];
    open(
      (job) =>
        new Promise((resolve) => {
          release.push(() => resolve(judgeByHash(job)));
        }),
    );
    for (const cell of [A, B]) windows(cell, 0, MINUTES);
    const blocked = { domain: 'fleet', cluster: 'blocked' };
    windows(blocked, 0, MINUTES);
    const waiting = follow(blocked);
    maps(A, 0, MINUTES);
    maps(B, 0, MINUTES);
    const first = follow(A);
    const second = follow(B);
    await settle();
    expect(jobs).toHaveLength(4);
    for (const go of release.splice(0)) go();
    await settle();
    expect(first.result).toBeDefined();
    expect(second.result).toBeUndefined();
    expect(jobs).toHaveLength(8);
    for (const go of release.splice(0)) go();
    await settle();
    expect(second.result).toBeDefined();
    expect(waiting.result).toBeUndefined();
  });

  test('a look that was begun is not computed again for whoever asks for it', async () => {
    windows(A, 0, MINUTES);
    maps(A, 0, MINUTES);
    looks.begin(A, AT_MS, NONE);
    looks.begin(A, AT_MS, NONE);
    const look = follow();
    await settle();
    expect(look.result).toBeDefined();
    follow();
    await settle();
    expect(jobs).toHaveLength(4);
  });

  test('a look that is forgotten is begun anew, on what is known now', async () => {
    windows(A, 0, MINUTES);
    maps(A, 0, MINUTES);
    looks.begin(A, AT_MS, NONE);
    await settle();
    looks.forget();
    detectors.restore('windows', new Map());
    windows(A, 5, MINUTES);
    const look = follow();
    await settle();
    expect(metricsOf(look)).toContain('utilization 55');
  });
});

describe('what a look finds', () => {
  test('is nothing when a worker fails, and the next look goes on', async () => {
    let isBroken = true;
    open((job) => (isBroken ? Promise.reject(new Error('the thread died')) : judgeByHash(job)));
    windows(A, 0, MINUTES + 15);
    maps(A, 0, MINUTES + 15);
    const failed = follow();
    await settle();
    expect(failed.result!.assessment).toEqual({ severity: 'UNKNOWN', metrics: [], tests: 0, alpha: 0.05 });
    isBroken = false;
    const next = follow(A, AT_MS + 15 * MINUTE_MS);
    await settle();
    expect(metricsOf(next)).toHaveLength(4);
  });

  test('is nothing of a cell nobody heard of', async () => {
    const look = follow();
    await clock.advance(GRACE_MS);
    expect(look.result!.assessment).toMatchObject({ severity: 'UNKNOWN', metrics: [] });
  });

  test('has a seed that follows from the cell and the instant', async () => {
    const cells = [A, B, A];
    const instants = [AT_MS, AT_MS, AT_MS + MINUTE_MS];
    const seeds: number[] = [];
    for (const [index, cell] of cells.entries()) {
      windows(cell, 0, MINUTES);
      maps(cell, 0, MINUTES + 1);
      const look = follow(cell, instants[index]);
      await settle();
      seeds.push(look.result!.seed);
      expect(jobs.at(-1)!.options.seed).toBe(look.result!.seed);
    }
    expect(new Set(seeds).size).toBe(3);
    for (const seed of seeds) {
      expect(Number.isSafeInteger(seed)).toBe(true);
      expect(seed).toBeLessThan(2 ** 48);
    }
  });

  test('is compared with what is known of calm', async () => {
    windows(A, 0, MINUTES);
    maps(A, 0, MINUTES);
    const reference = { lagOne: 0.25, recoveryRate: 0.5, recoveryRate2: 0.5 };
    void looks.result(A, AT_MS, new Map([['map_energy', reference]]));
    await settle();
    expect(jobs.map((job) => job.reference)).toEqual([undefined, reference, undefined, undefined]);
  });

  test('is the same to the bit by real surrogates, begun early or late, alone or among others', async () => {
    const found: LookResult[] = [];
    for (const crowd of [[], [B]]) {
      open(async (job) => runMetric(job));
      for (const cell of [...crowd, A]) {
        windows(cell, 0, MINUTES + crowd.length);
        maps(cell, 0, MINUTES + 40 * crowd.length);
        looks.begin(cell, AT_MS, NONE);
      }
      found.push(await looks.result(A, AT_MS, NONE));
    }
    expect(found[1]).toEqual(found[0]);
    expect(found[0]!.assessment.tests).toBe(8);
  });
});

describe('a stop', () => {
  test('ends waits for maps and what is computed, and leaves no timer', async () => {
    const aborted: unknown[] = [];
    open(
      (_, signal) =>
        new Promise((_, reject) => {
          signal!.addEventListener('abort', () => {
            aborted.push(signal!.reason);
            reject(signal!.reason);
          });
        }),
    );
    windows(A, 0, MINUTES);
    windows(B, 0, MINUTES);
    maps(B, 0, MINUTES);
    const waiting = follow(A);
    const computing = follow(B);
    await settle();
    looks.stop();
    await settle();
    for (const { error } of [waiting, computing])
      expect(error).toMatchObject({ message: 'looks are stopped' });
    expect(aborted).toHaveLength(4);
    expect(clock.pending()).toBe(0);
    const late = follow(A, AT_MS + MINUTE_MS);
    await settle();
    expect(late.error).toMatchObject({ message: 'looks are stopped' });
  });

  test('of a look nobody asked for disturbs nobody', async () => {
    windows(A, 0, MINUTES);
    looks.begin(A, AT_MS, NONE);
    looks.stop();
    await settle();
    expect(clock.pending()).toBe(0);
  });
});
