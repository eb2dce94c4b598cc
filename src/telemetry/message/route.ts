/**
 * What is known of a subject: the stream and node it names, and per producer on it the bytes last seen, so that a
 * message like the one before is recognized by comparing bytes instead of reading text. Only a cache: nothing here
 * outlives the process or changes an outcome.
 */
import { fromBinary } from '@bufbuild/protobuf';
import { TelemetryBatchSchema } from '../../gen/homeostat/telemetry/v1/telemetry_service_pb.ts';
import type { SourceRun } from '../source/source.ts';
import { type CatalogMetric, catalogMetric } from '../window/catalog.ts';
import type { BatchDecoder } from './decode.ts';
import { spanEquals, spanHash, spanText } from './span.ts';

/** Place of a series that was not looked up, and of one whose metric is known as something else. */
export const SERIES_UNRESOLVED = -1;
export const SERIES_CHANGED = -2;

const CHANNELS_MAX = 64;
const METRIC_SETS_MAX = 64;
const SOURCE_ID_MAX = 128;
const METRIC_NAME_MAX = 128;
const UNIT_MAX = 32;
const METRIC_KIND_LAST = 3;
/** Most rows and columns of a map. */
const CELL_SIDE_MAX = 1024;

/** What the label `homeostat.origin` may hold: three names of attributes, of which the first two may be empty. */
const ORIGIN = /^[\w.-]{0,64},[\w.-]{0,64},[\w.-]{1,64}$/;

const NOTHING = new Uint8Array(0);
const encoder = new TextEncoder();

/** The metrics of a batch, as they were written, and where their samples go. */
export class MetricSet {
  readonly bytes: Uint8Array;
  readonly metrics: readonly CatalogMetric[];
  /** Per metric its series, or one of the places above. */
  readonly series: Int32Array;
  /** The metrics that came after these last time: producers tend to repeat themselves. */
  next: MetricSet | undefined;
  /** Version of the catalog that `series` are numbers of. */
  private version = -1;

  constructor(bytes: Uint8Array, metrics: readonly CatalogMetric[]) {
    this.bytes = bytes;
    this.metrics = metrics;
    this.series = new Int32Array(metrics.length);
  }

  /** Forgets the series when the catalog numbered them anew. */
  useVersion(version: number): void {
    if (this.version === version) return;
    this.version = version;
    this.series.fill(SERIES_UNRESOLVED);
  }
}

/** One producer on one subject. */
export class Channel {
  readonly sourceId: string;
  readonly sourceBytes: Uint8Array;
  readonly sequenced: boolean;
  /** The run that sent last. */
  run: SourceRun | undefined;
  /** The metrics of its last batch. */
  metricSet = new MetricSet(NOTHING, []);
  /** The cell its last labels declare; -1 for none. */
  cellRow = -1;
  cellCol = -1;
  /** Which attributes its last labels say named the place, `homeostat.origin`; empty where they do not. */
  origin = '';
  /** Metrics of earlier batches, by a hash of how they were written. */
  private readonly metricSets = new Map<number, MetricSet>();
  private labelBytes: Uint8Array = NOTHING;

  constructor(sourceId: string, sourceBytes: Uint8Array, sequenced: boolean) {
    this.sourceId = sourceId;
    this.sourceBytes = sourceBytes;
    this.sequenced = sequenced;
  }

  is(batch: BatchDecoder, sequenced: boolean): boolean {
    return (
      this.sequenced === sequenced &&
      spanEquals(batch.data, batch.sourceFrom, batch.sourceTo, this.sourceBytes)
    );
  }

