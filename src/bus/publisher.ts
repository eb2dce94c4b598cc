/**
 * Publishes to JetStream with many messages in flight. Every message gets a reply subject of its own and one promise;
 * messages leave in the order of the calls. Whatever is unacknowledged when the connection breaks is rejected: the
 * caller knows whether it may be sent again.
 */
import type { Msg, MsgHdrs, PublishOptions } from '@nats-io/transport-node';
import type { Clock } from '../clock.ts';
import { type AppError, describeError } from '../errors.ts';
import type { Connection } from './connection.ts';
import { BROKER_RETRY_AFTER_MS, brokerDown, edgeError } from './errors.ts';
import { isStorageFull } from './jetstream-errors.ts';

/** Most messages without an acknowledgement; the next is refused with OVERLOADED. */
export const IN_FLIGHT_MAX = 32_768;
/** How long an acknowledgement may take. */
const ACK_TIMEOUT_MS = 5_000;
const SWEEP_MS = 1_000;

export interface PublishAck {
  /** Place in the stream; of a repeat, the place of the first. */
  readonly sequence: number;
  /** Whether the broker knew the message id already and stored nothing. */
  readonly duplicate: boolean;
}

export interface Publisher {
  /**
   * Resolves once the broker has stored the message. Rejects with BROKER_DOWN, STORAGE_FULL or OVERLOADED of
   * `homeostat.edge`. After BROKER_DOWN the message may or may not be stored.
   */
  publish(subject: string, payload: Uint8Array, headers?: MsgHdrs): Promise<PublishAck>;
  /** Messages not yet acknowledged. */
  inFlight(): number;
  close(): void;
}

interface Waiting {
  readonly resolve: (ack: PublishAck) => void;
  readonly reject: (error: AppError) => void;
  readonly deadlineMs: number;
}

export function createPublisher(connection: Connection, clock: Clock): Publisher {
  const { nats } = connection;
  const inbox = `${connection.inbox()}.`;
  const waiting = new Map<number, Waiting>();
  let next = 1;

  const settle = (message: Msg) => {
    const id = Number(message.subject.slice(inbox.length));
    const waiter = waiting.get(id);
    if (!waiter) return;
    waiting.delete(id);
    const outcome = readAck(message);
    if ('sequence' in outcome) waiter.resolve(outcome);
    else waiter.reject(outcome);
  };
  const subscription = nats.subscribe(`${inbox}*`, { callback: (_error, message) => settle(message) });

  /** Rejects whoever waits since before a time. The map is in the order of its deadlines. */
  const expire = (beforeMs: number, detail: string) => {
    for (const [id, waiter] of waiting) {
      if (waiter.deadlineMs > beforeMs) break;
      waiting.delete(id);
      waiter.reject(brokerDown(detail));
    }
  };
  const sweep = clock.every(SWEEP_MS, () => expire(clock.monotonicMs(), 'no acknowledgement came in time'));
  const forget = connection.onChange((connected) => {
    if (!connected) expire(Number.POSITIVE_INFINITY, 'the connection broke');
  });

  return {
    publish(subject, payload, headers) {
      if (!connection.connected()) return Promise.reject(brokerDown('not connected'));
      if (waiting.size >= IN_FLIGHT_MAX)
        return Promise.reject(
          edgeError('OVERLOADED', { limit: IN_FLIGHT_MAX }, { retryAfterMs: BROKER_RETRY_AFTER_MS }),
        );
      return new Promise((resolve, reject) => {
        const id = next++;
        const options: PublishOptions = { reply: inbox + id };
        if (headers) options.headers = headers;
        try {
          nats.publish(subject, payload, options);
        } catch (cause) {
          reject(brokerDown(describeError(cause), cause));
          return;
        }
        waiting.set(id, { resolve, reject, deadlineMs: clock.monotonicMs() + ACK_TIMEOUT_MS });
      });
    },
    inFlight: () => waiting.size,
    close() {
      sweep.cancel();
      forget();
      subscription.unsubscribe();
      expire(Number.POSITIVE_INFINITY, 'the bus is closing');
    },
  };
}

/** Reads `{"stream":"S","seq":7,"duplicate":true}` or `{"error":{…}}`, or the broker's "nobody listens". */
function readAck(message: Msg): PublishAck | AppError {
  if (message.data.length === 0) return brokerDown('no stream takes the subject');
  const ack = message.json<{
    seq?: number;
    duplicate?: boolean;
    error?: { err_code: number; description: string };
  }>();
  if (ack.seq !== undefined) return { sequence: ack.seq, duplicate: ack.duplicate === true };
  const { err_code: code = 0, description = 'it refused without a reason' } = ack.error ?? {};
  if (isStorageFull(code))
    return edgeError('STORAGE_FULL', { detail: description }, { retryAfterMs: BROKER_RETRY_AFTER_MS });
  return brokerDown(description);
}
