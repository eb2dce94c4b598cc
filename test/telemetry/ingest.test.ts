/** The whole of telemetry on a real broker and a real store. */
import { timestampFromMs, timestampMs } from '@bufbuild/protobuf/wkt';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { jetstreamManager } from '@nats-io/jetstream';
import { connect } from '@nats-io/transport-node';
import type { Bus } from '../../src/bus/bus.ts';
import { topics } from '../../src/bus/topics.ts';
import type { WindowClosed } from '../../src/gen/homeostat/telemetry/v1/telemetry_events_pb.ts';
import type { Store } from '../../src/store/store.ts';
import { until } from '../support/broker.ts';
import { type BatchInit, CLUSTER, DOMAIN, encodeBatch, START_MS, subjectOf } from './messages.ts';
import { startTelemetryWorld, type TelemetryWorld } from './telemetry-world.ts';

const stream = { domain: DOMAIN, cluster: CLUSTER };

async function send(world: TelemetryWorld, init: BatchInit): Promise<number> {
  return world.bus.publishTelemetry(subjectOf(init.node), encodeBatch(init));
}

/** The report once it covers a place in the broker's stream. */
async function reportAt(world: TelemetryWorld, sequence: number) {
  let report = await world.calls.getIngestReport({ stream }).catch(() => undefined);
  await until(async () => {
    report = await world.calls.getIngestReport({ stream }).catch(() => undefined);
    return report !== undefined && report.brokerSequence! >= BigInt(sequence);
  });
  return report!;
}

/** Collects closed windows as a consumer of events gets them. */
async function collectWindows(world: TelemetryWorld, durable: string) {
  const windows: WindowClosed[] = [];
  const ids = new Set<string>();
  const subscription = await world.bus.consume({
    topic: topics.windowClosed,
    durable,
    handle: async (events) => {
      for (const event of events) {
        ids.add(event.id);
        windows.push(event.message);
      }
    },
  });
  return { windows, ids, subscription };
}

