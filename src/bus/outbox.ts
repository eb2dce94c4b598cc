/**
 * The outbox: recorded events lie in SQL in the transaction that caused them, and a relay carries them to JetStream
 * after the commit, in the order they were recorded, many in flight, each with its id so that the broker suppresses a
 * repeat. A row lives 24 h and knows its place in the EVENTS stream: a broker that ends below it has lost it and gets
 * it again. A row that was never published is never dropped.
 */
import type { Clock } from '../clock.ts';
import type { Logger } from '../observability.ts';
import type { Store, Tx } from '../store/store.ts';
import type { BusMetrics } from './bus-metrics.ts';
import type { Connection } from './connection.ts';
import { explain } from './errors.ts';
import { eventHeaders, MESSAGE_ID, sourceOf } from './headers.ts';
import {
  dropPublished,
  freeRowsBeyond,
  insertRow,
  latestPlace,
  markPublished,
  type OutboxRow,
  unpublishedRows,
} from './outbox-table.ts';
import type { PublishAck, Publisher } from './publisher.ts';

/** Rows read and published at a time. */
const PAGE = 512;
/** How often rows are looked for that nobody announced: those of a replica that crashed. */
const SWEEP_MS = 1_000;
const RETRY_FIRST_MS = 100;
const RETRY_LAST_MS = 5_000;
const KEEP_MS = 24 * 3_600_000;
const PRUNE_MS = 10 * 60_000;
/** Room for the headers within the broker's largest message. */
const HEADER_BYTES_MAX = 4_096;

export interface OutboxOptions {
  readonly store: Store;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: BusMetrics;
  readonly connection: Connection;
  readonly publisher: Publisher;
  /** Makes missing streams and returns the last sequence of EVENTS. */
  readonly prepare: () => Promise<number>;
}

/** An event to record. */
export type OutboxEvent = Pick<OutboxRow, 'id' | 'subject' | 'type' | 'payload'> & {
  readonly traceparent: string | undefined;
};

/**
 * Invariant: at most one relay run is active, and a row is in `#busy` from being handed to the publisher until its
 * place is committed, so no run publishes it twice.
 */
export class Outbox {
  readonly #options: OutboxOptions;
  readonly #busy = new Set<string>();
  #lastPlace = 0;
  /** Whether the broker's end has been compared with what was stored since the connection was made. */
  #compared = false;
  #wanted = false;
  #running: Promise<void> | undefined;
  #retryMs = RETRY_FIRST_MS;
  #closed = false;
  readonly #timers: { cancel(): void }[] = [];
  #retry: { cancel(): void } | undefined;
  #forget: () => void = () => {};

  constructor(options: OutboxOptions) {
    this.#options = options;
  }

