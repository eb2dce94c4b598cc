/**
 * The composition root: reads top-down as the architecture. Opens the edges, creates the contexts, binds their
 * services, starts them, then marks health SERVING. Everything opened pushes its closer; a failed start unwinds them,
 * a stop unwinds them in reverse under a deadline.
 */
import { join } from 'node:path';
import type { Bus } from './bus/bus.ts';
import { busMigrations, openBus } from './bus/open.ts';
import { type Clock, systemClock } from './clock.ts';
import { type Closers, createClosers } from './closers.ts';
import type { Config } from './config.ts';
import { claimDataDir, type DataDir } from './data-dir.ts';
import { createDiffusion, diffusionMigrations } from './diffusion/context.ts';
import { createEnergy, energyMigrations, type ProofLedger } from './energy/context.ts';
import { createPosts } from './http/posts.ts';
import { createHttpServer } from './http/serve.ts';
import { createIdentity, type Identity, identityMigrations, recoverAdmin } from './identity/context.ts';
import { createIds, type NewId } from './ids.ts';
import { createLedger, type Ledgers, ledgerMigrations } from './ledger/context.ts';
import { createWorkerPool, type WorkerPool } from './numeric/worker-pool.ts';
import { createLogger, createMetrics, type Logger, type Metrics } from './observability.ts';
import { createRandom } from './random.ts';
import { createResilience, resilienceMigrations } from './resilience/context.ts';
import { type LoadSignals, watchLoad } from './rpc/load-signals.ts';
import { readPolicies } from './rpc/policies.ts';
import { createRpcServer } from './rpc/serve.ts';
import { openTls, type Tls } from './rpc/tls.ts';
import { createSealer, type Sealer } from './sealing.ts';
import { readSecret } from './secret-file.ts';
import { type Secrets, systemSecrets } from './secrets.ts';
import { createSession, type Placement, sessionMigrations } from './session/context.ts';
import {
  energyConfig,
  httpConfig,
  identityConfig,
  ledgerConfig,
  resilienceConfig,
  rpcConfig,
  sessionConfig,
  telemetryConfig,
  tlsConfig,
} from './settings.ts';
import { openStore } from './store/open.ts';
import type { Migration, Store, Tx } from './store/store.ts';
import { type SupervisedContext, supervise } from './supervise.ts';
import { createTelemetry, telemetryMigrations } from './telemetry/context.ts';

/** What tests may replace; everything else is the production wiring. */
export interface Overrides {
  readonly clock?: Clock;
  readonly logger?: Logger;
  readonly secrets?: Secrets;
  /** How busy the process says it is. */
  readonly load?: LoadSignals;
}

export interface RunningServer {
  /** `host:port` that gRPC listens on. */
  readonly grpcAddress: string;
  /** `host:port` that HTTP listens on. */
  readonly httpAddress: string;
  /** File with the administrator's API key. */
  readonly adminKeyFile: string;
  /** File with the URL producers connect to; empty with a broker that is not managed. */
  readonly producerUrlFile: string;
  /** Drains and closes everything, at most for the configured time. */
  stop(): Promise<void>;
}

/** The edges every context stands on. */
interface Edges {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: Metrics;
  readonly secrets: Secrets;
  /** Seals secrets at rest under the secret file. */
  readonly sealer: Sealer;
  readonly newId: NewId;
  readonly dataDir: DataDir;
  readonly store: Store;
  readonly bus: Bus;
  readonly load: LoadSignals;
  readonly workers: WorkerPool;
  /** Certificates of both ports; none: plaintext. */
  readonly tls: Tls | undefined;
}

/** Starts a server. Throws AppError with one sentence when an edge cannot be opened. */
export async function startServer(config: Config, overrides: Overrides = {}): Promise<RunningServer> {
  const clock = overrides.clock ?? systemClock;
  const logger = overrides.logger ?? createLogger(config.LOG_LEVEL);
  const closers = createClosers(clock, logger);
  try {
    const edges = await openEdges(config, overrides, { clock, logger }, closers);
    const ledgers = createLedger({ ...edges, config: ledgerConfig(config) });
    const identity = createIdentity({
      ...edges,
      dataDir: config.DATA_DIR,
      config: identityConfig(config),
      ledger: ledgerOf(ledgers, 'identity'),
      methods: readPolicies(),
    });
    await identity.bootstrap();
    const contexts = createContexts(config, edges, ledgers);
    return await serve(config, edges, identity, contexts, closers);
  } catch (error) {
    await closers.unwind(config.STOP_TIMEOUT_MS);
    throw error;
  }
}

