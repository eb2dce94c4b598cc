/**
 * Judges one decoded message of a stream: every message and every sample of it gets exactly one outcome. In this
 * order: MALFORMED, SUBJECT_MISMATCH, then its sequence (SEQUENCE_TOO_OLD, duplicate), then sample by sample
 * NOT_FINITE, FUTURE_TIMESTAMP, UNIT_CHANGED, late, SERIES_LIMIT, accepted. A bad sample rejects only itself. A
 * message counts as its best sample: accepted, late, rejected for the reason of its first rejected one.
 */
import { RejectReason } from '../../gen/homeostat/telemetry/v1/telemetry_service_pb.ts';
import { METRIC_CHANGED } from './catalog.ts';
import { contentHash } from './content.ts';
import { ACCEPTED, DUPLICATE, LATE, REJECT_REASONS, rejectedFor } from './counts.ts';
import { type BatchDecoder, LABELS_MAX, METRICS_MAX, spanEquals, spanText } from './decode.ts';
import { type Channel, type Route, SERIES_CHANGED } from './route.ts';
import { SEQUENCE_AHEAD, SEQUENCE_DUPLICATE, SEQUENCE_TOO_OLD } from './sequence.ts';
import type { SourceRun } from './source.ts';
import type { StreamFold } from './stream.ts';
import type { Window } from './window.ts';

/** Event times further past the broker's stamp than this are rejected, milliseconds. */
const FUTURE_MS = 30_000;

const SECONDS_MIN = -62_135_596_800; // 0001-01-01
const SECONDS_MAX = 253_402_300_799; // 9999-12-31

/** What was rejected of the last message; reused. */
export class Rejection {
  /** Rejected samples by reason. */
  readonly counts = new Float64Array(8);
  /** Reason of the first rejection; UNSPECIFIED when nothing was rejected. */
  first: RejectReason = RejectReason.UNSPECIFIED;
  /** Whether the message as a whole was rejected. */
  whole = false;
  /** First thing found wrong, in words. */
  detail = '';

  clear(): void {
    if (this.first === RejectReason.UNSPECIFIED) return;
    this.counts.fill(0);
    this.first = RejectReason.UNSPECIFIED;
    this.whole = false;
    this.detail = '';
  }

  add(reason: RejectReason, detail: string): void {
    this.counts[reason] = this.counts[reason]! + 1;
    if (this.first !== RejectReason.UNSPECIFIED) return;
    this.first = reason;
    this.detail = detail;
  }
}

/** When and where the broker took the message. */
export interface Arrival {
  sequence: number;
  receivedAtMs: number;
  /** Whether its event time is the broker's stamp: then it repeats nothing. */
  stamped: boolean;
}

/** Judges and folds the message in `batch`. `rejection` is clear, and tells afterwards what was rejected. */
export function judge(
  route: Route<StreamFold>,
  batch: BatchDecoder,
  arrival: Arrival,
  rejection: Rejection,
): void {
  const { stream } = route;
  const channel = admit(route, batch, rejection);
  if (channel === undefined) return;
  if (channel.version !== stream.catalog.version) channel.useVersion(stream.catalog.version);
  const baseMs = batch.baseSeconds * 1000 + Math.floor(batch.baseNanos / 1e6);
  const run = runOf(stream, channel, batch);
  if (run === undefined) return rejectWhole(stream, batch, rejection, RejectReason.SEQUENCE_TOO_OLD, 'its epoch is over');
  run.changed = true;
  let ahead = false;
  if (channel.sequenced) {
    const verdict = run.sequences.take(batch.sequence, stream.gaps);
    if (verdict === SEQUENCE_TOO_OLD)
      return rejectWhole(stream, batch, rejection, RejectReason.SEQUENCE_TOO_OLD, 'its sequence is not remembered');
    if (verdict === SEQUENCE_DUPLICATE) return countWhole(stream, batch, DUPLICATE);
    ahead = verdict === SEQUENCE_AHEAD;
  } else {
    stream.head.unsequenced++;
    if (!arrival.stamped && isRepeated(stream, batch, baseMs)) return countWhole(stream, batch, DUPLICATE);
  }
  if (batch.labelCount > 0 && channel.cellRow >= 0 && channel.cellCol >= 0)
    stream.catalog.declareCell(route.node, channel.cellRow, channel.cellCol);
  const newestMs =
    batch.valueCount === 0
      ? heartbeat(stream, batch, baseMs, arrival, rejection)
      : foldSamples(route, channel, batch, baseMs, arrival.receivedAtMs + FUTURE_MS, rejection);
  if (run.ended && stream.sources.isNewest(run)) run.ended = false;
  stream.advance(run, newestMs, arrival.receivedAtMs, arrival.sequence);
  if (ahead) stream.holeOpened(run, baseMs);
  if (batch.endOfInput && Number.isFinite(run.newestMs)) stream.endOfInput(run, arrival.sequence);
}

