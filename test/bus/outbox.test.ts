import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import type { Bus } from '../../src/bus/bus.ts';
import type { OutboxTables } from '../../src/bus/outbox-table.ts';
import { topicFilter, topics } from '../../src/bus/topics.ts';
import { createMetrics } from '../../src/observability.ts';
import { until } from '../support/broker.ts';
import { createFakeClock } from '../support/fake-clock.ts';
import { type BusWorld, openBusWorld } from './world.ts';

const topic = topics.energyMapUpdated;

let world: BusWorld;

beforeEach(async () => {
  world = await openBusWorld();
  await world.close(world.bus); // Each test opens the relays it wants.
});

afterEach(() => world.dispose());

const record = (bus: Bus, ...keys: string[]) =>
  world.store.transact(async (tx) => {
    for (const key of keys) await bus.record(tx, topic, key, { endOfInput: key === '' });
  });

const rows = () =>
  world.store.query<OutboxTables>().selectFrom('bus_outbox').selectAll().orderBy('place').execute();

async function streamEnd(): Promise<number> {
  return (await world.manager.streams.info('EVENTS')).state.last_seq;
}

async function relayed(): Promise<void> {
  await until(async () => (await rows()).every((row) => row.sequence !== null));
}

/** Ids of the events in the stream, in its order. */
async function published(): Promise<string[]> {
  const { state } = await world.manager.streams.info('EVENTS');
  const found: string[] = [];
  for (let seq = state.first_seq; seq <= state.last_seq; seq++) {
    const message = await world.manager.streams.getMessage('EVENTS', { seq });
    if (message) found.push(message.header.get('ce-id'));
  }
  return found;
}

/** A row as a server leaves it that crashes between its commit and the publish. */
async function leaveBehind(bus: Bus, ...keys: string[]): Promise<void> {
  await world.close(bus); // Its relay is stopped; recording still works.
  await record(bus, ...keys);
}

