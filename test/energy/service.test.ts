/** EnergyService over its handlers: from closed windows on a real broker to maps, explanations, watches. */

import { timestampFromMs } from '@bufbuild/protobuf/wkt';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { topics } from '../../src/bus/topics.ts';
import { createMapStore } from '../../src/energy/map-store.ts';
import { AppError } from '../../src/errors.ts';
import type {
  EnergyMapUpdated,
  StreamConfigured,
} from '../../src/gen/homeostat/energy/v1/energy_events_pb.ts';
import {
  LayoutRule,
  MapMode,
  Regime,
  Seasonality,
} from '../../src/gen/homeostat/energy/v1/energy_service_pb.ts';
import { Boundary } from '../../src/gen/homeostat/type/v1/grid_pb.ts';
import { createRandom } from '../../src/random.ts';
import { until } from '../support/broker.ts';
import { type EnergyWorld, startEnergyWorld } from './support/energy-world.ts';
import { closedWindow, STREAM, startOf } from './support/windows.ts';

const OTHER = { domain: 'lab', cluster: 'none' };
const WINDOWS = 100;

/** The reason an RPC is refused for. */
async function reasonOf(answer: Promise<unknown>): Promise<string> {
  const error = await answer.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  if (!(error instanceof AppError)) throw error ?? new Error('it was not refused');
  return error.reason;
}

function fleetWindow(at: number, random = createRandom(77, at)) {
  const node = () => ({ cpu: random.normal(), mem: random.normal() });
  const strange = at === 90 ? { cpu: 9, mem: 0 } : node();
  return closedWindow({
    at,
    nodes: { a: node(), b: strange, c: node() },
    cells: { a: [0, 0], b: [0, 1], c: [1, 2] },
    endOfInput: at === WINDOWS - 1,
  });
}

