import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { jetstreamManager } from '@nats-io/jetstream';
import { connect } from '@nats-io/transport-node';
import type { Bus } from '../../src/bus/bus.ts';
import { durabilityIn, managedDurability } from '../../src/bus/durability.ts';
import { type OpenBusOptions, openBus } from '../../src/bus/open.ts';
import { freePort } from '../../src/bus/port.ts';
import { limitsFor } from '../../src/bus/streams.ts';
import { telemetrySubject, topicFilter, topics } from '../../src/bus/topics.ts';
import { systemClock } from '../../src/clock.ts';
import { createLogger, createMetrics } from '../../src/observability.ts';
import { startTestBroker, until } from '../support/broker.ts';
import { openTestStore, type TestStore } from '../support/stores.ts';

const logger = createLogger('silent');
const GIB = 1024 ** 3;

let dataDir: string;
let stored: TestStore;
let open: Bus[];

beforeEach(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'homeostat-open-'));
  stored = await openTestStore();
  open = [];
});

afterEach(async () => {
  for (const bus of open) await bus.close();
  await stored.dispose();
  await rm(dataDir, { recursive: true, force: true });
});

async function start(overrides: Partial<OpenBusOptions> = {}): Promise<Bus> {
  const bus = await openBus({
    dataDir,
    clock: systemClock,
    logger,
    metrics: createMetrics(),
    store: stored.store,
    ...overrides,
  });
  open.push(bus);
  return bus;
}

