/**
 * Durable, ordered consumption of recorded events. One handler call at a time; what it took is acknowledged after it
 * resolves. Repeats happen in this process, with back-off, so that order is kept; an event that fails on its own five
 * times goes to the dead-letter stream with its reason. The broker never redelivers on its own: whenever deliveries may
 * have been lost (a broken connection, a crash), the consumer is made anew behind the last acknowledged event.
 */
import type { DescMessage, MessageShape } from '@bufbuild/protobuf';
import { AckPolicy, DeliverPolicy } from '@nats-io/jetstream';
import { type Msg, nanos } from '@nats-io/transport-node';
import { type Clock, delay } from '../clock.ts';
import { AppError, describeError } from '../errors.ts';
import type { Logger } from '../observability.ts';
import type { ConsumeOptions, Subscription } from './bus.ts';
import type { BusMetrics } from './bus-metrics.ts';
import type { Connection } from './connection.ts';
import { type DeadEventReason, writeDeadEvent } from './dead-events.ts';
import { explain } from './errors.ts';
import { type ReadEvent, readEvent } from './event-message.ts';
import { isConsumerMissing } from './jetstream-errors.ts';
import type { Publisher } from './publisher.ts';
import { type Pull, readDelivery, startPull } from './pull.ts';
import { EVENTS_STREAM } from './streams.ts';
import { topicFilter } from './topics.ts';

const BATCH = 64;
const BYTES_MAX = 8 * 1024 * 1024;
const BACKOFF_FIRST_MS = 1_000;
const BACKOFF_LAST_MS = 30_000;
const FAILURES_MAX = 5;
/** Longer than any event is kept: redelivery is this side's business. */
const ACK_WAIT_MS = 8 * 24 * 3_600_000;
const ACKNOWLEDGED = '+ACK';

export interface ConsumerDeps {
  readonly connection: Connection;
  readonly publisher: Publisher;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: BusMetrics;
  /** Makes missing streams. */
  readonly prepare: () => Promise<unknown>;
}

/** One delivered message, as an event or as none. */
type Delivered<Message> = ReadEvent<Message> & { readonly sequence: number; readonly raw: Msg };

/** Starts consuming; resolves once the durable consumer exists. */
export async function consumeEvents<Schema extends DescMessage>(
  deps: ConsumerDeps,
  options: ConsumeOptions<Schema>,
): Promise<Subscription> {
  const consumer = new EventConsumer<Schema>(deps, options);
  await consumer.start();
  return { stop: () => consumer.stop() };
}

/** Invariant: `#queue` holds deliveries in stream order, all above `#handled`; one `#work` at most is active. */
class EventConsumer<Schema extends DescMessage> {
  readonly #deps: ConsumerDeps;
  readonly #options: ConsumeOptions<Schema>;
  readonly #batchSize: number;
  readonly #stopping = new AbortController();
  #queue: Delivered<MessageShape<Schema>>[] = [];
  /** Highest sequence that was handled or dead-lettered. */
  #handled = 0;
  #pull: Pull | undefined;
  #attaching: Promise<void> | undefined;
  #work: Promise<void> | undefined;
  #lag = 0;
  readonly #cleanups: (() => void)[] = [];

  constructor(deps: ConsumerDeps, options: ConsumeOptions<Schema>) {
    this.#deps = deps;
    this.#options = options;
    this.#batchSize = options.batchSize ?? BATCH;
  }

