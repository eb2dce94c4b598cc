/**
 * The fold of the TELEMETRY stream: takes its messages in the broker's order, each once, and keeps the streams they
 * belong to. Synchronous; what it decided waits in the streams and in `deadLetters` until a commit takes it.
 */
import { RejectReason } from '../../gen/homeostat/telemetry/v1/telemetry_service_pb.ts';
import { BatchDecoder } from '../message/decode.ts';
import { isJson, transcodeJson } from '../message/json.ts';
import { type Place, Route } from '../message/route.ts';
import { spanText } from '../message/span.ts';
import { reasonName } from './counts.ts';
import { type Arrival, judge } from './judge.ts';
import { Rejection, rejectWhole } from './rejection.ts';
import { type FoldSettings, StreamFold } from './stream.ts';

/** Source id of the server's own word that nothing comes; never that of a producer, whose subjects name a node. */
export const SILENCE_SOURCE = 'homeostat.silence';

/** Bytes of a rejected message that are kept. */
const PAYLOAD_KEPT_MAX = 64 * 1024;

/** Subjects remembered; beyond it all are looked up anew. */
const ROUTES_MAX = 200_000;

/** A message of the TELEMETRY stream; `data` is borrowed. */
export interface TelemetryMessage {
  readonly subject: string;
  readonly data: Uint8Array;
  readonly sequence: number;
  readonly receivedAtMs: number;
}

/** A message of which something was rejected. */
export interface RejectedLetter {
  readonly sequence: number;
  readonly subject: string;
  readonly receivedAtMs: number;
  /** At most its first 64 KiB; a copy. */
  readonly payload: Uint8Array;
  /** `MALFORMED=1,NOT_FINITE=3`. */
  readonly reasons: string;
  readonly detail: string;
  readonly whole: boolean;
}

export interface TelemetryFoldOptions {
  readonly settings: FoldSettings;
  /** Most streams kept; messages of further ones are rejected. */
  readonly streamsMax: number;
  /** Reads a subject. */
  readonly placeOf: (subject: string) => Place;
}

export class TelemetryFold {
  /** By `<domain>.<cluster>`; `.` holds the account of messages whose subject names no stream. */
  readonly streams = new Map<string, StreamFold>();
  /** Streams that changed since they were last captured. */
  dirty: StreamFold[] = [];
  /** Rejected since they were last taken. */
  deadLetters: RejectedLetter[] = [];
  /** Bytes of their payloads. */
  deadLetterBytes = 0;
  /** Place of the last message folded. */
  lastSequence = 0;
  /** Messages that came again after they were folded. */
  redelivered = 0;
  /** Windows that closed since this was last set to 0, and bytes of their summaries. */
  windowsClosed = 0;
  closedBytes = 0;

  private readonly options: TelemetryFoldOptions;
  private readonly routes = new Map<string, Route<StreamFold>>();
  private lastSubject = '';
  private lastRoute: Route<StreamFold> | undefined;
  private readonly batch = new BatchDecoder();
  private readonly rejection = new Rejection();
  private readonly arrival: Arrival = { sequence: 0, receivedAtMs: 0, stamped: false };

  constructor(options: TelemetryFoldOptions) {
    this.options = options;
  }

  /** Folds a message; one at or below the last, or below its stream's checkpoint, is passed over. */
  take(message: TelemetryMessage): void {
    const { sequence, subject } = message;
    if (sequence <= this.lastSequence) {
      this.redelivered++;
      return;
    }
    this.lastSequence = sequence;
    let route = this.lastRoute;
    if (route === undefined || subject !== this.lastSubject) {
      route = this.routes.get(subject) ?? this.addRoute(subject);
      this.lastRoute = route;
      this.lastSubject = subject;
    }
    const { stream } = route;
    if (sequence <= stream.appliedSequence) return;
    this.touch(stream);
    this.arrival.sequence = sequence;
    this.arrival.receivedAtMs = message.receivedAtMs;
    const closedBefore = stream.closed.length;
    this.judge(route, message.data);
    this.windowsClosed += stream.closed.length - closedBefore;
    for (let at = closedBefore; at < stream.closed.length; at++)
      this.closedBytes += stream.closed[at]!.summaries.byteLength;
    if (this.rejection.first !== RejectReason.UNSPECIFIED) this.bury(message);
  }

  /** The stream, made where it is not known. */
  stream(domain: string, cluster: string): StreamFold {
    const key = `${domain}.${cluster}`;
    let stream = this.streams.get(key);
    if (stream === undefined) {
      stream = new StreamFold(domain, cluster, this.options.settings);
      this.streams.set(key, stream);
    }
    return stream;
  }

  /** Puts in a restored stream. */
  addStream(stream: StreamFold): void {
    this.streams.set(`${stream.domain}.${stream.cluster}`, stream);
  }

  /** Counts a stream among the changed ones. */
  touch(stream: StreamFold): void {
    if (stream.dirty) return;
    stream.dirty = true;
    this.dirty.push(stream);
  }

  /** The broker's stream numbers anew: `sequence` is the first to come. */
  rebase(sequence: number): void {
    this.lastSequence = sequence - 1;
    for (const stream of this.streams.values()) stream.appliedSequence = 0;
  }

  private judge(route: Route<StreamFold>, data: Uint8Array): void {
    const { batch, rejection, arrival } = this;
    rejection.clear();
    arrival.stamped = false;
    let wire = data;
    if (isJson(data)) {
      const { domain, cluster, node } = route.place;
      const read = transcodeJson(data, { domain, cluster, node, receivedAtMs: arrival.receivedAtMs });
      if ('fault' in read) {
        rejectWhole(route.stream, batch, rejection, RejectReason.MALFORMED, read.fault);
        return;
      }
      wire = read.wire;
      arrival.stamped = read.stamped;
    }
    const readable = batch.decode(wire);
    if (route.place.silence && readable && batch.valueCount === 0 && isSilence(batch)) {
      const baseMs = batch.baseSeconds * 1000 + Math.floor(batch.baseNanos / 1e6);
      route.stream.silence(baseMs, arrival.receivedAtMs, arrival.sequence);
    } else judge(route, batch, arrival, rejection);
  }

  private addRoute(subject: string): Route<StreamFold> {
    let place = this.options.placeOf(subject);
    const full = this.streams.size > this.options.streamsMax;
    if (full && !this.streams.has(`${place.domain}.${place.cluster}`)) {
      const fault = 'the server holds as many streams as it may';
      place = { domain: '', cluster: '', node: '', fault, silence: false };
    }
    const route = new Route(this.stream(place.domain, place.cluster), place);
    if (this.routes.size >= ROUTES_MAX) this.routes.clear();
    this.routes.set(subject, route);
    return route;
  }

  private bury(message: TelemetryMessage): void {
    const { counts, detail, whole } = this.rejection;
    const reasons: string[] = [];
    for (let reason = 1; reason < counts.length; reason++)
      if (counts[reason]! > 0) reasons.push(`${reasonName(reason)}=${counts[reason]}`);
    const payload = message.data.slice(0, PAYLOAD_KEPT_MAX);
    const { sequence, subject, receivedAtMs } = message;
    this.deadLetters.push({
      sequence,
      subject,
      receivedAtMs,
      payload,
      reasons: reasons.join(),
      detail,
      whole,
    });
    this.deadLetterBytes += payload.length;
  }
}

function isSilence(batch: BatchDecoder): boolean {
  return batch.hasBaseTime && spanText(batch.data, batch.sourceFrom, batch.sourceTo) === SILENCE_SOURCE;
}