describe('maps of a stream', () => {
  let world: EnergyWorld;
  const events: EnergyMapUpdated[] = [];

  beforeAll(async () => {
    world = await startEnergyWorld();
    world.bus.subscribe(topics.energyMapUpdated, ({ message }) => events.push(message));
    await world.publish(
      Array.from({ length: WINDOWS }, (_, at) => fleetWindow(at)),
      WINDOWS,
    );
  });
  afterAll(() => world.stop());

  test('the latest map is returned with its nodes, state and regime', async () => {
    const { map } = await world.call('getMap', { stream: STREAM });
    expect(map).toMatchObject({
      mode: MapMode.STATISTICAL,
      unit: '1',
      regime: Regime.EQUILIBRIUM,
      layoutVersion: 1,
      level: 0,
      nodes: ['a', 'b', '', '', '', 'c'],
      grid: { rows: 2, cols: 3 },
    });
    expect(map!.start).toEqual(timestampFromMs(startOf(WINDOWS - 1)));
    expect([...map!.observed]).toEqual([0b100011]);
    expect(map!.grid!.values).toHaveLength(6);
    expect(map!.state).toMatchObject({ observedCount: 3 });
    const sum = map!.grid!.values.reduce((a, b) => a + b, 0);
    expect(map!.state!.net).toBeCloseTo(sum, 12);
    expect(map!.score).toBeGreaterThan(0);
  });

  test('a map is found by any instant of its window, and not outside the stream', async () => {
    const at = (ms: number) => world.call('getMap', { stream: STREAM, at: timestampFromMs(ms) });
    const middle = await at(startOf(70) + 9_999);
    expect(middle.map!.start).toEqual(timestampFromMs(startOf(70)));
    expect(await reasonOf(at(startOf(WINDOWS)))).toBe('MAP_NOT_FOUND');
    expect(await reasonOf(at(startOf(0) - 1))).toBe('MAP_NOT_FOUND');
    expect(await reasonOf(world.call('getMap', { stream: OTHER }))).toBe('STREAM_NOT_FOUND');
  });

  test('coarser levels keep the total and leave the nodes out', async () => {
    const { map } = await world.call('getMap', { stream: STREAM });
    for (const level of [1, 2, 10]) {
      const coarse = (await world.call('getMap', { stream: STREAM, level })).map!;
      const sum = coarse.grid!.values.reduce((a, b) => a + b, 0);
      expect(sum).toBeCloseTo(map!.state!.net, 4);
      expect(coarse.nodes).toEqual([]);
      expect(coarse.level).toBe(level);
      expect(coarse.digest).toEqual(map!.digest);
    }
    const single = (await world.call('getMap', { stream: STREAM, level: 10 })).map!;
    expect([single.grid!.rows, single.grid!.cols]).toEqual([1, 1]);
  });

  test('maps are listed newest first, in pages, within a range', async () => {
    const starts: number[] = [];
    let pageToken = '';
    do {
      const page = await world.call('listMaps', { stream: STREAM, page: { pageSize: 33, pageToken } });
      starts.push(...page.maps.map(({ start }) => Number(start!.seconds) * 1000));
      pageToken = page.nextPageToken;
    } while (pageToken !== '');
    expect(starts).toEqual(Array.from({ length: WINDOWS }, (_, i) => startOf(WINDOWS - 1 - i)));
    const range = { start: timestampFromMs(startOf(10)), end: timestampFromMs(startOf(13)) };
    const some = await world.call('listMaps', { stream: STREAM, range, page: { pageSize: 2 } });
    expect(some.maps.map(({ start }) => start)).toEqual([12, 11].map((at) => timestampFromMs(startOf(at))));
    const rest = await world.call('listMaps', {
      stream: STREAM,
      range,
      page: { pageToken: some.nextPageToken },
    });
    expect(rest.maps).toHaveLength(1);
    expect(await reasonOf(world.call('listMaps', { stream: OTHER }))).toBe('STREAM_NOT_FOUND');
    const forged = world.call('listMaps', { stream: STREAM, page: { pageToken: 'x' } });
    expect(await reasonOf(forged)).toBe('FIELD_INVALID');
  });

  test('a strange window is explained: the node, its metric, and all of its energy', async () => {
    const at = timestampFromMs(startOf(90));
    const { nodes, start } = await world.call('explainMap', { stream: STREAM, at });
    expect(start).toEqual(at);
    expect(nodes[0]).toMatchObject({ node: 'b' });
    expect(nodes[0]!.metrics[0]).toMatchObject({ name: 'cpu', value: 9 });
    for (const node of nodes) {
      const sum = node.metrics.reduce((total, { contribution }) => total + contribution, 0);
      expect(Math.abs(sum - node.energy)).toBeLessThan(1e-9);
    }
    const { map } = await world.call('getMap', { stream: STREAM, at });
    expect(map!.grid!.values[1]).toBe(Math.fround(nodes[0]!.energy));
    expect(map!.score).toBeGreaterThan(0.5);
    expect(map!.score).toBeLessThan(1);
    const mean = nodes.reduce((sum, { surprise }) => sum + surprise, 0) / 3;
    expect(map!.surprise).toBeCloseTo(mean, 12);
  });

  test('an explanation can be narrowed to one node and few metrics', async () => {
    const at = timestampFromMs(startOf(90));
    const { nodes } = await world.call('explainMap', { stream: STREAM, at, node: 'c', top: 1 });
    expect(nodes.map(({ node, metrics }) => [node, metrics.length])).toEqual([['c', 1]]);
    expect(await reasonOf(world.call('explainMap', { stream: STREAM, at, node: 'z' }))).toBe(
      'NODE_NOT_FOUND',
    );
    const after = { stream: STREAM, at: timestampFromMs(startOf(WINDOWS)) };
    expect(await reasonOf(world.call('explainMap', after))).toBe('MAP_NOT_FOUND');
    expect(await reasonOf(world.call('explainMap', { stream: OTHER }))).toBe('STREAM_NOT_FOUND');
    const early = { stream: STREAM, at: timestampFromMs(startOf(3)) };
    expect((await world.call('explainMap', early)).nodes).toEqual([]);
  });

  test('every map was announced once, with its grid and without its nodes, and the end of input with the last', async () => {
    await until(() => events.length >= WINDOWS);
    expect(events).toHaveLength(WINDOWS);
    expect(events.map(({ endOfInput }) => endOfInput)).toEqual([...Array(WINDOWS - 1).fill(false), true]);
    const { map } = await world.call('getMap', { stream: STREAM });
    expect(events.at(-1)!.map).toEqual({ ...map!, nodes: [] });
  });

  test('windows that come again change nothing', async () => {
    await world.store.transact(async (tx) => {
      await world.bus.record(tx, topics.windowClosed, 'again', fleetWindow(50));
    });
    await world.publish([fleetWindow(WINDOWS)], WINDOWS + 1);
    const { map } = await world.call('getMap', { stream: STREAM, at: timestampFromMs(startOf(50)) });
    expect(map!.start).toEqual(timestampFromMs(startOf(50)));
  });
});

