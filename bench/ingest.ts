/**
 * P1 and P2: what the whole of telemetry's ingest costs beside a bare consumer of the same broker that only counts
 * and acknowledges. Both read messages stored beforehand in a real broker, started here; the product decodes,
 * validates, deduplicates, folds, and commits to SQLite before it acknowledges, as in production.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { create, toBinary } from '@bufbuild/protobuf';
import { timestampFromMs } from '@bufbuild/protobuf/wkt';
import type { Bus, RawConsumer } from '../src/bus/bus.ts';
import { busMigrations, openBus } from '../src/bus/open.ts';
import { telemetrySubject } from '../src/bus/topics.ts';
import { systemClock as clock, delay } from '../src/clock.ts';
import { MetricKind, TelemetryBatchSchema } from '../src/gen/homeostat/telemetry/v1/telemetry_service_pb.ts';
import { createLogger, createMetrics } from '../src/observability.ts';
import { openStore } from '../src/store/open.ts';
import { Ingest } from '../src/telemetry/ingest.ts';
import { createTelemetryStore, telemetryMigrations } from '../src/telemetry/store.ts';
import { type Bench, type BenchOptions, type BenchRow, runPairs } from './harness.ts';

const NODES = 100;
const METRICS = ['cpu', 'memory', 'network', 'disk', 'power'];
/** Event time from a sample of a node and metric to the next. */
const SAMPLE_INTERVAL_MS = 20;
/** Event time between two messages: that of single samples, and of batches, which follow each other without a gap. */
const SINGLE_INTERVAL_MS = 1;
const BATCH_INTERVAL_MS = 20;
const START_MS = Date.UTC(2026, 0, 1);
const BATCH_SAMPLES = 500;
/** Messages stored per second asked for, up to a million; a run goes over them as often as it needs. */
const SINGLES_PER_SECOND = 200_000;
const SINGLES_MAX = 1_000_000;
const BATCHES = 10_000;
const IN_FLIGHT = 1_024;

const SETTINGS = { windowMs: 10_000, latenessMs: 2_000, seriesMax: 100_000, memoryMs: 86_400_000 };
const logger = createLogger('error');

/** Messages of the stream from `first` to `last`, inclusive. */
interface Span {
  readonly first: number;
  readonly last: number;
}

interface Stored {
  readonly bus: Bus;
  /** One sample each. */
  readonly singles: Span;
  /** 500 samples each. */
  readonly batches: Span;
  dispose(): Promise<void>;
}

async function prepare(seconds: number, batchCount: number): Promise<Stored> {
  const dataDir = await mkdtemp(join(tmpdir(), 'homeostat-bench-'));
  const store = await openStore({ dataDir, clock, logger });
  await store.migrate(busMigrations);
  const bus = await openBus({ dataDir, clock, logger, metrics: createMetrics(), store });
  const singleCount = Math.min(SINGLES_MAX, Math.round(seconds * SINGLES_PER_SECOND));
  const singles = await publish(bus, singleCount, 1);
  const batches = await publish(bus, batchCount, BATCH_SAMPLES);
  return {
    bus,
    singles,
    batches,
    async dispose() {
      await bus.close();
      await store.close();
      await rm(dataDir, { recursive: true, force: true });
    },
  };
}

async function publish(bus: Bus, count: number, sampleCount: number): Promise<Span> {
  const inFlight: Promise<number>[] = [];
  let first = 0;
  let last = 0;
  const take = async () => {
    last = (await inFlight.shift())!;
    first ||= last;
  };
  for (let i = 0; i < count; i++) {
    const node = `node-${i % NODES}`;
    inFlight.push(bus.publishTelemetry(telemetrySubject('lab', 'west', node), encode(i, node, sampleCount)));
    if (inFlight.length >= IN_FLIGHT) await take();
  }
  while (inFlight.length > 0) await take();
  return { first, last };
}

/** The i-th message: one source per node; a single sample's metric changes from message to message of its node. */
function encode(i: number, node: string, sampleCount: number): Uint8Array {
  const turn = Math.floor(i / NODES);
  const names = sampleCount === 1 ? [METRICS[turn % METRICS.length]!] : METRICS;
  const samples = Array.from({ length: sampleCount }, (_, sample) => sample);
  return toBinary(
    TelemetryBatchSchema,
    create(TelemetryBatchSchema, {
      sourceId: `agent-${node}`,
      epoch: 1,
      sequence: turn + 1,
      domain: 'lab',
      cluster: 'west',
      node,
      baseTime: timestampFromMs(START_MS + i * (sampleCount === 1 ? SINGLE_INTERVAL_MS : BATCH_INTERVAL_MS)),
      metrics: names.map((name) => ({ name, unit: '1', kind: MetricKind.GAUGE })),
      metricIndex: samples.map((sample) => sample % names.length),
      offsetMs: samples.map((sample) => Math.floor(sample / names.length) * SAMPLE_INTERVAL_MS),
      values: samples.map((sample) => Math.sin(i + sample)),
    }),
  );
}

