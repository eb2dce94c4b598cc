/** A gRPC edge on a free loopback port, with services whose handlers a test names; the rest of them refuse. */
import type { DescService } from '@bufbuild/protobuf';
import { pino } from 'pino';
import { type Channel, openChannel } from '../../src/client/channel.ts';
import { type Clock, systemClock } from '../../src/clock.ts';
import { createMetrics, type Metrics } from '../../src/observability.ts';
import { createRandom } from '../../src/random.ts';
import { type AuditSink, NO_AUDIT } from '../../src/rpc/audit.ts';
import type { CredentialVerifier } from '../../src/rpc/authenticate.ts';
import { identityError } from '../../src/rpc/errors.ts';
import type { Handlers, ServiceBinding } from '../../src/rpc/handler.ts';
import { type LoadSignals, UNLOADED } from '../../src/rpc/load-signals.ts';
import { createRpcServer, type RpcConfig, type RpcServer } from '../../src/rpc/serve.ts';
import type { Tls } from '../../src/rpc/tls.ts';
import { principalOf } from '../support/calls.ts';

export const TOKEN = 'hk_test_everything';
export const READER_TOKEN = 'hk_test_reader';

export const rpcConfig: RpcConfig = {
  address: '127.0.0.1:0',
  receiveBytesMax: 16 * 1024 * 1024,
  sendBytesMax: 64 * 1024 * 1024,
  callsPerConnectionMax: 100,
  metadataBytesMax: 16 * 1024,
  keepaliveMs: 30_000,
  keepaliveTimeoutMs: 10_000,
  connectionAgeMs: 1_800_000,
  connectionGraceMs: 30_000,
  reflection: false, // Reading all descriptors takes a tenth of a second; the suite of reflection does.
  deadlineMs: 30_000,
  deadlineMaxMs: 300_000,
  streamsMax: 1_000,
  unsentBytesMax: 4 * 1024 * 1024,
  stallMs: 10_000,
  slowMs: 1_000,
  connectionsMax: 1_000,
  connectionsPerAddressMax: 100,
  firstByteMs: 5_000,
  unfinishedBytesMax: 256 * 1024 * 1024,
  requestMs: 30_000,
  resetsMax: 500,
  tokensPerMinute: { FREE: 100, PRO: 5_000, ENTERPRISE: 100_000 },
  bucketsMax: 100_000,
};

const admin = principalOf('admin', '*.*');
const reader = principalOf('reader', 'energy.read');

/** Knows two callers: one may do everything, one may read energy. */
export const verifier: CredentialVerifier = {
  verify(token) {
    if (token === TOKEN) return admin;
    if (token === READER_TOKEN) return reader;
    throw identityError('BAD_TOKEN', {});
  },
};

/** A binding with some of a service's handlers; the others throw. */
export function partialBinding<Service extends DescService>(
  service: Service,
  handlers: Partial<Handlers<Service>>,
  unavailable?: () => readonly string[],
): ServiceBinding {
  const all: Record<string, unknown> = {};
  for (const { localName, methodKind } of service.methods)
    all[localName] = methodKind === 'unary' || methodKind === 'client_streaming' ? missing : missingStream;
  return { service, handlers: { ...all, ...handlers }, ...(unavailable && { unavailable }) };
}

function missing(): never {
  throw new Error('this test has no such handler');
}

// biome-ignore lint/correctness/useYield: it only refuses.
async function* missingStream(): AsyncGenerator<never> {
  missing();
}

export interface EdgeWorld {
  readonly server: RpcServer;
  readonly address: string;
  readonly metrics: Metrics;
  /** Log lines so far. */
  readonly lines: Record<string, unknown>[];
  /** A channel with credentials, closed by `stop`. */
  readonly channel: Channel;
  channelWith(token: string | undefined): Channel;
  stop(): Promise<void>;
}

export interface EdgeWorldOptions {
  readonly bindings: readonly ServiceBinding[];
  readonly config?: Partial<RpcConfig>;
  readonly clock?: Clock;
  readonly verifier?: CredentialVerifier;
  readonly audit?: AuditSink;
  readonly load?: LoadSignals;
  readonly tls?: Tls;
  readonly degraded?: () => readonly string[];
  readonly unavailable?: () => readonly string[];
  /** Leaves the server in its state STARTING. */
  readonly starting?: boolean;
}

export async function startEdge(options: EdgeWorldOptions): Promise<EdgeWorld> {
  const lines: Record<string, unknown>[] = [];
  const metrics = createMetrics();
  let requests = 0;
  const server = createRpcServer({
    config: { ...rpcConfig, ...options.config },
    clock: options.clock ?? systemClock,
    logger: pino(
      { level: 'info', base: null },
      { write: (line: string) => void lines.push(JSON.parse(line)) },
    ),
    metrics,
    bindings: options.bindings,
    verifier: options.verifier ?? verifier,
    audit: options.audit ?? NO_AUDIT,
    load: options.load ?? UNLOADED,
    random: createRandom(1),
    ...(options.tls && { tls: options.tls }),
    ...(options.degraded && { degraded: options.degraded }),
    createRequestId: () => `request-${++requests}`,
    unavailable: options.unavailable ?? (() => []),
  });
  const address = await server.start();
  if (!options.starting) server.markServing();
  const channels: Channel[] = [];
  const channelWith = (token: string | undefined) => {
    const retry = { attempts: 1 };
    const channel = openChannel({ address, ...(token !== undefined && { token }), retry });
    channels.push(channel);
    return channel;
  };
  return {
    server,
    address,
    metrics,
    lines,
    channel: channelWith(TOKEN),
    channelWith,
    async stop() {
      for (const channel of channels) channel.close();
      await server.stop(0);
    },
  };
}

/** Polls until a condition holds; throws after 5 s. */
export async function until(
  condition: () => boolean | Promise<boolean>,
  what = 'the condition',
): Promise<void> {
  const deadlineMs = performance.now() + 20_000;
  while (!(await condition())) {
    if (performance.now() > deadlineMs) throw new Error(`${what} did not come to hold`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
