import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { type JetStreamManager, jetstreamManager } from '@nats-io/jetstream';
import { connect, type NatsConnection } from '@nats-io/transport-node';
import type { Bus } from '../../src/bus/bus.ts';
import type { OutboxTables } from '../../src/bus/outbox.ts';
import { topicFilter, topics } from '../../src/bus/topics.ts';
import { createMetrics } from '../../src/observability.ts';
import { openTestBus, startTestBroker, type TestBroker, until } from '../support/broker.ts';
import { createFakeClock } from '../support/fake-clock.ts';
import { openTestStore, type TestStore } from '../support/stores.ts';

const topic = topics.energyMapUpdated;

let broker: TestBroker;
let stored: TestStore;
let nats: NatsConnection;
let manager: JetStreamManager;
let buses: Bus[];

beforeEach(async () => {
  broker = await startTestBroker();
  stored = await openTestStore();
  const { host, username, password } = new URL(broker.url);
  nats = await connect({
    servers: host,
    user: username,
    pass: password,
    maxReconnectAttempts: -1,
    reconnectTimeWait: 50,
  });
  manager = await jetstreamManager(nats);
  buses = [];
});

afterEach(async () => {
  for (const bus of buses) await bus.close();
  await nats.close();
  await broker.stop();
  await stored.dispose();
});

async function openBus(overrides: Partial<Parameters<typeof openTestBus>[0]> = {}): Promise<Bus> {
  const { bus } = await openTestBus({ store: stored.store, broker, ...overrides });
  buses.push(bus);
  return bus;
}

async function closeBus(bus: Bus): Promise<void> {
  buses = buses.filter((one) => one !== bus);
  await bus.close();
}

const record = (bus: Bus, ...keys: string[]) =>
  stored.store.transact(async (tx) => {
    for (const key of keys) await bus.record(tx, topic, key, { endOfInput: key === '' });
  });

const rows = () =>
  stored.store.query<OutboxTables>().selectFrom('bus_outbox').selectAll().orderBy('place').execute();

async function streamEnd(): Promise<number> {
  return (await manager.streams.info('EVENTS')).state.last_seq;
}

async function relayed(): Promise<void> {
  await until(async () => (await rows()).every((row) => row.sequence !== null));
}

/** Ids of the events in the stream, in its order. */
async function published(): Promise<string[]> {
  const { state } = await manager.streams.info('EVENTS');
  const found: string[] = [];
  for (let seq = state.first_seq; seq <= state.last_seq; seq++) {
    const message = await manager.streams.getMessage('EVENTS', { seq });
    if (message) found.push(message.header.get('ce-id'));
  }
  return found;
}

/** A row as a server leaves it that crashes between its commit and the publish. */
async function leaveBehind(bus: Bus, ...keys: string[]): Promise<void> {
  await closeBus(bus); // Its relay is stopped; recording still works.
  await record(bus, ...keys);
}