  async start(): Promise<void> {
    const { connection, metrics } = this.#deps;
    this.#cleanups.push(
      connection.onChange((connected) => {
        if (connected) this.#reattach();
        else this.#detach();
      }),
      metrics.trackLag(this.#options.topic.name, () => this.#lag + this.#queue.length),
    );
    this.#reattach();
    await this.#attaching;
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    for (const cleanup of this.#cleanups) cleanup();
    this.#detach();
    await Promise.all([this.#attaching, this.#work]);
  }

  /** Forgets what was delivered and not yet begun. */
  #detach(): void {
    this.#pull?.stop();
    this.#pull = undefined;
    this.#queue = [];
  }

  #reattach(): void {
    if (this.#stopping.signal.aborted) return;
    this.#detach();
    this.#attaching ??= this.#attach();
  }

  /** Makes sure of the durable consumer and begins to pull, however often that takes. */
  async #attach(): Promise<void> {
    const { connection, clock, logger } = this.#deps;
    const { signal } = this.#stopping;
    for (let backoffMs = BACKOFF_FIRST_MS; !signal.aborted; backoffMs = longer(backoffMs)) {
      await this.#work; // Its acknowledgement decides where to go on.
      if (!connection.connected()) break; // The next connection attaches.
      try {
        await connection.whileConnected(() => this.#ensureConsumer());
        if (signal.aborted) break;
        this.#startPull();
        break;
      } catch (error) {
        logger.warn({ durable: this.#options.durable, error: explain(error) }, 'cannot consume events yet');
        if (connection.connected()) await delay(clock, backoffMs, signal);
      }
    }
    this.#attaching = undefined;
  }

  async #ensureConsumer(): Promise<void> {
    const { connection, prepare } = this.#deps;
    const { durable, topic } = this.#options;
    const { consumers } = connection.manager;
    await prepare();
    const present = await consumers.info(EVENTS_STREAM, durable).catch((error: unknown) => {
      if (isConsumerMissing(error)) return undefined;
      throw error;
    });
    const filter = topicFilter(topic);
    if (present && present.num_ack_pending === 0 && present.config.filter_subject === filter) return;
    const position = present ? Math.max(present.ack_floor.stream_seq, this.#handled) + 1 : undefined;
    if (present) await consumers.delete(EVENTS_STREAM, durable);
    else this.#handled = 0; // A stream made anew counts from 1.
    await consumers.add(EVENTS_STREAM, {
      durable_name: durable,
      filter_subject: filter,
      ack_policy: AckPolicy.All,
      ack_wait: nanos(ACK_WAIT_MS),
      max_ack_pending: 4 * this.#batchSize,
      ...(position === undefined
        ? { deliver_policy: DeliverPolicy.All }
        : { deliver_policy: DeliverPolicy.StartSequence, opt_start_seq: position }),
    });
  }

  #startPull(): void {
    const { connection, clock, logger } = this.#deps;
    const { durable } = this.#options;
    this.#pull = startPull({
      connection,
      clock,
      stream: EVENTS_STREAM,
      consumer: durable,
      bytesMax: BYTES_MAX,
      onMessage: (message) => this.#receive(message),
      onIdle: () => this.#ask(),
      onLost: (detail) => {
        logger.warn({ durable, detail }, 'the consumer of events is lost, making it anew');
        this.#reattach();
      },
    });
    this.#ask();
  }

  /** Asks for more while less than a batch waits. */
  #ask(): void {
    if (!this.#deps.connection.connected()) return;
    if (this.#pull?.outstanding() === 0 && this.#queue.length < this.#batchSize)
      this.#pull.ask(this.#batchSize);
  }

  #receive(message: Msg): void {
    const { sequence, pending } = readDelivery(message.reply!);
    this.#lag = pending;
    if (sequence <= this.#handled) return;
    this.#queue.push({ ...readEvent(this.#options.topic, message, sequence), sequence, raw: message });
    this.#work ??= this.#drain();
  }

  async #drain(): Promise<void> {
    await null; // The events of one read of the socket make one batch.
    while (this.#queue.length > 0 && !this.#stopping.signal.aborted) {
      const batch = this.#takeBatch();
      await this.#deliver(batch);
      this.#ask();
    }
    this.#work = undefined;
  }

  /** The next readable events up to the batch size, or one that cannot be read. */
  #takeBatch(): Delivered<MessageShape<Schema>>[] {
    const unreadable = this.#queue.findIndex((delivered) => delivered.event === undefined);
    const count = unreadable < 0 ? this.#batchSize : Math.max(1, Math.min(unreadable, this.#batchSize));
    return this.#queue.splice(0, count);
  }

