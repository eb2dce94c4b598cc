/**
 * Publishes telemetry from outside the server, as any producer does: with a producer's credentials, many messages in
 * flight, each counted only when the broker has acknowledged it.
 *
 * Invariants: at most `inFlightMax` messages are unacknowledged at the broker, fewer than the 4,096 sequences the
 * server remembers, and messages reach the broker in the order they were handed in. A lost connection, a refusal and a
 * missing acknowledgement are all answered alike: everything unacknowledged is sent again in order, the oldest alone
 * until the broker takes it. The server tells repeats by their sequence. So a broker restart costs time and
 * duplicates, never a message.
 *
 *     const producer = await connectProducer({ url: readFileSync('.homeostat/producer.url', 'utf8').trim() });
 *     await producer.publish(telemetrySubject('lab', 'west', 'n1'), toBinary(TelemetryBatchSchema, batch));
 */
import { readFileSync } from 'node:fs';
import { connect, credsAuthenticator, type NatsConnection } from '@nats-io/transport-node';
import { type Clock, delay, systemClock } from '../clock.ts';
import { describeError } from '../errors.ts';
import { startError } from './errors.ts';
import { SendWindow } from './send-window.ts';

export interface ProducerOptions {
  /**
   * `nats://user:secret@host:port`, several servers separated by commas. A function is asked at each connection: the
   * address of a restarted broker may differ.
   */
  readonly url: string | (() => string);
  /** Certificate authority of the broker; makes the connection use TLS. */
  readonly caFile?: string;
  /** NATS credentials file, in place of user and secret. */
  readonly credsFile?: string;
  /** Most messages unacknowledged at the broker, 1..4,095; default 1,024. */
  readonly inFlightMax?: number;
  /** Silence of the broker after which unacknowledged messages are sent again, milliseconds; default 5,000. */
  readonly ackTimeoutMs?: number;
  /** Default the system's. */
  readonly clock?: Clock;
}

export interface Producer {
  /**
   * Hands one message over and resolves with its place in the broker's stream once that acknowledged it. The payload
   * belongs to the producer until then. Messages handed over while the window is full wait in memory: await `ready` to
   * bound them. Rejects with PUBLISH_REFUSED when the broker will never take it (too large, not permitted) and with
   * PRODUCER_CLOSED after `close`.
   */
  publish(subject: string, payload: Uint8Array): Promise<number>;
  /** Resolves when the next message would be sent at once. */
  ready(): Promise<void>;
  /** Resolves when nothing is unacknowledged. */
  idle(): Promise<void>;
  /** Messages handed over and not yet acknowledged. */
  readonly inFlight: number;
  /** Messages sent again so far. */
  readonly resent: number;
  readonly connected: boolean;
  /** Ends the connection; what is unacknowledged rejects. */
  close(): Promise<void>;
}

/** First and longest pause between attempts to connect again, milliseconds. */
const BACKOFF_MS_MIN = 100;
const BACKOFF_MS_MAX = 2_000;
const CONNECT_TIMEOUT_MS = 5_000;
/** Silence after which the connection itself is tested. */
const PING_INTERVAL_MS = 10_000;

/** Connects once; rejects with BROKER_UNREACHABLE and one sentence when the broker cannot be reached or refuses. */
export async function connectProducer(options: ProducerOptions): Promise<Producer> {
  const clock = options.clock ?? systemClock;
  const connection = await dial(options);
  const window = new SendWindow(clock, options.inFlightMax ?? 1_024, options.ackTimeoutMs ?? 5_000);
  const closing = new AbortController();
  let current: NatsConnection | undefined = connection;

  const attend = async (first: NatsConnection) => {
    for (
      let nats: NatsConnection | undefined = first;
      nats;
      nats = await redial(options, clock, closing.signal)
    ) {
      current = nats;
      window.attach(nats);
      await nats.closed();
      current = undefined;
      window.detach();
    }
  };
  const attending = attend(connection);

  return {
    publish: (subject, payload) => window.add(subject, payload),
    ready: () => window.ready(),
    idle: () => window.idle(),
    get inFlight() {
      return window.size;
    },
    get resent() {
      return window.resent;
    },
    get connected() {
      return current !== undefined;
    },
    async close() {
      closing.abort();
      window.close();
      await current?.close();
      await attending;
    },
  };
}

async function dial(options: ProducerOptions): Promise<NatsConnection> {
  const url = typeof options.url === 'string' ? options.url : options.url();
  const servers = url.split(',').map((one) => new URL(one.includes('://') ? one : `nats://${one}`));
  const { username, password } = servers[0]!;
  const secure = options.caFile !== undefined || servers.some((server) => server.protocol === 'tls:');
  const address = servers.map((server) => server.host).join(',');
  try {
    return await connect({
      servers: servers.map((server) => server.host),
      name: 'homeostat producer',
      // Reconnecting is done here, with everything unacknowledged sent again.
      reconnect: false,
      timeout: CONNECT_TIMEOUT_MS,
      pingInterval: PING_INTERVAL_MS,
      noAsyncTraces: true,
      ...(username && { user: decodeURIComponent(username), pass: decodeURIComponent(password) }),
      ...(options.credsFile && { authenticator: credsAuthenticator(readFileSync(options.credsFile)) }),
      ...(secure && { tls: options.caFile ? { caFile: options.caFile } : {} }),
    });
  } catch (error) {
    throw startError('BROKER_UNREACHABLE', { address, detail: describeError(error) }, { cause: error });
  }
}

/** Connects as soon as the broker is back; undefined when the producer was closed meanwhile. */
async function redial(
  options: ProducerOptions,
  clock: Clock,
  signal: AbortSignal,
): Promise<NatsConnection | undefined> {
  for (let pauseMs = BACKOFF_MS_MIN; !signal.aborted; pauseMs = Math.min(BACKOFF_MS_MAX, pauseMs * 2)) {
    try {
      const nats = await dial(options);
      if (!signal.aborted) return nats;
      await nats.close();
    } catch {
      await delay(clock, pauseMs, signal); // Away still: what waits in the window is safe, so try until closed.
    }
  }
  return undefined;
}