/** The channel of a message that can be read and belongs where it was found; undefined after rejecting it. */
function admit(route: Route<StreamFold>, batch: BatchDecoder, rejection: Rejection): Channel | undefined {
  const { stream } = route;
  let fault = batch.fault !== '' ? batch.fault : shapeFault(route, batch);
  let channel: Channel | undefined;
  if (fault === '') {
    channel = route.channel(batch);
    fault = channel === undefined ? 'source_id is not of 1 to 128 characters' : descriptorFault(channel, batch);
  }
  if (fault !== '' || channel === undefined) {
    rejectWhole(stream, batch, rejection, RejectReason.MALFORMED, fault);
    return undefined;
  }
  const { data } = batch;
  if (
    spanEquals(data, batch.nodeFrom, batch.nodeTo, route.nodeBytes) &&
    spanEquals(data, batch.clusterFrom, batch.clusterTo, route.clusterBytes) &&
    spanEquals(data, batch.domainFrom, batch.domainTo, route.domainBytes)
  )
    return channel;
  rejectWhole(stream, batch, rejection, RejectReason.SUBJECT_MISMATCH, mismatch(batch));
  return undefined;
}

function shapeFault(route: Route<StreamFold>, batch: BatchDecoder): string {
  if (route.fault !== '') return route.fault;
  if (batch.domainTo === batch.domainFrom) return 'domain is missing';
  if (batch.clusterTo === batch.clusterFrom) return 'cluster is missing';
  if (batch.nodeTo === batch.nodeFrom) return 'node is missing';
  if (batch.sequence > 0 && batch.epoch === 0) return 'epoch is missing';
  if (!batch.hasBaseTime) return 'base_time is missing';
  if (!(batch.baseSeconds >= SECONDS_MIN && batch.baseSeconds <= SECONDS_MAX)) return 'base_time is out of range';
  if (batch.baseNanos < 0 || batch.baseNanos > 999_999_999) return 'base_time is out of range';
  if (batch.metricCount > METRICS_MAX) return `it has more than ${METRICS_MAX} metrics`;
  if (batch.labelCount > LABELS_MAX) return `it has more than ${LABELS_MAX} labels`;
  if (batch.indexCount !== batch.valueCount || batch.offsetCount !== batch.valueCount)
    return `metric_index, offset_ms and values differ in length: ${batch.indexCount}, ${batch.offsetCount}, ${batch.valueCount}`;
  return '';
}

function descriptorFault(channel: Channel, batch: BatchDecoder): string {
  try {
    if (batch.labelCount > 0) channel.takeLabels(batch);
    return channel.takeMetrics(batch);
  } catch {
    return 'a metric or label cannot be read'; // The generated decoder throws on damaged ones.
  }
}

function mismatch(batch: BatchDecoder): string {
  const { data } = batch;
  const domain = spanText(data, batch.domainFrom, batch.domainTo) ?? '?';
  const cluster = spanText(data, batch.clusterFrom, batch.clusterTo) ?? '?';
  const node = spanText(data, batch.nodeFrom, batch.nodeTo) ?? '?';
  return `it says ${domain}, ${cluster}, ${node}`.slice(0, 250);
}

function runOf(stream: StreamFold, channel: Channel, batch: BatchDecoder): SourceRun | undefined {
  const epoch = channel.sequenced ? batch.epoch : 0;
  const { run } = channel;
  if (run !== undefined && run.epoch === epoch && !run.forgotten) return run;
  channel.run = stream.sources.run(channel.sourceId, epoch, channel.sequenced);
  return channel.run;
}

function isRepeated(stream: StreamFold, batch: BatchDecoder, baseMs: number): boolean {
  return !stream.content.take(contentHash(batch.data), baseMs, stream.watermark.newestMs);
}

/** A batch without samples says how far its source has come. */
function heartbeat(
  stream: StreamFold,
  batch: BatchDecoder,
  baseMs: number,
  arrival: Arrival,
  rejection: Rejection,
): number {
  if (baseMs <= arrival.receivedAtMs + FUTURE_MS) {
    countWhole(stream, batch, ACCEPTED);
    return baseMs;
  }
  rejectWhole(stream, batch, rejection, RejectReason.FUTURE_TIMESTAMP, 'base_time lies in the future');
  return Number.NEGATIVE_INFINITY;
}

