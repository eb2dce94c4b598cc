import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { type JetStreamManager, jetstreamManager } from '@nats-io/jetstream';
import { connect, type NatsConnection } from '@nats-io/transport-node';
import {
  type Bus,
  type RawAlarm,
  type RawConsumer,
  type RawConsumerOptions,
  type RawMessage,
  TelemetryTooOldError,
} from '../../src/bus/bus.ts';
import { telemetrySubject } from '../../src/bus/topics.ts';
import { createMetrics, type Metrics } from '../../src/observability.ts';
import { openTestBus, startTestBroker, type TestBroker, until } from '../support/broker.ts';
import { createFakeClock } from '../support/fake-clock.ts';
import { openTestStore, type TestStore } from '../support/stores.ts';

const subject = telemetrySubject('lab', 'west', 'n1');

let broker: TestBroker;
let stored: TestStore;
let metrics: Metrics;
let bus: Bus;
let nats: NatsConnection;
let manager: JetStreamManager;
let consumers: RawConsumer[];

beforeEach(async () => {
  broker = await startTestBroker();
  stored = await openTestStore();
  metrics = createMetrics();
  ({ bus } = await openTestBus({ store: stored.store, broker, metrics }));
  const { host, username, password } = new URL(broker.url);
  nats = await connect({
    servers: host,
    user: username,
    pass: password,
    maxReconnectAttempts: -1,
    reconnectTimeWait: 50,
  });
  manager = await jetstreamManager(nats);
  consumers = [];
});

afterEach(async () => {
  for (const consumer of consumers) await consumer.stop();
  await bus.close();
  await nats.close();
  await broker.stop();
  await stored.dispose();
});

/** Publishes messages whose payload is a 32-bit number. */
async function publish(count: number, first = 0, to = subject): Promise<void> {
  for (let from = 0; from < count; from += 20_000)
    await Promise.all(
      range(Math.min(count, from + 20_000), from).map((i) =>
        bus.publishTelemetry(to, new Uint8Array(Uint32Array.of(first + i).buffer)),
      ),
    );
}

const numberIn = (data: Uint8Array) => new DataView(data.buffer, data.byteOffset).getUint32(0, true);
const range = (end: number, first = 0) => Array.from({ length: end - first }, (_, i) => first + i);

interface Seen {
  readonly consumer: RawConsumer;
  readonly numbers: number[];
  readonly sequences: number[];
  readonly alarms: RawAlarm[];
}

async function consume(options: Partial<RawConsumerOptions> = {}, on: Bus = bus): Promise<Seen> {
  const numbers: number[] = [];
  const sequences: number[] = [];
  const alarms: RawAlarm[] = [];
  const consumer = await on.consumeTelemetry({
    durable: 'test',
    startSequence: 1,
    onMessage(message) {
      numbers.push(numberIn(message.data));
      sequences.push(message.sequence);
    },
    onAlarm: (alarm) => void alarms.push(alarm),
    ...options,
  });
  consumers.push(consumer);
  return { consumer, numbers, sequences, alarms };
}

const info = () => manager.consumers.info('TELEMETRY', 'test');

