/**
 * Acknowledgement subjects of the raw consumer, read and written without making strings per message.
 *
 * The broker names each delivery `$JS.ACK.<stream>.<consumer>.<deliveries>.<sequence>.<order>.<nanoseconds>.<pending>`,
 * newer ones `$JS.ACK.<domain>.<account>.<stream>.…` with one more token at the end. The part before `<deliveries>` is
 * the same for every delivery of a consumer, so it is looked for once.
 */
import { type Frame, readNumber } from './frame-parser.ts';
import { TELEMETRY_STREAM } from './streams.ts';

const DOT = 0x2e;

/** What a reply subject tells; reused for every message. */
export interface RawDelivery {
  sequence: number;
  /** Place in the order of deliveries, from 1 without holes. */
  order: number;
  /** The broker's stamp, wall milliseconds. */
  receivedAtMs: number;
  /** Messages still in the stream. */
  pending: number;
}

/** Digits of a time in nanoseconds that make up its milliseconds. */
const MILLISECOND_DIGITS = 13;

/** Reads `<deliveries>.<sequence>.<order>.<nanoseconds>.<pending>` into `out`. */
export function readRawDelivery(bytes: Buffer, start: number, end: number, out: RawDelivery): void {
  let at = start;
  while (bytes[at] !== DOT) at++;
  out.sequence = readNumber(bytes, ++at);
  while (bytes[at] !== DOT) at++;
  out.order = readNumber(bytes, ++at);
  while (bytes[at] !== DOT) at++;
  at++;
  let ms = 0;
  for (const stop = at + MILLISECOND_DIGITS; at < stop; at++) ms = ms * 10 + bytes[at]! - 0x30;
  out.receivedAtMs = ms;
  while (at < end && bytes[at] !== DOT) at++;
  out.pending = readNumber(bytes, at + 1);
}

/**
 * Makes the acknowledgement subject of any sequence handed over. Sequences and delivery order differ by a constant
 * that changes only where the stream has a hole. Invariant: `#runs` are ascending, and cover what is unacknowledged.
 */
export class AckSubjects {
  /** Bytes of a reply subject before `<deliveries>`; known after `learn`. */
  prefixLength = 0;
  /** Delivery order of the last message acknowledged. */
  acknowledged = 0;
  readonly #marker: string;
  #prefix = '';
  #suffix = '';
  #difference = Number.NaN;
  #runs: { readonly from: number; readonly difference: number }[] = [];

  constructor(durable: string) {
    this.#marker = `.${TELEMETRY_STREAM}.${durable}.`;
  }

  /** Looks at the form of the first delivery; nothing after that. */
  learn(frame: Frame): void {
    if (this.prefixLength > 0) return;
    const reply = frame.bytes.toString('latin1', frame.replyStart, frame.replyEnd);
    this.prefixLength = reply.indexOf(this.#marker) + this.#marker.length;
    this.#prefix = reply.slice(0, this.prefixLength);
    const [, , , nanoseconds, ...rest] = reply.slice(this.prefixLength).split('.');
    this.#suffix = [nanoseconds, ...rest].join('.');
  }

  /** Remembers a delivery. */
  note(sequence: number, order: number): void {
    const difference = sequence - order;
    if (difference === this.#difference) return;
    this.#difference = difference;
    this.#runs.push({ from: sequence, difference });
  }

  /** Subject that acknowledges everything up to a sequence; undefined when it was not delivered by this consumer. */
  take(sequence: number): string | undefined {
    while (this.#runs.length > 1 && this.#runs[1]!.from <= sequence) this.#runs.shift();
    const run = this.#runs[0];
    if (!run || run.from > sequence) return undefined;
    this.acknowledged = sequence - run.difference;
    return `${this.#prefix}1.${sequence}.${this.acknowledged}.${this.#suffix}`;
  }
}