/** Folds the samples; returns the newest event time of the accepted and late ones. */
function foldSamples(
  route: Route<StreamFold>,
  channel: Channel,
  batch: BatchDecoder,
  baseMs: number,
  futureMs: number,
  rejection: Rejection,
): number {
  const { stream } = route;
  const { catalog } = stream;
  const { closedUntilMs } = stream.head;
  const { valueCount, metricCount, metricIndex, offsetMs, values } = batch;
  let window: Window | undefined = stream.current;
  let newestMs = Number.NEGATIVE_INFINITY;
  let accepted = 0;
  let late = 0;
  for (let i = 0; i < valueCount; i++) {
    const metric = metricIndex[i]!;
    const timeMs = baseMs + offsetMs[i]!;
    const value = values[i]!;
    // A difference with itself is 0 for finite numbers alone.
    if (metric >= metricCount || value - value !== 0 || timeMs > futureMs) {
      rejectSample(channel, batch, i, rejection);
      continue;
    }
    let series = channel.series[metric]!;
    if (series < 0) {
      series = resolve(route, channel, metric, timeMs < closedUntilMs, rejection);
      if (series === REJECTED) continue;
    }
    if (timeMs > newestMs) newestMs = timeMs;
    if (timeMs < closedUntilMs) {
      late++;
      continue;
    }
    if (window === undefined || timeMs >= window.endMs || timeMs < window.startMs)
      window = stream.windowAt(timeMs);
    window.add(catalog.history, series, timeMs, value);
    accepted++;
  }
  const { samplesPending, messagesPending } = stream;
  samplesPending[ACCEPTED] = samplesPending[ACCEPTED]! + accepted;
  samplesPending[LATE] = samplesPending[LATE]! + late;
  rejection.whole = accepted + late === 0;
  if (accepted + late < valueCount) countRejected(stream, rejection);
  const outcome = accepted > 0 ? ACCEPTED : late > 0 ? LATE : rejectedFor(rejection.first);
  messagesPending[outcome] = messagesPending[outcome]! + 1;
  return newestMs;
}

/** Answer of `resolve` for a sample it rejected, and for a late one of a series not known. */
const REJECTED = -3;
const UNKNOWN = -4;

/** Number of the series of a metric that was not looked up yet, or REJECTED. A late sample makes no series. */
function resolve(
  route: Route<StreamFold>,
  channel: Channel,
  metric: number,
  late: boolean,
  rejection: Rejection,
): number {
  const { catalog } = route.stream;
  const wanted = channel.metrics[metric]!;
  if (channel.series[metric] === SERIES_CHANGED || catalog.metricId(wanted) === METRIC_CHANGED) {
    channel.series[metric] = SERIES_CHANGED;
    rejection.add(RejectReason.UNIT_CHANGED, `${wanted.name} is known with another unit than ${wanted.unit}, or kind`);
    return REJECTED;
  }
  if (late) return UNKNOWN;
  const series = catalog.series(route.node, wanted);
  if (series === undefined) {
    rejection.add(RejectReason.SERIES_LIMIT, `${wanted.name} would be one series too many`);
    return REJECTED;
  }
  channel.series[metric] = series;
  return series;
}

function rejectSample(channel: Channel, batch: BatchDecoder, sample: number, rejection: Rejection): void {
  const metric = channel.metrics[batch.metricIndex[sample]!];
  const value = batch.values[sample]!;
  if (metric === undefined)
    rejection.add(RejectReason.MALFORMED, `metric_index[${sample}] points at no metric`);
  else if (!Number.isFinite(value)) rejection.add(RejectReason.NOT_FINITE, `values[${sample}] (${metric.name}) is ${value}`);
  else rejection.add(RejectReason.FUTURE_TIMESTAMP, `offset_ms[${sample}] (${metric.name}) leads into the future`);
}

function countRejected(stream: StreamFold, rejection: Rejection): void {
  for (const reason of REJECT_REASONS) {
    const at = rejectedFor(reason);
    stream.samplesPending[at] = stream.samplesPending[at]! + rejection.counts[reason]!;
  }
}

/** Rejects a message with all its samples; those of one that cannot be read are not counted. */
export function rejectWhole(
  stream: StreamFold,
  batch: BatchDecoder,
  rejection: Rejection,
  reason: RejectReason,
  detail: string,
): void {
  rejection.add(reason, detail);
  rejection.whole = true;
  const samples = reason === RejectReason.MALFORMED ? 0 : batch.valueCount;
  rejection.counts[reason] = Math.max(1, samples);
  const at = rejectedFor(reason);
  stream.samplesPending[at] = stream.samplesPending[at]! + samples;
  stream.messagesPending[at] = stream.messagesPending[at]! + 1;
}

function countWhole(stream: StreamFold, batch: BatchDecoder, outcome: number): void {
  stream.samplesPending[outcome] = stream.samplesPending[outcome]! + batch.valueCount;
  stream.messagesPending[outcome] = stream.messagesPending[outcome]! + 1;
}
