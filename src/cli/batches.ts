/**
 * Turns the instants of a recording into telemetry batches: one source for the whole recording, one batch per node
 * and instant (more where it passes a limit of the contract), numbered from 1.
 */
import { create, toBinary } from '@bufbuild/protobuf';
import { timestampFromMs } from '@bufbuild/protobuf/wkt';
import { telemetrySubject } from '../bus/topics.ts';
import {
  type MetricDescriptor,
  MetricDescriptorSchema,
  MetricKind,
  TelemetryBatchSchema,
} from '../gen/homeostat/telemetry/v1/telemetry_service_pb.ts';
import type { Instant, NodeReadings } from './recording.ts';

/** Limits of one batch in the contract. */
const METRICS_MAX = 256;
const SAMPLES_MAX = 8_192;

export interface BatchOptions {
  readonly domain: string;
  readonly cluster: string;
  readonly sourceId: string;
  readonly epoch: number;
  /** UCUM units by metric; default 1. */
  readonly units: ReadonlyMap<string, string>;
  /** Kinds by metric; default GAUGE. */
  readonly kinds: ReadonlyMap<string, MetricKind>;
}

export interface Encoded {
  readonly subject: string;
  readonly payload: Uint8Array;
  readonly sampleCount: number;
}

export interface BatchEncoder {
  /** Batches of an instant; `metrics` names what its indices mean. */
  encode(instant: Instant, metrics: readonly string[]): Generator<Encoded, void, undefined>;
  /** The batch that ends the stream: closes its open windows. */
  encodeEnd(timeMs: number, node: string): Encoded;
}

/** Most heads of batches kept. */
const HEADS_MAX = 10_000;

export function createBatchEncoder(options: BatchOptions): BatchEncoder {
  const heads = new Map<string, { readonly subject: string; readonly bytes: Uint8Array }>();
  let sequence = 0;

  /** What all batches of one node with the same metrics begin with. */
  const headOf = (node: string, metrics: readonly number[], names: readonly string[]) => {
    const key = `${node} ${metrics.join()}`;
    let head = heads.get(key);
    if (!head) {
      const { sourceId, epoch, domain, cluster } = options;
      const batch = create(TelemetryBatchSchema, {
        sourceId,
        epoch,
        domain,
        cluster,
        node,
        metrics: metrics.map((metric) => descriptorOf(names[metric]!, options)),
      });
      head = {
        subject: telemetrySubject(domain, cluster, node),
        bytes: toBinary(TelemetryBatchSchema, batch),
      };
      if (heads.size >= HEADS_MAX) heads.clear();
      heads.set(key, head);
    }
    return head;
  };
  const encode = (
    node: string,
    timeMs: number,
    readings: NodeReadings,
    names: readonly string[],
    endOfInput: boolean,
  ): Encoded => {
    const metrics = [...new Set(readings.metrics)];
    const head = headOf(node, metrics, names);
    const rest = create(TelemetryBatchSchema, {
      sequence: ++sequence,
      baseTime: timestampFromMs(timeMs),
      metricIndex: readings.metrics.map((metric) => metrics.indexOf(metric)),
      offsetMs: new Array<number>(readings.values.length).fill(0),
      values: readings.values,
      endOfInput,
    });
    // One encoding after the other is the encoding of both together: the head need not be made anew each time.
    const payload = Buffer.concat([head.bytes, toBinary(TelemetryBatchSchema, rest)]);
    return { subject: head.subject, payload, sampleCount: readings.values.length };
  };

  return {
    *encode(instant, names) {
      for (const [node, readings] of instant.nodes) {
        for (const piece of pieces(readings)) yield encode(node, instant.timeMs, piece, names, false);
      }
    },
    encodeEnd: (timeMs, node) => encode(node, timeMs, { metrics: [], values: [] }, [], true),
  };
}

function descriptorOf(name: string, { units, kinds }: BatchOptions): MetricDescriptor {
  return create(MetricDescriptorSchema, {
    name,
    unit: units.get(name) ?? '1',
    kind: kinds.get(name) ?? MetricKind.GAUGE,
  });
}

/** Cuts readings where a batch would pass a limit. */
function* pieces(readings: NodeReadings): Generator<NodeReadings, void, undefined> {
  const { metrics, values } = readings;
  if (metrics.length <= METRICS_MAX) {
    yield readings;
    return;
  }
  for (let from = 0; from < metrics.length; ) {
    const seen = new Set<number>();
    let to = from;
    while (to < metrics.length && to - from < SAMPLES_MAX) {
      seen.add(metrics[to]!);
      if (seen.size > METRICS_MAX) break;
      to++;
    }
    yield { metrics: metrics.slice(from, to), values: values.slice(from, to) };
    from = to;
  }
}
