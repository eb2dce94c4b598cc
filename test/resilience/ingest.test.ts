/** From closed windows to level changes on a real store and outbox: reading, counting, and exactness over crashes. */
import { fromBinary } from '@bufbuild/protobuf';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { busMigrations } from '../../src/bus/open.ts';
import {
  PhaseRiskAssessedSchema,
  ResilienceAlertRaisedSchema,
} from '../../src/gen/homeostat/resilience/v1/resilience_events_pb.ts';
import type { WindowClosed } from '../../src/gen/homeostat/telemetry/v1/telemetry_events_pb.ts';
import { MetricKind } from '../../src/gen/homeostat/telemetry/v1/telemetry_service_pb.ts';
import type { RunMetric } from '../../src/resilience/early-warning/assessment.ts';
import { readPart } from '../../src/resilience/ingest.ts';
import { resilienceMigrations } from '../../src/resilience/store.ts';
import type { Store } from '../../src/store/store.ts';
import { openTestBus, type TestBus } from '../support/broker.ts';
import { openTestStore, type TestStore } from '../support/stores.ts';
import {
  emptyTables,
  everythingKept,
  judgeByHash,
  RECORDED_AT_MS,
  recovering,
  startProcess,
} from './phase-risk/worlds.ts';
import { closedWindow, MINUTE_MS } from './worlds.ts';

let world: TestStore;
let broker: TestBus;

beforeAll(async () => {
  world = await openTestStore([...busMigrations, ...resilienceMigrations]);
  broker = await openTestBus({ store: world.store });
});
afterAll(async () => {
  await broker.dispose();
  await world.dispose();
});
beforeEach(() => emptyTables(world.store));

/** An ingest as a fresh process would make it. */
function start(transact?: Store['transact']) {
  return startProcess({ store: world.store, bus: broker.bus, ...(transact && { transact }) });
}

/** Everything that must not depend on crashes. */
async function outcome() {
  const { board } = await start();
  return { ...(await everythingKept(world.store)), health: board.fleet() };
}

describe('reading a window', () => {
  test('takes the metric in units of 1, whatever its column, and nothing else', () => {
    const part = readPart(closedWindow({ index: 2, nodes: { a: 0.5, b: undefined, c: 0.7 } }), 'cpu');
    expect(part).toMatchObject({
      domain: 'fleet',
      cluster: 'c1',
      startMs: 120_000,
      endMs: 180_000,
      nodes: 3,
    });
    expect(part.readings).toEqual([
      { node: 'a', mean: expect.closeTo(0.5, 12), coveredSeconds: 60 },
      { node: 'c', mean: expect.closeTo(0.7, 12), coveredSeconds: 60 },
    ]);
  });

  test.each([
    ['a unit that is no ratio', { unit: 's' }],
    ['a counter', { kind: MetricKind.COUNTER }],
    ['a delta', { kind: MetricKind.DELTA }],
  ])('takes nothing from %s', (_, shape) => {
    expect(readPart(closedWindow({ index: 0, nodes: { a: 0.5 }, ...shape }), 'cpu').readings).toEqual([]);
  });

  test('takes nothing where the metric is missing', () => {
    expect(readPart(closedWindow({ index: 0, nodes: { a: 0.5 } }), 'load').readings).toEqual([]);
  });

  test('refuses columns that do not fit together', () => {
    const window = closedWindow({ index: 0, nodes: { a: 0.5 } });
    window.summaries!.mean.pop();
    expect(() => readPart(window, 'cpu')).toThrow(RangeError);
    expect(() => readPart({ ...window, stream: undefined } as unknown as WindowClosed, 'cpu')).toThrow(
      TypeError,
    );
  });
});

