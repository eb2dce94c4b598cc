import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { type JetStreamManager, jetstreamManager } from '@nats-io/jetstream';
import { connect, type Msg, type NatsConnection } from '@nats-io/transport-node';
import { topics } from '../../src/bus/topics.ts';
import { openTestBus, type TestBus } from '../support/broker.ts';
import { openTestStore, type TestStore } from '../support/stores.ts';

const TELEMETRY = 'homeostat.telemetry.v1.lab.west.n1';

let world: TestBus;
let stored: TestStore;
let server: NatsConnection;
let manager: JetStreamManager;
let producer: NatsConnection;
/** What the server's account saw on any subject, and what the broker refused the producer. */
const seen: Msg[] = [];
const refusals: string[] = [];

function login(url: string): Promise<NatsConnection> {
  const { host, username, password } = new URL(url);
  return connect({ servers: host, user: username, pass: password });
}

beforeAll(async () => {
  stored = await openTestStore();
  world = await openTestBus({ store: stored.store });
  server = await login(world.broker.url);
  manager = await jetstreamManager(server);
  producer = await login(world.broker.producerUrl);
  server.subscribe('homeostat.>', { callback: (_error, message) => void seen.push(message) });
  await server.flush();
  void (async () => {
    for await (const status of producer.status())
      if (status.type === 'error') refusals.push(status.error.message);
  })();
});

afterAll(async () => {
  await producer.close();
  await server.close();
  await world.dispose();
  await stored.dispose();
});

/** Resolves when everything sent before has been judged by the broker and seen by the server's account. */
async function judged(): Promise<void> {
  await producer.flush();
  await server.flush();
}

describe('a producer', () => {
  test('publishes telemetry and is told its place', async () => {
    const reply = await producer.request(TELEMETRY, 'x');
    expect(reply.json()).toMatchObject({ stream: 'TELEMETRY', seq: 1 });
    await judged(); // Whoever listens has heard of it before the next test begins.
  });

  test('publishes signals', async () => {
    seen.length = 0;
    producer.publish('homeostat.autonomic.v1.signal.lab.smoke', 'x');
    await judged();
    expect(seen.map((message) => message.subject)).toEqual(['homeostat.autonomic.v1.signal.lab.smoke']);
  });

  test.each([
    'homeostat.telemetry.v1.window_closed.x',
    'homeostat.telemetry.v1.dead_letter.7',
    'homeostat.telemetry.v1.a.b',
    'homeostat.telemetry.v1.a.b.c.d',
    'homeostat.energy.v1.energy_map_updated.x',
    'homeostat.resilience.v1.defense_level_changed.x',
    'homeostat.autonomic.v1.signal',
    'homeostat.bus.v1.dead_event.x',
    '$JS.API.STREAM.DELETE.TELEMETRY',
    '$JS.API.STREAM.PURGE.EVENTS',
    '$JS.API.CONSUMER.MSG.NEXT.TELEMETRY.telemetry',
    '$JS.ACK.TELEMETRY.telemetry.1.1.1.1.0',
    '$SYS.REQ.SERVER.PING',
    '_HOMEOSTAT_INBOX.x',
    '_INBOX.x',
    'anything',
  ])('publishes nothing on %s', async (subject) => {
    seen.length = 0;
    refusals.length = 0;
    producer.publish(subject, 'forged');
    await judged();
    expect(seen).toEqual([]);
    expect(refusals).toEqual([expect.stringContaining(`"${subject}"`)]);
  });

  test.each([
    '>',
    'homeostat.>',
    'homeostat.telemetry.v1.*.*.*',
    'homeostat.energy.v1.energy_map_updated.*',
    '$JS.>',
    '$JS.API.>',
    '_HOMEOSTAT_INBOX.>',
    '$SYS.>',
  ])('hears nothing on %s', async (subject) => {
    refusals.length = 0;
    const heard: Msg[] = [];
    producer.subscribe(subject, {
      callback: (error, message) => {
        if (!error) heard.push(message);
      },
    });
    await judged();
    server.publish('homeostat.energy.v1.energy_map_updated.x', 'real');
    await world.bus.publishTelemetry(TELEMETRY, new Uint8Array([1]));
    await judged();
    expect(heard).toEqual([]);
    expect(refusals).toEqual([expect.stringContaining(`"${subject}"`)]);
  });

  test('hears no reply to the server while listening to every inbox', async () => {
    const heard: Msg[] = [];
    producer.subscribe('_INBOX.>', { callback: (_error, message) => void heard.push(message) });
    await judged();
    await world.bus.publishTelemetry(TELEMETRY, new Uint8Array([1]));
    await world.bus.listDeadLetters({ after: 0, limit: 1 });
    await manager.streams.info('TELEMETRY'); // A client that keeps the default inbox, in the server's account.
    await judged();
    expect(heard).toEqual([]);
  });

  test('cannot lead the acknowledgement of its telemetry to an event subject', async () => {
    const forged = 'homeostat.energy.v1.energy_map_updated.forged';
    const before = await manager.streams.info('EVENTS');
    seen.length = 0;
    producer.publish(TELEMETRY, 'x', { reply: forged });
    await judged();
    await producer.request(TELEMETRY, 'x'); // Acknowledged after the one before it.
    await judged();
    expect(seen.map((message) => message.subject)).toEqual([TELEMETRY, TELEMETRY]);
    expect((await manager.streams.info('EVENTS')).state.last_seq).toBe(before.state.last_seq);
  });

  test('cannot lead the acknowledgement of its telemetry to the API that purges events', async () => {
    const { store } = stored;
    await store.transact((tx) => world.bus.record(tx, topics.energyMapUpdated, 'kept', {}));
    const messages = async () => (await manager.streams.info('EVENTS')).state.messages;
    for (let held = 0; held === 0; held = await messages());
    const before = await messages();
    for (let i = 0; i < 10; i++) await producer.request(TELEMETRY, 'x');
    producer.publish(TELEMETRY, 'x', { reply: '$JS.API.STREAM.PURGE.EVENTS' });
    await producer.request(TELEMETRY, 'x');
    await judged();
    expect(await messages()).toBe(before);
  });
});
