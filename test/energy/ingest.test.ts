/** From closed windows to committed maps: parts, duplicates, crashes and failed commits at any point, retention. */
import { create } from '@bufbuild/protobuf';
import { timestampMs } from '@bufbuild/protobuf/wkt';
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { systemClock } from '../../src/clock.ts';
import { energyMigrations } from '../../src/energy/context.ts';
import { createMapIngest, type MapIngest } from '../../src/energy/ingest.ts';
import { createAssembly } from '../../src/energy/map/assembly.ts';
import { StreamMapper } from '../../src/energy/map/energy-map.ts';
import { mapSettings } from '../../src/energy/map/settings.ts';
import { readWindow } from '../../src/energy/map/window.ts';
import { createMapStore } from '../../src/energy/map-store.ts';
import { NOTHING_JUDGED } from '../../src/energy/regime/regime.ts';
import { createStreamStore } from '../../src/energy/store.ts';
import { createMapFeed } from '../../src/energy/watch.ts';
import { StreamConfigSchema } from '../../src/gen/homeostat/energy/v1/energy_service_pb.ts';
import type { WindowClosed } from '../../src/gen/homeostat/telemetry/v1/telemetry_events_pb.ts';
import { runThrough } from '../../src/numeric/slices.ts';
import { createRandom } from '../../src/random.ts';
import type { Store } from '../../src/store/store.ts';
import { createFakeClock } from '../support/fake-clock.ts';
import { describeOnStores, openTestStore, type TestDatabase } from '../support/stores.ts';
import { CONFIG } from './support/energy-world.ts';
import { closedWindow, STREAM, startOf } from './support/windows.ts';

/** Ingest with what it writes; `recorded` are the keys of events, of failed commits too. */
function openIngest(store: Store, snapshotWindows = 7) {
  const recorded: string[] = [];
  const maps = createMapStore(store);
  const streams = createStreamStore(store);
  const ingest = createMapIngest({
    clock: { ...createFakeClock(), monotonicMs: systemClock.monotonicMs },
    store,
    streams,
    maps,
    bus: { record: async (_tx, topic, key) => void recorded.push(`${topic.name} ${key}`) },
    feed: createMapFeed(4),
    defaults: CONFIG,
    sliceMs: 4,
    snapshotWindows,
  });
  return { ingest, maps, streams, recorded };
}

/** A store whose next commits fail after their work was done, as long as `failures` says. */
function failingStore(store: Store): Store & { failures: number } {
  return {
    ...store,
    failures: 0,
    transact(work) {
      return store.transact(async (tx) => {
        const result = await work(tx);
        if (this.failures > 0) {
          this.failures--;
          throw new Error('the commit failed');
        }
        return result;
      });
    },
  };
}

function fleet(count: number): WindowClosed[] {
  const random = createRandom(5);
  return Array.from({ length: count }, (_, at) => {
    const node = () => ({ cpu: random.normal(), mem: random.normal() });
    const one = closedWindow({ at, nodes: { a: node(), b: node() }, part: 0, parts: 2 });
    const two = closedWindow({ at, nodes: { c: node() }, part: 1, parts: 2 });
    return [one, two];
  }).flat();
}

const allMaps = (store: Store) => createMapStore(store).list(STREAM, { order: 'OLDEST', limit: 1000 });

/** Offers batches in order, each until it is taken. */
async function offer(ingest: () => MapIngest, batches: readonly (readonly WindowClosed[])[]): Promise<void> {
  for (const batch of batches) {
    for (let tries = 0; tries < 5; tries++) {
      try {
        await ingest().take(batch);
        break;
      } catch (error) {
        if (tries === 4) throw error;
      }
    }
  }
}