describe('the consumer of telemetry', () => {
  test('hands over every message in order, with subject, payload, place and time', async () => {
    const before = Date.now();
    await publish(40_000, 0);
    const first: RawMessage[] = [];
    const { numbers, sequences } = await consume({
      onMessage: (message) => first.push({ ...message, data: message.data.slice() }),
    });
    await until(() => first.length === 40_000);
    expect(numbers).toEqual([]);
    expect(sequences).toEqual([]);
    expect(first.map((message) => message.sequence)).toEqual(range(40_001, 1));
    expect(first.map((message) => numberIn(message.data))).toEqual(range(40_000));
    expect(first[0]!.subject).toBe(subject);
    expect(first[0]!.receivedAtMs).toBeGreaterThanOrEqual(before);
    expect(first[0]!.receivedAtMs).toBeLessThanOrEqual(Date.now());
  });

  test('hands over nothing below the sequence wanted', async () => {
    await publish(10);
    const { sequences } = await consume({ startSequence: 8 });
    await until(() => sequences.length === 3);
    expect(sequences).toEqual([8, 9, 10]);
  });

  test('acknowledges everything up to a sequence at once', async () => {
    await publish(100);
    const { consumer, sequences } = await consume();
    await until(() => sequences.length === 100);
    expect((await info()).num_ack_pending).toBe(100);
    consumer.acknowledge(60);
    await until(async () => (await info()).ack_floor.stream_seq === 60);
    expect((await info()).num_ack_pending).toBe(40);
    consumer.acknowledge(50); // Covered already.
    consumer.acknowledge(101); // Never handed over.
    consumer.acknowledge(100);
    await until(async () => (await info()).num_ack_pending === 0);
  });

  test('acknowledges across holes in the stream', async () => {
    await publish(10);
    for (const seq of [3, 4, 8]) await manager.streams.deleteMessage('TELEMETRY', seq);
    const { consumer, sequences } = await consume();
    await until(() => sequences.length === 7);
    expect(sequences).toEqual([1, 2, 5, 6, 7, 9, 10]);
    for (const [sequence, left] of [
      [2, 5],
      [6, 3],
      [9, 1],
      [10, 0],
    ] as const) {
      consumer.acknowledge(sequence);
      await until(async () => (await info()).num_ack_pending === left);
    }
  });

  test('really stops asking while paused, and goes on where it was', async () => {
    const { consumer, numbers } = await consume();
    await publish(10);
    await until(() => numbers.length === 10);
    consumer.pause();
    await publish(60_000, 10);
    // What was asked for before still comes, and is bounded.
    await until(async () => {
      const { num_waiting: requests, delivered } = await info();
      return requests === 0 && delivered.consumer_seq === numbers.length;
    });
    const handed = numbers.length;
    expect(handed).toBeLessThanOrEqual(10 + 16_384);
    await publish(1, 60_010);
    expect((await info()).delivered.consumer_seq).toBe(handed);
    consumer.resume();
    await until(() => numbers.length === 60_011);
    expect(numbers).toEqual(range(60_011));
    expect(consumer.lag()).toBe(0);
  });

  test('takes large messages, and no more than its bytes at a time', async () => {
    const large = new Uint8Array(900_000).fill(7);
    await Promise.all(Array.from({ length: 30 }, () => bus.publishTelemetry(subject, large)));
    let bytes = 0;
    const { consumer } = await consume({
      onMessage(message) {
        bytes += message.data.length;
        if (bytes === large.length) consumer.pause();
      },
    });
    await until(() => bytes > 0);
    await until(async () => {
      const { num_waiting: requests, delivered } = await info();
      return requests === 0 && delivered.consumer_seq * large.length === bytes;
    });
    expect(bytes).toBeLessThanOrEqual(8 * 1024 * 1024);
    consumer.resume();
    await until(() => bytes === 30 * large.length);
  });

  test('is handed over again from its checkpoint after a crash, not from what was acknowledged', async () => {
    await publish(50);
    const first = await consume();
    await until(() => first.sequences.length === 50);
    first.consumer.acknowledge(30);
    await first.consumer.stop();
    const second = await consume({ startSequence: 21 });
    await until(() => second.sequences.length === 30);
    expect(second.sequences).toEqual(range(51, 21));
    expect(second.alarms).toEqual([]);
  });

  test('goes on through a kill of the broker without loss, repeat or alarm', async () => {
    const { consumer, sequences, alarms } = await consume();
    await publish(20_000);
    await until(() => sequences.length === 20_000);
    await broker.restart();
    await until(() => bus.connected());
    await publish(1_000, 20_000);
    await until(() => sequences.length === 21_000);
    expect(sequences).toEqual(range(21_001, 1));
    expect(alarms).toEqual([]);
    consumer.acknowledge(21_000);
    await until(async () => (await info()).ack_floor.stream_seq === 21_000);
  });

  test('reads a stream made anew from its start, with an alarm', async () => {
    const { consumer, numbers, sequences, alarms } = await consume();
    await publish(10);
    await until(() => sequences.length === 10);
    consumer.acknowledge(10);
    await manager.streams.delete('TELEMETRY');
    await until(() => alarms.length === 1);
    await publish(3, 100);
    await until(() => sequences.length === 13);
    expect(alarms).toEqual([{ kind: 'STREAM_RECREATED', sequence: 1 }]);
    expect(sequences.slice(10)).toEqual([1, 2, 3]);
    expect(numbers.slice(10)).toEqual([100, 101, 102]);
    consumer.acknowledge(3);
    await until(async () => (await info()).ack_floor.stream_seq === 3);
    expect(await metrics.exposition()).toContain('homeostat_bus_alarms_total{kind="stream_recreated"} 1');
  });

  test('tells a stream made anew while it was stopped, even one that has grown beyond the checkpoint', async () => {
    const first = await consume();
    await publish(5);
    await until(() => first.sequences.length === 5);
    first.consumer.acknowledge(5);
    await until(async () => (await stored.store.readable()) && (await identityIsSaved()));
    await first.consumer.stop();
    const { config } = await manager.streams.info('TELEMETRY');
    await manager.streams.delete('TELEMETRY');
    await manager.streams.add(config);
    await publish(8, 100);
    const second = await consume({ startSequence: 6 });
    await until(() => second.sequences.length === 8);
    expect(second.alarms).toEqual([{ kind: 'STREAM_RECREATED', sequence: 1 }]);
    expect(second.numbers).toEqual(range(108, 100));
  });

  test('reads a stream that ends below the checkpoint from its end, with an alarm', async () => {
    await publish(5);
    const { sequences, alarms } = await consume({ startSequence: 1_000 });
    expect(alarms).toEqual([{ kind: 'STREAM_BEHIND_CHECKPOINT', sequence: 6 }]);
    await publish(2, 5);
    await until(() => sequences.length === 2);
    expect(sequences).toEqual([6, 7]);
  });

  test('counts what the stream dropped before it was read', async () => {
    await publish(10);
    await manager.streams.purge('TELEMETRY', { seq: 6 });
    const { sequences } = await consume({ startSequence: 3 });
    await until(() => sequences.length === 5);
    expect(sequences).toEqual(range(11, 6));
    expect(await metrics.exposition()).toContain('homeostat_bus_alarms_total{kind="tail_lost"} 1');
  });

  test('is made anew when its consumer is deleted under it', async () => {
    const { sequences } = await consume();
    await publish(5);
    await until(() => sequences.length === 5);
    await manager.consumers.delete('TELEMETRY', 'test');
    await publish(5, 5);
    await until(() => sequences.length === 10);
    expect(sequences).toEqual(range(11, 1));
  });

  test('is made anew, with an alarm, when the stream is ahead and nothing comes for 15 seconds', async () => {
    const clock = createFakeClock();
    const { bus: slow } = await openTestBus({ store: stored.store, broker, clock, metrics: createMetrics() });
    const { consumer, sequences, alarms } = await consume({}, slow);
    await publish(1);
    await until(() => sequences.length === 1);
    expect(consumer.lag()).toBe(0);
    // A stream that is ahead of a consumer which does not deliver: its request was eaten by somebody else.
    await manager.consumers.update('TELEMETRY', 'test', { max_ack_pending: 1 });
    await publish(5, 1);
    await until(async () => {
      await clock.advance(2_500);
      return consumer.lag() === 5;
    });
    expect(alarms).toEqual([]);
    await until(async () => {
      await clock.advance(5_000);
      return alarms.length > 0;
    });
    expect(alarms).toEqual([{ kind: 'CONSUMER_STALLED', sequence: 2 }]);
    await until(() => sequences.length === 6);
    expect(sequences).toEqual(range(7, 1));
    await consumers.pop()!.stop();
    await slow.close();
  });

  test('raises the alarm when unread messages come near the limits of the stream', async () => {
    const clock = createFakeClock(Date.now() + 22 * 3_600_000);
    const observed = createMetrics();
    const { bus: late } = await openTestBus({ store: stored.store, broker, clock, metrics: observed });
    const { consumer, sequences } = await consume({}, late);
    await publish(3);
    await until(() => sequences.length === 3);
    consumer.acknowledge(2);
    const alarmed = async () => (await observed.exposition()).includes('kind="tail_at_risk"');
    await until(async () => {
      await clock.advance(5_000);
      return alarmed();
    });
    await consumers.pop()!.stop();
    await late.close();
  });

  test('leaves no timers behind', async () => {
    const clock = createFakeClock();
    const { bus: other } = await openTestBus({
      store: stored.store,
      broker,
      clock,
      metrics: createMetrics(),
    });
    const { consumer } = await consume({}, other);
    await consumer.stop();
    await other.close();
    expect(clock.pending()).toBe(0);
  });
});

