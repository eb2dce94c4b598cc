/**
 * Hands over the TELEMETRY stream, in order, as fast as one core allows. The place to go on from is the caller's
 * checkpoint, not the broker's: whenever something is doubtful (broken connection, a gap in the deliveries, a stall, a
 * stream made anew) the durable consumer is deleted and made again behind the last message handed over. It never
 * naks, and the broker never redelivers on its own.
 *
 * Bounds: one request of BATCH messages and BYTES_MAX bytes is under way at a time; at most UNACKNOWLEDGED_MAX
 * messages are unacknowledged.
 */
import { AckPolicy, DeliverPolicy, type StreamInfo } from '@nats-io/jetstream';
import { nanos } from '@nats-io/transport-node';
import { type Clock, delay } from '../clock.ts';
import type { Logger } from '../observability.ts';
import type { RawAlarm, RawConsumer, RawConsumerOptions, RawMessage } from './bus.ts';
import type { AlarmKind, BusMetrics, Cell } from './bus-metrics.ts';
import type { Connection, ConnectOptions } from './connection.ts';
import { explain } from './errors.ts';
import type { Frame } from './frame-parser.ts';
import { isConsumerMissing } from './jetstream-errors.ts';
import { nextSubject, REFUSED_DELAY_MS, readStatus } from './pull.ts';
import { AckSubjects, type RawDelivery, readRawDelivery } from './raw-delivery.ts';
import { streamState, TELEMETRY_AGE_MS, TELEMETRY_STREAM } from './streams.ts';
import { SubjectCache } from './subject-cache.ts';
import { tailAtRisk } from './telemetry-tail.ts';
import { openWire, type Wire } from './wire.ts';

const BATCH = 16_384;
const BYTES_MAX = 8 * 1024 * 1024;
const UNACKNOWLEDGED_MAX = 262_144;
const EXPIRES_MS = 30_000;
/** A stream ahead of its consumer with no delivery for this long: the consumer is made anew. */
const STALL_MS = 15_000;
const WATCH_MS = 5_000;
const BACKOFF_FIRST_MS = 100;
const BACKOFF_LAST_MS = 5_000;
/** Longer than a message is kept: redelivery is this side's business. */
const ACK_WAIT_MS = 2 * TELEMETRY_AGE_MS;
const TOPIC = 'telemetry';

export interface RawConsumerDeps {
  readonly connection: Connection;
  /** For the connection of its own that the messages come over. */
  readonly connect: ConnectOptions;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: BusMetrics;
  /** Makes missing streams. */
  readonly prepare: () => Promise<unknown>;
  /** The stream that checkpoints of this durable refer to, by its time of creation; undefined before the first. */
  readonly loadIdentity: (durable: string) => Promise<string | undefined>;
  readonly saveIdentity: (durable: string, created: string) => Promise<void>;
}

/**
 * Starts handing over; resolves once the durable consumer exists, before the first message. Alarms about the place to
 * begin at come before it resolves.
 */
export async function consumeRaw(deps: RawConsumerDeps, options: RawConsumerOptions): Promise<RawConsumer> {
  const consumer = new TelemetryConsumer(deps, options);
  await consumer.start();
  // The caller holds the consumer before the first message comes.
  setImmediate(() => consumer.begin());
  return consumer;
}

/** Invariant: sequences handed over only rise until an alarm says otherwise; at most one wire is open. */
class TelemetryConsumer implements RawConsumer {
  readonly #deps: RawConsumerDeps;
  readonly #options: RawConsumerOptions;
  readonly #stopping = new AbortController();
  readonly #subjects = new SubjectCache();
  readonly #message: { -readonly [Key in keyof RawMessage]: RawMessage[Key] };
  readonly #delivery: RawDelivery = { sequence: 0, order: 0, receivedAtMs: 0, pending: 0 };
  readonly #delivered: Cell;
  readonly #cleanups: (() => void)[] = [];

  #wire: Wire | undefined;
  #inbox = '';
  #acks: AckSubjects;
  /** Messages of the request under way that have not come yet; 0 when none is. */
  #outstanding = 0;
  #begun = false;
  #paused = false;
  #attaching: Promise<void> | undefined;

  /** Creation time of the stream that the sequences belong to, and whether it is written down. */
  #created: string | undefined;
  #identitySaved = false;
  #saving: Promise<void> | undefined;
  #last: number;
  #acknowledged: number;
  #expectedOrder = 1;
  #pending = 0;
  #streamEnd = 0;
  #lastDeliveryMs: number;

  constructor(deps: RawConsumerDeps, options: RawConsumerOptions) {
    this.#deps = deps;
    this.#options = options;
    this.#last = Math.max(0, options.startSequence - 1);
    this.#acknowledged = this.#last;
    this.#acks = new AckSubjects(options.durable);
    this.#delivered = deps.metrics.messages(TOPIC, 'delivered');
    this.#lastDeliveryMs = deps.clock.monotonicMs();
    this.#message = { subject: '', data: new Uint8Array(0), sequence: 0, receivedAtMs: 0 };
  }