describe('telemetry on a broker', () => {
  let world: TelemetryWorld;
  beforeAll(async () => {
    world = await startTelemetryWorld();
  });
  afterAll(() => world.stop());

  test('accounts for messages, publishes their windows once, and goes on after a restart', async () => {
    const { windows, ids, subscription } = await collectWindows(world, 'windows-1');
    await send(world, {
      sequence: 1,
      samples: [
        [1, 10],
        [9, 20],
      ],
    });
    await send(world, {
      sequence: 1,
      samples: [
        [1, 10],
        [9, 20],
      ],
    });
    const last = await send(world, { sequence: 3, samples: [[15, 1]] });
    const report = await reportAt(world, last);
    expect(report).toMatchObject({
      messages: { offered: 3n, accepted: 2n, duplicate: 1n },
      samples: { offered: 5n, accepted: 3n, duplicate: 2n },
      windowsClosed: 1n,
      windowsOpen: 1,
    });
    expect(timestampMs(report.newestEventTime!)).toBe(START_MS + 15_000);
    expect(timestampMs(report.watermark!)).toBe(START_MS + 13_000);

    await world.restart();
    await send(world, { sequence: 2, samples: [[16, 5]] });
    const end = await send(world, { sequence: 4, samples: [[17, 5]], endOfInput: true });
    expect(await reportAt(world, end)).toMatchObject({
      messages: { offered: 5n, accepted: 4n, duplicate: 1n },
      gaps: { open: 0n, missing: 0n, closed: 0n },
      windowsClosed: 2n,
      windowsOpen: 0,
    });
    await until(() => windows.length === 2);
    await subscription.stop();
    expect(ids.size).toBe(2);
    expect(windows[0]).toMatchObject({ part: 0, parts: 1, endOfInput: false, completeness: 1 });
    expect(windows[0]!.summaries).toMatchObject({
      count: [2],
      mean: [15],
      integral: [10 + 120 + 20],
      last: [20],
    });
    expect(windows[1]).toMatchObject({ endOfInput: true, samples: { accepted: 3n, duplicate: 0n } });
    expect(windows[0]!.samples).toMatchObject({ offered: 4n, accepted: 2n, duplicate: 2n });
  });

  test('reports a span of event time from the windows that start in it', async () => {
    const at = (seconds: number) => timestampFromMs(START_MS + seconds * 1000);
    const first = await world.calls.getIngestReport({ stream, range: { start: at(0), end: at(10) } });
    expect(first).toMatchObject({ samples: { accepted: 2n, duplicate: 2n, offered: 4n }, windowsClosed: 1n });
    const both = await world.calls.getIngestReport({ stream, range: {} });
    expect(both).toMatchObject({ samples: { offered: 7n, accepted: 5n }, windowsClosed: 2n });
    const none = await world.calls.getIngestReport({ stream, range: { start: at(20) } });
    expect(none).toMatchObject({ samples: { offered: 0n }, windowsClosed: 0n });
  });

  test('keeps what it rejects, with reasons, in pages', async () => {
    await world.bus.publishTelemetry(subjectOf('bad'), new TextEncoder().encode('nonsense'));
    await world.bus.publishTelemetry(
      'homeostat.telemetry.v1.other.west.n1',
      new TextEncoder().encode('more'),
    );
    const last = await send(world, {
      source: 'nan',
      sequence: 1,
      samples: [
        [100, Number.NaN],
        [100, 1],
      ],
    });
    await reportAt(world, last);
    const page = await world.calls.listRejected({ stream, page: { pageSize: 1 } });
    expect(page.rejected).toMatchObject([
      { reasons: [{ reason: 1, count: 1n }], whole: true, subject: subjectOf('bad') },
    ]);
    const rest = await world.calls.listRejected({
      stream,
      page: { pageSize: 5, pageToken: page.nextPageToken! },
    });
    expect(rest.rejected).toMatchObject([
      { reasons: [{ reason: 3, count: 1n }], whole: false, brokerSequence: BigInt(last) },
    ]);
    expect(rest.nextPageToken).toBe('');
    const all = await world.calls.listRejected({});
    expect(all.rejected).toHaveLength(3);
    await expect(world.calls.listRejected({ page: { pageToken: 'x' } })).rejects.toMatchObject({
      reason: 'FIELD_INVALID',
    });
  });

  test('lists sources in order, in pages', async () => {
    const all = await world.calls.listSources({});
    expect(all.sources!.map((source) => [source.sourceId, source.epoch, source.highestSequence])).toEqual([
      ['agent', 1, 4],
      ['nan', 1, 1],
    ]);
    const first = await world.calls.listSources({ stream, page: { pageSize: 1 } });
    const second = await world.calls.listSources({
      stream,
      page: { pageSize: 1, pageToken: first.nextPageToken! },
    });
    expect([...first.sources!, ...second.sources!].map((source) => source.sourceId)).toEqual([
      'agent',
      'nan',
    ]);
    expect(second.nextPageToken ?? '').toBe('');
    expect(first.sources![0]).toMatchObject({ state: 3 });
    await expect(world.calls.listSources({ page: { pageToken: 'x' } })).rejects.toMatchObject({
      reason: 'FIELD_INVALID',
    });
  });

  test('knows no stream nothing was offered to', async () => {
    await expect(
      world.calls.getIngestReport({ stream: { domain: 'no', cluster: 'such' } }),
    ).rejects.toMatchObject({
      reason: 'STREAM_NOT_FOUND',
      kind: 'NOT_FOUND',
    });
  });

  test('takes a configuration from its next window on, and keeps it over a restart', async () => {
    const configured = { domain: 'lab', cluster: 'wide' };
    await world.store.transact((tx) =>
      world.bus.record(tx, topics.streamConfigured, 'lab.wide.1', {
        stream: configured,
        version: 1n,
        config: { width: { seconds: 60n, nanos: 0 }, lateness: { seconds: 0n, nanos: 0 } },
      }),
    );
    await until(async () => {
      const row = await world.store
        .query<{ telemetry_checkpoint: { domain: string; cluster: string } }>()
        .selectFrom('telemetry_checkpoint')
        .select('cluster')
        .where('cluster', '=', 'wide')
        .executeTakeFirst();
      return row !== undefined;
    });
    await expect(world.calls.getIngestReport({ stream: configured })).rejects.toMatchObject({
      reason: 'STREAM_NOT_FOUND',
    });
    await world.restart();
    const { windows, subscription } = await collectWindows(world, 'windows-2');
    const message = `{"time":${START_MS + 5000},"metrics":{"cpu":1}}`;
    await world.bus.publishTelemetry('homeostat.telemetry.v1.lab.wide.n1', new TextEncoder().encode(message));
    const end = `{"time":${START_MS + 61_000},"metrics":{"cpu":1}}`;
    await world.bus.publishTelemetry('homeostat.telemetry.v1.lab.wide.n1', new TextEncoder().encode(end));
    await until(() => windows.some((window) => window.stream!.cluster === 'wide'));
    await subscription.stop();
    const wide = windows.find((window) => window.stream!.cluster === 'wide')!;
    expect(timestampMs(wide.end!) - timestampMs(wide.start!)).toBe(60_000);
  });

  test('exports what it does', async () => {
    const text = await world.metrics.exposition();
    expect(text).toMatch(/homeostat_telemetry_samples_total\{outcome="accepted"\} [1-9]/);
    expect(text).toMatch(/homeostat_telemetry_messages_total\{outcome="rejected_malformed"\} 2/);
    expect(text).toMatch(/homeostat_telemetry_lag_messages 0/);
    expect(text).toContain('homeostat_telemetry_watermark_delay_seconds');
  });
});

