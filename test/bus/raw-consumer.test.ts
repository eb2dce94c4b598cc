import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import type { Bus, RawAlarm, RawConsumer, RawConsumerOptions, RawMessage } from '../../src/bus/bus.ts';
import { telemetrySubject } from '../../src/bus/topics.ts';
import { createMetrics } from '../../src/observability.ts';
import { until } from '../support/broker.ts';
import { createFakeClock } from '../support/fake-clock.ts';
import { type BusWorld, numberIn, openBusWorld, range } from './world.ts';

const subject = telemetrySubject('lab', 'west', 'n1');

let world: BusWorld;
let consumers: RawConsumer[];

beforeEach(async () => {
  world = await openBusWorld();
  consumers = [];
});

afterEach(async () => {
  for (const consumer of consumers) await consumer.stop();
  await world.dispose();
});

interface Seen {
  readonly consumer: RawConsumer;
  readonly numbers: number[];
  readonly sequences: number[];
  readonly alarms: RawAlarm[];
}

async function consume(options: Partial<RawConsumerOptions> = {}, on: Bus = world.bus): Promise<Seen> {
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

const info = () => world.manager.consumers.info('TELEMETRY', 'test');

describe('the consumer of telemetry', () => {
  test('hands over every message in order, with subject, payload, place and time', async () => {
    const before = Date.now();
    await world.publishNumbers(subject, 40_000, 0);
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
    await world.publishNumbers(subject, 10);
    const { sequences } = await consume({ startSequence: 8 });
    await until(() => sequences.length === 3);
    expect(sequences).toEqual([8, 9, 10]);
  });

  test('acknowledges everything up to a sequence at once', async () => {
    await world.publishNumbers(subject, 100);
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
    await world.publishNumbers(subject, 10);
    for (const seq of [3, 4, 8]) await world.manager.streams.deleteMessage('TELEMETRY', seq);
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
    await world.publishNumbers(subject, 10);
    await until(() => numbers.length === 10);
    consumer.pause();
    await world.publishNumbers(subject, 60_000, 10);
    // What was asked for before still comes, and is bounded.
    await until(async () => {
      const { num_waiting: requests, delivered } = await info();
      return requests === 0 && delivered.consumer_seq === numbers.length;
    });
    const handed = numbers.length;
    expect(handed).toBeLessThanOrEqual(10 + 16_384);
    await world.publishNumbers(subject, 1, 60_010);
    expect((await info()).delivered.consumer_seq).toBe(handed);
    consumer.resume();
    await until(() => numbers.length === 60_011);
    expect(numbers).toEqual(range(60_011));
    expect(consumer.lag()).toBe(0);
  });

  test('takes large messages, and no more than its bytes at a time', async () => {
    const large = new Uint8Array(900_000).fill(7);
    await Promise.all(Array.from({ length: 30 }, () => world.bus.publishTelemetry(subject, large)));
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
    await world.publishNumbers(subject, 50);
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
    await world.publishNumbers(subject, 20_000);
    await until(() => sequences.length === 20_000);
    await world.broker.restart();
    await until(() => world.bus.connected());
    await world.publishNumbers(subject, 1_000, 20_000);
    await until(() => sequences.length === 21_000);
    expect(sequences).toEqual(range(21_001, 1));
    expect(alarms).toEqual([]);
    consumer.acknowledge(21_000);
    await until(async () => (await info()).ack_floor.stream_seq === 21_000);
  });

  test('reads a stream made anew from its start, with an alarm', async () => {
    const { consumer, numbers, sequences, alarms } = await consume();
    await world.publishNumbers(subject, 10);
    await until(() => sequences.length === 10);
    consumer.acknowledge(10);
    await world.manager.streams.delete('TELEMETRY');
    await until(() => alarms.length === 1);
    await world.publishNumbers(subject, 3, 100);
    await until(() => sequences.length === 13);
    expect(alarms).toEqual([{ kind: 'STREAM_RECREATED', sequence: 1 }]);
    expect(sequences.slice(10)).toEqual([1, 2, 3]);
    expect(numbers.slice(10)).toEqual([100, 101, 102]);
    consumer.acknowledge(3);
    await until(async () => (await info()).ack_floor.stream_seq === 3);
    expect(await world.metrics.exposition()).toContain(
      'homeostat_bus_alarms_total{kind="stream_recreated"} 1',
    );
  });

  test('tells a stream made anew while it was stopped, even one that has grown beyond the checkpoint', async () => {
    const first = await consume();
    await world.publishNumbers(subject, 5);
    await until(() => first.sequences.length === 5);
    first.consumer.acknowledge(5);
    await until(async () => (await world.store.readable()) && (await identityIsSaved()));
    await first.consumer.stop();
    const { config } = await world.manager.streams.info('TELEMETRY');
    await world.manager.streams.delete('TELEMETRY');
    await world.manager.streams.add(config);
    await world.publishNumbers(subject, 8, 100);
    const second = await consume({ startSequence: 6 });
    await until(() => second.sequences.length === 8);
    expect(second.alarms).toEqual([{ kind: 'STREAM_RECREATED', sequence: 1 }]);
    expect(second.numbers).toEqual(range(108, 100));
  });

  test('reads a stream that ends below the checkpoint from its end, with an alarm', async () => {
    await world.publishNumbers(subject, 5);
    const { sequences, alarms } = await consume({ startSequence: 1_000 });
    expect(alarms).toEqual([{ kind: 'STREAM_BEHIND_CHECKPOINT', sequence: 6 }]);
    await world.publishNumbers(subject, 2, 5);
    await until(() => sequences.length === 2);
    expect(sequences).toEqual([6, 7]);
  });

  test('counts what the stream dropped before it was read', async () => {
    await world.publishNumbers(subject, 10);
    await world.manager.streams.purge('TELEMETRY', { seq: 6 });
    const { sequences } = await consume({ startSequence: 3 });
    await until(() => sequences.length === 5);
    expect(sequences).toEqual(range(11, 6));
    expect(await world.metrics.exposition()).toContain('homeostat_bus_alarms_total{kind="tail_lost"} 1');
  });

  test('is made anew when its consumer is deleted under it', async () => {
    const { sequences } = await consume();
    await world.publishNumbers(subject, 5);
    await until(() => sequences.length === 5);
    await world.manager.consumers.delete('TELEMETRY', 'test');
    await world.publishNumbers(subject, 5, 5);
    await until(() => sequences.length === 10);
    expect(sequences).toEqual(range(11, 1));
  });

  test('is made anew, with an alarm, when the stream is ahead and nothing comes for 15 seconds', async () => {
    const clock = createFakeClock();
    const slow = await world.open({ clock });
    const { consumer, sequences, alarms } = await consume({}, slow);
    await world.publishNumbers(subject, 1);
    await until(() => sequences.length === 1);
    expect(consumer.lag()).toBe(0);
    // A stream that is ahead of a consumer which does not deliver: its request was eaten by somebody else.
    await world.manager.consumers.update('TELEMETRY', 'test', { max_ack_pending: 1 });
    await world.publishNumbers(subject, 5, 1);
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
  });

  test('raises the alarm when unread messages come near the limits of the stream', async () => {
    const clock = createFakeClock(Date.now() + 22 * 3_600_000);
    const observed = createMetrics();
    const late = await world.open({ clock, metrics: observed });
    const { consumer, sequences } = await consume({}, late);
    await world.publishNumbers(subject, 3);
    await until(() => sequences.length === 3);
    consumer.acknowledge(2);
    const alarmed = async () => (await observed.exposition()).includes('kind="tail_at_risk"');
    await until(async () => {
      await clock.advance(5_000);
      return alarmed();
    });
  });

  test('leaves no timers behind', async () => {
    const clock = createFakeClock();
    const other = await world.open({ clock });
    const { consumer } = await consume({}, other);
    await consumer.stop();
    await world.close(other);
    expect(clock.pending()).toBe(0);
  });
});

async function identityIsSaved(): Promise<boolean> {
  const rows = await world.store
    .query<{ bus_stream: { durable: string } }>()
    .selectFrom('bus_stream')
    .selectAll()
    .execute();
  return rows.length > 0;
}
