/** Series of a request: what is made of them, what is refused, and how much of it at once. */
import { setMaxListeners } from 'node:events';
import { create } from '@bufbuild/protobuf';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { PhaseSeverity, Status } from '../../../src/gen/homeostat/resilience/v1/resilience_service_pb.ts';
import {
  AssessPhaseRiskRequestSchema,
  Detrending,
  Direction,
} from '../../../src/gen/homeostat/resilience/v1/thermodynamics_service_pb.ts';
import { WorkersBusyError } from '../../../src/numeric/worker-pool.ts';
import { resilienceMigrations } from '../../../src/resilience/store.ts';
import { compileRules } from '../../../src/rpc/validate.ts';
import { openTestStore, type TestStore } from '../../support/stores.ts';
import { recovering } from '../phase-risk/worlds.ts';
import { type AssessInit, inProcess, openService, type ServiceShape } from './worlds.ts';

const HOUR_MS = 3_600_000;
let world: TestStore;
beforeEach(async () => {
  world = await openTestStore(resilienceMigrations);
});
afterEach(() => world.dispose());

function open(shape?: ServiceShape) {
  return openService(world.store, shape);
}

const calm = recovering(120, 1);
const slowing = recovering(200, 5, { memory: [0, 0.97] });

describe('series of a request', () => {
  test('are assessed as they are, each with its tests and indicators', async () => {
    const { assess } = open();
    const found = await assess({ series: [{ name: 'slowing', values: slowing }] });
    expect([PhaseSeverity.HIGH, PhaseSeverity.CRITICAL]).toContain(found.overallSeverity);
    expect(found).toMatchObject({ id: '', why: '', lookSeverity: found.overallSeverity });
    expect(found.scope).toBeUndefined();
    expect(found.at).toBeUndefined();
    expect(found.recordedAt).toBeUndefined();
    expect(found.basis).toMatchObject({ source: 'request', samples: 200, seed: 0n, alpha: 0.05, tests: 2 });
    const [metric] = found.metrics;
    expect(metric).toMatchObject({ metric: 'slowing', status: Status.OK, samples: 200 });
    expect(metric!.tests.map(({ family }) => family)).toEqual(['TREND', 'LEVEL']);
    expect(metric!.indicators).toHaveLength(12);
    expect(found.signals.length).toBeGreaterThan(0);
    for (const signal of found.signals) expect(signal.pAdjusted).toBeLessThanOrEqual(0.05);
    expect(found.recommendations.at(-1)).toContain('compare slowing with what changed');
    expect(found.notCovered).toEqual(['SHOCK', 'RATE_INDUCED', 'NOISE_INDUCED', 'RISING_NOISE_COLOR']);
  });

  test('give the same reply whenever they are asked about, and another with another seed', async () => {
    const { assess } = open();
    const series = [
      { name: 'b', values: recovering(80, 2) },
      { name: 'a', values: calm },
    ];
    const first = await assess({ series, seed: 7n });
    expect(await assess({ series: [...series].reverse(), seed: 7n })).toEqual(first);
    expect(first.metrics.map(({ metric }) => metric)).toEqual(['a', 'b']);
    const other = await assess({ series, seed: 8n });
    expect(other.metrics[0]!.tests).not.toEqual(first.metrics[0]!.tests);
  });

  test('take the defaults of the contract, and what the request says instead', async () => {
    const { assess, jobs } = open();
    await assess({ series: [{ name: 'a', values: calm }] });
    expect(jobs[0]!.options).toEqual({
      surrogates: 199,
      alpha: 0.05,
      detrend: 'GAUSSIAN',
      bandwidth: 0.2,
      rolling: 0.5,
      seed: 0,
    });
    expect(jobs[0]!.series).toEqual({ name: 'a', intervalMs: 60_000, values: Float64Array.from(calm) });
    await assess({
      surrogates: 99,
      alpha: 0.1,
      detrend: Detrending.LOWESS,
      bandwidth: 0.4,
      rolling: 0.3,
      seed: 9_007_199_254_740_991n,
      series: [
        {
          name: 'a',
          values: calm,
          interval: { seconds: 2n, nanos: 500_000_000 },
          limit: 0.8,
          period: { seconds: 3600n },
        },
      ],
    });
    expect(jobs[1]!.options).toEqual({
      surrogates: 99,
      alpha: 0.1,
      detrend: 'LOWESS',
      bandwidth: 0.4,
      rolling: 0.3,
      seed: Number.MAX_SAFE_INTEGER,
    });
    expect(jobs[1]!.series).toMatchObject({
      intervalMs: 2_500,
      limit: 0.8,
      direction: 'LOWER',
      periodsMs: [HOUR_MS],
    });
  });

  test.each([
    [Direction.UNSPECIFIED, 'LOWER'],
    [Direction.LOWER, 'LOWER'],
    [Direction.HIGHER, 'HIGHER'],
  ])('want direction %d kept as %s, and only where there is a limit', async (direction, expected) => {
    const { assess, jobs } = open();
    await assess({
      series: [
        { name: 'a', values: calm, direction, limit: 0 },
        { name: 'b', values: calm, direction },
      ],
    });
    expect(jobs.map(({ series }) => series.direction)).toEqual([expected, undefined]);
  });

  test('are not read at missing places, whatever stands there', async () => {
    const { assess, jobs } = open();
    const holed = calm.map((value, place) => (place % 40 === 5 ? 1e9 : value));
    const missing = [5, 45, 85];
    const found = await assess({ series: [{ name: 'a', values: holed, missing }] });
    const values = calm.map((value, place) => (missing.includes(place) ? 0 : value));
    const same = await assess({ series: [{ name: 'a', values, missing }] });
    expect(found).toEqual(same);
    expect(missing.map((place) => jobs[0]!.series.values[place])).toEqual([
      Number.NaN,
      Number.NaN,
      Number.NaN,
    ]);
    expect(found.metrics[0]).toMatchObject({ status: Status.OK, samples: 120 });
  });

  test('that say too little are no error', async () => {
    const { assess } = open();
    const found = await assess({
      series: [
        { name: 'constant', values: Array(100).fill(0.5) },
        { name: 'empty' },
        { name: 'full of holes', values: calm, missing: Array.from({ length: 60 }, (_, i) => 2 * i) },
        { name: 'short', values: calm.slice(0, 49) },
      ],
    });
    expect(found).toMatchObject({
      overallSeverity: PhaseSeverity.UNKNOWN,
      signals: [],
      recommendations: [],
      basis: { samples: 0, tests: 0 },
    });
    expect(found.metrics.map(({ status }) => status)).toEqual([
      Status.DEGENERATE,
      Status.INSUFFICIENT,
      Status.INSUFFICIENT,
      Status.INSUFFICIENT,
    ]);
    expect(found.why).toBe(
      'constant: the series does not vary; empty: 0 samples without a long gap, 50 needed; ' +
        'full of holes: 59 of 119 samples are missing; short: 49 samples without a long gap, 50 needed',
    );
  });

  test('keep a usable one from being spoiled by one that is not', async () => {
    const { assess } = open();
    const found = await assess({ series: [{ name: 'a', values: calm }, { name: 'b' }] });
    expect(found).toMatchObject({ overallSeverity: PhaseSeverity.NORMAL, why: '' });
    expect(found.metrics.map(({ severity }) => severity)).toEqual([
      PhaseSeverity.NORMAL,
      PhaseSeverity.UNKNOWN,
    ]);
  });

  test('of any shape that passes the field rules get finite figures', async () => {
    const { assess } = open();
    const share = (min: number, max: number) => fc.double({ min, max, noNaN: true });
    const requests = fc.record({
      surrogates: fc.constant(99),
      alpha: share(1e-12, 0.2),
      detrend: fc.constantFrom(Detrending.GAUSSIAN, Detrending.LOWESS, Detrending.NONE),
      bandwidth: share(1e-6, 1),
      rolling: share(0.1, 0.9),
      seed: fc.bigInt({ min: 0n, max: 2n ** 53n - 1n }),
      series: fc.uniqueArray(
        fc.record({
          name: fc.string({ minLength: 1, maxLength: 12 }),
          values: fc
            .tuple(share(-1e300, 1e300), fc.integer({ min: 0, max: 90 }))
            .chain(([scale, length]) =>
              fc
                .array(share(-1, 1), { minLength: length, maxLength: length })
                .map((values) => values.map((value) => value * scale)),
            ),
          limit: share(-1e300, 1e300),
          period: fc.record({ seconds: fc.bigInt({ min: 2n, max: 31_536_000n }) }),
        }),
        { selector: ({ name }) => name, minLength: 1, maxLength: 3 },
      ),
    });
    const rulesOf = compileRules(AssessPhaseRiskRequestSchema)!;
    await fc.assert(
      fc.asyncProperty(requests, async (request) => {
        expect(rulesOf(create(AssessPhaseRiskRequestSchema, request))).toEqual([]);
        expect(notFinite(await assess(request))).toEqual([]);
      }),
      { numRuns: 60 },
    );
  });
});

