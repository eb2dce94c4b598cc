/** What forecasts learned survives crashes and failed commits anywhere, bit for bit, on both databases. */
import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { systemClock } from '../../../src/clock.ts';
import { energyMigrations } from '../../../src/energy/context.ts';
import { createMapIngest, type MapIngest } from '../../../src/energy/ingest.ts';
import { createMapStore } from '../../../src/energy/map-store.ts';
import { createStreamStore } from '../../../src/energy/store.ts';
import { createMapFeed } from '../../../src/energy/watch.ts';
import { createRandom } from '../../../src/random.ts';
import type { Store } from '../../../src/store/store.ts';
import { createFakeClock } from '../../support/fake-clock.ts';
import { describeOnStores, type TestDatabase } from '../../support/stores.ts';
import { CONFIG } from '../support/energy-world.ts';
import { closedWindow, STREAM } from '../support/windows.ts';

const WINDOWS = 40;

/** Maps in joules from the first window on; one node joins later, which makes another layout. */
const windows = Array.from({ length: WINDOWS }, (_, at) => {
  const random = createRandom(9, at);
  const names = ['a', 'b', 'c', 'd', ...(at < 25 ? [] : ['e'])];
  return closedWindow({
    at,
    nodes: Object.fromEntries(names.map((name) => [name, { power: 100 + random.normal() }])),
    metrics: { power: { unit: 'W' } },
  });
});

function openIngest(store: Store, snapshotWindows: number): MapIngest {
  return createMapIngest({
    clock: { ...createFakeClock(), monotonicMs: systemClock.monotonicMs },
    store,
    streams: createStreamStore(store),
    maps: createMapStore(store),
    bus: { record: async () => undefined },
    feed: createMapFeed(4),
    defaults: CONFIG,
    sliceMs: 4,
    snapshotWindows,
  });
}

const learned = (ingest: MapIngest) =>
  ingest.withStream(STREAM, async ({ forecaster }) => structuredClone(forecaster.state()));

describeOnStores('forecasts', (engine) => {
  async function withStore<Result>(work: (store: Store) => Promise<Result>): Promise<Result> {
    const database: TestDatabase = await engine.createDatabase();
    try {
      return await work(await database.open(energyMigrations));
    } finally {
      await database.dispose();
    }
  }

  test('know after any crashes what an undisturbed run knows', async () => {
    const expected = await withStore(async (store) => {
      const ingest = openIngest(store, 60);
      await ingest.take(windows);
      return learned(ingest);
    });
    expect(expected.windows).toBe(WINDOWS - 25);
    const cuts = fc.uniqueArray(fc.integer({ min: 1, max: WINDOWS - 1 }), { minLength: 1, maxLength: 6 });
    await fc.assert(
      fc.asyncProperty(cuts, fc.integer({ min: 1, max: 20 }), (places, snapshotWindows) =>
        withStore(async (store) => {
          const ends = [...places.sort((a, b) => a - b), WINDOWS];
          for (const [nth, end] of ends.entries())
            await openIngest(store, snapshotWindows).take(windows.slice(nth === 0 ? 0 : ends[nth - 1], end));
          expect(await learned(openIngest(store, snapshotWindows))).toEqual(expected);
        }),
      ),
      { numRuns: 6 },
    );
  });

  test('begin anew where a snapshot of maps was written without theirs', async () => {
    await withStore(async (store) => {
      await openIngest(store, 1).take(windows.slice(0, 10));
      await store.transact((tx) =>
        tx.query<{ energy_forecast: object }>().deleteFrom('energy_forecast').execute(),
      );
      const ingest = openIngest(store, 1);
      expect((await learned(ingest)).windows).toBe(0);
      await ingest.take(windows.slice(10, 14));
      expect((await learned(ingest)).windows).toBe(4);
    });
  });

  test('wait for the batch under way', async () => {
    await withStore(async (store) => {
      const ingest = openIngest(store, 60);
      const taking = ingest.take(windows.slice(0, 20));
      expect((await learned(ingest)).windows).toBe(20);
      await taking;
    });
  });
});
