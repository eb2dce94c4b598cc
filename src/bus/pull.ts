/**
 * Pulls from a JetStream consumer over the shared connection, one request at a time. What is under way is bounded by
 * one request in messages and bytes; the owner asks for the next one when it has room.
 */
import type { Msg, Subscription } from '@nats-io/transport-node';
import type { Clock, Timer } from '../clock.ts';
import type { Connection } from './connection.ts';

/** How long a request waits at the broker for messages. */
const EXPIRES_MS = 30_000;
/** A request unanswered for this long after its end is lost. */
const GRACE_MS = 5_000;
const NANOS_PER_MS = 1_000_000;
/** How long to wait after a refusal, for example of a consumer that was deleted. */
export const REFUSED_DELAY_MS = 100;

export interface PullOptions {
  readonly connection: Connection;
  readonly clock: Clock;
  readonly stream: string;
  readonly consumer: string;
  readonly bytesMax: number;
  readonly onMessage: (message: Msg) => void;
  /** The request has ended: filled, expired or refused. */
  readonly onIdle: () => void;
  /** The consumer is gone or no longer answers; nothing more comes. */
  readonly onLost: (detail: string) => void;
}

export interface Pull {
  /** Asks for up to `count` messages. Only while no request is under way. */
  ask(count: number): void;
  /** Messages of the request that have not come yet. */
  outstanding(): number;
  stop(): void;
}

export function startPull(options: PullOptions): Pull {
  const { connection, clock, stream, consumer, onLost } = options;
  const { nats } = connection;
  const inbox = connection.inbox();
  let outstanding = 0;
  let timer: Timer | undefined;
  let subscription: Subscription | undefined;

  const stop = () => {
    timer?.cancel();
    subscription?.unsubscribe();
    subscription = undefined;
    outstanding = 0;
  };
  const lose = (detail: string) => {
    stop();
    onLost(detail);
  };
  /** A refusal that repeats must not become a busy loop. */
  const loseSoon = (detail: string) => {
    timer?.cancel();
    timer = clock.after(REFUSED_DELAY_MS, () => lose(detail), true);
  };
  const end = () => {
    timer?.cancel();
    outstanding = 0;
    options.onIdle();
  };
  const receive = (message: Msg) => {
    if (!subscription) return;
    if (message.reply !== '') {
      outstanding--;
      options.onMessage(message);
      if (outstanding === 0) end();
      return;
    }
    const { code = 0, description = '' } = message.headers ?? {};
    const status = readStatus(code, description);
    if (status === 'ended') end();
    else if (status === 'lost') loseSoon(`${code} ${description}`);
  };
  subscription = nats.subscribe(inbox, { callback: (_error, message) => receive(message) });

  return {
    ask(count) {
      outstanding = count;
      const request = { batch: count, expires: EXPIRES_MS * NANOS_PER_MS, max_bytes: options.bytesMax };
      timer = clock.after(EXPIRES_MS + GRACE_MS, () => lose('no answer'), true);
      nats.publish(nextSubject(stream, consumer), JSON.stringify(request), { reply: inbox });
    },
    outstanding: () => outstanding,
    stop,
  };
}

/** Where messages of a consumer are asked for. */
export function nextSubject(stream: string, consumer: string): string {
  return `$JS.API.CONSUMER.MSG.NEXT.${stream}.${consumer}`;
}

/** What a status message says about the request under way. */
export type PullStatus = 'heartbeat' | 'ended' | 'lost';

/**
 * Reads a status: the broker is there (100), the request has ended (no messages, expired, or the next message is beyond
 * its bytes), or the consumer is gone or refuses.
 */
export function readStatus(code: number, description: string): PullStatus {
  if (code === 100) return 'heartbeat';
  const isFull = code === 409 && /size exceeds maxbytes|batch completed/i.test(description);
  return isFull || code === 404 || code === 408 ? 'ended' : 'lost';
}

/** What the acknowledgement subject of a delivered message tells. */
export interface Delivery {
  readonly sequence: number;
  /** Messages of the consumer still in the stream. */
  readonly pending: number;
}

/**
 * Reads `$JS.ACK.<stream>.<consumer>.<deliveries>.<sequence>.<order>.<time>.<pending>`, or the longer form with domain
 * and account after `ACK` and a token at the end.
 */
export function readDelivery(reply: string): Delivery {
  const tokens = reply.split('.');
  const first = tokens.length > 9 ? 6 : 4;
  return { sequence: Number(tokens[first + 1]), pending: Number(tokens[first + 4]) };
}
