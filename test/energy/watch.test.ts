/** Watching maps: from now on, resumed, through silence, overflow and retention. */
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import type { WatchMapsResponse } from '../../src/gen/homeostat/energy/v1/energy_service_pb.ts';
import { until } from '../support/broker.ts';
import { settle } from '../support/fake-clock.ts';
import { type EnergyWorld, startEnergyWorld } from './support/energy-world.ts';
import { closedWindow, STREAM, startOf } from './support/windows.ts';

const window = (at: number) => closedWindow({ at, nodes: { a: { x: at }, b: { x: 1 }, c: { x: 2 } } });
const windows = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => window(from + i));

let world: EnergyWorld;
let ending: AbortController;

beforeEach(async () => {
  world = await startEnergyWorld({ watchQueueMax: 4 });
  ending = new AbortController();
});
afterEach(async () => {
  ending.abort();
  await settle();
  await world.stop();
});

type Watching = AsyncIterator<WatchMapsResponse>;

/** Starts of the next maps; a heartbeat is undefined. */
async function take(watching: Watching, count: number): Promise<(number | undefined)[]> {
  const starts: (number | undefined)[] = [];
  for (let i = 0; i < count; i++) {
    const { value } = await watching.next();
    starts.push(value.map && Number(value.map.start.seconds) * 1000);
  }
  return starts;
}
const startsOf = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => startOf(from + i));

describe('a watch', () => {
  test('without a token shows maps from now on, at the level asked for', async () => {
    await world.publish(windows(0, 3), 3);
    const watching = world.watch({ stream: STREAM, level: 1 }, ending.signal);
    const first = watching.next();
    await settle();
    await world.publish(windows(3, 5), 5);
    const { value } = await first;
    expect(value.map).toMatchObject({ level: 1, grid: { rows: 1, cols: 1 } });
    expect(value.resumeToken).toBe(String(startOf(3)));
    expect(await take(watching, 1)).toEqual([startOf(4)]);
  });

  test('of a stream not yet seen waits for its first map', async () => {
    const watching = world.watch({ stream: STREAM }, ending.signal);
    const first = watching.next();
    await settle();
    await world.publish([window(0)], 1);
    expect((await first).value.map.nodes).toEqual(['a', 'b', 'c', '']);
  });

  test('resumes after its token, with every map in between, then live', async () => {
    await world.publish(windows(0, 50), 50);
    const watching = world.watch({ stream: STREAM, resumeToken: String(startOf(9)) }, ending.signal);
    expect(await take(watching, 40)).toEqual(startsOf(10, 50));
    const live = take(watching, 2);
    await settle();
    await world.publish(windows(50, 52), 52);
    expect(await live).toEqual(startsOf(50, 52));
  });

  test('that falls behind its queue misses nothing', async () => {
    await world.publish([window(0)], 1);
    const watching = world.watch({ stream: STREAM }, ending.signal);
    const first = watching.next();
    await settle();
    await world.publish([window(1)], 2);
    await first;
    await world.publish(windows(2, 60), 60);
    expect(await take(watching, 58)).toEqual(startsOf(2, 60));
  });

  test('gets a heartbeat after 15 s of silence, with the token to resume from', async () => {
    await world.publish([window(0)], 1);
    const watching = world.watch({ stream: STREAM }, ending.signal);
    const first = watching.next();
    await settle();
    await world.clock.advance(14_999);
    let beaten = false;
    void first.then(() => {
      beaten = true;
    });
    await settle();
    expect(beaten).toBe(false);
    await world.clock.advance(1);
    expect((await first).value).toEqual({ resumeToken: String(startOf(0)) });
    const resumed = world.watch({ stream: STREAM, resumeToken: String(startOf(0)) }, ending.signal);
    const next = take(resumed, 1);
    await settle();
    await world.publish([window(1)], 2);
    expect(await next).toEqual([startOf(1)]);
  });

  test('ends with its call and leaves no timer behind', async () => {
    const watching = world.watch({ stream: STREAM }, ending.signal);
    const first = watching.next();
    await settle();
    const timers = world.clock.pending();
    ending.abort();
    expect((await first).done).toBe(true);
    expect(world.clock.pending()).toBe(timers - 1);
  });

  test('from maps no longer held is refused, naming the oldest; from the last one pruned it goes on', async () => {
    await world.publish(windows(0, 3), 3);
    await world.clock.advance(31 * 86_400_000);
    await until(async () => (await world.call('listMaps', { stream: STREAM })).maps.length === 0);
    await world.publish(windows(3, 5), 5);
    const stale = world.watch({ stream: STREAM, resumeToken: String(startOf(1)) }, ending.signal);
    await expect(stale.next()).rejects.toMatchObject({
      reason: 'RESUME_TOO_OLD',
      metadata: { oldest: new Date(startOf(3)).toISOString() },
    });
    const last = world.watch({ stream: STREAM, resumeToken: String(startOf(2)) }, ending.signal);
    expect(await take(last, 2)).toEqual(startsOf(3, 5));
    const forged = world.watch({ stream: STREAM, resumeToken: '1e9' }, ending.signal);
    await expect(forged.next()).rejects.toMatchObject({ reason: 'FIELD_INVALID' });
  });
});