describeOnStores('ingest', (engine) => {
  async function withStore(work: (store: Store, database: TestDatabase) => Promise<void>): Promise<void> {
    const database = await engine.createDatabase();
    try {
      await work(await database.open(energyMigrations), database);
    } finally {
      await database.dispose();
    }
  }

  test('folds each window once its parts are there, and announces it once', async () => {
    await withStore(async (store) => {
      const { ingest, recorded, streams } = openIngest(store);
      const parts = fleet(3);
      await ingest.take(parts.slice(0, 3));
      expect(await allMaps(store)).toHaveLength(1);
      await ingest.take([...parts.slice(0, 4), ...parts.slice(2)]);
      expect(await allMaps(store)).toHaveLength(3);
      const [first, ...later] = [0, 1, 2].map((at) => `energy_map_updated lab.c1.${startOf(at)}`);
      expect(recorded).toEqual([first, 'model_stage_changed lab.c1.1.1', ...later]);
      expect(ingest.counts()).toMatchObject({ parts: 11, duplicates: 5, incomplete: 0, maps: 3, streams: 1 });
      expect(await streams.find(STREAM)).toMatchObject({ mapCount: 3, version: 0 });
    });
  });

  test('an unfinished window survives a restart', async () => {
    await withStore(async (store) => {
      const parts = fleet(10);
      await openIngest(store).ingest.take(parts.slice(0, 17));
      await openIngest(store).ingest.take(parts.slice(17));
      const maps = await allMaps(store);
      expect(maps).toHaveLength(10);
      expect(maps[8]!.nodes).toEqual(['a', 'b', 'c', '']);
    });
  });

  test('several streams of a batch are kept apart, and one that fails does not stop another', async () => {
    await withStore(async (store) => {
      const other = { domain: 'lab', cluster: 'c2' };
      const { ingest, maps } = openIngest(store);
      const good = closedWindow({ at: 0, nodes: { a: { x: 1 } }, stream: other });
      const bad = closedWindow({ at: 0, nodes: { a: { x: 1 } } });
      bad.summaries!.mean = [];
      await expect(ingest.take([bad, good])).rejects.toThrow(RangeError);
      expect(await maps.find(other, undefined)).toBeDefined();
      expect(await maps.find(STREAM, undefined)).toBeUndefined();
      expect(ingest.counts().streams).toBe(1);
    });
  });
});

describe('crashes', () => {
  const parts = fleet(90);

  test('and failed commits anywhere leave the maps of an undisturbed run, bit for bit', async () => {
    const straight = await openTestStore(energyMigrations);
    await openIngest(straight.store, 60).ingest.take(parts);
    const expected = await allMaps(straight.store);
    const explained = await createMapStore(straight.store).explanation(STREAM, startOf(89));
    expect(expected).toHaveLength(90);
    expect(explained!.nodes).toEqual(['a', 'b', 'c']);
    await straight.dispose();

    const batchSizes = fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 3, maxLength: 30 });
    const troubles = fc.array(fc.constantFrom('none', 'crash', 'fail'), { minLength: 30, maxLength: 30 });
    await fc.assert(
      fc.asyncProperty(batchSizes, troubles, async (sizes, trouble) => {
        const opened = await openTestStore(energyMigrations);
        const store = failingStore(opened.store);
        let { ingest } = openIngest(store);
        let from = 0;
        for (const [at, size] of [...sizes, parts.length].entries()) {
          if (trouble[at] === 'crash') ingest = openIngest(store).ingest;
          if (trouble[at] === 'fail') store.failures = 1;
          // Redelivery overlaps with what was taken before.
          await offer(() => ingest, [parts.slice(Math.max(0, from - 3), from + size)]);
          from = Math.min(parts.length, from + size);
        }
        expect(await allMaps(store)).toEqual(expected);
        expect(await createMapStore(store).explanation(STREAM, startOf(89))).toEqual(explained);
        await opened.dispose();
      }),
      { numRuns: 8 },
    );
  });
});