test('publishes a gap when a hole stayed open for 30 s of event time', async () => {
  const world = await startTelemetryWorld();
  try {
    const found: unknown[] = [];
    const subscription = await world.bus.consume({
      topic: topics.sequenceGapDetected,
      durable: 'gaps',
      handle: async (events) => {
        found.push(...events.map((event) => event.message));
      },
    });
    await send(world, { sequence: 1, samples: [[1, 1]] });
    await send(world, { sequence: 5, samples: [[2, 1]] });
    const last = await send(world, { sequence: 6, samples: [[32, 1]] });
    expect(await reportAt(world, last)).toMatchObject({ gaps: { open: 1n, missing: 3n, closed: 0n } });
    await until(() => found.length === 1);
    expect(found).toMatchObject([{ sourceId: 'agent', epoch: 1, firstMissing: 2, lastMissing: 4 }]);
    await send(world, { sequence: 2, samples: [[33, 1]] });
    await send(world, { sequence: 3, samples: [[33, 1]] });
    const filled = await send(world, { sequence: 4, samples: [[33, 1]] });
    expect(await reportAt(world, filled)).toMatchObject({ gaps: { open: 0n, missing: 0n, closed: 1n } });
    await subscription.stop();
  } finally {
    await world.stop();
  }
});

test('keeps what a store that fails for a while refuses, and decides nothing anew', async () => {
  let refusals = 4;
  const through = (store: Store): Store => ({
    ...store,
    query: store.query.bind(store),
    transact: async (work) => {
      if (refusals > 0) {
        refusals--;
        throw new Error('the disk is full');
      }
      return store.transact(work);
    },
  });
  const world = await startTelemetryWorld({ through, config: { commitIntervalMs: 20 } });
  try {
    await send(world, { sequence: 1, samples: [[1, 1]] });
    const last = await send(world, { sequence: 2, samples: [[15, 1]] });
    expect(await reportAt(world, last)).toMatchObject({
      messages: { offered: 2n, accepted: 2n },
      windowsClosed: 1n,
    });
    expect(refusals).toBe(0);
    expect(await world.metrics.exposition()).toMatch(/homeostat_telemetry_commit_failures_total 4/);
    expect(world.telemetry.services[0]!.unavailable!()).toEqual([]);
  } finally {
    await world.stop();
  }
});

