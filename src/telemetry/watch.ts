/**
 * Streams the batches of one stream to a caller as they come, with a heartbeat when none does. The resume token is
 * the place in the broker's stream; resuming gives every batch after it, at least once.
 */
import { fromBinary, type MessageInitShape } from '@bufbuild/protobuf';
import { type Bus, type RawMessage, TelemetryTooOldError } from '../bus/bus.ts';
import { telemetryFilter } from '../bus/topics.ts';
import type { Clock } from '../clock.ts';
import {
  type TelemetryBatch,
  TelemetryBatchSchema,
  type WatchRequest,
  type WatchResponseSchema,
} from '../gen/homeostat/telemetry/v1/telemetry_service_pb.ts';
import { brokerRefusal, fieldsInvalid, telemetryError } from './errors.ts';
import { isJson, transcodeJson } from './message/json.ts';
import type { Place } from './message/route.ts';

/** Silence after which a heartbeat is sent, milliseconds. */
const HEARTBEAT_MS = 15_000;

export interface WatchDeps {
  readonly bus: Bus;
  readonly clock: Clock;
  readonly placeOf: (subject: string) => Place;
  /** The last place folded. */
  readonly lastSequence: () => number;
}

type WatchReply = MessageInitShape<typeof WatchResponseSchema>;

/** Throws RESUME_TOO_OLD, BROKER_DOWN, or FIELD_INVALID for a token that is none. */
export async function* watchStream(
  deps: WatchDeps,
  request: WatchRequest,
  signal: AbortSignal,
): AsyncIterable<WatchReply> {
  const { domain, cluster } = request.stream!;
  const after = parseToken(request.resumeToken);
  const wanted = request.metrics.length > 0 ? new Set(request.metrics) : undefined;
  const messages = deps.bus.readTelemetry({
    filter: telemetryFilter(domain, cluster),
    ...(after !== undefined && { startSequence: after + 1 }),
    signal,
  });
  let resumeToken = String(after ?? deps.lastSequence());
  try {
    for await (const message of withHeartbeats(messages, deps.clock)) {
      if (signal.aborted) return;
      if (message === undefined) {
        yield { resumeToken };
        continue;
      }
      resumeToken = String(message.sequence);
      const batch = readBatch(message, deps.placeOf(message.subject));
      const shown = batch && wanted ? pickMetrics(batch, wanted) : batch;
      if (shown !== undefined) yield { batch: shown, resumeToken };
    }
  } catch (error) {
    if (!(error instanceof TelemetryTooOldError)) throw brokerRefusal(error);
    throw telemetryError('RESUME_TOO_OLD', { oldest: error.oldest, asked: error.asked });
  }
}

function parseToken(token: string): number | undefined {
  if (token === '') return undefined;
  if (/^\d{1,15}$/.test(token)) return Number(token);
  throw fieldsInvalid([{ field: 'resume_token', description: 'is not one that Watch gave' }]);
}

/** Passes messages on, and undefined after each 15 s without one. */
async function* withHeartbeats(
  messages: AsyncIterable<RawMessage>,
  clock: Clock,
): AsyncIterable<RawMessage | undefined> {
  const iterator = messages[Symbol.asyncIterator]();
  try {
    let next = iterator.next();
    for (;;) {
      let beat = () => {};
      const silence = new Promise<undefined>((resolve) => {
        beat = () => resolve(undefined);
      });
      const timer = clock.after(HEARTBEAT_MS, beat, true);
      const result = await Promise.race([next, silence]).finally(() => timer.cancel());
      if (result === undefined) yield undefined;
      else if (result.done) return;
      else {
        next = iterator.next();
        next.catch(() => undefined); // Reported when it is awaited.
        yield result.value;
      }
    }
  } finally {
    await iterator.return?.();
  }
}

/** The batch as it was offered; undefined for what is not one. */
function readBatch(message: RawMessage, place: Place): TelemetryBatch | undefined {
  if (place.fault !== '') return undefined;
  try {
    let wire = message.data;
    if (isJson(wire)) {
      const { domain, cluster, node } = place;
      const read = transcodeJson(wire, { domain, cluster, node, receivedAtMs: message.receivedAtMs });
      if ('fault' in read) return undefined;
      wire = read.wire;
    }
    return fromBinary(TelemetryBatchSchema, wire, { readUnknownFields: false });
  } catch {
    return undefined; // Kept as a dead letter; nobody watches for those here.
  }
}

/** Only the samples of these metrics; undefined when there are none. */
function pickMetrics(batch: TelemetryBatch, wanted: ReadonlySet<string>): TelemetryBatch | undefined {
  const place = new Map<number, number>();
  const metrics = batch.metrics.filter((metric, index) => {
    if (!wanted.has(metric.name)) return false;
    place.set(index, place.size);
    return true;
  });
  const kept = [...batch.metricIndex.keys()].filter((sample) => place.has(batch.metricIndex[sample]!));
  if (kept.length === 0) return undefined;
  return {
    ...batch,
    metrics,
    metricIndex: kept.map((sample) => place.get(batch.metricIndex[sample]!)!),
    offsetMs: kept.map((sample) => batch.offsetMs[sample] ?? 0),
    values: kept.map((sample) => batch.values[sample] ?? Number.NaN),
  };
}
