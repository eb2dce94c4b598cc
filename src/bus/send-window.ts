/**
 * The messages of a producer on their way to the broker: at most a window of them unacknowledged, always sent in the
 * order they were handed in, and sent again in that order when a connection is lost, when the broker refuses for the
 * moment, or when it falls silent. Knows one connection at a time; who connects is `producer.ts`.
 */
import { createInbox, type Msg, type NatsConnection } from '@nats-io/transport-node';
import type { Clock, Timer } from '../clock.ts';
import { type AppError, defineErrors, describeError, reason } from '../errors.ts';

/** First and longest pause after a refusal, milliseconds. */
const PAUSE_MS_MIN = 100;
const PAUSE_MS_MAX = 2_000;

/** Why a message was not published; these never reach the wire. */
const producerError = defineErrors('homeostat.bus', {
  PUBLISH_REFUSED: reason(
    'INVALID_ARGUMENT',
    ['subject', 'detail'],
    ({ subject, detail }) => `the broker takes no such message on ${subject}: ${detail}`,
  ),
  PRODUCER_CLOSED: reason('UNAVAILABLE', [], () => 'the producer was closed before the acknowledgement'),
});

interface Entry {
  readonly subject: string;
  readonly payload: Uint8Array;
  resolve: (sequence: number) => void;
  reject: (error: AppError) => void;
  done: boolean;
}

/**
 * `flowing`: as many are sent as the window holds. `probing`: only the oldest, until it is acknowledged. `paused`:
 * none, the broker refused one and gets a moment. A connection begins probing; silence makes it probe again; a refusal
 * pauses it and then makes it probe. So a broker that is not ready yet cannot take a later message before an earlier
 * one.
 */
type Mode = 'flowing' | 'probing' | 'paused';

/**
 * The messages on their way, oldest first: `entries[head..next)` were sent on this connection and `entries[next..]`
 * not yet. An entry's number is its place since the beginning; the reply subject of a message ends in it, so an
 * acknowledgement finds its entry in constant time and a late one finds nothing.
 */
export class SendWindow {
  resent = 0;
  private mode: Mode = 'probing';
  private entries: Entry[] = [];
  private head = 0;
  private next = 0;
  /** Number of `entries[0]`. */
  private base = 0;
  /** One past the greatest number ever sent: sending below it is sending again. */
  private sentEnd = 0;
  private nats: NatsConnection | undefined;
  private inbox = '';
  private silence: Timer | undefined;
  private pause: Timer | undefined;
  private pauseMs = PAUSE_MS_MIN;
  private lastHeardMs = 0;
  private closed = false;
  private waiters: { readonly below: number; readonly resolve: () => void }[] = [];
  private readonly clock: Clock;
  private readonly inFlightMax: number;
  private readonly ackTimeoutMs: number;

  constructor(clock: Clock, inFlightMax: number, ackTimeoutMs: number) {
    this.clock = clock;
    this.inFlightMax = inFlightMax;
    this.ackTimeoutMs = ackTimeoutMs;
  }

  get size(): number {
    return this.entries.length - this.head;
  }

  add(subject: string, payload: Uint8Array): Promise<number> {
    if (this.closed) return Promise.reject(producerError('PRODUCER_CLOSED', {}));
    return new Promise((resolve, reject) => {
      this.entries.push({ subject, payload, resolve, reject, done: false });
      this.pump();
    });
  }

  ready(): Promise<void> {
    return this.whenBelow(this.inFlightMax);
  }

  idle(): Promise<void> {
    return this.whenBelow(1);
  }

  attach(nats: NatsConnection): void {
    this.nats = nats;
    this.inbox = createInbox();
    const inbox = this.inbox;
    nats.subscribe(`${inbox}.*`, {
      callback: (error, message) => {
        if (!error && inbox === this.inbox) this.heard(message);
      },
    });
    void this.watchRefusals(nats);
    this.restart();
  }

  detach(): void {
    this.nats = undefined;
    this.inbox = '';
    this.silence?.cancel();
    this.silence = undefined;
    this.pause?.cancel();
    this.pause = undefined;
  }

  close(): void {
    this.closed = true;
    this.detach();
    const left = this.entries.slice(this.head).filter((entry) => !entry.done);
    this.entries = [];
    this.head = 0;
    this.next = 0;
    for (const entry of left) entry.reject(producerError('PRODUCER_CLOSED', {}));
    this.wake();
  }

  private whenBelow(below: number): Promise<void> {
    if (this.size < below) return Promise.resolve();
    return new Promise((resolve) => this.waiters.push({ below, resolve }));
  }

