/**
 * A seeded fleet that reports in event time. Every node is a source of its own: it samples its metrics each second
 * and hands them in as one batch each few seconds. Same options, same bytes: each node, and the load they share, draws
 * from a stream of random numbers of its own, in the order of the samples.
 *
 * Metrics (none is an energy, so maps are statistical): `cpu` and `memory` are shares of capacity; `queue` and
 * `latency` follow from the load as in an M/M/1 queue, so they explode together when the load nears 1.
 */
import { create } from '@bufbuild/protobuf';
import {
  type MetricDescriptor,
  MetricDescriptorSchema,
  MetricKind,
} from '../gen/homeostat/telemetry/v1/telemetry_service_pb.ts';
import { createRandom, type Random } from '../random.ts';
import { createBatchEncoder } from './batch-encoder.ts';
import type { Demand } from './demand.ts';
import { createSharedLoad, SATURATED_LOAD } from './load.ts';

export interface FleetOptions {
  /** Nodes, 1..10,000. */
  readonly nodes: number;
  readonly seed: number;
  readonly domain: string;
  readonly cluster: string;
  /** Event time of the first sample. */
  readonly startMs: number;
  readonly demand: Demand;
  /** Run of the producer, greater at each start. */
  readonly epoch: number;
  /** Event time before which samples are handed in as by a node that catches up: many to a batch. Default none. */
  readonly historyUntilMs?: number;
}

export interface FleetBatch {
  readonly node: string;
  /** Encoded TelemetryBatch; the caller's. */
  readonly payload: Uint8Array;
  readonly sampleCount: number;
  /** Event time of its last sample. */
  readonly lastSampleMs: number;
}

export interface Fleet {
  /** Names of the nodes, in byte order. */
  readonly nodes: readonly string[];
  /** Batches whose last sample is not after `untilMs` and that were not taken yet, in order of time and node. */
  batchesUntil(untilMs: number): Generator<FleetBatch, void, undefined>;
}

const SAMPLE_INTERVAL_MS = 1_000;
/** Samples per batch and metric, live and of history. */
const LIVE_SAMPLES = 5;
const HISTORY_SAMPLES = 30;
/** Load above which the differences between nodes fade, as there is no room left for them. */
const BUSY_LOAD = 0.7;
/** Stream of random numbers of what the nodes share, apart from the nodes' own. */
const SHARED_STREAM = 0xffff_fffe;
/** Service time of an unloaded node, ms. */
const SERVICE_MS = 12;

const metrics: readonly MetricDescriptor[] = [
  { name: 'cpu', unit: '1' },
  { name: 'memory', unit: '1' },
  { name: 'queue', unit: '{jobs}' },
  { name: 'latency', unit: 'ms' },
].map((metric) => create(MetricDescriptorSchema, { ...metric, kind: MetricKind.GAUGE }));

export function createFleet(options: FleetOptions): Fleet {
  const { startMs, demand } = options;
  const historyUntilMs = options.historyUntilMs ?? startMs;
  const width = Math.max(2, String(options.nodes).length);
  const random = createRandom(options.seed, SHARED_STREAM);
  const nodes = unevenness(random, options.nodes).map((bias, index) =>
    createNode(options, index, bias, width),
  );
  const shared = createSharedLoad(random, demand(startMs));
  let sequence = 0;
  let nextMs = startMs;

  return {
    nodes: nodes.map((node) => node.name),
    *batchesUntil(untilMs) {
      for (;;) {
        const firstMs = nextMs;
        const samples = batchLength(sequence, firstMs, historyUntilMs);
        const lastSampleMs = firstMs + (samples - 1) * SAMPLE_INTERVAL_MS;
        if (lastSampleMs > untilMs) return;
        sequence++;
        nextMs = lastSampleMs + SAMPLE_INTERVAL_MS;
        const loads = Array.from({ length: samples }, (_, i) =>
          shared.next(demand(firstMs + i * SAMPLE_INTERVAL_MS)),
        );
        for (const node of nodes) {
          const values: number[] = [];
          for (const load of loads) node.sample(load, values);
          const payload = node.encode(sequence, firstMs, values);
          yield { node: node.name, payload, sampleCount: values.length, lastSampleMs };
        }
      }
    },
  };
}

/**
 * Samples of the batch that begins at an instant. The first is a short one even in history: a node heard for the first
 * time must not find that another's long batch has closed the window it reports on.
 */
function batchLength(sent: number, firstMs: number, historyUntilMs: number): number {
  const isLong = sent > 0 && firstMs + HISTORY_SAMPLES * SAMPLE_INTERVAL_MS <= historyUntilMs;
  return isLong ? HISTORY_SAMPLES : LIVE_SAMPLES;
}

/** By how much the load of each node differs from the one they share; the differences sum to 0. */
function unevenness(random: Random, nodes: number): number[] {
  const drawn = Array.from({ length: nodes }, () => 0.05 * random.normal());
  const mean = drawn.reduce((sum, one) => sum + one, 0) / nodes;
  return drawn.map((one) => one - mean);
}

/** One node: what it is like, and its state from sample to sample. */
function createNode(options: FleetOptions, index: number, bias: number, width: number) {
  const random = createRandom(options.seed, index);
  const wander = createWander(random, 0.02, 30);
  const memoryBase = 0.3 + 0.1 * random.uniform();
  let memory = memoryBase + 0.2;
  const name = `node-${String(index + 1).padStart(width, '0')}`;
  const { epoch, domain, cluster } = options;
  const source = { sourceId: name, epoch, domain, cluster, node: name };

  return {
    name,
    ...createBatchEncoder({ ...source, metrics, intervalMs: SAMPLE_INTERVAL_MS }),
    /** Appends the values of the metrics, in their order; called once per instant, in order of time. */
    sample(load: number, values: number[]): void {
      const strain = clamp((load - BUSY_LOAD) / (SATURATED_LOAD - BUSY_LOAD), 0, 1);
      const own = bias * (1 - strain) + wander.next() * (1 - 0.8 * strain);
      const cpu = clamp(load + own, 0.01, 0.999);
      memory += 0.02 * (memoryBase + 0.45 * cpu - memory) + 0.001 * random.normal();
      const queue = (cpu * cpu) / (1 - cpu);
      const latency = (SERVICE_MS / (1 - cpu)) * Math.exp(0.08 * random.normal());
      values.push(round(cpu), round(clamp(memory, 0, 1)), round(queue), round(latency));
    },
  };
}

/** Stationary autoregressive noise of a standard deviation, forgetting over a number of samples. */
function createWander(random: Random, deviation: number, memorySamples: number) {
  const keep = Math.exp(-1 / memorySamples);
  const kick = deviation * Math.sqrt(1 - keep * keep);
  let state = deviation * random.normal();
  return {
    next() {
      state = keep * state + kick * random.normal();
      return state;
    },
  };
}

function clamp(value: number, least: number, greatest: number): number {
  return Math.min(greatest, Math.max(least, value));
}

/** To 4 decimals: what a real collector would send. */
function round(value: number): number {
  return Math.round(value * 10_000) / 10_000;
}
