/**
 * One connection to the broker: credentials, endless reconnecting, and who must be told that it went or came back.
 * Replies to the server come on an inbox prefix of its own, never on `_INBOX`, which producers may read.
 */
import { readFileSync } from 'node:fs';
import { type JetStreamManager, jetstreamManager } from '@nats-io/jetstream';
import {
  type ConnectionOptions,
  connect,
  createInbox,
  credsAuthenticator,
  type NatsConnection,
} from '@nats-io/transport-node';
import { describeError } from '../errors.ts';
import type { Logger } from '../observability.ts';
import { brokerDown, startError } from './errors.ts';
import { formatVersion, isAtLeast, OLDEST_NATS, parseVersion, type Version } from './find-nats.ts';

/** Prefix of every inbox of the server. */
export const INBOX_PREFIX = '_HOMEOSTAT_INBOX';

const CONNECT_TIMEOUT_MS = 5_000;
const RECONNECT_WAIT_MS = 100;
const RECONNECT_JITTER_MS = 100;
const PING_INTERVAL_MS = 10_000;
/** How long a JetStream request may take. */
const API_TIMEOUT_MS = 5_000;

export interface ConnectOptions {
  /** `nats://user:password@host:port` or `tls://…`; several servers of a cluster separated by commas. */
  readonly url: string;
  /** Credentials file (JWT and seed). */
  readonly credsFile?: string;
  /** Certificate authority that signed the server's certificate. */
  readonly caFile?: string;
  /** Shown in the broker's monitoring. */
  readonly name: string;
  readonly logger: Logger;
}

export interface Connection {
  readonly nats: NatsConnection;
  readonly manager: JetStreamManager;
  /** `host:port` connected to. */
  readonly address: string;
  readonly version: Version;
  connected(): boolean;
  /** Resolves when connected, at once or later; also when the signal aborts. */
  untilConnected(signal: AbortSignal): Promise<void>;
  /** Does something that needs answers; rejects with BROKER_DOWN as soon as the connection is lost, not by time-out. */
  whileConnected<Result>(work: () => Promise<Result>): Promise<Result>;
  /** Calls back whenever the connection is lost (false) or made again (true), until the returned function is called. */
  onChange(listener: (connected: boolean) => void): () => void;
  /** A new subject that only this connection listens on. */
  inbox(): string;
  close(): Promise<void>;
}

/** Connects. Throws BROKER_UNREACHABLE with one sentence. */
export async function openConnection(options: ConnectOptions): Promise<Connection> {
  const { logger } = options;
  const address = options.url.split(',').map(hostOf).join(',');
  const unreachable = (detail: string, cause?: unknown) =>
    startError('BROKER_UNREACHABLE', { address, detail }, { cause });
  let nats: NatsConnection;
  let manager: JetStreamManager;
  try {
    nats = await connect(connectionOptions(options));
  } catch (cause) {
    throw unreachable(describeError(cause), cause);
  }
  const version = parseVersion(nats.info?.version ?? '') ?? [0, 0, 0];
  try {
    if (!isAtLeast(version, OLDEST_NATS))
      throw new Error(`version ${formatVersion(version)} is older than ${formatVersion(OLDEST_NATS)}`);
    manager = await jetstreamManager(nats, { timeout: API_TIMEOUT_MS });
  } catch (cause) {
    await nats.close();
    throw unreachable(describeError(cause), cause);
  }

  let up = true;
  const listeners = new Set<(connected: boolean) => void>();
  let closing = false;
  const change = (connected: boolean) => {
    if (up === connected) return;
    up = connected;
    if (!closing)
      logger.warn(
        { address, connection: options.name },
        connected ? 'broker connected again' : 'broker connection lost',
      );
    for (const listener of [...listeners]) listener(connected);
  };
  const onChange = (listener: (connected: boolean) => void) => {
    listeners.add(listener);
    return () => listeners.delete(listener);
  };
  const watch = async () => {
    for await (const status of nats.status()) {
      if (status.type === 'disconnect' || status.type === 'close') change(false);
      else if (status.type === 'reconnect') change(true);
      else if (status.type === 'error')
        logger.warn({ error: status.error.message }, 'the broker refused something');
    }
  };
  void watch();
  return {
    nats,
    manager,
    address: nats.getServer(),
    version,
    connected: () => up && !nats.isClosed(),
    onChange,
    untilConnected: (signal) =>
      new Promise((resolve) => {
        if (up || signal.aborted) return resolve();
        const done = () => {
          forget();
          signal.removeEventListener('abort', done);
          resolve();
        };
        const forget = onChange((connected) => connected && done());
        signal.addEventListener('abort', done);
      }),
    whileConnected: (work) =>
      new Promise((resolve, reject) => {
        if (!up) return reject(brokerDown('not connected'));
        const forget = onChange((connected) => !connected && reject(brokerDown('the connection broke')));
        work().then(resolve, reject).finally(forget);
      }),
    inbox: () => createInbox(INBOX_PREFIX),
    close() {
      closing = true;
      return nats.close();
    },
  };
}

/** What the client library is told. Throws when a URL cannot be read, or the credentials file. */
export function connectionOptions({
  url,
  credsFile,
  caFile,
  name,
}: Omit<ConnectOptions, 'logger'>): ConnectionOptions {
  const parsed = url
    .split(',')
    .map((one) => new URL(one.includes('://') ? one.trim() : `nats://${one.trim()}`));
  const { username, password } = parsed[0]!;
  const secure = caFile !== undefined || parsed.some((one) => one.protocol === 'tls:');
  return {
    servers: parsed.map((one) => one.host),
    name,
    inboxPrefix: INBOX_PREFIX,
    timeout: CONNECT_TIMEOUT_MS,
    reconnectTimeWait: RECONNECT_WAIT_MS,
    reconnectJitter: RECONNECT_JITTER_MS,
    maxReconnectAttempts: -1,
    ignoreAuthErrorAbort: true,
    pingInterval: PING_INTERVAL_MS,
    noAsyncTraces: true,
    ...(username && password === '' && { token: decodeURIComponent(username) }),
    ...(password !== '' && { user: decodeURIComponent(username), pass: decodeURIComponent(password) }),
    ...(credsFile !== undefined && {
      authenticator: credsAuthenticator(new Uint8Array(readFileSync(credsFile))),
    }),
    ...(secure && { tls: caFile === undefined ? {} : { caFile } }),
  };
}

/** `host:port` of a URL, never its secret. */
export function hostOf(url: string): string {
  return url
    .trim()
    .replace(/^[a-z]+:\/\//, '')
    .replace(/^.*@/, '');
}
