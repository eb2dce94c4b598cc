/**
 * Looks at a broker without changing anything: one connection of its own, a few questions, closed again. For
 * `homeostat doctor`, beside a running server or before the first one. Times are wall time in milliseconds; nothing here
 * starts, makes or mends anything.
 */
import { type JetStreamManager, jetstreamManager } from '@nats-io/jetstream';
import { AuthorizationError, connect, type NatsConnection } from '@nats-io/transport-node';
import type { Clock } from '../clock.ts';
import { describeError } from '../errors.ts';
import type { Durability } from './bus.ts';
import { connectionOptions, hostOf } from './connection.ts';
import { outsideDurability } from './durability.ts';
import { parseVersion, type Version } from './find-nats.ts';
import { DEAD_LETTERS_STREAM, EVENTS_STREAM, streamState, TELEMETRY_STREAM } from './streams.ts';

export interface InspectBrokerOptions {
  /** As in `ConnectOptions`. */
  readonly url: string;
  readonly credsFile?: string;
  readonly caFile?: string;
  readonly clock: Clock;
  /** How long connecting may take, and each question after it, ms. */
  readonly timeoutMs: number;
  /** Gives up: the connection is closed and the inspection rejects. */
  readonly signal: AbortSignal;
}

/** Why there is nothing to look at: the settings cannot be read, nobody answers, or the broker lets us not in. */
export interface BrokerFailure {
  readonly failure: 'UNUSABLE' | 'UNREACHABLE' | 'REFUSED';
  /** `host:port`, never a secret. */
  readonly address: string;
  readonly detail: string;
}

/** One of the three streams. */
export interface StreamView {
  readonly name: string;
  readonly present: boolean;
  readonly messages: number;
  readonly bytes: number;
  /** Whether it lies in the broker's memory, and ends with it. */
  readonly inMemory: boolean;
}

export interface BrokerView {
  readonly failure?: undefined;
  readonly address: string;
  readonly version: Version;
  readonly durability: Durability;
  /** DISABLED: this account may not use JetStream; SILENT: it may, and gets no answer. */
  readonly jetstream: 'ENABLED' | 'DISABLED' | 'SILENT';
  /** Empty unless JetStream answers. */
  readonly streams: readonly StreamView[];
  /** The broker's wall time, read between two readings of ours; undefined where it does not tell. */
  readonly time:
    | { readonly askedMs: number; readonly theirsMs: number; readonly answeredMs: number }
    | undefined;
  /** Names of other programs' connections in the account of these credentials, as far as the broker tells. */
  readonly neighbors: readonly string[];
}

/** The name every connection of the product begins with; producers have one of their own. */
const OWN_NAMES = new Set(['homeostat', 'homeostat doctor']);

/** Tells a user the connections of its own account (https://docs.nats.io/running-a-nats-service/configuration/sys_accounts). */
const ACCOUNT_CONNECTIONS = '$SYS.REQ.ACCOUNT.PING.CONNZ';
/** Every server of a cluster answers; silence this long ends the collection, ms. */
const STALL_MS = 150;

/** Connects, asks and leaves. Rejects only when the signal aborts or the connection is lost meanwhile. */
export async function inspectBroker(options: InspectBrokerOptions): Promise<BrokerView | BrokerFailure> {
  const { clock, timeoutMs, signal } = options;
  const address = options.url.split(',').map(hostOf).join(',');
  let nats: NatsConnection;
  try {
    const settings = connectionOptions({ ...options, name: 'homeostat doctor' });
    nats = await connect({ ...settings, timeout: timeoutMs, reconnect: false, ignoreAuthErrorAbort: false });
  } catch (error) {
    return { failure: failureOf(error), address, detail: describeError(error) };
  }
  const close = () => void nats.close();
  signal.addEventListener('abort', close);
  try {
    signal.throwIfAborted();
    const version = parseVersion(nats.info?.version ?? '') ?? ([0, 0, 0] as const);
    const manager = await jetstreamManager(nats, { timeout: timeoutMs, checkAPI: false });
    const [durability, stored, account] = await Promise.all([
      outsideDurability(nats, version),
      lookAtStreams(manager),
      lookAtAccount(nats, clock, timeoutMs),
    ]);
    return { address: nats.getServer(), version, durability, ...stored, ...account };
  } finally {
    signal.removeEventListener('abort', close);
    await nats.close();
  }
}

function failureOf(error: unknown): BrokerFailure['failure'] {
  if (error instanceof AuthorizationError) return 'REFUSED';
  const code = (error as NodeJS.ErrnoException).code;
  // A URL that is none, and files of credentials or authorities that cannot be read.
  return code === 'ERR_INVALID_URL' || code === 'ENOENT' || code === 'EACCES' ? 'UNUSABLE' : 'UNREACHABLE';
}

async function lookAtStreams(manager: JetStreamManager): Promise<Pick<BrokerView, 'jetstream' | 'streams'>> {
  try {
    await manager.getAccountInfo();
    const names = [TELEMETRY_STREAM, EVENTS_STREAM, DEAD_LETTERS_STREAM];
    return {
      jetstream: 'ENABLED',
      streams: await Promise.all(names.map((name) => lookAtStream(manager, name))),
    };
  } catch (error) {
    // The library keeps this class to itself; its name is the one thing to know it by.
    const disabled = error instanceof Error && error.name === 'JetStreamNotEnabled';
    return { jetstream: disabled ? 'DISABLED' : 'SILENT', streams: [] };
  }
}

async function lookAtStream(manager: JetStreamManager, name: string): Promise<StreamView> {
  const info = await streamState(manager, name);
  return {
    name,
    present: info !== undefined,
    messages: info?.state.messages ?? 0,
    bytes: info?.state.bytes ?? 0,
    inMemory: info?.config.storage === 'memory',
  };
}

interface ConnectionsAnswer {
  readonly server?: { readonly time?: string };
  readonly data?: { readonly connections?: ReadonlyArray<{ readonly name?: string }> };
}

/** Time of the first server that answers, and who else is in the account. A broker that does not tell is no fault. */
async function lookAtAccount(
  nats: NatsConnection,
  clock: Clock,
  timeoutMs: number,
): Promise<Pick<BrokerView, 'time' | 'neighbors'>> {
  const neighbors: string[] = [];
  let time: BrokerView['time'];
  const askedMs = clock.nowMs();
  try {
    const ask = { strategy: 'stall', stall: STALL_MS, maxWait: timeoutMs } as const;
    for await (const reply of await nats.requestMany(ACCOUNT_CONNECTIONS, '', ask)) {
      const { server, data } = reply.json<ConnectionsAnswer>();
      const theirsMs = Date.parse(server?.time ?? '');
      if (!Number.isNaN(theirsMs)) time ??= { askedMs, theirsMs, answeredMs: clock.nowMs() };
      for (const { name } of data?.connections ?? [])
        if (!OWN_NAMES.has(name ?? '')) neighbors.push(name ?? '');
    }
  } catch {
    // Not allowed to ask, or nobody answers: it does not tell.
  }
  return { time, neighbors };
}
