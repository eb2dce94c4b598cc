/**
 * Telemetry written by hand: turns a JSON message into the wire format, so that there is one way to be folded.
 *
 * Two forms. The protobuf JSON of TelemetryBatch; and a short one, told by `metrics` being an object of name to
 * number: `{"metrics":{"cpu":0.42}}`, with `time` (RFC 3339, or milliseconds since 1970), `labels` and any field of
 * TelemetryBatch beside it. Either may leave out domain, cluster and node (the subject's), source_id (the node), and
 * the time: then the broker's stamp is the event time, and the message is nobody's duplicate. Unknown fields are
 * refused, so that a misspelt one is noticed. A null is what JSON makes of NaN, and is rejected as one sample.
 */
import { fromJson, type JsonObject, type JsonValue, toBinary } from '@bufbuild/protobuf';
import { describeError } from '../../errors.ts';
import { TelemetryBatchSchema } from '../../gen/homeostat/telemetry/v1/telemetry_service_pb.ts';

/**
 * Numbers below are not milliseconds of any telemetry (they are before March 1973) but most likely seconds; they are
 * refused rather than misread.
 */
const TIME_MS_MIN = 1e11;
const TIME_MS_MAX = 253_402_300_799_999;

const text = new TextDecoder('utf-8', { fatal: true });

/** Where a message came from and when. */
export interface Origin {
  readonly domain: string;
  readonly cluster: string;
  readonly node: string;
  /** The broker's stamp, milliseconds. */
  readonly receivedAtMs: number;
}

/** The message on the wire, or what is wrong with it. */
export type Transcoded =
  | { readonly wire: Uint8Array; readonly stamped: boolean }
  | { readonly fault: string };

/**
 * Whether a payload is JSON: it begins with a brace, or with a blank before one. None of these bytes can begin a
 * TelemetryBatch in wire format (a group, or a foreign wire type); a line feed can, so it is not among them.
 */
export function isJson(payload: Uint8Array): boolean {
  const first = payload[0];
  return first === 0x7b || first === 0x20 || first === 0x09 || first === 0x0d;
}

export function transcodeJson(payload: Uint8Array, origin: Origin): Transcoded {
  try {
    const given: JsonValue = JSON.parse(text.decode(payload));
    if (typeof given !== 'object' || given === null || Array.isArray(given))
      return { fault: 'it is not a JSON object' };
    const long = isShort(given) ? lengthen(given) : { ...given };
    if (typeof long === 'string') return { fault: long };
    const stamped = (long['baseTime'] ?? long['base_time']) === undefined;
    if (stamped) long['baseTime'] = new Date(origin.receivedAtMs).toISOString();
    const batch = fromJson(TelemetryBatchSchema, long);
    batch.domain ||= origin.domain;
    batch.cluster ||= origin.cluster;
    batch.node ||= origin.node;
    batch.sourceId ||= batch.node;
    return { wire: toBinary(TelemetryBatchSchema, batch), stamped };
  } catch (error) {
    return { fault: describeError(error).slice(0, 200) };
  }
}

function isShort(given: JsonObject): given is JsonObject & { metrics: JsonObject } {
  const { metrics } = given;
  return typeof metrics === 'object' && metrics !== null && !Array.isArray(metrics);
}

/** The short form written out; where it cannot be, what is wrong with it. */
function lengthen(short: JsonObject & { metrics: JsonObject }): JsonObject | string {
  const { metrics, time, ...rest } = short;
  const names = Object.keys(metrics);
  const values: JsonValue[] = [];
  for (const name of names) {
    const value = metrics[name] ?? 'NaN';
    if (typeof value !== 'number' && !['NaN', 'Infinity', '-Infinity'].includes(String(value)))
      return `metrics.${name} is not a number`;
    values.push(value);
  }
  if (time !== undefined) {
    const baseTime = typeof time === 'number' ? timeOfMs(time) : typeof time === 'string' ? time : undefined;
    if (baseTime === undefined) return 'time is neither RFC 3339 nor in milliseconds since 1970';
    rest['baseTime'] = baseTime;
  }
  return {
    ...rest,
    metrics: names.map((name) => ({ name })),
    metricIndex: names.map((_, index) => index),
    offsetMs: names.map(() => 0),
    values,
  };
}

function timeOfMs(timeMs: number): string | undefined {
  return timeMs >= TIME_MS_MIN && timeMs <= TIME_MS_MAX ? new Date(timeMs).toISOString() : undefined;
}