  /** Starts relaying, what earlier runs left included. */
  async start(): Promise<void> {
    const { store, clock, connection } = this.#options;
    this.#lastPlace = await latestPlace(store);
    this.#forget = connection.onChange((connected) => {
      this.#compared = false;
      if (connected) this.wake();
    });
    this.#timers.push(
      clock.every(SWEEP_MS, () => this.wake()),
      clock.every(PRUNE_MS, () => void this.#prune()),
    );
    await this.#prune();
    this.wake();
  }

  /** Adds an event inside the caller's transaction; an event of the same id is there already and stays. */
  async record(tx: Tx, event: OutboxEvent): Promise<void> {
    const { clock, connection } = this.#options;
    const bytesMax = (connection.nats.info?.max_payload ?? Number.POSITIVE_INFINITY) - HEADER_BYTES_MAX;
    if (event.payload.length > bytesMax)
      throw new Error(
        `an event of ${event.payload.length} bytes on ${event.subject}; at most ${bytesMax} fit`,
      );
    const nowMs = clock.nowMs();
    this.#lastPlace = Math.max(this.#lastPlace + 1, nowMs * 1_000);
    const traceparent = event.traceparent ?? null;
    await insertRow(tx, {
      ...event,
      traceparent,
      place: this.#lastPlace,
      recorded_ms: nowMs,
      sequence: null,
    });
    tx.afterCommit(() => this.wake());
  }

  /** Looks for rows to publish, now or as soon as the run under way has ended. */
  wake(): void {
    if (this.#closed) return;
    this.#wanted = true;
    this.#running ??= this.#run();
  }

  /** Asks for the comparison with the broker's end again, for example after a stream was found missing. */
  recheck(): void {
    this.#compared = false;
    this.wake();
  }

  /** Publishes what is recorded, while the broker is there, and stops. */
  async close(): Promise<void> {
    for (const timer of this.#timers) timer.cancel();
    this.#forget();
    if (this.#options.connection.connected()) this.wake();
    this.#closed = true;
    this.#retry?.cancel();
    await this.#running;
  }

  async #run(): Promise<void> {
    const { connection, clock, logger } = this.#options;
    await null; // The rows of one tick make one page; and `#running` is set before it is unset.
    while (this.#wanted && connection.connected()) {
      this.#wanted = false;
      try {
        if (!this.#compared) await this.#compare();
        await this.#relay();
        this.#retryMs = RETRY_FIRST_MS;
      } catch (error) {
        this.#compared = false;
        if (this.#closed) break;
        logger.warn({ error: explain(error), retryMs: this.#retryMs }, 'events wait in the outbox');
        this.#retry?.cancel();
        this.#retry = clock.after(this.#retryMs, () => this.wake(), true);
        this.#retryMs = Math.min(this.#retryMs * 2, RETRY_LAST_MS);
        break;
      }
    }
    this.#running = undefined;
  }

  /** Frees the rows that the broker acknowledged once and no longer holds. */
  async #compare(): Promise<void> {
    const { store, logger, metrics, connection, prepare } = this.#options;
    const lastSequence = await connection.whileConnected(prepare);
    const freed = await freeRowsBeyond(store, lastSequence);
    if (freed > 0) {
      metrics.alarm('broker_lost_events').value++;
      logger.warn(
        { events: freed, lastSequence },
        'the broker lost events it had acknowledged, publishing them again',
      );
    }
    this.#compared = true;
  }

  /** Publishes page after page until nothing is left; the places of one page are written down during the next. */
  async #relay(): Promise<void> {
    const { store } = this.#options;
    const marks: Promise<void>[] = [];
    let failure: unknown;
    while (failure === undefined) {
      const candidates = await unpublishedRows(store, PAGE + this.#busy.size);
      const rows = candidates.filter((row) => !this.#busy.has(row.id));
      if (rows.length === 0) break;
      for (const row of rows) this.#busy.add(row.id);
      const outcomes = await Promise.allSettled(rows.map((row) => this.#publish(row)));
      failure = outcomes.find((outcome) => outcome.status === 'rejected')?.reason;
      const marked = this.#mark(rows, outcomes).catch((error: unknown) => {
        failure ??= error;
      });
      marks.push(marked);
    }
    await Promise.all(marks);
    if (failure !== undefined) throw failure;
  }

  async #publish(row: OutboxRow): Promise<PublishAck> {
    const [, context, , topic] = row.subject.split('.') as [string, string, string, string];
    const made = eventHeaders({
      id: row.id,
      type: row.type,
      source: sourceOf(context),
      publishedAtMs: row.recorded_ms,
      traceparent: row.traceparent ?? undefined,
    });
    made.set(MESSAGE_ID, row.id);
    const { metrics, publisher } = this.#options;
    try {
      const ack = await publisher.publish(row.subject, row.payload, made);
      metrics.messages(topic, ack.duplicate ? 'suppressed' : 'published').value++;
      return ack;
    } catch (error) {
      metrics.messages(topic, 'failed').value++;
      throw error;
    }
  }

  /** Writes down the places of what was acknowledged; the others are free to be published again. */
  async #mark(
    rows: readonly OutboxRow[],
    outcomes: readonly PromiseSettledResult<PublishAck>[],
  ): Promise<void> {
    const sequences = new Map<string, number>();
    for (const [i, outcome] of outcomes.entries())
      if (outcome.status === 'fulfilled') sequences.set(rows[i]!.id, outcome.value.sequence);
    try {
      await markPublished(this.#options.store, sequences);
    } finally {
      for (const row of rows) this.#busy.delete(row.id);
    }
  }

  async #prune(): Promise<void> {
    const { store, clock, logger } = this.#options;
    try {
      await dropPublished(store, clock.nowMs() - KEEP_MS);
    } catch (error) {
      logger.warn({ error: explain(error) }, 'published events stay in the outbox for now');
    }
  }
}
