/** Priors of a stream: energy maps as they are announced, what is kept of them, and what is fitted to them. */
import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { timestampFromMs, timestampMs } from '@bufbuild/protobuf/wkt';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { diffusionMigrations } from '../../src/diffusion/context.ts';
import { createMapIndex, MAPS_MAX, type StoredMap } from '../../src/diffusion/prior/map-store.ts';
import { createPriorStore } from '../../src/diffusion/store.ts';
import { arrange } from '../../src/energy/map/layout.ts';
import { MeanSource, PriorSchema } from '../../src/gen/homeostat/diffusion/v1/diffusion_service_pb.ts';
import type { EnergyMapUpdatedSchema } from '../../src/gen/homeostat/energy/v1/energy_events_pb.ts';
import { Boundary } from '../../src/gen/homeostat/type/v1/grid_pb.ts';
import { bitsFromMask } from '../../src/numeric/given-grid.ts';
import { createWorkerPool } from '../../src/numeric/worker-pool.ts';
import { createRandom } from '../../src/random.ts';
import type { Store } from '../../src/store/store.ts';
import { describeOnStores, openTestStore, type TestDatabase, type TestStore } from '../support/stores.ts';
import { createDiffusionWorld, type DiffusionWorld, reasonOf, refusalOf } from './diffusion-world.ts';

const random = createRandom(2);
const STREAM = { domain: 'plant', cluster: 'a' };
const WINDOW_MS = 10_000;

type MapEvent = MessageInitShape<typeof EnergyMapUpdatedSchema>;

/** The map of a stream's n-th window, as energy announces it. */
function mapEvent(n: number, change: Partial<NonNullable<MapEvent['map']>> = {}, stream = STREAM): MapEvent {
  const cells = Float32Array.from({ length: 12 }, () => 5 + random.normal());
  return {
    map: {
      stream,
      start: timestampFromMs(n * WINDOW_MS),
      end: timestampFromMs((n + 1) * WINDOW_MS),
      grid: { rows: 3, cols: 4, rawValues: new Uint8Array(cells.buffer) },
      observed: Uint8Array.of(0xff, 0x0f),
      layoutVersion: 1,
      unit: 'J',
      ...change,
    },
  } as MapEvent;
}