describe('the send limit', () => {
  test('cuts a page of maps, and refuses a map that alone is over it', async () => {
    const world = await startEnergyWorld({ sendBytesMax: 12_000 });
    try {
      // 1,000 cells of 4 bytes and 2 bytes for each empty name: two such maps are one too many.
      const cells: Record<string, [number, number]> = { a: [0, 0], b: [9, 99] };
      const window = (at: number, far = cells) =>
        closedWindow({ at, nodes: { a: { cpu: 1 }, b: { cpu: 2 } }, cells: far });
      await world.publish(
        Array.from({ length: 5 }, (_, at) => window(at)),
        5,
      );
      const list = (pageToken: string, pageSize: number) =>
        world.call('listMaps', { stream: STREAM, page: { pageToken, pageSize } });
      const starts: number[] = [];
      const sizes: number[] = [];
      for (let token = '', more = true; more; more = token !== '') {
        const page = await list(token, 5);
        sizes.push(page.maps.length);
        starts.push(...page.maps.map(({ start }) => Number(start!.seconds) * 1000));
        token = page.nextPageToken;
      }
      expect(sizes).toEqual(new Array(5).fill(1));
      expect(starts).toEqual([4, 3, 2, 1, 0].map(startOf));
      const coarse = await world.call('listMaps', { stream: STREAM, level: 2 });
      expect([coarse.maps.length, coarse.nextPageToken]).toEqual([5, '']);
      await world.publish([window(5, { a: [0, 0], b: [19, 99] })], 6);
      const over = { reason: 'WORK_TOO_LARGE', metadata: { limit: '12000', unit: 'bytes' } };
      await expect(list('', 5)).rejects.toMatchObject(over);
      await expect(world.call('getMap', { stream: STREAM })).rejects.toMatchObject(over);
      const watch = world.watch(
        { stream: STREAM, resumeToken: String(startOf(3)) },
        AbortSignal.timeout(60_000),
      );
      expect((await watch.next()).value.resumeToken).toBe(String(startOf(4)));
      await expect(watch.next()).rejects.toMatchObject(over);
      expect((await world.call('getMap', { stream: STREAM, level: 1 })).map!.grid!.cols).toBe(50);
    } finally {
      await world.stop();
    }
  });

  test('refuses an explanation that is over it, not that of one node or of few metrics', async () => {
    const world = await startEnergyWorld({ sendBytesMax: 7_000 });
    try {
      const random = createRandom(3);
      const metrics = Array.from({ length: 20 }, (_, i) => `metric-${i}`);
      const node = () => Object.fromEntries(metrics.map((name) => [name, random.normal()]));
      const windows = Array.from({ length: 66 }, (_, at) =>
        closedWindow({
          at,
          nodes: Object.fromEntries(['a', 'b', 'c', 'd', 'e', 'f'].map((name) => [name, node()])),
        }),
      );
      await world.publish(windows, 66);
      const explain = (narrowed: { node?: string; top?: number }) =>
        world.call('explainMap', { stream: STREAM, top: 64, ...narrowed });
      await expect(explain({})).rejects.toMatchObject({
        reason: 'WORK_TOO_LARGE',
        metadata: { limit: '7000', unit: 'bytes' },
      });
      expect((await explain({ top: 5 })).nodes).toHaveLength(6);
      const [one] = (await explain({ node: 'c' })).nodes;
      expect(one!.metrics).toHaveLength(20);
      await createMapStore(world.store).prune(0, Number.MAX_SAFE_INTEGER);
      expect((await explain({ node: 'c' })).nodes).toEqual([]);
      expect((await explain({})).nodes).toEqual([]);
    } finally {
      await world.stop();
    }
  });

  test('lets through as many maps as are asked for, however many are read at once', async () => {
    const world = await startEnergyWorld();
    try {
      const windows = Array.from({ length: 130 }, (_, at) => closedWindow({ at, nodes: { a: { cpu: at } } }));
      await world.publish(windows, 130);
      const whole = await world.call('listMaps', { stream: STREAM, page: { pageSize: 130 } });
      expect(whole.maps.map(({ start }) => start)).toEqual(windows.map(({ start }) => start).reverse());
      expect(whole.nextPageToken).toBe('');
      const most = await world.call('listMaps', { stream: STREAM, page: { pageSize: 129 } });
      expect([most.maps.length, most.nextPageToken]).toEqual([129, String(startOf(1))]);
    } finally {
      await world.stop();
    }
  });
});

describe('a restart', () => {
  test('in the middle of a stream gives the same maps bit for bit', async () => {
    const straight = await startEnergyWorld();
    const broken = await startEnergyWorld({ snapshotWindows: 25 });
    try {
      const windows = Array.from({ length: 90 }, (_, at) => fleetWindow(at));
      await straight.publish(windows, 90);
      for (const [from, to] of [
        [0, 1],
        [1, 40],
        [40, 70],
        [70, 71],
        [71, 90],
      ] as const) {
        await broken.publish(windows.slice(from, to), to);
        await broken.restart();
      }
      const maps = async (world: EnergyWorld) =>
        (await world.call('listMaps', { stream: STREAM, page: { pageSize: 500 } })).maps;
      expect(await maps(broken)).toEqual(await maps(straight));
      const at = timestampFromMs(startOf(89));
      expect(await broken.call('explainMap', { stream: STREAM, at })).toEqual(
        await straight.call('explainMap', { stream: STREAM, at }),
      );
    } finally {
      await straight.stop();
      await broken.stop();
    }
  });
});