describe('opening the bus', () => {
  test('starts a broker where none is named, and stops it when it closes', async () => {
    const bus = await start();
    expect(bus.connected()).toBe(true);
    expect(bus.broker.address).toMatch(/^127\.0\.0\.1:\d+$/);
    expect(bus.broker.version).toMatch(/^\d+\.\d+\.\d+$/);
    expect(await bus.publishTelemetry(telemetrySubject('a', 'b', 'c'), new Uint8Array(1))).toBe(1);
    await open.pop()!.close();
    expect(bus.connected()).toBe(false);
    const again = await start();
    expect(again.broker.address).toBe(bus.broker.address);
    expect(await again.publishTelemetry(telemetrySubject('a', 'b', 'c'), new Uint8Array(1))).toBe(2);
  });

  test('claims no more durability than the broker has', async () => {
    const bus = await start();
    const [major, minor] = bus.broker.version.split('.').map(Number) as [number, number];
    expect(bus.durability).toBe(major > 2 || minor >= 10 ? 'SYNCED' : 'BUFFERED');
    expect(managedDurability([2, 9, 25])).toBe('BUFFERED');
    expect(managedDurability([2, 10, 0])).toBe('SYNCED');
    expect(durabilityIn({ data: { jetstream: { config: { sync_always: true, sync_interval: 1e9 } } } })).toBe(
      'SYNCED',
    );
    expect(durabilityIn({ data: { jetstream: { config: { sync_interval: 120e9 } } } })).toBe('BUFFERED');
    expect(durabilityIn({ data: { jetstream: {} } })).toBe('UNKNOWN');
    expect(durabilityIn({})).toBe('UNKNOWN');
  });

  test('makes the streams with their limits', async () => {
    const broker = await startTestBroker();
    try {
      await start({ natsUrl: broker.url });
      const { host, username, password } = new URL(broker.url);
      const nats = await connect({ servers: host, user: username, pass: password });
      const { streams } = await jetstreamManager(nats);
      const telemetry = (await streams.info('TELEMETRY')).config;
      expect(telemetry).toMatchObject({
        subjects: ['homeostat.telemetry.v1.*.*.*'],
        max_age: 86_400e9,
        storage: 'file',
        discard: 'old',
      });
      expect(telemetry.max_bytes).toBeLessThanOrEqual(8 * GIB);
      const recorded = Object.values(topics).filter((topic) => topic.delivery === 'recorded');
      expect((await streams.info('EVENTS')).config).toMatchObject({
        subjects: recorded.map(topicFilter),
        max_age: 7 * 86_400e9,
      });
      expect((await streams.info('DEAD_LETTERS')).config).toMatchObject({ max_age: 7 * 86_400e9 });
      await nats.close();
    } finally {
      for (const bus of open.splice(0)) await bus.close();
      await broker.stop();
    }
  });

  test('leaves the limits of an outside broker to its operator, and adds the subjects it needs', async () => {
    const broker = await startTestBroker();
    const { host, username, password } = new URL(broker.url);
    const nats = await connect({ servers: host, user: username, pass: password });
    try {
      const { streams } = await jetstreamManager(nats);
      await streams.add({
        name: 'TELEMETRY',
        subjects: ['homeostat.telemetry.v1.*.*.*'],
        max_bytes: 1_000_000,
      });
      await streams.add({ name: 'EVENTS', subjects: ['operator.own'], max_age: 3_600e9 });
      await start({ natsUrl: broker.url });
      expect((await streams.info('TELEMETRY')).config.max_bytes).toBe(1_000_000);
      const events = (await streams.info('EVENTS')).config;
      expect(events.max_age).toBe(3_600e9);
      expect(events.subjects).toEqual(
        expect.arrayContaining(['operator.own', topicFilter(topics.windowClosed)]),
      );
    } finally {
      for (const bus of open.splice(0)) await bus.close();
      await nats.close();
      await broker.stop();
    }
  });

  test('says in one sentence that the named server cannot be reached', async () => {
    const port = await freePort();
    await expect(start({ natsUrl: `nats://user:secret@127.0.0.1:${port}` })).rejects.toMatchObject({
      domain: 'homeostat.bus',
      reason: 'BROKER_UNREACHABLE',
      message: `The NATS server at 127.0.0.1:${port} cannot be used: connection refused.`,
    });
  });

  test('says that the credentials are refused, without showing them', async () => {
    const broker = await startTestBroker();
    try {
      const url = broker.url.replace(/:[0-9a-f]{48}@/, ':wrong-secret@');
      const refused = await start({ natsUrl: url }).catch((error: Error) => error);
      expect(refused).toMatchObject({ reason: 'BROKER_UNREACHABLE' });
      expect((refused as Error).message).toMatch(/authorization/i);
      expect((refused as Error).message).not.toContain('wrong-secret');
    } finally {
      await broker.stop();
    }
  });

  test('says that a credentials file is missing', async () => {
    await expect(
      start({ natsUrl: 'nats://127.0.0.1:1', credsFile: '/nowhere/x.creds' }),
    ).rejects.toMatchObject({
      message: expect.stringContaining('/nowhere/x.creds'),
    });
  });

  test('says that the managed port is taken, and leaves nothing running', async () => {
    const squatter = createServer().listen(0, '127.0.0.1');
    await once(squatter, 'listening');
    const { port } = squatter.address() as { port: number };
    try {
      await expect(start({ managedPort: port })).rejects.toMatchObject({ reason: 'BROKER_PORT_TAKEN' });
    } finally {
      squatter.close();
    }
  });

  test('notices that the broker went and came back', async () => {
    const broker = await startTestBroker();
    try {
      const bus = await start({ natsUrl: broker.url });
      await broker.kill();
      await until(() => !bus.connected());
      await until(() => bus.connected());
    } finally {
      for (const bus of open.splice(0)) await bus.close();
      await broker.stop();
    }
  });
});

describe('limits of the streams', () => {
  test('are min(8 GiB, a fifth of the disk) for telemetry', () => {
    expect(limitsFor(1_000 * GIB).telemetryBytes).toBe(8 * GIB);
    expect(limitsFor(10 * GIB).telemetryBytes).toBe(2 * GIB);
    for (const size of [1, 10, 40, 1_000]) {
      const limits = limitsFor(size * GIB);
      expect(limits.telemetryBytes + limits.eventsBytes + limits.deadLettersBytes).toBeLessThan(
        (size * GIB) / 2,
      );
    }
  });
});