async function identityIsSaved(): Promise<boolean> {
  const rows = await stored.store
    .query<{ bus_stream: { durable: string } }>()
    .selectFrom('bus_stream')
    .selectAll()
    .execute();
  return rows.length > 0;
}

describe('publishing telemetry', () => {
  test('resolves with the place in the stream, many at a time', async () => {
    const places = await Promise.all(
      range(1_000).map(() => bus.publishTelemetry(subject, new Uint8Array(1))),
    );
    expect(places).toEqual(range(1_001, 1));
  });

  test('is refused with a retry delay while the broker is away, and taken when it is back', async () => {
    const pending = Promise.allSettled(
      range(2_000).map(() => bus.publishTelemetry(subject, new Uint8Array(500))),
    );
    await broker.kill();
    for (const outcome of await pending)
      if (outcome.status === 'rejected') expect(outcome.reason).toMatchObject({ reason: 'BROKER_DOWN' });
    await until(async () => {
      try {
        await bus.publishTelemetry(subject, new Uint8Array(1));
        return true;
      } catch (error) {
        expect(error).toMatchObject({
          domain: 'homeostat.edge',
          reason: 'BROKER_DOWN',
          kind: 'UNAVAILABLE',
          retryAfterMs: 1_000,
        });
        return false;
      }
    });
  });

  test('is refused beyond the bound of unacknowledged messages', async () => {
    process.kill(broker.pid(), 'SIGSTOP');
    try {
      const outcomes = range(32_769).map(() => bus.publishTelemetry(subject, new Uint8Array(1)));
      const others = Promise.allSettled(outcomes.slice(0, -1));
      await expect(outcomes.at(-1)).rejects.toMatchObject({
        reason: 'OVERLOADED',
        kind: 'RESOURCE_EXHAUSTED',
      });
      process.kill(broker.pid(), 'SIGCONT');
      expect((await others).every((outcome) => outcome.status === 'fulfilled')).toBe(true);
    } finally {
      process.kill(broker.pid(), 'SIGCONT');
    }
  });

  test('is refused when the stream is gone', async () => {
    await manager.streams.delete('TELEMETRY');
    await expect(bus.publishTelemetry(subject, new Uint8Array(1))).rejects.toMatchObject({
      reason: 'BROKER_DOWN',
    });
  });

  test('never loses a repeat to the duplicate window of the broker', async () => {
    const { config } = await manager.streams.info('TELEMETRY');
    expect(config.duplicate_window).toBe(100e6);
    const places = [
      await bus.publishTelemetry(subject, new Uint8Array(1)),
      await bus.publishTelemetry(subject, new Uint8Array(1)),
    ];
    expect(places).toEqual([1, 2]);
  });
});

