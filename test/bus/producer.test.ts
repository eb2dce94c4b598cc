import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { type JetStreamManager, jetstreamManager } from '@nats-io/jetstream';
import { connect, type NatsConnection } from '@nats-io/transport-node';
import { type ManagedNats, startManagedNats } from '../../src/bus/managed-nats.ts';
import { connectProducer, type Producer } from '../../src/bus/producer.ts';
import { TELEMETRY_FILTER, telemetrySubject } from '../../src/bus/topics.ts';
import { createLogger } from '../../src/observability.ts';
import { systemSecrets } from '../../src/secrets.ts';
import { until } from '../support/broker.ts';

const STREAM = 'TELEMETRY';
const subject = telemetrySubject('lab', 'west', 'n1');

let dataDir: string;
let broker: ManagedNats;
let nats: NatsConnection;
let streams: JetStreamManager;
let producer: Producer;

async function openStream(): Promise<void> {
  const { username, password, host } = new URL(broker.serverUrl);
  nats = await connect({
    servers: host,
    user: username,
    pass: password,
    maxReconnectAttempts: -1,
    reconnectTimeWait: 20,
  });
  streams = await jetstreamManager(nats);
}

const addStream = () => streams.streams.add({ name: STREAM, subjects: [TELEMETRY_FILTER], storage: 'file' });

/** Numbers of all stored messages, in the order of the stream. */
async function stored(): Promise<number[]> {
  const { state } = await streams.streams.info(STREAM);
  const numbers: number[] = [];
  for (let sequence = state.first_seq; sequence <= state.last_seq; sequence++) {
    const message = await streams.streams.getMessage(STREAM, { seq: sequence });
    numbers.push(Number(Buffer.from(message!.data).toString()));
  }
  return numbers;
}

const number = (n: number) => new TextEncoder().encode(String(n));

beforeAll(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'homeostat-producer-'));
  broker = await startManagedNats({
    dataDir,
    fileBytesMax: 64e6,
    logger: createLogger('silent'),
    secrets: systemSecrets,
  });
  await openStream();
});

afterAll(async () => {
  await nats.close();
  await broker.stop();
  await rm(dataDir, { recursive: true, force: true });
});

beforeEach(async () => {
  await addStream();
  producer = await connectProducer({ url: broker.producerUrl, ackTimeoutMs: 500 });
});

afterEach(async () => {
  await producer.close();
  await streams.streams.delete(STREAM).catch(() => undefined); // The test may have removed it.
});

describe('a producer', () => {
  test('resolves with the acknowledgement, in order, and never has more in flight than its window', async () => {
    const narrow = await connectProducer({ url: broker.producerUrl, inFlightMax: 16 });
    const acknowledged: number[] = [];
    for (let n = 0; n < 300; n++) {
      await narrow.ready();
      expect(narrow.inFlight).toBeLessThan(16);
      void narrow.publish(subject, number(n)).then(() => acknowledged.push(n));
    }
    await narrow.idle();
    expect(narrow.resent).toBe(0);
    await narrow.close();
    expect(acknowledged).toEqual(Array.from({ length: 300 }, (_, n) => n));
    expect(await stored()).toEqual(acknowledged);
  });

  test('loses nothing and keeps the order when the broker is killed under it', async () => {
    const total = 3_000;
    const sent: Promise<number>[] = [];
    for (let n = 0; n < total; n++) {
      await producer.ready();
      sent.push(producer.publish(subject, number(n)));
      if (n === 1_000) process.kill(broker.pid(), 'SIGKILL');
    }
    await Promise.all(sent);
    expect(broker.restarts()).toBeGreaterThan(0);
    // The test's own connection has to come back as well before it can look.
    await until(
      () =>
        streams.streams.info(STREAM).then(
          () => true,
          () => false,
        ),
      30_000,
    );
    const seen = new Set<number>();
    const firsts: number[] = [];
    for (const n of await stored()) {
      if (!seen.has(n)) firsts.push(n);
      seen.add(n);
    }
    expect(firsts).toEqual(Array.from({ length: total }, (_, n) => n));
  });

  test('waits for a stream that is not there yet', async () => {
    await streams.streams.delete(STREAM);
    const sent = [0, 1, 2].map((n) => producer.publish(subject, number(n)));
    await nats.flush(); // The refusals are on their way back.
    expect(producer.inFlight).toBe(3);
    await addStream();
    expect(await Promise.all(sent)).toEqual([1, 2, 3]);
    expect(await stored()).toEqual([0, 1, 2]);
  });

  test('rejects only the message on a subject it may not use', async () => {
    const forged = producer.publish('homeostat.energy.v1.energy_map_updated.x', number(1));
    const good = producer.publish(subject, number(2));
    await expect(forged).rejects.toMatchObject({ reason: 'PUBLISH_REFUSED' });
    await good;
    expect(await stored()).toEqual([2]);
  });

  test('rejects only the message that is too large', async () => {
    const large = producer.publish(subject, new Uint8Array(9e6));
    const good = producer.publish(subject, number(2));
    await expect(large).rejects.toMatchObject({ reason: 'PUBLISH_REFUSED' });
    await good;
  });

  test('rejects what is unacknowledged when it is closed, and everything after', async () => {
    await streams.streams.delete(STREAM);
    const waiting = producer.publish(subject, number(1));
    await producer.close();
    await expect(waiting).rejects.toMatchObject({ reason: 'PRODUCER_CLOSED' });
    await expect(producer.publish(subject, number(2))).rejects.toMatchObject({ reason: 'PRODUCER_CLOSED' });
    await producer.idle();
  });

  test('says in one sentence that the broker cannot be reached', async () => {
    const closed = new URL(broker.producerUrl);
    closed.port = '1';
    await expect(connectProducer({ url: closed.href })).rejects.toMatchObject({
      reason: 'BROKER_UNREACHABLE',
      message: expect.stringMatching(/^The NATS server at 127\.0\.0\.1:1 cannot be used/),
    });
  });
});