/**
 * Makes a new administrator's key with access to the database and the data directory alone; the old one is refused from
 * then on. Resolves with the path of its file. A running server takes it over within a second.
 */
export async function recoverAdminKey(config: Config): Promise<string> {
  const clock = systemClock;
  const logger = createLogger(config.LOG_LEVEL);
  const store = await openConfiguredStore(config, { clock, logger });
  try {
    await store.migrate(migrations);
    return await recoverAdmin({ dataDir: config.DATA_DIR, store, clock, secrets: systemSecrets });
  } finally {
    await store.close();
  }
}

/** Every step of the schema but the store's own, in the order they are applied. */
export const migrations: readonly Migration[] = [
  ...busMigrations,
  ...ledgerMigrations,
  ...identityMigrations,
  ...telemetryMigrations,
  ...energyMigrations,
  ...diffusionMigrations,
  ...resilienceMigrations,
  ...sessionMigrations,
];

function openConfiguredStore(config: Config, base: { clock: Clock; logger: Logger }): Promise<Store> {
  const databaseUrl = config.DATABASE_URL;
  return openStore({ ...base, dataDir: config.DATA_DIR, ...(databaseUrl && { databaseUrl }) });
}

async function openEdges(
  config: Config,
  overrides: Overrides,
  base: { readonly clock: Clock; readonly logger: Logger },
  closers: Closers,
): Promise<Edges> {
  const { clock, logger } = base;
  const metrics = createMetrics();
  const secrets = overrides.secrets ?? systemSecrets;
  const dataDir = claimDataDir(config.DATA_DIR);
  closers.push('data directory', dataDir.release);
  const secret = readSecret({
    path: config.SECRET_FILE,
    dataDir: config.DATA_DIR,
    mayCreate: config.DATABASE_URL === '',
    secrets,
  });
  const certificates = tlsConfig(config);
  const tls = certificates && (await openTls({ ...base, metrics, config: certificates }));
  if (tls) closers.push('TLS', tls.stop);
  const store = await openConfiguredStore(config, base);
  closers.push('store', () => store.close());
  await store.migrate(migrations);
  metrics.gauge('homeostat_store_commit_seconds', 'Time of the last commit.', [], () =>
    store
      .recentCommitSeconds()
      .slice(0, 1)
      .map((value) => ({ value })),
  );
  const bus = await openBus({
    ...base,
    metrics,
    store,
    secrets,
    dataDir: config.DATA_DIR,
    ...(config.NATS_URL && { natsUrl: config.NATS_URL }),
    ...(config.NATS_CREDS_FILE && { credsFile: config.NATS_CREDS_FILE }),
    ...(config.NATS_CA_FILE && { caFile: config.NATS_CA_FILE }),
  });
  closers.push('bus', () => bus.close());
  const workers = createWorkerPool({ threads: config.WORKER_THREADS, queueMax: WORKER_QUEUE_MAX });
  closers.push('workers', () => workers.close());
  logger.info({ broker: bus.broker, durability: bus.durability, database: store.dialect }, 'edges open');
  return {
    ...base,
    metrics,
    secrets,
    sealer: createSealer(secret, secrets),
    newId: createIds(clock),
    dataDir,
    store,
    bus,
    load: overrides.load ?? watchLoad(() => store.recentCommitSeconds()),
    workers,
    tls,
  };
}

/** Tasks that may wait for a worker; whoever asks for many bounds itself far below. */
const WORKER_QUEUE_MAX = 4_096;

/** In the order facts travel. */
function createContexts(config: Config, edges: Edges, ledger: Ledgers): readonly SupervisedContext[] {
  const telemetry = createTelemetry({ ...edges, config: telemetryConfig(config) });
  const energy = createEnergy({ ...edges, ledger: proofLedgerOf(ledger), config: energyConfig(config) });
  const resilience = createResilience({ ...edges, config: resilienceConfig(config) });
  const session = createSession({
    ...edges,
    placement,
    ledger: ledgerOf(ledger, 'session'),
    config: sessionConfig(config),
  });
  const diffusion = createDiffusion({
    ...edges,
    forecasts: { latest: energy.forecast },
    config: { sendBytesMax: config.RPC_SEND_BYTES_MAX },
  });
  return Object.entries({ telemetry, energy, diffusion, resilience, session, ledger }).map(
    ([name, context]) => supervise(name, context, edges),
  );
}

