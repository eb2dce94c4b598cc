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

export function createBatchEncoder(options: BatchOptions): BatchEncoder {
  const descriptors: MetricDescriptor[] = [];
  const subjects = new Map<string, string>();
  let sequence = 0;

  const descriptorOf = (index: number, name: string): MetricDescriptor => {
    descriptors[index] ??= create(MetricDescriptorSchema, {
      name,
      unit: options.units.get(name) ?? '1',
      kind: options.kinds.get(name) ?? MetricKind.GAUGE,
    });
    return descriptors[index];
  };
  const subjectOf = (node: string): string => {
    let subject = subjects.get(node);
    if (subject === undefined) {
      subject = telemetrySubject(options.domain, options.cluster, node);
      subjects.set(node, subject);
    }
    return subject;
  };
  const encode = (
    node: string,
    timeMs: number,
    metrics: MetricDescriptor[],
    metricIndex: number[],
    values: number[],
    endOfInput: boolean,
  ): Encoded => {
    const batch = create(TelemetryBatchSchema, {
      sourceId: options.sourceId,
      epoch: options.epoch,
      sequence: ++sequence,
      domain: options.domain,
      cluster: options.cluster,
      node,
      baseTime: timestampFromMs(timeMs),
      metrics,
      metricIndex,
      offsetMs: new Array<number>(values.length).fill(0),
      values,
      endOfInput,
    });
    const payload = toBinary(TelemetryBatchSchema, batch);
    return { subject: subjectOf(node), payload, sampleCount: values.length };
  };

  return {
    *encode(instant, names) {
      for (const [node, readings] of instant.nodes) {
        for (const piece of pieces(readings)) {
          const used = [...new Set(piece.metrics)];
          const place = new Map(used.map((metric, at) => [metric, at]));
          yield encode(
            node,
            instant.timeMs,
            used.map((metric) => descriptorOf(metric, names[metric]!)),
            piece.metrics.map((metric) => place.get(metric)!),
            piece.values,
            false,
          );
        }
      }
    },
    encodeEnd: (timeMs, node) => encode(node, timeMs, [], [], [], true),
  };
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
