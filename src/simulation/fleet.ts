/**
 * A seeded fleet that reports in event time. Every node is a source of its own: it samples its metrics each second
 * and hands them in as one batch each few seconds. Same options, same bytes: each node draws from its own stream of
 * random numbers, in the order of its samples.
 *
 * Metrics (none is an energy, so maps are statistical): `cpu` and `memory` are shares of capacity; `queue` and
 * `latency` follow from the load as in an M/M/1 queue, so they explode together when the load nears 1.
 */
import { create, toBinary } from '@bufbuild/protobuf';
import { timestampFromMs } from '@bufbuild/protobuf/wkt';
import {
  type MetricDescriptor,
  MetricDescriptorSchema,
  MetricKind,
  TelemetryBatchSchema,
} from '../gen/homeostat/telemetry/v1/telemetry_service_pb.ts';
import { createRandom, type Random } from '../random.ts';
import { type Crisis, crisisDepth, loadAt, quietLoad } from './load.ts';

export interface FleetOptions {
  /** Nodes, 1..10,000. */
  readonly nodes: number;
  readonly seed: number;
  readonly domain: string;
  readonly cluster: string;
  /** Event time of the first sample. */
  readonly startMs: number;
  readonly crisis: Crisis;
  /** Run of the producer, greater at each start. */
  readonly epoch: number;
  /** Samples per batch and metric, 1..2,048; default 5. */
  readonly samplesPerBatch?: number;
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
/** How long after the first the last node is reached by the crisis. */
const SPREAD_MS = 45_000;
/** Service time of an unloaded node, ms. */
const SERVICE_MS = 12;

const metrics: readonly MetricDescriptor[] = [
  { name: 'cpu', unit: '1' },
  { name: 'memory', unit: '1' },
  { name: 'queue', unit: '{jobs}' },
  { name: 'latency', unit: 'ms' },
].map((metric) => create(MetricDescriptorSchema, { ...metric, kind: MetricKind.GAUGE }));

export function createFleet(options: FleetOptions): Fleet {
  const perBatch = options.samplesPerBatch ?? 5;
  const width = Math.max(2, String(options.nodes).length);
  const nodes = Array.from({ length: options.nodes }, (_, index) => createNode(options, index, width));
  let batch = 0;

  return {
    nodes: nodes.map((node) => node.name),
    *batchesUntil(untilMs) {
      for (;;) {
        const firstMs = options.startMs + batch * perBatch * SAMPLE_INTERVAL_MS;
        const lastSampleMs = firstMs + (perBatch - 1) * SAMPLE_INTERVAL_MS;
        if (lastSampleMs > untilMs) return;
        batch++;
        for (const node of nodes) {
          const values: number[] = [];
          for (let i = 0; i < perBatch; i++) values.push(...node.sample(firstMs + i * SAMPLE_INTERVAL_MS));
          const payload = encodeBatch(options, node.name, batch, firstMs, values);
          yield { node: node.name, payload, sampleCount: values.length, lastSampleMs };
        }
      }
    },
  };
}

/** `values` holds the metrics of one sample after the other. */
function encodeBatch(
  options: FleetOptions,
  node: string,
  sequence: number,
  firstMs: number,
  values: number[],
): Uint8Array {
  const batch = create(TelemetryBatchSchema, {
    sourceId: node,
    epoch: options.epoch,
    sequence,
    domain: options.domain,
    cluster: options.cluster,
    node,
    baseTime: timestampFromMs(firstMs),
    metrics: [...metrics],
    metricIndex: values.map((_, i) => i % metrics.length),
    offsetMs: values.map((_, i) => Math.floor(i / metrics.length) * SAMPLE_INTERVAL_MS),
    values,
  });
  return toBinary(TelemetryBatchSchema, batch);
}

/** One node: what it is like, and its state from sample to sample. */
function createNode(options: FleetOptions, index: number, width: number) {
  const random = createRandom(options.seed, index);
  const bias = 0.05 * random.normal();
  const lagMs = SPREAD_MS * random.uniform();
  const wander = createWander(random, 0.02, 30);
  const memoryBase = 0.3 + 0.1 * random.uniform();
  let memory = memoryBase + 0.2;

  return {
    name: `node-${String(index + 1).padStart(width, '0')}`,
    /** Values of the metrics, in their order; called once per instant, in order of time. */
    sample(atMs: number): number[] {
      const depth = crisisDepth(options.crisis, atMs - lagMs);
      // Near saturation there is no room to wander.
      const noise = wander.next() * (1 - 0.8 * depth);
      const cpu = clamp(loadAt(quietLoad(atMs), bias, depth) + noise, 0.01, 0.999);
      memory += 0.02 * (memoryBase + 0.45 * cpu - memory) + 0.001 * random.normal();
      const queue = (cpu * cpu) / (1 - cpu);
      const latency = (SERVICE_MS / (1 - cpu)) * Math.exp(0.08 * random.normal());
      return [round(cpu), round(clamp(memory, 0, 1)), round(queue), round(latency)];
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
