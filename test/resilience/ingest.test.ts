/** From closed windows to level changes on a real store and outbox: reading, counting, and exactness over crashes. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { busMigrations } from '../../src/bus/open.ts';
import { systemClock } from '../../src/clock.ts';
import type { WindowClosed } from '../../src/gen/homeostat/telemetry/v1/telemetry_events_pb.ts';
import { MetricKind } from '../../src/gen/homeostat/telemetry/v1/telemetry_service_pb.ts';
import { createLogger } from '../../src/observability.ts';
import { runMetric } from '../../src/resilience/early-warning/worker.ts';
import { createHealthBoard } from '../../src/resilience/health.ts';
import { createWindowIngest, readPart } from '../../src/resilience/ingest.ts';
import { createDetectors } from '../../src/resilience/phase-risk/detectors.ts';
import { createRiskLooks } from '../../src/resilience/phase-risk/looks.ts';
import { createRiskStore } from '../../src/resilience/phase-risk/store.ts';
import { createResilienceStore, resilienceMigrations } from '../../src/resilience/store.ts';
import type { Store } from '../../src/store/store.ts';
import { openTestBus, type TestBus } from '../support/broker.ts';
import { createFakeClock } from '../support/fake-clock.ts';
import { openTestStore, type TestStore } from '../support/stores.ts';
import { closedWindow, config } from './worlds.ts';

const rules = { ...config, ceiling: 0.8 };
const clock = createFakeClock();
const logger = createLogger('silent');
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
beforeEach(clear);

const TABLES = [
  'resilience_cell',
  'defense_log',
  'resilience_detector',
  'phase_transition_signals',
  'thermodynamic_metrics',
] as const;

async function clear() {
  await world.store.transact(async (tx) => {
    const query = tx.query<Record<(typeof TABLES)[number], object>>();
    for (const table of TABLES) await query.deleteFrom(table).execute();
  });
}

/** An ingest as a fresh process would make it. */
async function start(transact: Store['transact'] = (work) => world.store.transact(work)) {
  const table = createResilienceStore(world.store);
  const board = createHealthBoard(rules);
  const { bus } = broker;
  const detectors = createDetectors(systemClock, config.gridMs);
  const outcomes = new Map<string, number>();
  const ingest = createWindowIngest({
    rules,
    metric: 'cpu',
    outcomes,
    clock,
    store: { transact },
    table,
    riskTable: createRiskStore(world.store),
    detectors,
    looks: createRiskLooks({
      options: { ...config, detrend: 'GAUSSIAN', ceiling: rules.ceiling },
      detectors,
      run: async (job) => runMetric(job),
      clock: systemClock,
      logger,
    }),
    bus,
    board,
  });
  await ingest.recover();
  return {
    ingest,
    outcomes,
    board,
    table,
    take: (windows: readonly WindowClosed[]) => ingest.take(windows.map(untraced)),
  };
}

function untraced(message: WindowClosed) {
  return { message, traceparent: undefined };
}

/** Everything that must not depend on crashes. */
async function outcome() {
  const { table, board } = await start();
  const log = await table.listLog({ recordedSinceMs: 0, limit: 500 });
  const risk = createRiskStore(world.store);
  const { looks } = await risk.listLooks({ recordedSinceMs: 0, limit: 500 });
  const detectors = await risk.loadDetectors('windows');
  return { cells: (await table.load()).cells, log, looks, detectors, health: board.fleet() };
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
    const { take, board, table } = await start();
    await take([
      closedWindow({ index: 0, nodes: { a: 0.3 } }),
      closedWindow({ index: 1, nodes: { a: 0.99 } }),
    ]);
    expect(board.fleet().defense.level).toBe(5);
    const log = await table.listLog({ recordedSinceMs: 0, limit: 10 });
    expect(log).toMatchObject([
      { place: 2, fromLevel: 1, toLevel: 5, atMs: 120_000, cause: 'utilization' },
      { place: 1, scope: { cluster: 'c1' }, recordedAtMs: clock.nowMs() },
    ]);
    expect(log[0]!.inputs[0]).toMatchObject({ name: 'utilization', statistic: expect.closeTo(0.99, 12) });
    expect(log[0]!.id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  });

  test('that cannot be read changes nothing, the good windows before it included', async () => {
    const { take, board } = await start();
    const bad = closedWindow({ index: 1, nodes: { a: 0.99 } });
    bad.summaries!.coveredSeconds.pop();
    await expect(take([closedWindow({ index: 0, nodes: { a: 0.99 } }), bad])).rejects.toThrow(RangeError);
    expect(board.fleet().cells).toEqual([]);
    expect((await outcome()).log).toEqual([]);
  });

  test('counts each look by what it found, and what it knew already', async () => {
    const { take, outcomes } = await start();
    const first = closedWindow({ index: 0, nodes: { a: 0.3 } });
    await take([first, first, closedWindow({ index: 1, nodes: { a: undefined } })]);
    await take([closedWindow({ index: 2, nodes: { a: 0.3 }, part: 0, parts: 2 })]);
    await take([closedWindow({ index: 3, nodes: { a: 0.3 } }), first]);
    expect(Object.fromEntries(outcomes)).toEqual({ OK: 3, UNKNOWN: 1, DUPLICATE: 2, INCOMPLETE: 1 });
  });

  test('of known windows only is not written again', async () => {
    const { take } = await start();
    const window = closedWindow({ index: 0, nodes: { a: 0.3 } });
    await take([window]);
    let commits = 0;
    const again = await start((work) => {
      commits += 1;
      return world.store.transact(work);
    });
    await again.take([window]);
    expect(commits).toBe(0);
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

        await clear();
        await (await start()).take(stream);
        const undisturbed = await outcome();
        lowered += undisturbed.log.filter(({ cause }) => cause === 'hysteresis').length;

        await clear();
        let { take } = await start();
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
            await expect(doomed.take(batch)).rejects.toThrow('cut off');
          }
          await take(batch);
          if (fate === 'unacknowledged') {
            ({ take } = await start());
            await take(batch);
          }
          place += size;
        }
        expect(await outcome()).toEqual(undisturbed);
      }),
      { numRuns: 25 },
    );
    expect(lowered).toBeGreaterThan(0);
  });
});