test('begins again from its checkpoint after a fault of its own, and decides everything as before', async () => {
  let isSound = false;
  const throughBus = (bus: Bus): Bus => ({
    ...bus,
    consumeTelemetry: (options) =>
      bus.consumeTelemetry({
        ...options,
        onMessage(message) {
          const isPoison = message.sequence === 3 && !isSound;
          if (isPoison) isSound = true;
          // Nothing a producer can send makes the fold fail; a defect of its own would look like this.
          options.onMessage(isPoison ? { ...message, data: null as never } : message);
        },
      }),
  });
  const world = await startTelemetryWorld({ throughBus });
  try {
    for (const [i, seconds] of [1, 5, 13, 14].entries())
      await send(world, { sequence: i + 1, samples: [[seconds, 1]] });
    expect(await reportAt(world, 4)).toMatchObject({
      messages: { offered: 4n, accepted: 4n },
      windowsClosed: 1n,
    });
    expect(await world.metrics.exposition()).toMatch(/alarms_total\{kind="fold_restarted"\} 1/);
  } finally {
    await world.stop();
  }
});

test('asks the broker for no more while too much is uncommitted, and goes on after the commit', async () => {
  let pauses = 0;
  let resumes = 0;
  let release = () => {};
  const held = new Promise<void>((resolve) => {
    release = resolve;
  });
  const throughBus = (bus: Bus): Bus => ({
    ...bus,
    async consumeTelemetry(options) {
      const consumer = await bus.consumeTelemetry(options);
      return {
        acknowledge: (sequence) => consumer.acknowledge(sequence),
        pause: () => {
          pauses++;
          consumer.pause();
        },
        resume: () => {
          resumes++;
          consumer.resume();
        },
        lag: () => consumer.lag(),
        stop: () => consumer.stop(),
      };
    },
    async writeDeadLetters(letters) {
      await held;
      await bus.writeDeadLetters(letters);
    },
  });
  const world = await startTelemetryWorld({ throughBus });
  try {
    const nonsense = new Uint8Array(512 * 1024).fill(0x78);
    for (let i = 0; i < 700; i++) await world.bus.publishTelemetry(subjectOf(), nonsense);
    await until(() => pauses === 1, 30_000);
    expect(resumes).toBe(0);
    release();
    await until(async () => (await reportAt(world, 700)).messages!.offered === 700n, 30_000);
    expect(resumes).toBe(1);
  } finally {
    await world.stop();
  }
}, 60_000);

test('speaks of silence while windows are open', async () => {
  const world = await startTelemetryWorld({ config: { silenceMs: 1_000 } });
  try {
    await send(world, { sequence: 1, samples: [[1, 1]] });
    await until(async () => /silence_messages_total [1-9]/.test(await world.metrics.exposition()));
    const report = await reportAt(world, 2);
    expect(report).toMatchObject({ messages: { offered: 1n }, samples: { offered: 1n }, windowsOpen: 1 });
    expect(timestampMs(report.newestEventTime!)).toBe(START_MS + 1_000);
  } finally {
    await world.stop();
  }
});

test('reads a broker stream that was made anew from its start, with an alarm', async () => {
  const world = await startTelemetryWorld();
  const { host, username, password } = new URL(world.broker.url);
  const nats = await connect({ servers: host, user: username, pass: password });
  try {
    for (let i = 1; i <= 5; i++) await send(world, { sequence: i, samples: [[i, 1]] });
    await reportAt(world, 5);
    const manager = await jetstreamManager(nats);
    await manager.streams.delete('TELEMETRY');
    await until(
      async () => /alarms_total\{kind="stream_recreated"\} 1/.test(await world.metrics.exposition()),
      25_000,
    );
    const last = await send(world, { sequence: 6, samples: [[6, 1]] });
    expect(last).toBeLessThan(5);
    await until(async () => (await world.calls.getIngestReport({ stream })).messages!.offered === 6n);
    await world.restart();
    await send(world, { sequence: 7, samples: [[7, 1]] });
    await until(async () => (await world.calls.getIngestReport({ stream })).messages!.offered === 7n);
    expect(await world.calls.getIngestReport({ stream })).toMatchObject({
      messages: { accepted: 7n },
      gaps: { open: 0n },
    });
  } finally {
    await nats.close();
    await world.stop();
  }
}, 60_000);