  async start(): Promise<void> {
    const { clock, metrics, loadIdentity } = this.#deps;
    this.#created = await loadIdentity(this.#options.durable);
    this.#identitySaved = this.#created !== undefined;
    const watch = clock.every(WATCH_MS, () => void this.#watch());
    this.#cleanups.push(
      () => watch.cancel(),
      metrics.trackLag(TOPIC, () => this.lag()),
    );
    this.#attaching = this.#attach();
    await this.#attaching;
  }

  /** Asks for the first messages. */
  begin(): void {
    this.#begun = true;
    this.#ask();
  }

  acknowledge(sequence: number): void {
    if (sequence <= this.#acknowledged || sequence > this.#last) return;
    this.#acknowledged = sequence;
    const subject = this.#acks.take(sequence);
    if (subject !== undefined) this.#wire?.publish(subject, '+ACK');
    // Only now: a crash before it reads the new stream again (duplicates), never past what was not read (loss).
    if (!this.#identitySaved && this.#created !== undefined) this.#saving = this.#saveIdentity(this.#created);
    this.#ask();
  }

  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    this.#lastDeliveryMs = this.#deps.clock.monotonicMs();
    this.#ask();
  }

  lag(): number {
    return Math.max(this.#pending, this.#streamEnd - this.#last, 0);
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    for (const cleanup of this.#cleanups) cleanup();
    this.#detach();
    await Promise.all([this.#attaching, this.#saving]);
  }

  #detach(): void {
    this.#wire?.close();
    this.#wire = undefined;
    this.#outstanding = 0;
  }

  /** Drops the connection and begins again behind the last message handed over. */
  #reattach(why: string): void {
    if (this.#stopping.signal.aborted) return;
    this.#deps.logger.warn({ why, after: this.#last }, 'making the consumer of telemetry anew');
    this.#detach();
    this.#attaching ??= this.#attach();
  }

  async #attach(): Promise<void> {
    const { connection, clock, logger } = this.#deps;
    const { signal } = this.#stopping;
    for (let backoffMs = BACKOFF_FIRST_MS; !signal.aborted; ) {
      await connection.untilConnected(signal);
      if (signal.aborted) break;
      try {
        await connection.whileConnected(() => this.#makeConsumer());
        await this.#openWire();
        if (signal.aborted) this.#detach();
        break;
      } catch (error) {
        logger.warn({ error: explain(error), retryMs: backoffMs }, 'cannot consume telemetry yet');
        await delay(clock, backoffMs, signal);
        backoffMs = Math.min(backoffMs * 2, BACKOFF_LAST_MS);
      }
    }
    this.#attaching = undefined;
  }

  /** Makes the durable consumer anew behind the last message handed over. */
  async #makeConsumer(): Promise<void> {
    const { connection, prepare, logger } = this.#deps;
    const { durable } = this.#options;
    await prepare();
    const info = await streamState(connection.manager, TELEMETRY_STREAM);
    if (!info) throw new Error('the stream of telemetry is missing');
    this.#checkPlace(info);
    const lost = info.state.first_seq - this.#last - 1;
    if (lost > 0 && this.#last > 0) {
      this.#count('tail_lost');
      logger.error({ lost, after: this.#last }, 'telemetry was dropped by the stream before it was read');
    }
    const { consumers } = connection.manager;
    await consumers.delete(TELEMETRY_STREAM, durable).catch((error: unknown) => {
      if (!isConsumerMissing(error)) throw error;
    });
    await consumers.add(TELEMETRY_STREAM, {
      durable_name: durable,
      ack_policy: AckPolicy.All,
      ack_wait: nanos(ACK_WAIT_MS),
      max_ack_pending: UNACKNOWLEDGED_MAX,
      deliver_policy: DeliverPolicy.StartSequence,
      opt_start_seq: this.#last + 1,
    });
    this.#streamEnd = info.state.last_seq;
  }

  /** Compares the stream with the place wanted in it; moves the place and raises the alarm where they do not fit. */
  #checkPlace({ created, state }: StreamInfo): void {
    const isOther = this.#created !== undefined && this.#created !== created;
    this.#created = created;
    if (isOther) {
      this.#identitySaved = false;
      this.#moveTo(Math.max(1, state.first_seq), 'STREAM_RECREATED');
    } else if (this.#last > state.last_seq) this.#moveTo(state.last_seq + 1, 'STREAM_BEHIND_CHECKPOINT');
  }

  #moveTo(sequence: number, kind: RawAlarm['kind']): void {
    this.#last = sequence - 1;
    this.#acknowledged = this.#last;
    this.#pending = 0;
    this.#alarm(kind, sequence);
  }

  #alarm(kind: RawAlarm['kind'], sequence: number): void {
    this.#count(kind.toLowerCase() as AlarmKind);
    this.#deps.logger.error({ kind, sequence }, 'alarm of the telemetry stream');
    this.#options.onAlarm({ kind, sequence });
  }

  #count(kind: AlarmKind): void {
    this.#deps.metrics.alarm(kind).value++;
  }

  async #openWire(): Promise<void> {
    const { connection, clock, connect } = this.#deps;
    const wire = await openWire({
      connect,
      onFrame: (frame) => {
        if (this.#wire === wire) this.#receive(frame);
      },
      onRead: () => {
        this.#lastDeliveryMs = clock.monotonicMs();
      },
      onClosed: (detail) => {
        if (this.#wire === wire) this.#reattach(detail);
      },
    });
    this.#wire = wire;
    this.#inbox = connection.inbox();
    this.#acks = new AckSubjects(this.#options.durable);
    this.#outstanding = 0;
    this.#expectedOrder = 1;
    this.#lastDeliveryMs = clock.monotonicMs();
    wire.subscribe(this.#inbox);
    this.#ask();
  }

  /** Asks for the next batch, unless one is under way, the owner wants no more, or too much is unacknowledged. */
  #ask(): void {
    if (!this.#wire || !this.#begun || this.#outstanding > 0 || this.#paused) return;
    const room = UNACKNOWLEDGED_MAX - (this.#expectedOrder - 1 - this.#acks.acknowledged);
    if (room <= 0) return;
    this.#outstanding = Math.min(BATCH, room);
    const request = { batch: this.#outstanding, expires: nanos(EXPIRES_MS), max_bytes: BYTES_MAX };
    const subject = nextSubject(TELEMETRY_STREAM, this.#options.durable);
    this.#wire.publish(subject, JSON.stringify(request), this.#inbox);
  }

  #receive(frame: Frame): void {
    if (frame.replyStart === frame.replyEnd) this.#receiveStatus(frame);
    else this.#receiveMessage(frame);
  }

  /** The hot path: no allocation but the view of the payload. */
  #receiveMessage(frame: Frame): void {
    const delivery = this.#delivery;
    this.#acks.learn(frame);
    readRawDelivery(frame.bytes, frame.replyStart + this.#acks.prefixLength, frame.replyEnd, delivery);
    if (delivery.order !== this.#expectedOrder) {
      this.#reattach('a delivery is missing');
      return;
    }
    this.#expectedOrder++;
    this.#outstanding--;
    this.#acks.note(delivery.sequence, delivery.order);
    this.#last = delivery.sequence;
    this.#pending = delivery.pending;
    this.#delivered.value++;
    const message = this.#message;
    message.subject = this.#subjects.read(frame.bytes, frame.subjectStart, frame.subjectEnd);
    message.data = frame.bytes.subarray(frame.dataStart, frame.dataEnd);
    message.sequence = delivery.sequence;
    message.receivedAtMs = delivery.receivedAtMs;
    this.#options.onMessage(message);
    if (this.#outstanding === 0) this.#ask();
  }

  #receiveStatus(frame: Frame): void {
    const head = frame.bytes.toString('latin1', frame.headersStart, frame.dataStart);
    const [, code = '', description = ''] = /^NATS\/1\.0 (\d+) ?([^\r]*)/.exec(head) ?? [];
    const status = readStatus(Number(code), description);
    if (status === 'heartbeat') return;
    this.#outstanding = 0;
    if (status === 'ended') this.#ask();
    else {
      const wire = this.#wire;
      const again = () => {
        if (this.#wire === wire) this.#reattach(`${code} ${description}`);
      };
      this.#deps.clock.after(REFUSED_DELAY_MS, again, true);
    }
  }

  /** Every few seconds: is the stream still the same one, does it move, is its tail safe. */
  async #watch(): Promise<void> {
    const { connection, clock, logger } = this.#deps;
    if (this.#attaching || !connection.connected()) return;
    try {
      const info = await streamState(connection.manager, TELEMETRY_STREAM);
      if (this.#attaching || this.#stopping.signal.aborted) return;
      if (info?.created !== this.#created) this.#reattach('the stream was made anew');
      else if (info) await this.#watchStream(info, clock.monotonicMs());
    } catch (error) {
      logger.warn({ error: explain(error) }, 'the stream of telemetry cannot be watched');
    }
  }

  async #watchStream(info: StreamInfo, nowMs: number): Promise<void> {
    const { connection, clock, logger } = this.#deps;
    this.#streamEnd = info.state.last_seq;
    const isWaiting = !this.#paused && this.#outstanding > 0 && this.#streamEnd > this.#last;
    if (isWaiting && nowMs - this.#lastDeliveryMs >= STALL_MS) {
      this.#alarm('CONSUMER_STALLED', this.#last + 1);
      this.#reattach('it stalled');
      return;
    }
    const risk = await tailAtRisk(connection.manager, info, this.#acknowledged, clock.nowMs());
    if (!risk) return;
    this.#count('tail_at_risk');
    logger.warn(risk, 'unread telemetry is about to be dropped by the limits of its stream');
  }

  async #saveIdentity(created: string): Promise<void> {
    this.#identitySaved = true;
    try {
      await this.#deps.saveIdentity(this.#options.durable, created);
    } catch (error) {
      this.#identitySaved = false; // The next acknowledgement tries again.
      this.#deps.logger.warn({ error: explain(error) }, "the stream's identity is not written down yet");
    }
  }
}