describe('held maps', () => {
  test('are read a few at a time where they are large, and none is left out', async () => {
    const opened = await openTestStore(energyMigrations);
    const { store } = opened;
    const mapper = new StreamMapper(mapSettings(create(StreamConfigSchema), CONFIG));
    const one = runThrough(mapper.fold(readWindow([closedWindow({ at: 0, nodes: { a: { x: 1 } } })])));
    const side = { rows: 1024, cols: 512 };
    const large = Array.from({ length: 5 }, (_, at) => ({
      ...one,
      startMs: startOf(at),
      endMs: startOf(at + 1),
      layout: { ...one.layout, ...side, cells: new Array<string>(side.rows * side.cols).fill('') },
      cells: new Float32Array(side.rows * side.cols),
      observed: new Uint8Array(side.rows * side.cols),
      regime: NOTHING_JUDGED,
    }));
    const maps = createMapStore(store);
    await store.transact((tx) => maps.add(tx, STREAM, large, 0));
    const starts = async (beforeMs: number | undefined) => {
      const read = await maps.list(STREAM, { beforeMs, order: 'NEWEST', limit: 64 });
      return read.map(({ start }) => timestampMs(start!));
    };
    // 2 MiB of cells and 64 KiB of bits each, 8 MiB at once.
    expect(await starts(undefined)).toEqual([4, 3, 2].map(startOf));
    expect(await starts(startOf(2))).toEqual([1, 0].map(startOf));
    expect(await starts(startOf(0))).toEqual([]);
    await opened.dispose();
  });
});

describe('retention', () => {
  test('drops maps, explanations and layouts past it, and remembers how far', async () => {
    const opened = await openTestStore(energyMigrations);
    const { ingest, maps, streams } = openIngest(opened.store);
    await ingest.take(fleet(70));
    const writtenMs = createFakeClock().nowMs();
    await maps.prune(writtenMs, writtenMs);
    expect(await allMaps(opened.store)).toHaveLength(70);
    await maps.prune(writtenMs, writtenMs + 1);
    expect(await maps.explanation(STREAM, startOf(69))).toBeUndefined();
    await maps.prune(writtenMs + 1, writtenMs + 1);
    expect(await allMaps(opened.store)).toEqual([]);
    expect(await maps.oldestStartMs(STREAM)).toBeUndefined();
    expect((await streams.find(STREAM))!.prunedThroughMs).toBe(startOf(69));
    await opened.dispose();
  });
});

describe('assembly', () => {
  const part = (at: number, index: number, parts: number) =>
    closedWindow({ at, nodes: { [`n${index}`]: { x: 1 } }, part: index, parts });
  const indices = (ready: readonly (readonly WindowClosed[])[]) =>
    ready.map((parts) => parts.map((one) => one.part));

  test('hands a window on with its last part, parts in order', () => {
    const assembly = createAssembly(Number.MIN_SAFE_INTEGER);
    expect(indices(assembly.offer(part(0, 2, 3)).ready)).toEqual([]);
    expect(indices(assembly.offer(part(0, 0, 3)).ready)).toEqual([]);
    expect(assembly.unfinished()).toHaveLength(2);
    expect(indices(assembly.offer(part(0, 1, 3)).ready)).toEqual([[0, 1, 2]]);
    expect([assembly.throughMs(), assembly.unfinished()]).toEqual([startOf(0), []]);
  });

  test('hands an incomplete window on when a later one begins', () => {
    const assembly = createAssembly(Number.MIN_SAFE_INTEGER);
    assembly.offer(part(0, 1, 2));
    const offered = assembly.offer(part(1, 0, 1));
    expect(offered).toMatchObject({ accepted: true, incomplete: 1 });
    expect(indices(offered.ready)).toEqual([[1], [0]]);
    expect(assembly.offer(part(0, 0, 2)).accepted).toBe(false);
  });

  test('drops known parts and windows handed on before', () => {
    const assembly = createAssembly(startOf(4));
    expect(assembly.offer(part(4, 0, 1)).accepted).toBe(false);
    expect(assembly.offer(part(5, 0, 2)).accepted).toBe(true);
    expect(assembly.offer(part(5, 0, 2)).accepted).toBe(false);
  });
});