  async #deliver(batch: readonly Delivered<MessageShape<Schema>>[]): Promise<void> {
    if (batch[0]!.event === undefined) return this.#bury(batch[0]!, 'MALFORMED', batch[0]!.fault);
    const { signal } = this.#stopping;
    for (let backoffMs = BACKOFF_FIRST_MS; !signal.aborted; backoffMs = longer(backoffMs)) {
      const error = await this.#attempt(batch);
      if (error === undefined) return this.#acknowledge(batch);
      await this.#pauseAfter(error, backoffMs);
      if (!isTransient(error)) break;
    }
    // Something in the batch is to blame: one by one shows what.
    for (const delivered of batch) if (!signal.aborted) await this.#deliverAlone(delivered);
  }

  async #deliverAlone(delivered: Delivered<MessageShape<Schema>>): Promise<void> {
    const { signal } = this.#stopping;
    let failures = 0;
    for (let backoffMs = BACKOFF_FIRST_MS; !signal.aborted; backoffMs = longer(backoffMs)) {
      const error = await this.#attempt([delivered]);
      if (error === undefined) return this.#acknowledge([delivered]);
      if (!isTransient(error)) failures++;
      if (failures === FAILURES_MAX) return this.#bury(delivered, 'HANDLER_FAILED', describeError(error));
      await this.#pauseAfter(error, backoffMs);
    }
  }

  async #attempt(batch: readonly Delivered<MessageShape<Schema>>[]): Promise<unknown> {
    try {
      await this.#options.handle(batch.map((delivered) => delivered.event!));
      return undefined;
    } catch (error) {
      this.#deps.metrics.messages(this.#options.topic.name, 'retried').value += batch.length;
      return error ?? new Error('the handler rejected without a reason');
    }
  }

  async #pauseAfter(error: unknown, backoffMs: number): Promise<void> {
    const { logger, clock } = this.#deps;
    logger.warn(
      { durable: this.#options.durable, error: explain(error), retryMs: backoffMs },
      'events were not handled, trying again',
    );
    await delay(clock, backoffMs, this.#stopping.signal);
  }

  #acknowledge(batch: readonly Delivered<MessageShape<Schema>>[]): void {
    const last = batch.at(-1)!;
    this.#handled = last.sequence;
    this.#deps.metrics.messages(this.#options.topic.name, 'delivered').value += batch.length;
    this.#confirm(last.raw);
  }

  /** Tells the broker; without a connection the next one begins behind what was handled. */
  #confirm(raw: Msg): void {
    if (this.#deps.connection.connected()) raw.respond(ACKNOWLEDGED);
  }

  /** Writes the dead letter, then acknowledges. While the broker is away the next delivery is waited for instead. */
  async #bury(
    delivered: Delivered<MessageShape<Schema>>,
    reason: DeadEventReason,
    detail: string,
  ): Promise<void> {
    const { connection, logger, publisher, metrics, clock } = this.#deps;
    const { durable, topic } = this.#options;
    const { sequence, raw } = delivered;
    const { signal } = this.#stopping;
    for (let backoffMs = BACKOFF_FIRST_MS; !signal.aborted; backoffMs = longer(backoffMs)) {
      try {
        await writeDeadEvent(publisher, durable, sequence, raw, reason, detail);
        const outcome = reason === 'MALFORMED' ? 'malformed' : 'dead_lettered';
        metrics.messages(topic.name, outcome).value++;
        logger.error(
          { durable, topic: topic.name, sequence, reason, detail },
          'an event went to the dead letters',
        );
        this.#handled = sequence;
        this.#confirm(raw);
        return;
      } catch (error) {
        logger.warn({ durable, sequence, error: explain(error) }, 'a dead event cannot be written yet');
        if (!connection.connected()) return;
        await delay(clock, backoffMs, signal);
      }
    }
  }
}

/** Whether repeating helps by itself: something the handler needs is away or full. Such a failure blames no event. */
function isTransient(error: unknown): boolean {
  return error instanceof AppError && (error.kind === 'UNAVAILABLE' || error.kind === 'RESOURCE_EXHAUSTED');
}

function longer(backoffMs: number): number {
  return Math.min(backoffMs * 2, BACKOFF_LAST_MS);
}