  private wake(): void {
    if (this.waiters.length === 0) return;
    const due = this.waiters.filter((waiter) => this.size < waiter.below);
    if (due.length === 0) return;
    this.waiters = this.waiters.filter((waiter) => this.size >= waiter.below);
    for (const waiter of due) waiter.resolve();
  }

  /** One past the last entry that may be on its way now. */
  private get limit(): number {
    const width = { flowing: this.inFlightMax, probing: 1, paused: 0 }[this.mode];
    return Math.min(this.entries.length, this.head + width);
  }

  /** Sends what may be sent. */
  private pump(): void {
    if (this.next === this.head) this.lastHeardMs = this.clock.monotonicMs();
    while (this.nats && this.next < this.limit) {
      const number = this.base + this.next;
      const entry = this.entries[this.next]!;
      this.next++;
      if (entry.done) continue;
      if (number < this.sentEnd) this.resent++;
      this.sentEnd = Math.max(this.sentEnd, number + 1);
      try {
        this.nats.publish(entry.subject, entry.payload, { reply: `${this.inbox}.${number}` });
      } catch (error) {
        if (this.nats.isClosed()) return; // The next connection sends it again.
        this.refuse(entry, describeError(error), error);
      }
    }
    if (this.nats && this.next > this.head) this.listen();
  }

  /** Sends everything unacknowledged again, the oldest first and alone. */
  private restart(): void {
    this.mode = 'probing';
    this.next = this.head;
    this.pump();
  }

  /** Watches for the broker's silence. One timer runs while anything is unacknowledged. */
  private listen(): void {
    this.silence ??= this.clock.after(this.ackTimeoutMs, () => {
      this.silence = undefined;
      if (this.next === this.head || this.mode === 'paused') return;
      if (this.clock.monotonicMs() - this.lastHeardMs >= this.ackTimeoutMs) this.restart();
      else this.listen();
    });
  }

  private heard(message: Msg): void {
    const index = Number(message.subject.slice(this.inbox.length + 1)) - this.base;
    const entry = this.entries[index];
    if (!entry || entry.done) return;
    this.lastHeardMs = this.clock.monotonicMs();
    const answer = readAnswer(message);
    if (answer.outcome === 'never') this.refuse(entry, answer.why);
    else if (answer.outcome === 'later') this.wait();
    else {
      if (this.mode === 'probing' && index === this.head) {
        this.mode = 'flowing';
        this.pauseMs = PAUSE_MS_MIN;
      }
      entry.done = true;
      entry.resolve(answer.sequence);
      this.advance();
    }
  }

  /** Not now: the others in flight are heard or not, and after a pause all that is left is sent again. */
  private wait(): void {
    if (this.mode === 'paused') return;
    this.mode = 'paused';
    this.pause = this.clock.after(this.pauseMs, () => this.restart());
    this.pauseMs = Math.min(PAUSE_MS_MAX, this.pauseMs * 2);
  }

  private refuse(entry: Entry, why: string, cause?: unknown): void {
    entry.done = true;
    entry.reject(producerError('PUBLISH_REFUSED', { subject: entry.subject, detail: why }, { cause }));
    this.advance();
  }

  /** Forgets what is done at the front and sends on. */
  private advance(): void {
    while (this.head < this.entries.length && this.entries[this.head]!.done) this.head++;
    if (this.next < this.head) this.next = this.head;
    if (this.head >= 4_096 || this.head === this.entries.length) {
      this.entries.splice(0, this.head);
      this.base += this.head;
      this.next -= this.head;
      this.head = 0;
    }
    this.wake();
    this.pump();
  }

  /** A message on a subject the producer may not use gets no answer, only a notice. */
  private async watchRefusals(nats: NatsConnection): Promise<void> {
    for await (const status of nats.status()) {
      if (status.type !== 'error') continue;
      const { operation, subject } = status.error as { operation?: string; subject?: string };
      if (operation !== 'publish' || nats !== this.nats) continue;
      const entry = this.entries
        .slice(this.head, this.next)
        .find((one) => !one.done && one.subject === subject);
      if (entry) this.refuse(entry, 'the producer may not publish there');
    }
  }
}

type Answer =
  | { readonly outcome: 'taken'; readonly sequence: number }
  | { readonly outcome: 'later' }
  | { readonly outcome: 'never'; readonly why: string };

/** Reads a JetStream publish acknowledgement. */
function readAnswer(message: Msg): Answer {
  if (message.data.length === 0) return { outcome: 'later' }; // Status 503: no stream listens yet.
  const { error, seq } = message.json<{ seq: number; error?: { code: number; description: string } }>();
  if (!error) return { outcome: 'taken', sequence: seq };
  return error.code === 400 ? { outcome: 'never', why: error.description } : { outcome: 'later' };
}