describeOnStores('the index of maps', (engine) => {
  let database: TestDatabase;
  let store: Store;
  beforeEach(async () => {
    database = await engine.createDatabase();
    store = await database.open(diffusionMigrations);
  });
  afterEach(() => database.dispose());

  const mapOf = (n: number, change: Partial<StoredMap> = {}): StoredMap => ({
    ...STREAM,
    startMs: n * WINDOW_MS,
    endMs: (n + 1) * WINDOW_MS,
    rows: 1,
    cols: 2,
    layoutVersion: 1,
    unit: 'J',
    cells: Float32Array.of(n, -n),
    observed: undefined,
    ...change,
  });
  const ALL = { fromMs: undefined, beforeMs: undefined };

  test('keeps a window once, and gives those of a span in their newest arrangement, oldest first', async () => {
    const index = createMapIndex(store);
    await store.transact((tx) => index.add(tx, [mapOf(2), mapOf(0, { layoutVersion: 7 }), mapOf(1)], 1));
    await store.transact((tx) => index.add(tx, [mapOf(1, { cells: Float32Array.of(9, 9) }), mapOf(3)], 2));
    await store.transact((tx) => index.add(tx, [mapOf(5, { cluster: 'b' })], 3));
    expect(await index.list(STREAM, ALL)).toEqual([mapOf(1), mapOf(2), mapOf(3)]);
    const span = { fromMs: WINDOW_MS, beforeMs: 3 * WINDOW_MS };
    expect((await index.list(STREAM, span)).map(({ startMs }) => startMs / WINDOW_MS)).toEqual([1, 2]);
    expect(await index.list(STREAM, { fromMs: undefined, beforeMs: 1 })).toHaveLength(1);
    expect(await index.list({ domain: 'x', cluster: 'y' }, ALL)).toEqual([]);
  });

  test('gives maps with the cells they had observed, and only those in the unit of the newest', async () => {
    const index = createMapIndex(store);
    const half = mapOf(3, { observed: Uint8Array.of(2) });
    await store.transact((tx) => index.add(tx, [mapOf(1), mapOf(2, { unit: '1' }), half, mapOf(4)], 1));
    expect(await index.list(STREAM, ALL)).toEqual([mapOf(1), half, mapOf(4)]);
    const before = { fromMs: undefined, beforeMs: 3 * WINDOW_MS };
    expect(await index.list(STREAM, before)).toEqual([mapOf(2, { unit: '1' })]);
  });

  test('forgets what was written long ago, and all but the newest 4,096 of a stream', async () => {
    const index = createMapIndex(store);
    await store.transact((tx) => index.add(tx, [mapOf(9, { cluster: 'b' })], 10));
    for (let from = 0; from < MAPS_MAX + 64; from += 64) {
      const batch = Array.from({ length: 64 }, (_, n) => mapOf(from + n));
      await store.transact((tx) => index.add(tx, batch, 100));
    }
    const held = await index.list(STREAM, ALL);
    expect(held).toHaveLength(MAPS_MAX);
    expect(held[0]!.startMs / WINDOW_MS).toBe(64);
    await index.prune(100);
    expect(await index.list({ ...STREAM, cluster: 'b' }, ALL)).toEqual([]);
    expect(await index.list(STREAM, ALL)).toHaveLength(MAPS_MAX);
    await index.prune(101);
    expect(await index.list(STREAM, ALL)).toEqual([]);
  });

  test('of the priors of a stream the newest five stay, of those without one all do', async () => {
    const priors = createPriorStore(store);
    const component = { weight: 1, mean: new Float64Array(1), power: Float64Array.of(1) };
    const prior = { rows: 1, cols: 1, components: [component] };
    const add = (priorId: string, stream?: typeof STREAM) => {
      const message = create(PriorSchema, {
        priorId,
        version: 1n,
        rows: 1,
        cols: 1,
        ...(stream && { stream }),
      });
      return store.transact((tx) => priors.add(tx, message, prior));
    };
    for (const id of ['a', 'b', 'c', 'd', 'e', 'f', 'g']) await add(`1${id}`, STREAM);
    for (const id of ['a', 'b', 'c', 'd', 'e', 'f', 'g']) await add(`0${id}`);
    await add('2a', { ...STREAM, cluster: 'b' });
    const ids = (await priors.list(undefined, 99)).map(({ priorId }) => priorId);
    expect(ids).toEqual(['2a', '1g', '1f', '1e', '1d', '1c', '0g', '0f', '0e', '0d', '0c', '0b', '0a']);
  });
});

describeOnStores('an index from before maps had a unit', (engine) => {
  test('is read until a map with one is newer', async () => {
    const database = await engine.createDatabase();
    try {
      const before = diffusionMigrations.filter(({ id }) => id < 'diffusion_004');
      const old = await database.open(before);
      const row = { ...STREAM, start_ms: 0, end_ms: WINDOW_MS, rows: 1, cols: 1, layout_version: 1 };
      const cells = new Uint8Array(Float32Array.of(7).buffer);
      await old.transact(async (tx) => {
        await tx
          .query<{ diffusion_map: typeof row & { cells: Uint8Array; written_at_ms: number } }>()
          .insertInto('diffusion_map')
          .values({ ...row, cells, written_at_ms: 1 })
          .execute();
      });
      await old.close();
      const index = createMapIndex(await database.open(diffusionMigrations));
      const span = { fromMs: undefined, beforeMs: undefined };
      const [map] = await index.list(STREAM, span);
      expect(map).toMatchObject({ startMs: 0, unit: '', observed: undefined, cells: Float32Array.of(7) });
    } finally {
      await database.dispose();
    }
  });
});

