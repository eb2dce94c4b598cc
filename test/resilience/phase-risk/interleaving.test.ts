/**
 * Both feeds at once, as two consumers take them: whatever the batches, the order in which they are taken and the
 * crashes before and after commits, the same windows and maps leave the same rows.
 */
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { busMigrations } from '../../../src/bus/open.ts';
import type { EnergyMapUpdated } from '../../../src/gen/homeostat/energy/v1/energy_events_pb.ts';
import type { WindowClosed } from '../../../src/gen/homeostat/telemetry/v1/telemetry_events_pb.ts';
import { resilienceMigrations } from '../../../src/resilience/store.ts';
import { openTestBus, type TestBus } from '../../support/broker.ts';
import { openTestStore, type TestStore } from '../../support/stores.ts';
import { closedWindow, MINUTE_MS } from '../worlds.ts';
import { emptyTables, energyMap, everythingKept, recovering, startProcess } from './worlds.ts';

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

/** Long enough that maps under way are never given up. */
const GRACE_MS = 60_000;

interface Feeds {
  readonly windows: readonly WindowClosed[];
  readonly maps: readonly EnergyMapUpdated[];
}

/** What becomes of a batch: a commit fails and is tried again, or the process dies before or after the commit. */
type Fate = 'taken' | 'failed' | 'lost' | 'unacknowledged';

/** How one feed is taken: sizes of batches, turns of the event loop before each, what becomes of them. */
interface Pace {
  readonly size: number;
  readonly turns: number;
  readonly fate: Fate;
}

/** Two cells, minute by minute; holes, an end, and from some minute on windows twice as wide. */
const feeds = fc
  .record({
    seed: fc.integer({ min: 1, max: 1_000 }),
    minutes: fc.integer({ min: 80, max: 160 }),
    hole: fc.record({ at: fc.integer({ min: 20, max: 70 }), length: fc.integer({ min: 0, max: 20 }) }),
    endAt: fc.option(fc.integer({ min: 60, max: 79 }), { nil: undefined }),
    wideFrom: fc.option(fc.integer({ min: 30, max: 70 }), { nil: undefined, freq: 2 }),
  })
  .map(({ seed, minutes, hole, endAt, wideFrom = minutes }): Feeds => {
    const load = recovering(minutes, seed, { mean: 0.6, spread: 0.05 });
    const windows: WindowClosed[] = [];
    const maps: EnergyMapUpdated[] = [];
    for (let minute = 0; minute < minutes; minute++) {
      const isWide = minute >= 2 * Math.floor(wideFrom / 2);
      for (const cluster of ['c1', 'c2']) {
        if (cluster === 'c2' && minute >= hole.at && minute < hole.at + hole.length) continue;
        if (cluster === 'c1' && isWide && minute % 2 === 1) continue;
        const widthMs = cluster === 'c1' && isWide ? 2 * MINUTE_MS : MINUTE_MS;
        const place = { cluster, index: (minute * MINUTE_MS) / widthMs, widthMs };
        const nodes = { a: load[minute]!, b: load[minute]! / 2 };
        const endOfInput = cluster === 'c2' && minute === endAt;
        windows.push(closedWindow({ ...place, nodes, endOfInput }));
        maps.push(energyMap({ ...place, net: 1 + load[minute]!, entropyRatio: load[minute]! }));
      }
    }
    return { windows, maps };
  });

const paces = fc.array(
  fc.record<Pace>({
    size: fc.integer({ min: 1, max: 60 }),
    turns: fc.integer({ min: 0, max: 30 }),
    fate: fc.constantFrom<Fate>('taken', 'taken', 'taken', 'failed', 'lost', 'unacknowledged'),
  }),
  { minLength: 1, maxLength: 12 },
);

/** Takes both feeds through as many processes as it takes, each ended by the first crash of either feed. */
async function takeThroughCrashes(feeds: Feeds, windowPaces: readonly Pace[], mapPaces: readonly Pace[]) {
  const acknowledged = { windows: 0, maps: 0 };
  const turn = { windows: 0, maps: 0 };
  let processes = 0;
  while (acknowledged.windows < feeds.windows.length || acknowledged.maps < feeds.maps.length) {
    processes += 1;
    let isCrashed = false;
    let isDoomed = false;
    const child = await startProcess({
      store: world.store,
      bus: broker.bus,
      mapGraceMs: GRACE_MS,
      transact: (work) =>
        world.store.transact(async (tx) => {
          const result = await work(tx);
          if (isDoomed) throw new Error('cut off before the commit');
          return result;
        }),
    });
    const crash = () => {
      isCrashed = true;
      child.stop();
    };
    const consume = async <Event>(
      feed: keyof Feeds,
      events: readonly Event[],
      take: (batch: readonly Event[]) => Promise<void>,
      pace: readonly Pace[],
    ) => {
      while (!isCrashed && acknowledged[feed] < events.length) {
        const step = turn[feed]++;
        const { size, turns, fate: planned } = pace[step % pace.length]!;
        const fate = step < pace.length ? planned : 'taken';
        for (let i = 0; i < turns; i++) await new Promise<void>((resolve) => setImmediate(resolve));
        const batch = events.slice(acknowledged[feed], acknowledged[feed] + size);
        isDoomed = fate === 'failed' || fate === 'lost';
        try {
          await take(batch);
          if (fate === 'unacknowledged') return crash();
          acknowledged[feed] += batch.length;
        } catch (error) {
          const { message } = error as Error;
          if (!/cut off|are stopped|no longer taken/.test(message)) throw error;
          if (fate === 'lost' || isCrashed) return crash();
        }
      }
    };
    await Promise.all([
      consume('windows', feeds.windows, child.takeWindows, windowPaces),
      consume('maps', feeds.maps, child.takeMaps, mapPaces),
    ]);
    child.stop();
  }
  return processes;
}

test('any batches, order and crashes leave the same cells, looks, signals, log and detectors', async () => {
  const seen = { looks: 0, alarms: 0, raised: 0, processes: 0 };
  await fc.assert(
    fc.asyncProperty(feeds, paces, paces, async (given, windowPaces, mapPaces) => {
      await emptyTables(world.store);
      const step: Pace = { size: 40, turns: 0, fate: 'taken' };
      await takeThroughCrashes(given, [step], [step]);
      const undisturbed = await everythingKept(world.store);
      seen.looks += undisturbed.looks.count;
      seen.alarms += undisturbed.signals.length;
      seen.raised += undisturbed.log.filter(({ cause }) => cause === 'phase_risk').length;

      await emptyTables(world.store);
      seen.processes += await takeThroughCrashes(given, windowPaces, mapPaces);
      expect(await everythingKept(world.store)).toEqual(undisturbed);
    }),
    { numRuns: 40 },
  );
  expect(seen.looks).toBeGreaterThan(100);
  expect(seen.alarms).toBeGreaterThan(20);
  expect(seen.raised).toBeGreaterThan(5);
  expect(seen.processes).toBeGreaterThan(50);
}, 60_000);