describe('a batch', () => {
  test('is committed and shown as one, with its log', async () => {
    const { takeWindows, board, table } = await start();
    await takeWindows([
      closedWindow({ index: 0, nodes: { a: 0.3 } }),
      closedWindow({ index: 1, nodes: { a: 0.99 } }),
    ]);
    expect(board.fleet().defense.level).toBe(5);
    const log = await table.listLog({ recordedSinceMs: 0, limit: 10 });
    expect(log).toMatchObject([
      { place: 2, fromLevel: 1, toLevel: 5, atMs: 120_000, cause: 'utilization' },
      { place: 1, scope: { cluster: 'c1' }, recordedAtMs: RECORDED_AT_MS },
    ]);
    expect(log[0]!.inputs[0]).toMatchObject({ name: 'utilization', statistic: expect.closeTo(0.99, 12) });
    expect(log[0]!.id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  });

  test('that cannot be read changes nothing, the good windows before it included', async () => {
    const { takeWindows, board } = await start();
    const bad = closedWindow({ index: 1, nodes: { a: 0.99 } });
    bad.summaries!.coveredSeconds.pop();
    await expect(takeWindows([closedWindow({ index: 0, nodes: { a: 0.99 } }), bad])).rejects.toThrow(
      RangeError,
    );
    expect(board.fleet().cells).toEqual([]);
    expect((await outcome()).log).toEqual([]);
  });

  test('counts each look by what it found, and what it knew already', async () => {
    const { takeWindows, outcomes } = await start();
    const first = closedWindow({ index: 0, nodes: { a: 0.3 } });
    await takeWindows([first, first, closedWindow({ index: 1, nodes: { a: undefined } })]);
    await takeWindows([closedWindow({ index: 2, nodes: { a: 0.3 }, part: 0, parts: 2 })]);
    await takeWindows([closedWindow({ index: 3, nodes: { a: 0.3 } }), first]);
    expect(Object.fromEntries(outcomes)).toEqual({ OK: 3, UNKNOWN: 1, DUPLICATE: 2, INCOMPLETE: 1 });
  });

  test('of known windows only is not written again', async () => {
    const { takeWindows } = await start();
    const window = closedWindow({ index: 0, nodes: { a: 0.3 } });
    await takeWindows([window]);
    let commits = 0;
    const again = await start((work) => {
      commits += 1;
      return world.store.transact(work);
    });
    await again.takeWindows([window]);
    expect(commits).toBe(0);
  });
});

describe('a look for early warnings', () => {
  /** Finds every usable metric in the worst state short of a limit. */
  const alarming: RunMetric = async (job) => ({
    ...(await judgeByHash(job)),
    tests: [
      { family: 'TREND', p: 0.0001, value: 2, threshold: 1, surrogates: 1_599, windowSamples: 30 },
      { family: 'LEVEL', p: 0.0001, value: 2, threshold: 1, surrogates: 1_599, windowSamples: 15 },
    ],
    present: { lagOne: 0.9, recoveryRate: 0.1, recoveryRate2: 0.1 },
    limitMargin: 0.5,
  });
  const load = recovering(200, 1);
  const minutes = (from: number, to: number) =>
    Array.from({ length: to - from }, (_, i) =>
      closedWindow({ index: from + i, nodes: { a: load[from + i]! } }),
    );
  const open = (transact?: Store['transact']) =>
    startProcess({ store: world.store, bus: broker.bus, run: alarming, ...(transact && { transact }) });
  const count = async () => (await everythingKept(world.store)).looks.count;

  test('takes effect with the first window that ends two minutes later, and raises the level there', async () => {
    const { takeWindows, board, table } = await open();
    await takeWindows(minutes(0, 76));
    expect(await count()).toBe(4);
    expect(board.fleet()).toMatchObject({
      defense: { level: 1 },
      phaseRisk: { severity: 'NORMAL', status: 'OK', asOfMs: 60 * MINUTE_MS },
    });
    await takeWindows(minutes(76, 77));
    expect(await count()).toBe(5);
    expect(board.fleet()).toMatchObject({
      defense: { level: 4 },
      phaseRisk: { severity: 'CRITICAL', status: 'OK', signals: { CRITICAL: 1 }, asOfMs: 75 * MINUTE_MS },
    });
    const log = await table.listLog({ recordedSinceMs: 0, limit: 10 });
    expect(log.map(({ atMs, cause, toLevel }) => [atMs / MINUTE_MS, cause, toLevel])).toEqual([
      [77, 'phase_risk', 4],
      [77, 'phase_risk', 4],
    ]);
  });

  test('is recorded as an event, and as an alert once it becomes CRITICAL', async () => {
    const { takeWindows } = await open();
    await takeWindows(minutes(0, 110));
    const { looks } = await everythingKept(world.store);
    const ids = new Set(looks.looks.map(({ assessment }) => assessment.id));
    const rows = await world.store
      .query<{ bus_outbox: { type: string; payload: Uint8Array } }>()
      .selectFrom('bus_outbox')
      .select(['type', 'payload'])
      .execute();
    const assessed = rows
      .filter(({ type }) => type === PhaseRiskAssessedSchema.typeName)
      .map(({ payload }) => fromBinary(PhaseRiskAssessedSchema, payload).assessment!.id)
      .filter((id) => ids.has(id));
    expect(new Set(assessed)).toEqual(ids);
    const alerts = rows
      .filter(({ type }) => type === ResilienceAlertRaisedSchema.typeName)
      .map(({ payload }) => fromBinary(ResilienceAlertRaisedSchema, payload));
    expect(alerts).toHaveLength(1);
    expect(alerts[0]).toMatchObject({
      kind: 'PHASE_RISK',
      scope: { cluster: 'c1' },
      at: { seconds: 4_500n },
    });
    expect(alerts[0]!.description).toContain('utilization');
  });

  test('does not take effect with a window that is known', async () => {
    let commits = 0;
    const { takeWindows } = await open((work) => {
      commits += 1;
      return world.store.transact(work);
    });
    // A hole over the look of minute 15 and its effect: the window after it is both due and late.
    await takeWindows([...minutes(0, 10), ...minutes(19, 20)]);
    expect(await count()).toBe(0);
    await takeWindows(minutes(19, 20));
    expect([commits, await count()]).toEqual([1, 0]);
    await takeWindows(minutes(20, 21));
    expect([commits, await count()]).toEqual([2, 1]);
  });

  test('leaves alone a window that ended before its effect, whose last parts came late', async () => {
    const { takeWindows, table } = await open();
    await takeWindows(minutes(0, 75));
    const half = closedWindow({ index: 75, nodes: { a: load[75]! }, part: 0, parts: 2 });
    await takeWindows([half, ...minutes(76, 77)]);
    const [entry] = await table.listLog({ recordedSinceMs: 0, limit: 1 });
    expect(entry).toMatchObject({ atMs: 77 * MINUTE_MS, cause: 'phase_risk' });
  });

  test('does not stand on a window that was given up after its commit failed', async () => {
    const givenUp = closedWindow({ index: 59, nodes: { a: 0.9 } });
    let isCut = false;
    const flawed = await start(async (work) => {
      if (isCut) throw new Error('too large');
      return world.store.transact(work);
    });
    await flawed.takeWindows(minutes(0, 59));
    isCut = true;
    await expect(flawed.takeWindows([givenUp])).rejects.toThrow('too large');
    isCut = false;
    await flawed.takeWindows(minutes(60, 70));
    const kept = await everythingKept(world.store);
    await emptyTables(world.store);
    const spared = await start();
    await spared.takeWindows([...minutes(0, 59), ...minutes(60, 70)]);
    expect(await everythingKept(world.store)).toEqual(kept);
    expect(kept.looks.count).toBe(4);
  });

  test('of a worker that failed is UNKNOWN, holds the level and comes back with the next', async () => {
    let isBroken = false;
    const { takeWindows, board } = await startProcess({
      store: world.store,
      bus: broker.bus,
      run: (job) => (isBroken ? Promise.reject(new Error('the thread died')) : alarming(job)),
    });
    await takeWindows(minutes(0, 78));
    isBroken = true;
    await takeWindows(minutes(78, 83));
    expect(board.fleet()).toMatchObject({
      defense: {
        level: 4,
        inputs: expect.arrayContaining([
          { name: 'phase_risk', status: 'UNKNOWN', level: 0, cautiousLevel: 0 },
        ]),
      },
      phaseRisk: { severity: 'UNKNOWN', status: 'UNKNOWN' },
    });
    isBroken = false;
    await takeWindows(minutes(83, 88));
    expect(board.fleet().phaseRisk).toMatchObject({ severity: 'CRITICAL', status: 'OK' });
  });
});

describe('crashes', () => {
  const utilization = fc.option(fc.constantFrom(0.1, 0.72, 0.82, 0.9, 0.97), { nil: undefined, freq: 5 });
  const streams = fc.array(
    fc.record({
      cluster: fc.constantFrom('c1', 'c2'),
      utilization,
      stretch: fc.integer({ min: 1, max: 40 }),
      parts: fc.integer({ min: 1, max: 2 }),
      endOfInput: fc.integer({ min: 0, max: 4 }).map((die) => die === 0),
    }),
    { minLength: 2, maxLength: 6 },
  );
  /** How many events each batch takes, and what becomes of it. */
  const fates = fc.array(
    fc.tuple(fc.integer({ min: 1, max: 20 }), fc.constantFrom('taken', 'lost', 'unacknowledged')),
    { minLength: 1, maxLength: 40 },
  );

  test('before or after any commit leave the same cells, log and health as none', async () => {
    // However chance falls, one stream comes to lower its level.
    const spell = { cluster: 'c1' as const, parts: 1, endOfInput: false };
    const [busy, calm] = [
      { ...spell, utilization: 0.82 as const, stretch: 2 },
      { ...spell, utilization: 0.1 as const, stretch: 40 },
    ];
    const cut: [number, 'lost'] = [7, 'lost'];
    let lowered = 0;
    await fc.assert(
      fc.asyncProperty(streams, fates, async (spells, batches) => {
        const stream: WindowClosed[] = [];
        let index = 0;
        for (const { stretch, parts, endOfInput, cluster, utilization: value } of spells) {
          for (let i = 0; i < stretch; i++, index++)
            for (let part = 0; part < parts; part++)
              stream.push(
                closedWindow({
                  cluster,
                  index,
                  nodes: { [`n${part}`]: value },
                  part,
                  parts,
                  endOfInput: endOfInput && i === stretch - 1,
                }),
              );
        }

        await emptyTables(world.store);
        await (await start()).takeWindows(stream);
        const undisturbed = await outcome();
        lowered += undisturbed.log.filter(({ cause }) => cause === 'hysteresis').length;

        await emptyTables(world.store);
        let { takeWindows } = await start();
        let place = 0;
        for (let turn = 0; place < stream.length; turn++) {
          const [size, fate] = batches[turn % batches.length]!;
          const batch = stream.slice(place, place + size);
          if (fate === 'lost') {
            const doomed = await start((work) =>
              world.store.transact(async (tx) => {
                await work(tx);
                throw new Error('cut off before the commit');
              }),
            );
            await expect(doomed.takeWindows(batch)).rejects.toThrow('cut off');
          }
          await takeWindows(batch);
          if (fate === 'unacknowledged') {
            ({ takeWindows } = await start());
            await takeWindows(batch);
          }
          place += size;
        }
        expect(await outcome()).toEqual(undisturbed);
      }),
      { numRuns: 25, examples: [[[busy, calm], [cut]]] },
    );
    expect(lowered).toBeGreaterThan(0);
  });
});