describe('configuration', () => {
  let world: EnergyWorld;
  const events: StreamConfigured[] = [];
  beforeAll(async () => {
    world = await startEnergyWorld();
    world.bus.subscribe(topics.streamConfigured, ({ message }) => events.push(message));
  });
  afterAll(() => world.stop());

  test('an unseen stream is created by configuring it, defaults filled in and announced', async () => {
    expect(await reasonOf(world.call('getStream', { stream: STREAM }))).toBe('STREAM_NOT_FOUND');
    const answer = await world.call('configureStream', {
      stream: STREAM,
      config: { width: { seconds: 60n }, metrics: [{ name: 'cpu' }] },
    });
    expect(answer.version).toBe(1n);
    expect(answer.config).toMatchObject({
      width: { seconds: 60n },
      lateness: { seconds: 2n },
      halfLife: { seconds: 345_600n },
      boundary: Boundary.NEUMANN,
      mode: MapMode.UNSPECIFIED,
      layout: LayoutRule.DECLARED,
      seasonality: Seasonality.HOUR_OF_DAY,
    });
    const read = await world.call('getStream', { stream: STREAM });
    expect(read).toMatchObject({ version: 1n, mapCount: 0n, effectiveMode: MapMode.UNSPECIFIED });
    expect(read.config).toEqual(answer.config);
    await until(() => events.length > 0);
    expect(events[0]).toMatchObject({ version: 1n, stream: STREAM });
    expect(events[0]!.config).toEqual(answer.config);
    expect(await reasonOf(world.call('getMap', { stream: STREAM }))).toBe('MAP_NOT_FOUND');
  });

  test('a configuration of another version is refused and names the current one', async () => {
    const stale = world.call('configureStream', { stream: STREAM, config: {}, version: 0n });
    await expect(stale).rejects.toMatchObject({ reason: 'VERSION_CONFLICT', metadata: { current: '1' } });
    const ahead = world.call('configureStream', { stream: OTHER, config: {}, version: 3n });
    await expect(ahead).rejects.toMatchObject({ reason: 'VERSION_CONFLICT', metadata: { current: '0' } });
  });

  test('a metric named twice is refused with its path', async () => {
    const twice = world.call('configureStream', {
      stream: STREAM,
      config: { metrics: [{ name: 'cpu' }, { name: 'mem' }, { name: 'cpu' }] },
      version: 1n,
    });
    await expect(twice).rejects.toMatchObject({
      reason: 'FIELD_INVALID',
      violations: [{ field: 'config.metrics[2].name' }],
    });
  });

  test('of the layout takes force with the next window, under another version', async () => {
    const stream = { domain: 'lab', cluster: 'laid' };
    const window = (at: number) =>
      closedWindow({ at, stream, nodes: { a: { cpu: 1 }, b: { cpu: 1 } }, cells: { a: [1, 1], b: [0, 0] } });
    const latest = async (count: bigint) => {
      await until(async () => (await world.call('getStream', { stream })).mapCount === count);
      return (await world.call('getMap', { stream })).map;
    };
    const config = { layout: LayoutRule.AUTO, seasonality: Seasonality.NONE };
    const written = await world.call('configureStream', { stream, config });
    expect(written.config).toMatchObject(config);
    await world.publish([window(0)], 0);
    expect(await latest(1n)).toMatchObject({ nodes: ['a', 'b'], layoutVersion: 1 });
    await world.call('configureStream', { stream, config: {}, version: 1n });
    await world.publish([window(1)], 0);
    expect(await latest(2n)).toMatchObject({ nodes: ['b', '', '', 'a'], layoutVersion: 2 });
  });

  test('takes force with the next window, and a physical map is not explained', async () => {
    const metrics = { power: { unit: 'W' } };
    const window = (at: number) => closedWindow({ at, metrics, nodes: { a: { power: 7, cpu: 1 } } });
    await world.publish([window(0)], 1);
    expect((await world.call('getStream', { stream: STREAM })).effectiveMode).toBe(MapMode.STATISTICAL);
    await world.call('configureStream', { stream: STREAM, config: { mode: MapMode.PHYSICAL }, version: 1n });
    await world.publish([window(1)], 2);
    const { map } = await world.call('getMap', { stream: STREAM });
    expect(map).toMatchObject({ mode: MapMode.PHYSICAL, unit: 'J', grid: { values: [70] } });
    expect(map!.surprise).toBeUndefined();
    expect(await reasonOf(world.call('explainMap', { stream: STREAM }))).toBe('NOT_STATISTICAL');
    await world.restart();
    await world.publish([window(2)], 3);
    expect((await world.call('getMap', { stream: STREAM })).map).toMatchObject({ unit: 'J' });
  });
});