async function serve(
  config: Config,
  edges: Edges,
  identity: Identity,
  contexts: readonly SupervisedContext[],
  closers: Closers,
): Promise<RunningServer> {
  const { clock, logger, metrics, store } = edges;
  const storeWatch = watchStore(store, clock);
  closers.push('store watch', storeWatch.stop);
  const rpc = createRpcServer({
    clock,
    logger,
    metrics,
    config: rpcConfig(config),
    bindings: [...identity.services, ...contexts.flatMap((context) => context.services)],
    verifier: identity.verifier,
    audit: identity.audit,
    load: edges.load,
    random: createRandom(Math.floor(clock.nowMs()), process.pid),
    ...(edges.tls && { tls: edges.tls }),
    createRequestId: edges.newId,
    unavailable: () => [...storeWatch.unavailable(), ...identity.unavailable()],
  });
  // Closed in reverse: new calls are refused and those under way finish before the contexts they need are stopped.
  closers.push('identity', identity.stop);
  for (const context of [...contexts].reverse()) closers.push(context.name, context.stop);
  const posts = createPosts({
    clock,
    logger,
    metrics,
    routes: contexts.flatMap((context) => context.routes),
    gate: rpc.gate,
    bodyBytesMax: config.RPC_RECEIVE_BYTES_MAX,
    certificateRequired: config.MTLS === 'required',
    createRequestId: edges.newId,
  });
  const http = createHttpServer({
    clock,
    logger,
    metrics,
    health: rpc.health,
    posts,
    config: httpConfig(config),
    ...(edges.tls && { tls: edges.tls }),
  });
  closers.push('HTTP', http.stop);
  closers.push('gRPC', () => rpc.stop(config.STOP_TIMEOUT_MS / 2));
  const grpcAddress = await rpc.start();
  const httpAddress = await http.start();

  await identity.start();
  // Consumers before producers, so that the first window finds everybody listening; all events are kept anyway.
  for (const context of [...contexts].reverse()) await context.start();
  rpc.markServing();
  edges.dataDir.announce({ grpcAddress, httpAddress });
  logger.info({ grpcAddress, httpAddress }, 'serving');
  return {
    grpcAddress,
    httpAddress,
    adminKeyFile: join(config.DATA_DIR, 'admin.key'),
    producerUrlFile: config.NATS_URL ? '' : join(config.DATA_DIR, 'producer.url'),
    stop: () => closers.unwind(config.STOP_TIMEOUT_MS),
  };
}

const STORE_WATCH_MS = 500;

/** Keeps the answer to "can SQL be read" at hand for health, which must touch no disk itself. */
function watchStore(store: Store, clock: Clock): { unavailable(): readonly string[]; stop(): void } {
  let readable = true;
  let asking = false;
  const timer = clock.every(STORE_WATCH_MS, () => {
    if (asking) return;
    asking = true;
    void store.readable().then((answer) => {
      readable = answer;
      asking = false;
    });
  });
  return { unavailable: () => (readable ? [] : ['STORE_DOWN']), stop: () => timer.cancel() };
}

/** Stands in until there are nodes: every session is placed, on none. */
const placement: Placement = {
  reserve: async () => ({ placed: true }),
  release: async () => undefined,
};

/** The ledger as one context sees it: its kinds begin with the context's name. */
function ledgerOf({ ledger }: Ledgers, context: string) {
  return {
    append: (tx: Tx, kind: string, key: string, payload: Uint8Array) =>
      ledger.append(tx, `${context}.${kind}`, key, payload),
    /** Undefined while no checkpoint covers the entry. */
    prove: async (index: number) => (index < ledger.latest().size ? ledger.prove(index) : undefined),
  };
}

/** The ledger as proofs need it: it takes receipts, and signs them under `<origin>/proofs`. */
function proofLedgerOf(ledgers: Ledgers): ProofLedger {
  const { ledger, degraded } = ledgers;
  return {
    append: ledgerOf(ledgers, 'energy').append,
    sign: (message) => ledger.signBytes('proofs', message),
    verify: (message, signed) => ledger.verifyBytes('proofs', message, signed),
    readOnly: () => degraded()[0],
  };
}