/** The product over a span: messages per second until everything is committed and acknowledged. */
async function runProduct(bus: Bus, { first, last }: Span): Promise<number> {
  const dataDir = await mkdtemp(join(tmpdir(), 'homeostat-bench-'));
  const store = await openStore({ dataDir, clock, logger });
  await store.migrate([...busMigrations, ...telemetryMigrations]);
  const table = createTelemetryStore(store, bus, clock.nowMs);
  const start = { generation: 1, sequence: first - 1 };
  await table.commit({ captures: [], covered: start, position: start });
  const ingest = new Ingest({
    settings: SETTINGS,
    streamsMax: 100,
    commitIntervalMs: 1_000,
    clock,
    logger,
    bus,
    table,
  });
  const begunMs = clock.monotonicMs();
  await ingest.start();
  while ((ingest.fold?.lastSequence ?? 0) < last) await delay(clock, 5);
  await ingest.settled();
  const seconds = (clock.monotonicMs() - begunMs) / 1000;
  const stream = ingest.fold!.stream('lab', 'west');
  const judged = stream.messages[0]! + stream.messagesPending[0]!;
  if (judged !== last - first + 1) throw new Error(`accepted ${judged} of ${last - first + 1} messages`);
  await ingest.stop();
  await store.close();
  await rm(dataDir, { recursive: true, force: true });
  return (last - first + 1) / seconds;
}

/** The bare consumer over a span: counts, and acknowledges as often as the product does. */
async function runBare(bus: Bus, { first, last }: Span): Promise<number> {
  let count = 0;
  let seen = 0;
  let consumer: RawConsumer | undefined;
  const begunMs = clock.monotonicMs();
  consumer = await bus.consumeTelemetry({
    durable: 'bench-bare',
    startSequence: first,
    onMessage: ({ sequence }) => {
      seen = sequence;
      if (++count % 65_536 === 0) consumer?.acknowledge(sequence);
    },
    onAlarm: ({ kind }) => {
      throw new Error(`alarm ${kind}`);
    },
  });
  while (seen < last) await delay(clock, 5);
  consumer.acknowledge(seen);
  const seconds = (clock.monotonicMs() - begunMs) / 1000;
  await consumer.stop();
  return count / seconds;
}

/** Repeats a side until it was measured for so long; the mean rate. */
function lasting(seconds: number, count: number, side: () => Promise<number>): () => Promise<number> {
  return async () => {
    let taken = 0;
    let passes = 0;
    while (taken < seconds) {
      taken += count / (await side());
      passes++;
    }
    return (count * passes) / taken;
  };
}

const size = ({ first, last }: Span) => last - first + 1;

async function singles({ pairs, seconds }: BenchOptions): Promise<BenchRow> {
  const stored = await prepare(seconds, 0);
  try {
    const count = size(stored.singles);
    return await runPairs({
      id: 'P1',
      name: P1_TITLE,
      bar: 0.5,
      unit: 'messages/s',
      pairs,
      a: lasting(seconds, count, () => runProduct(stored.bus, stored.singles)),
      b: lasting(seconds, count, () => runBare(stored.bus, stored.singles)),
      notes: ['aim 0.70', `${count} messages of ${NODES} nodes`],
    });
  } finally {
    await stored.dispose();
  }
}

async function batches({ pairs, seconds }: BenchOptions): Promise<BenchRow> {
  const stored = await prepare(seconds, BATCHES);
  try {
    const product = lasting(seconds, size(stored.batches), () => runProduct(stored.bus, stored.batches));
    return await runPairs({
      id: 'P2',
      name: P2_TITLE,
      bar: 8,
      unit: 'samples/s over messages/s',
      pairs,
      a: async () => (await product()) * BATCH_SAMPLES,
      b: lasting(seconds, size(stored.singles), () => runBare(stored.bus, stored.singles)),
      notes: [`${BATCHES} batches of ${BATCH_SAMPLES} samples; beside single-sample messages counted bare`],
    });
  } finally {
    await stored.dispose();
  }
}

const P1_TITLE = 'telemetry ingest of single samples beside a bare consumer';
const P2_TITLE = 'telemetry ingest of batches, samples beside messages of a bare consumer';

export const benches: readonly Bench[] = [
  { id: 'P1', title: P1_TITLE, bar: 0.5, run: singles },
  { id: 'P2', title: P2_TITLE, bar: 8, run: batches },
];
