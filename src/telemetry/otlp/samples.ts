/**
 * The samples that one producer reports for one node in one export, and the TelemetryBatch messages they become: in
 * order of time, at most 8,192 samples and 256 metrics each, without a sequence. The same samples always give the same
 * bytes, so that a repeated export is recognized by its content. Times are milliseconds since 1970.
 */
import { create, toBinary } from '@bufbuild/protobuf';
import { timestampFromMs } from '@bufbuild/protobuf/wkt';
import {
  type MetricKind,
  TelemetryBatchSchema,
} from '../../gen/homeostat/telemetry/v1/telemetry_service_pb.ts';
import { METRICS_MAX, SAMPLES_MAX } from '../message/decode.ts';
import type { ResourcePlace } from './place.ts';

/** Most milliseconds that a batch spans: what an offset can hold. */
const SPAN_MAX_MS = 0x7fff_ffff;

/** One message for the broker. */
export interface EncodedBatch {
  readonly domain: string;
  readonly cluster: string;
  readonly node: string;
  /** Newest event time in it. */
  readonly newestMs: number;
  /** A TelemetryBatch in wire format. */
  readonly wire: Uint8Array;
}

interface Series {
  readonly name: string;
  readonly unit: string;
  readonly kind: MetricKind;
}

export class ProducerSamples {
  readonly place: ResourcePlace;
  private readonly series: Series[] = [];
  private readonly ids = new Map<string, number>();
  private readonly seriesOf: number[] = [];
  private readonly timesMs: number[] = [];
  private readonly values: number[] = [];
  private inOrder = true;

  constructor(place: ResourcePlace) {
    this.place = place;
  }

  /** Adds a sample; `timeMs` is whole, `value` finite. */
  add(name: string, unit: string, kind: MetricKind, timeMs: number, value: number): void {
    const key = `${kind} ${unit}\0${name}`;
    let id = this.ids.get(key);
    if (id === undefined) {
      id = this.series.push({ name, unit, kind }) - 1;
      this.ids.set(key, id);
    }
    const newestMs = this.timesMs.at(-1);
    if (newestMs !== undefined && timeMs < newestMs) this.inOrder = false;
    this.seriesOf.push(id);
    this.timesMs.push(timeMs);
    this.values.push(value + 0); // JSON has no -0: both are written as 0.
  }

  /** The samples as messages, in order of time; samples of one time stay in the order they were added in. */
  *batches(): Generator<EncodedBatch> {
    const { timesMs, seriesOf } = this;
    const order = Array.from(timesMs.keys());
    if (!this.inOrder) order.sort((one, other) => timesMs[one]! - timesMs[other]!);
    let metrics = new Map<number, number>();
    let from = 0;
    for (let at = 0; at < order.length; at++) {
      const id = seriesOf[order[at]!]!;
      const isFull =
        at - from === SAMPLES_MAX ||
        (metrics.size === METRICS_MAX && !metrics.has(id)) ||
        timesMs[order[at]!]! - timesMs[order[from]!]! > SPAN_MAX_MS;
      if (isFull) {
        yield this.encode(order.slice(from, at), metrics);
        metrics = new Map();
        from = at;
      }
      if (!metrics.has(id)) metrics.set(id, metrics.size);
    }
    if (from < order.length) yield this.encode(order.slice(from), metrics);
  }

  /** `metrics` holds each series of these samples and its place among the metrics of the batch. */
  private encode(samples: readonly number[], metrics: ReadonlyMap<number, number>): EncodedBatch {
    const { domain, cluster, node, sourceId, labels } = this.place;
    // Repeats are remembered for a while after the time of the batch: the newest one keeps them longest.
    const newestMs = this.timesMs[samples.at(-1)!]!;
    const batch = create(TelemetryBatchSchema, {
      sourceId,
      domain,
      cluster,
      node,
      baseTime: timestampFromMs(newestMs),
      metrics: Array.from(metrics.keys(), (id) => this.series[id]!),
      metricIndex: samples.map((sample) => metrics.get(this.seriesOf[sample]!)!),
      offsetMs: samples.map((sample) => this.timesMs[sample]! - newestMs),
      values: samples.map((sample) => this.values[sample]!),
      labels: { ...labels },
    });
    return { domain, cluster, node, newestMs, wire: toBinary(TelemetryBatchSchema, batch) };
  }
}
