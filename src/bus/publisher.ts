/**
 * Publishes to JetStream with many messages in flight. Every message gets a reply subject of its own and one promise;
 * messages leave in the order of the calls. Whatever is unacknowledged when the connection breaks is rejected: the
 * caller knows whether it may be sent again.
 */
import type { Msg, MsgHdrs, PublishOptions } from '@nats-io/transport-node';
import type { Clock } from '../clock.ts';
import type { AppError } from '../errors.ts';
import type { Connection } from './connection.ts';
import { brokerDown, brokerFull, brokerOverloaded } from './errors.ts';
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
   * `homeostat.edge`; after BROKER_DOWN the message may or may not be stored. A message larger than the broker takes is
   * a fault, not a refusal.
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
      if (waiting.size >= IN_FLIGHT_MAX) return Promise.reject(brokerOverloaded(IN_FLIGHT_MAX));
      return new Promise((resolve, reject) => {
        const id = next++;
        const options: PublishOptions = { reply: inbox + id };
        if (headers) options.headers = headers;
        try {
          nats.publish(subject, payload, options);
        } catch (error) {
          reject(error); // Larger than the broker takes: a fault of the caller, no refusal.
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

/**
 * Reads `{"stream":"S","seq":7,"duplicate":true}`; `{"error":{…},"stream":"S","seq":0}`, which carries a sequence as
 * well; or the broker's empty "nobody listens".
 */
function readAck(message: Msg): PublishAck | AppError {
  if (message.data.length === 0) return brokerDown('no stream takes the subject');
  const { seq, duplicate, error } = message.json<{
    seq?: number;
    duplicate?: boolean;
    error?: { err_code: number; description: string };
  }>();
  if (error)
    return isStorageFull(error.err_code) ? brokerFull(error.description) : brokerDown(error.description);
  return seq === undefined
    ? brokerDown('no acknowledgement')
    : { sequence: seq, duplicate: duplicate === true };
}