describe('the outbox', () => {
  test('publishes after the commit, in the order of recording, and knows the place in the stream', async () => {
    const bus = await openBus();
    const keys = Array.from({ length: 1_500 }, (_, i) => `k${i}`);
    await Promise.all([record(bus, ...keys.slice(0, 700)), record(bus, ...keys.slice(700))]);
    await relayed();
    const all = await rows();
    expect(await published()).toEqual(all.map((row) => row.id));
    expect(all.map((row) => row.sequence)).toEqual(all.map((_, i) => i + 1));
  });

  test('publishes nothing of a transaction that was rolled back', async () => {
    const bus = await openBus();
    const work = stored.store.transact(async (tx) => {
      await bus.record(tx, topic, 'gone', {});
      throw new Error('no');
    });
    await expect(work).rejects.toThrow('no');
    await record(bus, 'kept');
    await relayed();
    expect(await streamEnd()).toBe(1);
  });

  test('gives the same topic and key one event, however often it is recorded', async () => {
    const bus = await openBus();
    await record(bus, 'same');
    await record(bus, 'same', 'same');
    await stored.store.transact((tx) => bus.record(tx, topics.streamConfigured, 'same', {}));
    await relayed();
    expect(await streamEnd()).toBe(2); // One of each topic.
  });

  test('carries the CloudEvents headers and the trace context', async () => {
    const clock = createFakeClock(Date.UTC(2026, 4, 1));
    const bus = await openBus({ clock });
    const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
    await stored.store.transact((tx) => bus.record(tx, topic, 'k', {}, traceparent));
    await relayed();
    const message = await manager.streams.getMessage('EVENTS', { last_by_subj: topicFilter(topic) });
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
    await leaveBehind(await openBus(), 'a', 'b');
    expect(await streamEnd()).toBe(0);
    await openBus();
    await relayed();
    expect(await streamEnd()).toBe(2);
  });

  test('is not published twice when a crash comes between the publish and its note', async () => {
    const bus = await openBus();
    await record(bus, 'a', 'b', 'c');
    await relayed();
    await closeBus(bus);
    await stored.store.transact(async (tx) => {
      await tx.query<OutboxTables>().updateTable('bus_outbox').set({ sequence: null }).execute();
    });
    await openBus();
    await relayed();
    expect(await streamEnd()).toBe(3);
    expect((await rows()).map((row) => row.sequence)).toEqual([1, 2, 3]);
  });

  test('waits while the broker is away and publishes everything in order when it is back', async () => {
    const bus = await openBus();
    await record(bus, 'before');
    await relayed();
    await broker.kill();
    await record(bus, 'while');
    await record(bus, 'away');
    await relayed();
    expect(await published()).toEqual((await rows()).map((row) => row.id));
  });

  test('publishes again what a broker lost that ends below it', async () => {
    const first = await openBus();
    await record(first, 'a', 'b', 'c', 'd');
    await relayed();
    await closeBus(first);
    // The broker comes back from an older copy: its stream holds the first two only.
    const { config } = await manager.streams.info('EVENTS');
    const kept = [
      await manager.streams.getMessage('EVENTS', { seq: 1 }),
      await manager.streams.getMessage('EVENTS', { seq: 2 }),
    ];
    await manager.streams.delete('EVENTS');
    await manager.streams.add(config);
    for (const message of kept)
      await nats.request(message!.subject, message!.data, { headers: message!.header, timeout: 1_000 });
    const metrics = createMetrics();
    await openBus({ metrics });
    await until(async () => (await streamEnd()) === 4);
    await relayed();
    expect(await published()).toEqual((await rows()).map((row) => row.id));
    expect(await metrics.exposition()).toContain('homeostat_bus_alarms_total{kind="broker_lost_events"} 1');
  });

  test('makes a deleted stream again and fills it', async () => {
    const bus = await openBus();
    await record(bus, 'a', 'b');
    await relayed();
    await manager.streams.delete('EVENTS');
    await record(bus, 'c');
    await until(
      async () => (await manager.streams.info('EVENTS').catch(() => undefined))?.state.last_seq === 3,
    );
    expect(await published()).toEqual((await rows()).map((row) => row.id));
  });

  test('forgets published rows after 24 hours and never one that was not published', async () => {
    const bus = await openBus({ clock: createFakeClock(Date.UTC(2026, 0, 1, 0)) });
    await record(bus, 'published');
    await relayed();
    await leaveBehind(bus, 'unpublished');
    await closeBus(await openBus({ clock: createFakeClock(Date.UTC(2026, 0, 1, 23)) }));
    expect((await rows()).map((row) => row.sequence)).toEqual([1, 2]);
    await leaveBehind(bus, 'still unpublished');
    const late = await openBus({ clock: createFakeClock(Date.UTC(2026, 0, 2, 1)) });
    await until(async () => (await streamEnd()) === 3);
    await closeBus(late);
    expect((await rows()).map((row) => row.sequence)).toEqual([3]);
  });

  test('keeps the order of recording when the clock steps back', async () => {
    const ahead = await openBus({ clock: createFakeClock(Date.UTC(2030, 0)) });
    await record(ahead, 'a', 'b');
    await relayed();
    await closeBus(ahead);
    const behind = await openBus({ clock: createFakeClock(Date.UTC(2026, 0)) });
    await record(behind, 'c');
    await relayed();
    expect((await rows()).map((row) => row.sequence)).toEqual([1, 2, 3]);
  });

  test('counts what it published and what the broker suppressed', async () => {
    const metrics = createMetrics();
    const bus = await openBus({ metrics });
    await record(bus, 'a', 'b');
    await relayed();
    expect(await metrics.exposition()).toContain(
      'homeostat_bus_messages_total{topic="energy_map_updated",outcome="published"} 2',
    );
  });
});
