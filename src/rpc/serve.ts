/**
 * The door of the gRPC edge: one grpc-js server with every service bound, the standard ones included, its limits, and
 * its life: listen, serve, drain, stop. Reads top-down; the parts are in the files beside it.
 */
import { Server, ServerCredentials } from '@grpc/grpc-js';
import type { Clock } from '../clock.ts';
import type { Logger, Metrics } from '../observability.ts';
import type { Random } from '../random.ts';
import { createAdmission } from './admission.ts';
import type { AuditSink } from './audit.ts';
import type { CredentialVerifier } from './authenticate.ts';
import { type BoundService, bindService } from './bind.ts';
import { exportCallCounts } from './call-counts.ts';
import { type ConnectionLimits, createConnections } from './connections.ts';
import { type CallLimits, createEdge } from './edge.ts';
import { exportEdgeMetrics } from './edge-metrics.ts';
import type { Gate } from './gate.ts';
import type { ServiceBinding } from './handler.ts';
import { createHealth, type HealthView } from './health.ts';
import type { LoadSignals } from './load-signals.ts';
import { bytesCodec, contractCodec } from './method.ts';
import { createRateLimiter, type RateConfig } from './rate-limit.ts';
import { readDescriptors, reflectionBindings } from './reflection.ts';
import type { Tls } from './tls.ts';
import { limitMetadata, limitResets, type ResetLimits, watchSessions } from './transport.ts';
import { createUnfinishedRequests, type UnfinishedLimits } from './unfinished-requests.ts';

export interface RpcConfig extends CallLimits, ConnectionLimits, ResetLimits, UnfinishedLimits, RateConfig {
  /** `host:port`; port 0 takes a free one. Default 127.0.0.1:50051. */
  readonly address: string;
  /** Largest request message, bytes; default 16 MiB. */
  readonly receiveBytesMax: number;
  /** Calls under way on one connection; default 100. */
  readonly callsPerConnectionMax: number;
  /** Names, values and 32 bytes per pair of a call's metadata; default 16 KiB. */
  readonly metadataBytesMax: number;
  /** Silence after which a connection is pinged, milliseconds; default 30,000. */
  readonly keepaliveMs: number;
  /** Time a ping has to be answered, milliseconds; default 10,000. */
  readonly keepaliveTimeoutMs: number;
  /** Age at which a connection is asked to end, give or take a tenth, milliseconds; default 30 min. */
  readonly connectionAgeMs: number;
  /** Time its calls have left then, milliseconds; default 30,000. */
  readonly connectionGraceMs: number;
  /** Whether reflection is served; default true. */
  readonly reflection: boolean;
}

export interface RpcServerDeps {
  readonly config: RpcConfig;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: Metrics;
  readonly bindings: readonly ServiceBinding[];
  readonly verifier: CredentialVerifier;
  readonly audit: AuditSink;
  /** How busy the process is; stopped with the server. */
  readonly load: LoadSignals;
  /** Spreads the delays that refused callers are told. */
  readonly random: Random;
  /** Certificates; none: plaintext. */
  readonly tls?: Tls;
  readonly createRequestId: () => string;
  /** Why the whole server cannot serve (`STORE_DOWN`); asked every 100 ms, so it touches neither disk nor network. */
  readonly unavailable: () => readonly string[];
  /** What the whole server does without while it serves (`STORE_READ_ONLY`); as cheap as `unavailable`. */
  readonly degraded?: () => readonly string[];
}

export interface RpcServer {
  readonly health: HealthView;
  /** Lets in what comes another way than gRPC, by the same checks. */
  readonly gate: Gate;
  /** Listens and answers; health says STARTING. Resolves with the address taken. Throws ADDRESS_UNUSABLE. */
  start(): Promise<string>;
  /** From now on health says what the contexts say. */
  markServing(): void;
  /**
   * Refuses new calls (DRAINING; health says so), lets those under way finish for up to `timeoutMs`, ends the rest, and
   * closes every connection. Harmless when not started.
   */
  stop(timeoutMs: number): Promise<void>;
}

/** Time that closed connections have to send what they still hold. */
const FLUSH_MS = 1_000;