  /** Takes the metrics of a batch; returns what is wrong with them, or nothing. Throws on damaged ones. */
  takeMetrics(batch: BatchDecoder): string {
    const { data, metricsFrom, metricsTo } = batch;
    const last = this.metricSet;
    if (spanEquals(data, metricsFrom, metricsTo, last.bytes)) return '';
    if (last.next !== undefined && spanEquals(data, metricsFrom, metricsTo, last.next.bytes)) {
      this.metricSet = last.next;
      return '';
    }
    const hash = spanHash(data, metricsFrom, metricsTo);
    const known = this.metricSets.get(hash);
    if (known !== undefined && spanEquals(data, metricsFrom, metricsTo, known.bytes)) {
      this.metricSet = last.next = known;
      return '';
    }
    const bytes = data.slice(metricsFrom, metricsTo);
    const metrics: CatalogMetric[] = [];
    // A run of whole fields of a batch is itself a batch.
    for (const { name, unit, kind } of fromBinary(TelemetryBatchSchema, bytes).metrics) {
      if (name === '' || tooLong(name, METRIC_NAME_MAX))
        return `a metric's name is not of 1 to ${METRIC_NAME_MAX} characters`;
      if (tooLong(unit, UNIT_MAX)) return `unit of ${name}: more than ${UNIT_MAX} characters`;
      if (kind < 0 || kind > METRIC_KIND_LAST) return `kind of ${name}: ${kind} is not one`;
      metrics.push(catalogMetric(name, unit, kind));
    }
    if (this.metricSets.size >= METRIC_SETS_MAX) this.metricSets.clear();
    this.metricSet = last.next = new MetricSet(bytes, metrics);
    this.metricSets.set(hash, this.metricSet);
    return '';
  }

  /** Takes the labels of a batch: the cell and the origin become what they declare. Throws on damaged ones. */
  takeLabels(batch: BatchDecoder): void {
    if (spanEquals(batch.data, batch.labelsFrom, batch.labelsTo, this.labelBytes)) return;
    const bytes = batch.data.slice(batch.labelsFrom, batch.labelsTo);
    const { labels } = fromBinary(TelemetryBatchSchema, bytes);
    this.labelBytes = bytes;
    this.cellRow = sideOf(labels['homeostat.row']);
    this.cellCol = sideOf(labels['homeostat.col']);
    const origin = labels['homeostat.origin'] ?? '';
    this.origin = ORIGIN.test(origin) ? origin : '';
  }
}

/** What a subject names. */
export interface Place {
  /** Both empty when the subject names no stream. */
  readonly domain: string;
  readonly cluster: string;
  readonly node: string;
  /** Why nothing may come on this subject; empty when something may. */
  readonly fault: string;
  /** Whether the server itself speaks of silence on it. */
  readonly silence: boolean;
}

/** One subject. */
export class Route<Stream> {
  readonly stream: Stream;
  readonly place: Place;
  readonly domainBytes: Uint8Array;
  readonly clusterBytes: Uint8Array;
  readonly nodeBytes: Uint8Array;
  private last: Channel | undefined;
  private readonly channels = new Map<string, Channel>();

  constructor(stream: Stream, place: Place) {
    this.stream = stream;
    this.place = place;
    this.domainBytes = encoder.encode(place.domain);
    this.clusterBytes = encoder.encode(place.cluster);
    this.nodeBytes = encoder.encode(place.node);
  }

  /** The channel of a batch's source; undefined when the source id is not one. */
  channel(batch: BatchDecoder): Channel | undefined {
    const sequenced = batch.sequence > 0;
    const { last } = this;
    return last?.is(batch, sequenced) ? last : this.lookUp(batch, sequenced);
  }

  private lookUp(batch: BatchDecoder, sequenced: boolean): Channel | undefined {
    const { data, sourceFrom, sourceTo } = batch;
    const sourceId = spanText(data, sourceFrom, sourceTo);
    if (sourceId === undefined || sourceId === '' || tooLong(sourceId, SOURCE_ID_MAX)) return undefined;
    const key = `${sequenced ? '#' : '-'}${sourceId}`;
    let channel = this.channels.get(key);
    if (channel === undefined) {
      if (this.channels.size >= CHANNELS_MAX) this.channels.clear();
      channel = new Channel(sourceId, data.slice(sourceFrom, sourceTo), sequenced);
      this.channels.set(key, channel);
    }
    this.last = channel;
    return channel;
  }
}

function sideOf(label: string | undefined): number {
  if (label === undefined || !/^\d{1,4}$/.test(label)) return -1;
  const place = Number(label);
  return place < CELL_SIDE_MAX ? place : -1;
}

/** Whether a text has more than so many characters (code points). */
function tooLong(value: string, most: number): boolean {
  return value.length > most && Array.from(value).length > most;
}
