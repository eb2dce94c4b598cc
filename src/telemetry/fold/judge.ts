/**
 * Judges one decoded message of a stream: every message and every sample of it gets exactly one outcome. In this
 * order: MALFORMED, SUBJECT_MISMATCH, then its sequence (SEQUENCE_TOO_OLD, duplicate), then sample by sample
 * NOT_FINITE, FUTURE_TIMESTAMP, UNIT_CHANGED, late, SERIES_LIMIT, accepted. A bad sample rejects only itself. A
 * message counts as its best sample: accepted, late, rejected for the reason of its first rejected one.
 */
import { RejectReason } from '../../gen/homeostat/telemetry/v1/telemetry_service_pb.ts';
import type { BatchDecoder } from '../message/decode.ts';
import { type Channel, type Route, SERIES_CHANGED } from '../message/route.ts';
import { contentHash } from '../source/content.ts';
import { SEQUENCE_AHEAD, SEQUENCE_DUPLICATE, SEQUENCE_NEW, SEQUENCE_TOO_OLD } from '../source/sequence.ts';
import type { SourceRun } from '../source/source.ts';
import { METRIC_CHANGED } from '../window/catalog.ts';
import type { Window } from '../window/window.ts';
import { admit } from './admission.ts';
import { ACCEPTED, DUPLICATE, LATE, rejectedFor } from './counts.ts';
import { countRejected, countWhole, type Rejection, rejectWhole } from './rejection.ts';
import type { StreamFold } from './stream.ts';

/** Event times further past the broker's stamp than this are rejected, milliseconds. */
const FUTURE_MS = 30_000;

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
  channel.metricSet.useVersion(stream.catalog.version);
  const baseMs = batch.baseSeconds * 1000 + Math.floor(batch.baseNanos / 1e6);
  const run = runOf(stream, channel, batch);
  if (run === undefined) {
    rejectWhole(stream, batch, rejection, RejectReason.SEQUENCE_TOO_OLD, 'its epoch is over');
    return;
  }
  run.changed = true;
  const verdict = channel.sequenced
    ? run.sequences.take(batch.sequence, stream.gaps)
    : judgeContent(stream, batch, baseMs, arrival.stamped);
  if (verdict === SEQUENCE_TOO_OLD) {
    rejectWhole(stream, batch, rejection, RejectReason.SEQUENCE_TOO_OLD, 'its sequence is not remembered');
    return;
  }
  if (verdict === SEQUENCE_DUPLICATE) {
    countWhole(stream, batch, DUPLICATE);
    return;
  }
  if (batch.labelCount > 0) takeLabels(route, channel);
  const newestMs =
    batch.valueCount === 0
      ? heartbeat(stream, batch, baseMs, arrival, rejection)
      : foldSamples(route, channel, batch, baseMs, arrival.receivedAtMs + FUTURE_MS, rejection);
  if (run.ended && stream.sources.isNewest(run)) run.ended = false;
  stream.advance(run, newestMs, arrival.receivedAtMs, arrival.sequence);
  if (verdict === SEQUENCE_AHEAD) stream.holeOpened(run, baseMs);
  if (batch.endOfInput && Number.isFinite(run.newestMs)) stream.endOfInput(run, arrival.sequence);
}

function runOf(stream: StreamFold, channel: Channel, batch: BatchDecoder): SourceRun | undefined {
  const epoch = channel.sequenced ? batch.epoch : 0;
  const { run } = channel;
  if (run !== undefined && run.epoch === epoch && !run.forgotten) return run;
  channel.run = stream.sources.run(channel.sourceId, epoch, channel.sequenced);
  return channel.run;
}

/** Judges a message without a sequence by its content. */
function judgeContent(stream: StreamFold, batch: BatchDecoder, baseMs: number, stamped: boolean): number {
  stream.head.unsequenced++;
  if (stamped) return SEQUENCE_NEW;
  const isNew = stream.content.take(contentHash(batch.data), baseMs, stream.watermark.newestMs);
  return isNew ? SEQUENCE_NEW : SEQUENCE_DUPLICATE;
}

/** Takes what the labels of a message say about its node and where it came from. */
function takeLabels({ stream, place }: Route<StreamFold>, channel: Channel): void {
  const { cellRow, cellCol, origin } = channel;
  if (cellRow >= 0 && cellCol >= 0) stream.catalog.declareCell(place.node, cellRow, cellCol);
  if (origin !== '') stream.countOrigin(origin);
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
  const { series: seriesOf } = channel.metricSet;
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
    let series = seriesOf[metric]!;
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
  const { metrics, series: seriesOf } = channel.metricSet;
  const wanted = metrics[metric]!;
  if (seriesOf[metric] === SERIES_CHANGED || catalog.metricId(wanted) === METRIC_CHANGED) {
    seriesOf[metric] = SERIES_CHANGED;
    rejection.add(
      RejectReason.UNIT_CHANGED,
      `${wanted.name} is known with another unit than ${wanted.unit}, or kind`,
    );
    return REJECTED;
  }
  if (late) return UNKNOWN;
  const series = catalog.series(route.place.node, wanted);
  if (series === undefined) {
    rejection.add(RejectReason.SERIES_LIMIT, `${wanted.name} would be one series too many`);
    return REJECTED;
  }
  seriesOf[metric] = series;
  return series;
}

function rejectSample(channel: Channel, batch: BatchDecoder, sample: number, rejection: Rejection): void {
  const metric = channel.metricSet.metrics[batch.metricIndex[sample]!];
  const value = batch.values[sample]!;
  if (metric === undefined)
    rejection.add(RejectReason.MALFORMED, `metric_index[${sample}] points at no metric`);
  else if (!Number.isFinite(value))
    rejection.add(RejectReason.NOT_FINITE, `values[${sample}] (${metric.name}) is ${value}`);
  else
    rejection.add(
      RejectReason.FUTURE_TIMESTAMP,
      `offset_ms[${sample}] (${metric.name}) leads into the future`,
    );
}