describe('reading telemetry beside the consumer', () => {
  const other = telemetrySubject('lab', 'east', 'n1');

  async function read(
    count: number,
    options: { filter: string; startSequence?: number },
  ): Promise<RawMessage[]> {
    const abort = new AbortController();
    const got: RawMessage[] = [];
    for await (const message of bus.readTelemetry({ ...options, signal: abort.signal })) {
      got.push(message);
      if (got.length === count) abort.abort();
    }
    return got;
  }

  test('gives the messages of a filter in order from a sequence on', async () => {
    await publish(3, 0);
    await publish(2, 10, other);
    await publish(1_000, 20);
    const got = await read(1_001, { filter: subject, startSequence: 3 });
    expect(got.map((message) => message.sequence)).toEqual([3, ...range(1_006, 6)]);
    expect(got.map((message) => numberIn(message.data))).toEqual([2, ...range(1_020, 20)]);
    expect(
      (await read(2, { filter: 'homeostat.telemetry.v1.lab.east.*', startSequence: 1 })).map(
        (m) => m.subject,
      ),
    ).toEqual([other, other]);
  });

  test('gives only new messages without a sequence, and ends when the signal aborts', async () => {
    await publish(3);
    const reading = read(2, { filter: subject });
    await until(async () => (await manager.streams.info('TELEMETRY')).state.consumer_count === 1);
    await publish(2, 3);
    expect((await reading).map((message) => message.sequence)).toEqual([4, 5]);
    await until(async () => (await manager.streams.info('TELEMETRY')).state.consumer_count === 0);
  });

  test('says what the oldest is when the first wanted one is no longer held', async () => {
    await publish(10);
    await manager.streams.purge('TELEMETRY', { seq: 6 });
    const reading = read(1, { filter: subject, startSequence: 2 });
    await expect(reading).rejects.toBeInstanceOf(TelemetryTooOldError);
    await expect(reading).rejects.toMatchObject({ oldest: 6, asked: 2 });
  });

  test('ends at once with a signal that is aborted already', async () => {
    const got: RawMessage[] = [];
    for await (const message of bus.readTelemetry({ filter: subject, signal: AbortSignal.abort() }))
      got.push(message);
    expect(got).toEqual([]);
  });
});