describe('the outbox', () => {
  test('publishes after the commit, in the order of recording, and knows the place in the stream', async () => {
    const bus = await world.open();
    const keys = Array.from({ length: 1_500 }, (_, i) => `k${i}`);
    await Promise.all([record(bus, ...keys.slice(0, 700)), record(bus, ...keys.slice(700))]);
    await relayed();
    const all = await rows();
    expect(await published()).toEqual(all.map((row) => row.id));
    expect(all.map((row) => row.sequence)).toEqual(all.map((_, i) => i + 1));
  });

  test('publishes nothing of a transaction that was rolled back', async () => {
    const bus = await world.open();
    const work = world.store.transact(async (tx) => {
      await bus.record(tx, topic, 'gone', {});
      throw new Error('no');
    });
    await expect(work).rejects.toThrow('no');
    await record(bus, 'kept');
    await relayed();
    expect(await streamEnd()).toBe(1);
  });

  test('gives the same topic and key one event, however often it is recorded', async () => {
    const bus = await world.open();
    await record(bus, 'same');
    await record(bus, 'same', 'same');
    await world.store.transact((tx) => bus.record(tx, topics.streamConfigured, 'same', {}));
    await relayed();
    expect(await streamEnd()).toBe(2); // One of each topic.
  });

  test('carries the CloudEvents headers and the trace context', async () => {
    const clock = createFakeClock(Date.UTC(2026, 4, 1));
    const bus = await world.open({ clock });
    const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
    await world.store.transact((tx) => bus.record(tx, topic, 'k', {}, traceparent));
    await relayed();
    const message = await world.manager.streams.getMessage('EVENTS', { last_by_subj: topicFilter(topic) });
    const [row] = await rows();
    expect(Object.fromEntries(message!.header.keys().map((key) => [key, message!.header.get(key)]))).toEqual({
      'ce-id': row!.id,
      'ce-type': 'homeostat.energy.v1.EnergyMapUpdated',
      'ce-source': '/homeostat/energy',
      'ce-time': '2026-05-01T00:00:00.000Z',
      'ce-specversion': '1.0',
      'content-type': 'application/protobuf',
      traceparent,
      'Nats-Msg-Id': row!.id,
    });
    expect(row!.id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    expect(message!.subject).toBe(`homeostat.energy.v1.energy_map_updated.${row!.id}`);
  });

  test('publishes what a crash left between the commit and the publish', async () => {
    await leaveBehind(await world.open(), 'a', 'b');
    expect(await streamEnd()).toBe(0);
    await world.open();
    await relayed();
    expect(await streamEnd()).toBe(2);
  });

  test('is not published twice when a crash comes between the publish and its note', async () => {
    const bus = await world.open();
    await record(bus, 'a', 'b', 'c');
    await relayed();
    await world.close(bus);
    await world.store.transact(async (tx) => {
      await tx.query<OutboxTables>().updateTable('bus_outbox').set({ sequence: null }).execute();
    });
    await world.open();
    await relayed();
    expect(await streamEnd()).toBe(3);
    expect((await rows()).map((row) => row.sequence)).toEqual([1, 2, 3]);
  });

  test('waits while the broker is away and publishes everything in order when it is back', async () => {
    const bus = await world.open();
    await record(bus, 'before');
    await relayed();
    await world.broker.kill();
    await record(bus, 'while');
    await record(bus, 'away');
    await relayed();
    await world.seen();
    expect(await published()).toEqual((await rows()).map((row) => row.id));
  });

  test('publishes again what a broker lost that ends below it', async () => {
    const first = await world.open();
    await record(first, 'a', 'b', 'c', 'd');
    await relayed();
    await world.close(first);
    // The broker comes back from an older copy: its stream holds the first two only.
    const { config } = await world.manager.streams.info('EVENTS');
    const kept = [
      await world.manager.streams.getMessage('EVENTS', { seq: 1 }),
      await world.manager.streams.getMessage('EVENTS', { seq: 2 }),
    ];
    await world.manager.streams.delete('EVENTS');
    await world.manager.streams.add(config);
    for (const message of kept)
      await world.nats.request(message!.subject, message!.data, { headers: message!.header, timeout: 1_000 });
    const metrics = createMetrics();
    await world.open({ metrics });
    await until(async () => (await streamEnd()) === 4);
    await relayed();
    expect(await published()).toEqual((await rows()).map((row) => row.id));
    expect(await metrics.exposition()).toContain('homeostat_bus_alarms_total{kind="broker_lost_events"} 1');
  });

  test('makes a deleted stream again and fills it', async () => {
    const bus = await world.open();
    await record(bus, 'a', 'b');
    await relayed();
    await world.manager.streams.delete('EVENTS');
    await record(bus, 'c');
    await until(
      async () => (await world.manager.streams.info('EVENTS').catch(() => undefined))?.state.last_seq === 3,
    );
    expect(await published()).toEqual((await rows()).map((row) => row.id));
  });

  test('forgets published rows after 24 hours and never one that was not published', async () => {
    const bus = await world.open({ clock: createFakeClock(Date.UTC(2026, 0, 1, 0)) });
    await record(bus, 'published');
    await relayed();
    await leaveBehind(bus, 'unpublished');
    await world.close(await world.open({ clock: createFakeClock(Date.UTC(2026, 0, 1, 23)) }));
    expect((await rows()).map((row) => row.sequence)).toEqual([1, 2]);
    await leaveBehind(bus, 'still unpublished');
    const late = await world.open({ clock: createFakeClock(Date.UTC(2026, 0, 2, 1)) });
    await until(async () => (await streamEnd()) === 3);
    await world.close(late);
    expect((await rows()).map((row) => row.sequence)).toEqual([3]);
  });

  test('keeps the order of recording when the clock steps back', async () => {
    const ahead = await world.open({ clock: createFakeClock(Date.UTC(2030, 0)) });
    await record(ahead, 'a', 'b');
    await relayed();
    await world.close(ahead);
    const behind = await world.open({ clock: createFakeClock(Date.UTC(2026, 0)) });
    await record(behind, 'c');
    await relayed();
    expect((await rows()).map((row) => row.sequence)).toEqual([1, 2, 3]);
  });

  test('of two servers on one store publishes each event once', async () => {
    const [first, second] = [await world.open(), await world.open()];
    const keys = Array.from({ length: 200 }, (_, i) => `${i}`);
    await Promise.all(keys.map((key, i) => record(i % 2 === 0 ? first : second, key)));
    await relayed();
    expect((await published()).sort()).toEqual((await rows()).map((row) => row.id).sort());
  });

  test('refuses an event that no broker message can hold, and with it the transaction', async () => {
    const bus = await world.open();
    const work = world.store.transact(async (tx) => {
      await bus.record(tx, topic, 'small', {});
      await bus.record(tx, topics.sequenceGapDetected, 'large', { sourceId: 'x'.repeat(2 ** 20) });
    });
    await expect(work).rejects.toThrow(/at most \d+ fit/);
    expect(await rows()).toEqual([]);
  });

  test('counts what it published and what the broker suppressed', async () => {
    const metrics = createMetrics();
    const bus = await world.open({ metrics });
    await record(bus, 'a', 'b');
    await relayed();
    expect(await metrics.exposition()).toContain(
      'homeostat_bus_messages_total{topic="energy_map_updated",outcome="published"} 2',
    );
  });
});