/** Paths of the numbers of a message that are NaN or infinite. */
function notFinite(value: unknown, path = ''): string[] {
  if (typeof value === 'number') return Number.isFinite(value) ? [] : [path];
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([key, inner]) => notFinite(inner, `${path}.${key}`));
}

describe('refusals', () => {
  const rulesOf = compileRules(AssessPhaseRiskRequestSchema)!;

  test.each<[string, AssessInit, readonly string[]]>([
    ['no name', { series: [{ values: [1] }] }, ['series[0].name']],
    ['a long name', { series: [{ name: 'x'.repeat(129) }] }, ['series[0].name']],
    [
      'a short interval',
      { series: [{ name: 'a', interval: { nanos: 999_999_999 } }] },
      ['series[0].interval'],
    ],
    ['a long interval', { series: [{ name: 'a', interval: { seconds: 86_401n } }] }, ['series[0].interval']],
    [
      'values that are no numbers',
      { series: [{ name: 'a', values: [1, Number.NaN, Number.POSITIVE_INFINITY] }] },
      ['series[0].values[1]', 'series[0].values[2]'],
    ],
    ['too many values', { series: [{ name: 'a', values: Array(100_001).fill(0) }] }, ['series[0].values']],
    ['a limit that is no number', { series: [{ name: 'a', limit: Number.NaN }] }, ['series[0].limit']],
    ['no such direction', { series: [{ name: 'a', direction: 9 as Direction }] }, ['series[0].direction']],
    ['a short period', { series: [{ name: 'a', period: { seconds: 1n } }] }, ['series[0].period']],
    ['too many series', { series: Array.from({ length: 51 }, (_, i) => ({ name: `s${i}` })) }, ['series']],
    ['few surrogates', { surrogates: 98 }, ['surrogates']],
    ['many surrogates', { surrogates: 20_000 }, ['surrogates']],
    ['no alpha', { alpha: 0 }, ['alpha']],
    ['a large alpha', { alpha: 0.21 }, ['alpha']],
    ['an alpha that is no number', { alpha: Number.NaN }, ['alpha']],
    ['no such detrending', { detrend: 4 as Detrending }, ['detrend']],
    ['no bandwidth', { bandwidth: 0 }, ['bandwidth']],
    ['a wide bandwidth', { bandwidth: 1.01 }, ['bandwidth']],
    ['a short window', { rolling: 0.09 }, ['rolling']],
    ['a long window', { rolling: 0.91 }, ['rolling']],
    ['a seed no number holds', { seed: 2n ** 53n }, ['seed']],
  ])('%s breaks the rules of the contract by path', (_, init, paths) => {
    const found = rulesOf(create(AssessPhaseRiskRequestSchema, init));
    expect(found.map(({ field }) => field)).toEqual(paths);
  });

  test('a name given twice and places outside a series are named, at most sixteen of them', async () => {
    const { assess, jobs } = open();
    const refused = await refusalOf(
      assess({
        series: [
          { name: 'a', values: calm, missing: [119, 120] },
          { name: 'b', missing: [0] },
          { name: 'a', values: calm },
        ],
      }),
    );
    expect(refused).toMatchObject({ reason: 'FIELD_INVALID', kind: 'INVALID_ARGUMENT' });
    expect(refused.violations).toEqual([
      { field: 'series[0].missing', description: 'must be under 120, the number of values' },
      { field: 'series[1].missing', description: 'must be under 0, the number of values' },
      { field: 'series[2].name', description: 'is given twice' },
    ]);
    const many = await refusalOf(assess({ series: [{ name: 'a', missing: Array(100).fill(7) }] }));
    expect(many.violations).toHaveLength(16);
    expect(jobs).toEqual([]);
  });

  test('more work than one request may ask for is refused before anything is computed', async () => {
    const { assess, jobs } = open();
    const values = recovering(20_000, 1);
    const init = { series: [{ name: 'a', values }], detrend: Detrending.LOWESS };
    const refused = await refusalOf(assess(init));
    expect(refused).toMatchObject({
      reason: 'WORK_TOO_LARGE',
      kind: 'RESOURCE_EXHAUSTED',
      retryAfterMs: -1,
      metadata: { limit: String(2 ** 36) },
    });
    expect(Number(refused.metadata['work'])).toBeGreaterThan(2 ** 36);
    const many = Array.from({ length: 50 }, (_, i) => ({ name: `s${i}`, values: values.slice(0, 2_000) }));
    await expect(assess({ series: many })).rejects.toMatchObject({ reason: 'WORK_TOO_LARGE' });
    expect(jobs).toEqual([]);
  });

  test('fifty series of 512 values are no large work', async () => {
    const { assess, jobs } = open({ run: async ({ series }) => ({ ...INSUFFICIENT, name: series.name }) });
    await assess({
      series: Array.from({ length: 50 }, (_, i) => ({ name: `s${i}`, values: recovering(512, i) })),
    });
    expect(jobs).toHaveLength(50);
  });

  test('busy workers say when to come again', async () => {
    const full = open({ run: () => Promise.reject(new WorkersBusyError(4_096)) });
    await expect(full.assess({ series: [{ name: 'a', values: calm }] })).rejects.toMatchObject({
      reason: 'WORKERS_BUSY',
      kind: 'RESOURCE_EXHAUSTED',
      retryAfterMs: 1_000,
    });
  });

  test('what waits for the workers is bounded over all requests, and made room for when it ends', async () => {
    const release: (() => void)[] = [];
    const { assess } = open({
      run: (job) =>
        new Promise((resolve) => {
          release.push(() => resolve({ ...INSUFFICIENT, name: job.series.name }));
        }),
    });
    const fifty = { series: Array.from({ length: 50 }, (_, i) => ({ name: `s${i}`, values: calm })) };
    const waiting = [1, 2, 3, 4].map(() => assess(fifty));
    await expect(assess({ series: [{ name: 'a', values: calm }] })).rejects.toMatchObject({
      reason: 'WORKERS_BUSY',
    });
    for (const go of release.splice(0)) go();
    await Promise.all(waiting);
    const again = assess(fifty);
    for (const go of release.splice(0)) go();
    expect((await again).overallSeverity).toBe(PhaseSeverity.UNKNOWN);
  });

  test('another failure of the workers is not dressed up', async () => {
    const { assess } = open({ run: () => Promise.reject(new RangeError('a fault')) });
    await expect(assess({ series: [{ name: 'a', values: calm }] })).rejects.toThrow(RangeError);
  });

  test('a call that is aborted ends with its reason and gives its room back', async () => {
    const { assess } = open({
      run(job, signal) {
        if (job.series.name === 'quick') return inProcess(job);
        setMaxListeners(0, signal!);
        return new Promise((_, reject) => {
          signal!.addEventListener('abort', () => reject(signal!.reason));
        });
      },
    });
    for (let i = 0; i < 5; i++) {
      const abort = new AbortController();
      const series = Array.from({ length: 50 }, (_, k) => ({ name: `s${k}`, values: calm }));
      const asked = assess({ series }, abort.signal);
      abort.abort(new Error('the client went away'));
      await expect(asked).rejects.toThrow('the client went away');
    }
    expect((await assess({ series: [{ name: 'quick', values: calm }] })).metrics).toHaveLength(1);
  });
});

const INSUFFICIENT = { status: 'INSUFFICIENT', samples: 0, tests: [], indicators: [] } as const;

async function refusalOf(call: Promise<unknown>) {
  return call.then(
    () => {
      throw new Error('was not refused');
    },
    (error: unknown) =>
      error as {
        reason: string;
        metadata: Record<string, string>;
        violations: readonly { field: string; description: string }[];
      },
  );
}