describe('dead letters', () => {
  const letter = (sequence: number, to = subject) => ({
    sequence,
    subject: to,
    receivedAtMs: 1_700_000_000_000 + sequence,
    payload: Uint8Array.of(sequence),
    reasons: 'MALFORMED=1,NOT_FINITE=3',
    detail: `größer als erlaubt\nZeile ${sequence}`,
    whole: sequence % 2 === 0,
  });

  test('are listed in order, in pages, as they were written', async () => {
    await bus.writeDeadLetters(range(600).map((sequence) => letter(sequence)));
    const first = await bus.listDeadLetters({ after: 0, limit: 400 });
    const rest = await bus.listDeadLetters({ after: first.at(-1)!.place, limit: 400 });
    expect([...first, ...rest].map((one) => one.sequence)).toEqual(range(600));
    expect(await bus.listDeadLetters({ after: rest.at(-1)!.place, limit: 400 })).toEqual([]);
    expect(first[3]).toEqual({ ...letter(3), detail: 'größer als erlaubt Zeile 3', place: 4 });
  });

  test('are found by the beginning of their subject', async () => {
    const other = telemetrySubject('lab', 'east', 'n9');
    await bus.writeDeadLetters(
      range(700).map((sequence) => letter(sequence, sequence % 100 === 5 ? other : subject)),
    );
    const found = await bus.listDeadLetters({
      after: 0,
      limit: 5,
      subjectPrefix: 'homeostat.telemetry.v1.lab.east.',
    });
    expect(found.map((one) => one.sequence)).toEqual([5, 105, 205, 305, 405]);
  });

  test('are one letter when written twice', async () => {
    await bus.writeDeadLetters([letter(1), letter(2)]);
    await bus.writeDeadLetters([letter(1)]);
    expect((await bus.listDeadLetters({ after: 0, limit: 10 })).map((one) => one.sequence)).toEqual([1, 2]);
  });

  test('with an empty payload do not cut the listing short', async () => {
    await bus.writeDeadLetters([{ ...letter(1), payload: new Uint8Array(0) }, letter(2)]);
    expect((await bus.listDeadLetters({ after: 0, limit: 10 })).map((one) => one.payload.length)).toEqual([
      0, 1,
    ]);
  });

  test('are refused while the broker is away', async () => {
    await broker.kill();
    await until(() => !bus.connected());
    await expect(bus.writeDeadLetters([letter(1)])).rejects.toMatchObject({ reason: 'BROKER_DOWN' });
  });
});
