/**
 * What contexts see of NATS: recorded events through the outbox, ordered consumption, transient publish and
 * subscribe, and the raw telemetry stream. NATS carries facts; it is never the record.
 */
import type { DescMessage, MessageInitShape, MessageShape } from '@bufbuild/protobuf';
import type { Migration, Tx } from '../store/store.ts';
import type { Topic } from './topics.ts';

/** What the broker's acknowledgement is worth: synced before it, not synced, or the broker does not tell. */
export type Durability = 'SYNCED' | 'BUFFERED' | 'UNKNOWN';

/** An event as a consumer gets it. */
export interface BusEvent<Message> {
  /** Same for every delivery of the event; consumers are idempotent on it. */
  readonly id: string;
  readonly message: Message;
  /** Place in its JetStream stream; 0 for a transient event. */
  readonly sequence: number;
  /** When it was published, wall time. */
  readonly publishedAtMs: number;
  /** W3C trace context, where the publisher had one. */
  readonly traceparent: string | undefined;
}

export interface ConsumeOptions<Schema extends DescMessage> {
  readonly topic: Topic<Schema>;
  /** Name of the durable consumer, unique per context and topic. */
  readonly durable: string;
  /** Most events handed over at once; default 64. */
  readonly batchSize?: number;
  /**
   * Handles events in stream order, one call at a time. The events are acknowledged after it resolves. When it
   * rejects, the call is repeated with back-off (1 s doubling to 30 s); an event that fails 5 times on its own goes to
   * the dead-letter stream with its reason. A rejection with an AppError of kind UNAVAILABLE or RESOURCE_EXHAUSTED
   * blames what the handler needs and no event: it is repeated until it ends.
   */
  readonly handle: (events: readonly BusEvent<MessageShape<Schema>>[]) => Promise<void>;
}

export interface Subscription {
  /** Stops and resolves once the running handler has finished. */
  stop(): Promise<void>;
}

/** One message of the TELEMETRY stream, valid only during the callback: `data` is borrowed from the connection. */
export interface RawMessage {
  readonly subject: string;
  readonly data: Uint8Array;
  /** Place in the TELEMETRY stream. */
  readonly sequence: number;
  /** The broker's stamp, wall milliseconds. */
  readonly receivedAtMs: number;
}

export interface RawConsumerOptions {
  readonly durable: string;
  /** First sequence wanted; messages below it are not handed over. */
  readonly startSequence: number;
  /** The message object is reused for the next one: copy what must stay. Must not throw: that ends the process. */
  readonly onMessage: (message: RawMessage) => void;
  /**
   * The stream was made anew or ends below `startSequence`, or the consumer was stalled for 15 s and made anew.
   * Consumption goes on from `sequence`.
   */
  readonly onAlarm: (alarm: RawAlarm) => void;
}

export interface RawAlarm {
  readonly kind: 'STREAM_RECREATED' | 'STREAM_BEHIND_CHECKPOINT' | 'CONSUMER_STALLED';
  readonly sequence: number;
}

/** Handles messages of the TELEMETRY stream in order, at least once. */
export interface RawConsumer {
  /** Acknowledges everything up to and including `sequence`, which was handed over before. */
  acknowledge(sequence: number): void;
  /** Stops asking for messages until `resume`; those under way still arrive. */
  pause(): void;
  resume(): void;
  /** Messages in the stream beyond the last one handed over. */
  lag(): number;
  stop(): Promise<void>;
}

/** The first message wanted from TELEMETRY is no longer held. */
export class TelemetryTooOldError extends Error {
  readonly asked: number;
  /** First sequence that can be read. */
  readonly oldest: number;

  constructor(asked: number, oldest: number) {
    super(`telemetry before sequence ${oldest} is no longer held, asked for ${asked}`);
    this.name = 'TelemetryTooOldError';
    this.asked = asked;
    this.oldest = oldest;
  }
}

export interface DeadLetter {
  /** Its sequence in the TELEMETRY stream; also what makes writing it twice harmless. */
  readonly sequence: number;
  readonly subject: string;
  readonly receivedAtMs: number;
  readonly payload: Uint8Array;
  /** Reasons with counts, `MALFORMED=1,NOT_FINITE=3`. */
  readonly reasons: string;
  readonly detail: string;
  /** Whether the whole message was rejected. */
  readonly whole: boolean;
}

export interface Bus {
  readonly durability: Durability;
  /** `host:port` and version of the broker, for logs and doctor. */
  readonly broker: { readonly address: string; readonly version: string };
  connected(): boolean;

  /** Migrations of the outbox table. */
  readonly migrations: readonly Migration[];
  /**
   * Adds a recorded event to the outbox inside the caller's transaction. It is published after the commit. `key`
   * makes the event id: the same topic and key always give the same id, so a repeat is a duplicate. Rejects an event
   * that no broker message can hold (1 MiB), and with it the transaction.
   */
  record<Schema extends DescMessage>(
    tx: Tx,
    topic: Topic<Schema>,
    key: string,
    message: MessageInitShape<Schema>,
    traceparent?: string,
  ): Promise<void>;
  /** Consumes recorded events. */
  consume<Schema extends DescMessage>(options: ConsumeOptions<Schema>): Promise<Subscription>;

  /** Publishes a transient event; lost when nobody listens or the broker is away. */
  publish<Schema extends DescMessage>(
    topic: Topic<Schema>,
    id: string,
    message: MessageInitShape<Schema>,
    traceparent?: string,
  ): void;
  /** Listens to the events of a topic from now on, transient or recorded, without acknowledgement. */
  subscribe<Schema extends DescMessage>(
    topic: Topic<Schema>,
    handle: (event: BusEvent<MessageShape<Schema>>) => void,
  ): Subscription;

  /** Publishes telemetry; resolves with its sequence once the broker acknowledged it. Rejects with BROKER_DOWN. */
  publishTelemetry(subject: string, payload: Uint8Array): Promise<number>;
  consumeTelemetry(options: RawConsumerOptions): Promise<RawConsumer>;
  /**
   * Reads TELEMETRY messages of a subject filter in order, from `startSequence` (or only new ones), until the signal
   * aborts. Rejects when the first wanted one is no longer held: `{ oldest }` on the error (TelemetryTooOldError).
   */
  readTelemetry(options: {
    readonly filter: string;
    readonly startSequence?: number;
    readonly signal: AbortSignal;
  }): AsyncIterable<RawMessage>;
  /** Writes dead letters; resolves once the broker acknowledged all of them. */
  writeDeadLetters(letters: readonly DeadLetter[]): Promise<void>;
  /** Dead letters in order of their own stream, after a place in it. */
  listDeadLetters(options: {
    readonly after: number;
    readonly limit: number;
    readonly subjectPrefix?: string;
  }): Promise<readonly (DeadLetter & { readonly place: number })[]>;

  close(): Promise<void>;
}