export function createRpcServer(deps: RpcServerDeps): RpcServer {
  const { config, clock, logger, metrics, bindings } = deps;
  const admission = createAdmission(deps);
  const limiter = createRateLimiter(config, clock);
  const edge = createEdge({ ...deps, limits: config, admission, limiter });
  const server = new Server(serverOptions(config));
  limitMetadata(server, config.metadataBytesMax);
  const names = serviceNames(bindings, config.reflection);
  const health = createHealth({
    clock,
    logger,
    metrics,
    bindings,
    always: names.standard,
    unavailable: deps.unavailable,
    degraded: deps.degraded ?? (() => []),
  });
  const bound: BoundService[] = bindings.map((binding) => bindService(edge, binding));
  bound.push(bindService(edge, health.binding, bytesCodec));
  if (config.reflection) {
    const { v1, v1alpha } = reflectionBindings(readDescriptors(), names.all);
    const codec = contractCodec(v1.service.methods[0]!, config.sendBytesMax);
    bound.push(bindService(edge, v1), bindService(edge, v1alpha, codec));
  }
  for (const { definition, implementation } of bound) server.addService(definition, implementation);
  const injector = server.createConnectionInjector(ServerCredentials.createInsecure());
  const connections = createConnections(config, clock, deps.tls, (socket) =>
    injector.injectConnection(socket),
  );
  limitResets(server, config, clock.monotonicMs, () => connections.countRefused('RESETS'));
  const unfinished = createUnfinishedRequests(config, clock, takesOneRequest(bound), () =>
    connections.countRefused('UNFINISHED'),
  );
  watchSessions(server, (session) => void session.on('stream', unfinished.watch));
  exportCallCounts(metrics, () => bound.flatMap((service) => service.methods));
  exportEdgeMetrics(metrics, { gate: edge.gate, admission, limiter, connections });

  return {
    health,
    gate: edge.gate,
    async start() {
      const address = await connections.start(config.address);
      edge.start();
      unfinished.start();
      health.start();
      return address;
    },
    markServing: () => health.enter('SERVING'),
    async stop(timeoutMs) {
      health.enter('DRAINING');
      await edge.drain(timeoutMs);
      connections.stop();
      await closeConnections(server, clock);
      edge.stop();
      unfinished.stop();
      health.stop();
    },
  };
}

/** Whether a path is of a method with one request, which is held until it is whole. */
function takesOneRequest(bound: readonly BoundService[]): (path: string) => boolean {
  const methods = bound.flatMap((service) => service.methods);
  const paths = new Set(
    methods.filter(({ kind }) => kind === 'unary' || kind === 'server_streaming').map(({ path }) => path),
  );
  return (path) => paths.has(path);
}

function serverOptions(config: RpcConfig) {
  return {
    'grpc.max_receive_message_length': config.receiveBytesMax,
    'grpc.max_send_message_length': config.sendBytesMax,
    'grpc.max_concurrent_streams': config.callsPerConnectionMax,
    'grpc.keepalive_time_ms': config.keepaliveMs,
    'grpc.keepalive_timeout_ms': config.keepaliveTimeoutMs,
    'grpc.max_connection_age_ms': config.connectionAgeMs,
    'grpc.max_connection_age_grace_ms': config.connectionGraceMs,
    'grpc.enable_channelz': 0, // Nobody reads it here, and it costs every call.
  };
}

/** Names of the services as reflection lists them. */
function serviceNames(bindings: readonly ServiceBinding[], reflection: boolean) {
  const standard = ['grpc.health.v1.Health'];
  if (reflection)
    standard.push('grpc.reflection.v1.ServerReflection', 'grpc.reflection.v1alpha.ServerReflection');
  return { standard, all: [...bindings.map((binding) => binding.service.typeName), ...standard].sort() };
}

/** Says goodbye on every connection, and closes those that have not ended in time. */
async function closeConnections(server: Server, clock: Clock): Promise<void> {
  await new Promise<void>((resolve) => {
    const timer = clock.after(FLUSH_MS, resolve);
    server.tryShutdown(() => {
      timer.cancel();
      resolve();
    });
  });
  server.forceShutdown();
}