describe('a stream', () => {
  const pool = createWorkerPool({ threads: 1, queueMax: 8 });
  let opened: TestStore;
  let world: DiffusionWorld;
  const forecast = Float32Array.from({ length: 12 }, (_, i) => i);
  beforeAll(async () => {
    opened = await openTestStore(diffusionMigrations);
    world = createDiffusionWorld(opened.store, pool, {
      latest: async ({ cluster }) => (cluster === 'a' ? { rows: 3, cols: 4, cells: forecast } : undefined),
    });
    await world.diffusion.start();
    await world.takeMaps(Array.from({ length: 40 }, (_, n) => mapEvent(n)));
  });
  afterAll(async () => {
    await world.diffusion.stop();
    await pool.close();
    await opened.dispose();
  });
  const priorOf = (idempotencyKey: string, change = {}) =>
    world.call('fitPrior', { idempotencyKey, stream: STREAM, boundary: Boundary.PERIODIC, ...change });

  test('has a prior fitted to its maps, which says so', async () => {
    const { prior } = await priorOf('all');
    expect(prior).toMatchObject({ rows: 3, cols: 4, stream: STREAM });
    expect(prior!.card!.mapCount).toBe(40);
    expect(prior!.card!.meanTotal / 12).toBeCloseTo(5, 0);
    expect(timestampMs(prior!.card!.windows!.start!)).toBe(0);
    expect(timestampMs(prior!.card!.windows!.end!)).toBe(40 * WINDOW_MS);
    const range = { start: timestampFromMs(5 * WINDOW_MS), end: timestampFromMs(15 * WINDOW_MS) };
    const part = await priorOf('part', { range });
    expect(part.prior!.card!.mapCount).toBe(10);
    expect(timestampMs(part.prior!.card!.windows!.start!)).toBe(5 * WINDOW_MS);
    const { samples } = await world.call('sample', { spec: { priorId: prior!.priorId, seed: 1n } });
    expect(samples[0]!.grid).toMatchObject({ rows: 3, cols: 4 });
  });

  test('centers a prior on its forecast, where there is one of its shape', async () => {
    const { prior } = await priorOf('forecast', { meanSource: MeanSource.FORECAST });
    expect(prior!.card).toMatchObject({ meanSource: MeanSource.FORECAST, meanTotal: 66 });
    const other = { ...STREAM, cluster: 'b' };
    await world.takeMaps(Array.from({ length: 8 }, (_, n) => mapEvent(n, {}, other)));
    const without = priorOf('none', { stream: other, meanSource: MeanSource.FORECAST });
    expect(await reasonOf(without)).toBe('NO_FORECAST');
  });

  test.each([5, 10, 50, 192])('of %d nodes, whose map has spare cells, has a prior', async (count) => {
    const nodes = Array.from({ length: count }, (_, n) => ({ name: `n${n}`, declared: undefined }));
    const { rows, cols, cells: names } = arrange(undefined, nodes);
    const spare = names.filter((name) => name === '').length;
    expect(spare).toBeGreaterThan(0);
    const observed = bitsFromMask(Uint8Array.from(names, (name) => (name === '' ? 0 : 1)));
    const other = { ...STREAM, cluster: `of-${count}` };
    const mapOf = (n: number) => {
      const cells = Float32Array.from(names, (name) => (name === '' ? 0 : 5 + random.normal()));
      const rawValues = new Uint8Array(cells.buffer);
      return mapEvent(n, { grid: { rows, cols, rawValues }, observed } as never, other);
    };
    await world.takeMaps(Array.from({ length: 24 }, (_, n) => mapOf(n)));
    const { card } = (await priorOf(`of-${count}`, { stream: other })).prior!;
    expect(card).toMatchObject({ mapCount: 24, filledCells: 24 * spare });
    expect(card!.meanTotal / (rows * cols)).toBeGreaterThan(4);
    expect(card!.meanTotal / (rows * cols)).toBeLessThan(6);
    expect(card!.siteVariance).toBeGreaterThan(0.4);
    expect(card!.siteVariance).toBeLessThan(2);
  });

  test('has a prior of its newest unit alone: joules are not mixed with surprise', async () => {
    const other = { ...STREAM, cluster: 'two-units' };
    await world.takeMaps(Array.from({ length: 10 }, (_, n) => mapEvent(n, { unit: '1' }, other)));
    await world.takeMaps(Array.from({ length: 9 }, (_, n) => mapEvent(10 + n, {}, other)));
    expect((await priorOf('joules', { stream: other })).prior!.card!.mapCount).toBe(9);
    const range = { end: timestampFromMs(10 * WINDOW_MS) };
    expect((await priorOf('surprise', { stream: other, range })).prior!.card!.mapCount).toBe(10);
  });

  test('counts only maps that came with their grid, at least half of it observed', async () => {
    const other = { ...STREAM, cluster: 'c' };
    await world.takeMaps([
      ...Array.from({ length: 6 }, (_, n) => mapEvent(n, {}, other)),
      mapEvent(6, { observed: Uint8Array.of(0x3f, 0xf0) }, other),
      mapEvent(7, { grid: undefined } as never, other),
      mapEvent(8, { observed: Uint8Array.of(0x1f, 0xf0) }, other),
    ]);
    const refusal = await refusalOf(priorOf('few', { stream: other }));
    expect([refusal.kind, refusal.reason]).toEqual(['FAILED_PRECONDITION', 'TOO_FEW_MAPS']);
    expect(refusal.metadata).toMatchObject({ least: '8', given: '7' });
    expect(refusal.message).toContain('over 16,384 cells');
    const cells = Array.from({ length: 12 }, () => 1);
    await world.takeMaps([
      mapEvent(9, { grid: { rows: 3, cols: 4, values: cells }, observed: new Uint8Array() } as never, other),
    ]);
    const { card } = (await priorOf('enough', { stream: other })).prior!;
    expect(card).toMatchObject({ mapCount: 8, filledCells: 6 });
    const exposition = await world.metrics.exposition();
    expect(exposition).toContain('homeostat_diffusion_maps_total{outcome="without_grid"} 1');
    expect(exposition).toContain('homeostat_diffusion_maps_total{outcome="incomplete"} 1');
    await expect(world.takeMaps([{}])).rejects.toThrow(TypeError);
    const cut = mapEvent(10, { observed: Uint8Array.of(0xff) }, other);
    await expect(world.takeMaps([cut])).rejects.toThrow(TypeError);
  });

  test('what contradicts itself is refused', async () => {
    const maps = Array.from({ length: 8 }, () => ({ rows: 1, cols: 1, values: [1] }));
    expect(await reasonOf(priorOf('both', { maps }))).toBe('FIELD_INVALID');
    const given = { stream: undefined, maps };
    expect(await reasonOf(priorOf('range', { ...given, range: {} }))).toBe('FIELD_INVALID');
    const centered = priorOf('center', { ...given, meanSource: MeanSource.FORECAST });
    expect(await reasonOf(centered)).toBe('FIELD_INVALID');
    const zero = priorOf('zero', { components: 2, meanSource: MeanSource.ZERO });
    expect(await reasonOf(zero)).toBe('FIELD_INVALID');
    expect(await reasonOf(priorOf('unknown', { stream: { domain: 'x', cluster: 'y' } }))).toBe(
      'TOO_FEW_MAPS',
    );
  });

  test('loses its maps thirty days after they were written', async () => {
    const old = { ...STREAM, cluster: 'd' };
    await world.takeMaps(Array.from({ length: 8 }, (_, n) => mapEvent(n, {}, old)));
    expect((await priorOf('young', { stream: old })).prior!.card!.mapCount).toBe(8);
    await world.clock.advance(31 * 86_400_000);
    await world.diffusion.stop();
    await world.diffusion.start();
    expect(await reasonOf(priorOf('old', { stream: old }))).toBe('TOO_FEW_MAPS');
  });
});
