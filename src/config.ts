/**
 * The one table of configuration: variable, default, range, meaning. The only reader of `process.env`. All faults are
 * reported together; the result is complete and frozen. Nothing is read when this file is imported.
 */
import { address, choice, flag, integer, isOrigin, list, type Row, real, text } from './config-row.ts';

/** Prefix of every variable. */
export const PREFIX = 'HOMEOSTAT_';

/** All faults of a configuration, one a line. */
export class ConfigError extends Error {
  readonly faults: readonly string[];
  constructor(faults: readonly string[]) {
    super(faults.join('\n'));
    this.name = 'ConfigError';
    this.faults = faults;
  }
}

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const MIB = 1024 * 1024;

/** Variables by their name without prefix. */
export const variables = {
  GRPC_ADDRESS: address('127.0.0.1:50051', 'Where gRPC listens; port 0 takes a free one.'),
  HTTP_ADDRESS: address(
    '127.0.0.1:8080',
    'Where /livez, /readyz, /metrics and /v1/metrics listen; port 0 takes a free one.',
  ),
  HTTP_CORS_ORIGINS: list(isOrigin, 'origins separated by commas', 'Pages that may read HTTP answers.'),
  TLS_CERT_FILE: text('', 'Certificate chain of gRPC and HTTP, PEM; read again when it changes.', 'path'),
  TLS_KEY_FILE: text('', 'Its private key, PEM.', 'path'),
  TLS_CLIENT_CA_FILE: text('', 'Authorities that client certificates are verified with, PEM.', 'path'),
  TLS_RELOAD_MS: integer(5 * SECOND, 100, HOUR, 'How often these files are looked at.'),
  MTLS: choice('off', ['off', 'optional', 'required'], 'Whether clients show certificates.'),
  ALLOW_PLAINTEXT: flag(false, 'Lets gRPC and HTTP listen beyond loopback without TLS.'),
  DATA_DIR: text('.homeostat', 'Folder of the database, the managed broker and the keys.', 'path'),
  SECRET_FILE: text(
    '',
    'The 32 bytes that secrets in the database are sealed under; with SQLite made on first start in the data directory, with PostgreSQL required and equal on every server.',
    'path',
  ),
  DATABASE_URL: text(
    '',
    'PostgreSQL server to use instead of SQLite in the data directory.',
    'postgresql://…',
  ),
  NATS_URL: text('', 'NATS server to use instead of a managed one.', 'nats://… or tls://…'),
  NATS_CREDS_FILE: text('', 'Credentials file for that server.', 'path'),
  NATS_CA_FILE: text('', 'Certificate authority of that server.', 'path'),
  REFLECTION: choice('on', ['on', 'off'], 'Whether gRPC reflection is served.'),
  LOG_LEVEL: choice(
    'info',
    ['trace', 'debug', 'info', 'warn', 'error', 'silent'],
    'Least level of log lines.',
  ),
  WORKER_THREADS: integer(2, 1, 256, 'Threads for computations too long for the event loop.'),
  PRUNE_MS: integer(MINUTE, SECOND, DAY, 'How often what is past its retention is removed.'),
  STOP_TIMEOUT_MS: integer(10_000, 100, 5 * MINUTE, 'Time a stopping server gives to calls under way.'),

  RPC_RECEIVE_BYTES_MAX: integer(16 * MIB, 1024, 256 * MIB, 'Largest request message.'),
  RPC_SEND_BYTES_MAX: integer(64 * MIB, 1024, 256 * MIB, 'Largest response message.'),
  RPC_CALLS_PER_CONNECTION_MAX: integer(100, 1, 100_000, 'Concurrent calls per connection.'),
  RPC_STREAMS_MAX: integer(1_000, 1, 1_000_000, 'Concurrent streaming calls in all.'),
  RPC_CONNECTIONS_MAX: integer(1_000, 1, 1_000_000, 'Connections in all.'),
  RPC_CONNECTIONS_PER_ADDRESS_MAX: integer(100, 1, 1_000_000, 'Connections from one address.'),
  RPC_FIRST_BYTE_MS: integer(5 * SECOND, 10, MINUTE, 'Time a new connection has to say something.'),
  RPC_RESETS_MAX: integer(
    500,
    10,
    900,
    'Calls that one connection may leave unfinished at once; 30 more each second.',
  ),
  RPC_UNFINISHED_BYTES_MAX: integer(
    256 * MIB,
    MIB,
    64 * 1024 * MIB,
    'Bytes of requests that have not come in whole, over all connections.',
  ),
  RPC_REQUEST_MS: integer(30 * SECOND, 10, HOUR, 'Time a request has to come in whole.'),
  RPC_METADATA_BYTES_MAX: integer(16 * 1024, 1024, MIB, 'Largest metadata of a call.'),
  RPC_KEEPALIVE_MS: integer(30 * SECOND, SECOND, HOUR, 'Silence after which a connection is pinged.'),
  RPC_KEEPALIVE_TIMEOUT_MS: integer(10 * SECOND, SECOND, HOUR, 'Time a ping has to be answered.'),
  RPC_CONNECTION_AGE_MS: integer(30 * MINUTE, SECOND, 7 * DAY, 'Age at which a connection is asked to end.'),
  RPC_CONNECTION_GRACE_MS: integer(30 * SECOND, SECOND, HOUR, 'Time its calls have left then.'),
  RPC_DEADLINE_MS: integer(30 * SECOND, 10, 5 * MINUTE, 'Deadline of a unary call that brings none.'),
  RPC_DEADLINE_MAX_MS: integer(5 * MINUTE, 10, HOUR, 'Longest deadline of a unary call.'),
  RPC_UNSENT_BYTES_MAX: integer(4 * MIB, 1024, 256 * MIB, 'Unsent bytes at which a slow reader is cut off.'),
  RPC_STALL_MS: integer(10 * SECOND, 10, HOUR, 'Time after which a reader that takes nothing is cut off.'),
  RPC_SLOW_MS: integer(SECOND, 1, HOUR, 'Duration from which a unary call is logged.'),

  RPC_RATE_FREE: integer(
    100,
    1,
    1_000_000_000,
    'Tokens per minute and method of tier FREE; ten times that in all.',
  ),
  RPC_RATE_PRO: integer(5_000, 1, 1_000_000_000, 'The same of tier PRO.'),
  RPC_RATE_ENTERPRISE: integer(100_000, 1, 1_000_000_000, 'The same of tier ENTERPRISE.'),

  RPC_RATE_BUCKETS_MAX: integer(100_000, 100, 10_000_000, 'Callers and methods whose rates are told apart.'),

  JWT_ISSUER: text('homeostat', 'Issuer named in access tokens.', 'text'),
  JWT_AUDIENCE: text('homeostat', 'Audience named in access tokens.', 'text'),
  IDENTITY_ACCESS_TTL_MS: integer(30 * MINUTE, MINUTE, DAY, 'How long an access token is good.'),
  IDENTITY_REFRESH_IDLE_MS: integer(7 * DAY, MINUTE, 365 * DAY, 'How long a refresh token is good unused.'),
  IDENTITY_REFRESH_MAX_MS: integer(30 * DAY, MINUTE, 365 * DAY, 'How long a login can be refreshed in all.'),
  IDENTITY_KEY_ROTATION_MS: integer(30 * DAY, HOUR, 365 * DAY, 'Age at which the signing key is replaced.'),
  IDENTITY_KEY_ANNOUNCE_MS: integer(DAY, 0, 30 * DAY, 'How long before that the next key is published.'),
  IDENTITY_SKEW_MS: integer(MINUTE, 0, 10 * MINUTE, 'How far clocks may differ when tokens are verified.'),
  IDENTITY_STALE_MS: integer(
    30 * SECOND,
    SECOND,
    HOUR,
    'How long credentials are trusted while revocations cannot be read.',
  ),
  IDENTITY_PASSWORD_KIB: integer(19_456, 19_456, 4 * 1024 * 1024, 'Memory of hashing a password, argon2id.'),
  IDENTITY_PASSWORD_PASSES: integer(2, 2, 100, 'Passes of hashing a password.'),
  IDENTITY_CACHE_MS: integer(MINUTE, 0, HOUR, 'How long a verified token is remembered.'),
  IDENTITY_CACHE_ENTRIES: integer(10_000, 1, 1_000_000, 'Verified tokens remembered.'),
  IDENTITY_POLL_MS: integer(250, 10, MINUTE, 'How often revocations made elsewhere are looked for.'),

  AUDIT_ANCHOR_MS: integer(MINUTE, SECOND, DAY, 'How often the head of the audit trail enters the ledger.'),
  AUDIT_ANCHOR_ENTRIES: integer(1_000, 1, 1_000_000, 'Entries after which it does so at once.'),
  AUDIT_RETENTION_MS: integer(365 * DAY, DAY, 3_650 * DAY, 'How long audit entries are kept.'),

  AUDIT_SUMS_MAX: integer(10_000, 2, 1_000_000, 'Kinds of summed calls told apart within a minute.'),
  AUDIT_SUM_ENTRIES_MAX: integer(1_000, 100, 100_000, 'Entries a minute of summed calls becomes at most.'),
  AUDIT_PROOF_WAIT_MS: integer(10 * SECOND, SECOND, MINUTE, 'How long an export waits for its proof.'),

  LEDGER_ORIGIN: text(
    '',
    'Name of the log, once and for all; none makes one up at first start.',
    'text without spaces or +',
  ),
  LEDGER_WITNESSES_FILE: text('', 'Keys of the witnesses whose cosignatures are taken, one a line.', 'path'),
  LEDGER_CHECKPOINT_MS: integer(500, 50, SECOND, 'Longest time from an entry to a checkpoint that holds it.'),
  LEDGER_HEARTBEAT_MS: integer(
    15 * SECOND,
    SECOND,
    MINUTE,
    'Silence after which a watcher gets a heartbeat.',
  ),
  LEDGER_BATCH_ENTRIES: integer(256, 1, 256, 'Entries appended by calls in one transaction.'),
  LEDGER_BATCH_WAIT_MS: integer(5, 0, 100, 'How long the first of them waits for others.'),
  LEDGER_TILES_MAX: integer(1_024, 16, 65_536, 'Tiles of 256 hashes kept in memory, 16 KiB each.'),
  LEDGER_SCRUB_MS: integer(DAY, MINUTE, 30 * DAY, 'How often the whole log is verified.'),

  TELEMETRY_WINDOW_MS: integer(10 * SECOND, SECOND, HOUR, 'Width of a window where a stream sets none.'),
  TELEMETRY_LATENESS_MS: integer(2 * SECOND, 0, 10 * MINUTE, 'Allowed lateness where a stream sets none.'),
  TELEMETRY_SERIES_MAX: integer(100_000, 1, 1_000_000, 'Series of one stream.'),
  TELEMETRY_STREAMS_MAX: integer(4_096, 1, 1_000_000, 'Streams; messages of further ones are rejected.'),
  TELEMETRY_MEMORY_MS: integer(DAY, MINUTE, 30 * DAY, 'Event time a silent series or source is remembered.'),
  TELEMETRY_SILENCE_MS: integer(30 * SECOND, SECOND, HOUR, 'Silence after which open windows are moved on.'),
  TELEMETRY_COMMIT_MS: integer(SECOND, 10, MINUTE, 'Longest time between two commits of the fold.'),
  TELEMETRY_SUMMARY_RETENTION_MS: integer(DAY, HOUR, 30 * DAY, 'How long closed windows are kept.'),

  ENERGY_HALF_LIFE_MS: integer(
    4 * DAY,
    10 * MINUTE,
    180 * DAY,
    'Half-life of learning where a stream sets none.',
  ),
  ENERGY_MAP_RETENTION_MS: integer(30 * DAY, HOUR, 400 * DAY, 'How long maps are kept.'),
  ENERGY_EXPLANATION_RETENTION_MS: integer(DAY, HOUR, 400 * DAY, 'How long explanations of maps are kept.'),
  ENERGY_SNAPSHOT_WINDOWS: integer(60, 1, 10_000, 'Windows between two snapshots of what was learned.'),
  ENERGY_WATCH_QUEUE: integer(256, 1, 10_000, 'Maps a watcher may have waiting in memory.'),
  ENERGY_HEARTBEAT_MS: integer(
    15 * SECOND,
    SECOND,
    MINUTE,
    'Silence after which a watcher gets a heartbeat.',
  ),
  ENERGY_SLICE_MS: integer(4, 1, 100, 'Longest time one computation holds the event loop.'),

  RESILIENCE_SLO_UTILIZATION: real(
    0.8,
    0.01,
    0.99,
    'Utilization ceiling while no service objective is known.',
  ),
  RESILIENCE_UTILIZATION_METRIC: text('cpu', "Metric that tells a node's utilization.", 'metric name'),
  RESILIENCE_UTILIZATION_SPAN_MS: integer(MINUTE, SECOND, HOUR, 'Event time utilization is averaged over.'),
  RESILIENCE_EVIDENCE_MS: integer(
    10 * MINUTE,
    SECOND,
    DAY,
    'Event time after which a silent node is forgotten.',
  ),
  RESILIENCE_LOWER_AFTER_MS: integer(30 * MINUTE, 0, DAY, 'Calm event time before a level is lowered.'),
  RESILIENCE_MARGIN: real(0.02, 0, 0.5, 'How far under a threshold counts as calm.'),
  RESILIENCE_UNKNOWN_LOOKS: integer(3, 1, 1_000, 'Looks without utilization that force level 2.'),
  RESILIENCE_GRID_MS: integer(MINUTE, SECOND, DAY, 'Event time one value of a watched series stands for.'),
  RESILIENCE_LOOK_MS: integer(15 * MINUTE, MINUTE, DAY, 'Event time between two looks for early warnings.'),
  RESILIENCE_DENSE_LOOK_MS: integer(5 * MINUTE, MINUTE, DAY, 'The same from defense level 2 on.'),
  RESILIENCE_SURROGATES: integer(199, 99, 19_999, 'Surrogates each metric is first compared with.'),
  RESILIENCE_ALPHA: real(0.05, 0.0001, 0.2, 'Chance of a false alarm over all tests of a look.'),
  RESILIENCE_BANDWIDTH: real(0.2, 0.01, 1, 'Bandwidth of detrending, as a share of a series.'),
  RESILIENCE_ROLLING: real(0.5, 0.1, 0.9, 'Rolling window of indicators, as a share of a series.'),
  RESILIENCE_MAP_GRACE_MS: integer(
    10 * SECOND,
    100,
    HOUR,
    'Time without any map after which looks no longer wait for them.',
  ),
  RESILIENCE_PHASE_MAY_DECLARE_EMERGENCY: flag(
    false,
    'Whether IMMINENT phase risk alone makes an emergency.',
  ),
  RESILIENCE_HEALTH_MS: integer(100, 1, MINUTE, 'Least time between two announcements of health.'),
  RESILIENCE_LOG_RETENTION_MS: integer(
    90 * DAY,
    DAY,
    3650 * DAY,
    'How long level changes and looks for early warnings are kept.',
  ),

  SESSION_LIMIT: integer(200, 1, 1_000_000, 'Sessions created or live at a time.'),
  SESSION_OWNER_LIMIT: integer(20, 1, 10_000, 'Sessions created or live at a time per owner.'),
  SESSION_START_WITHIN_MS: integer(HOUR, SECOND, 7 * DAY, 'Time after which a session not started expires.'),
  SESSION_RETRY_MS: integer(MINUTE, SECOND, HOUR, 'Retry delay told to a refused session.'),
  SESSION_SWEEP_MS: integer(5 * SECOND, 10, HOUR, 'How often overdue sessions are looked for.'),
};

export type Variable = keyof typeof variables;

type Values = { readonly [Name in Variable]: (typeof variables)[Name]['fallback'] };

/** Every setting of a server, by variable; frozen. */
export type Config = Values;

/** Reads and checks an environment. Throws ConfigError with every fault found. */
export function readConfig(environment: Readonly<Record<string, string | undefined>>): Config {
  const faults: string[] = [];
  const values: Record<string, unknown> = {};
  for (const [name, row] of Object.entries(variables) as [Variable, Row<unknown>][]) {
    const given = environment[PREFIX + name]?.trim();
    try {
      values[name] = given ? row.parse(given) : row.fallback;
    } catch (error) {
      faults.push(`${PREFIX}${name}: ${(error as Error).message}, not "${given}"`);
    }
  }
  for (const name of Object.keys(environment)) {
    if (name.startsWith(PREFIX) && !(name.slice(PREFIX.length) in variables))
      faults.push(`${name}: no such variable`);
  }
  if (faults.length === 0) faults.push(...crossChecks(values as Values));
  if (faults.length > 0) throw new ConfigError(faults);
  return Object.freeze(values as Values);
}

/** The environment of this process. */
export function processEnvironment(): Readonly<Record<string, string | undefined>> {
  return process.env;
}

function crossChecks(values: Values): string[] {
  const faults: string[] = [];
  const hasTls = values.TLS_CERT_FILE !== '' && values.TLS_KEY_FILE !== '';
  if (!hasTls && (values.TLS_CERT_FILE || values.TLS_KEY_FILE))
    faults.push(`${PREFIX}TLS_CERT_FILE and ${PREFIX}TLS_KEY_FILE: one needs the other`);
  if (values.MTLS !== 'off' && !(hasTls && values.TLS_CLIENT_CA_FILE))
    faults.push(`${PREFIX}MTLS: needs ${PREFIX}TLS_CERT_FILE, TLS_KEY_FILE and TLS_CLIENT_CA_FILE`);
  if (values.MTLS === 'off' && values.TLS_CLIENT_CA_FILE)
    faults.push(`${PREFIX}TLS_CLIENT_CA_FILE: needs ${PREFIX}MTLS`);
  if (values.DATABASE_URL && !values.SECRET_FILE)
    faults.push(`${PREFIX}DATABASE_URL: needs ${PREFIX}SECRET_FILE, the same on every server`);
  if (!values.ALLOW_PLAINTEXT && !hasTls) {
    for (const name of ['GRPC_ADDRESS', 'HTTP_ADDRESS'] as const) {
      const host = values[name].slice(0, values[name].lastIndexOf(':'));
      if (!/^(127(\.\d+){3}|localhost|\[::1\])$/.test(host))
        faults.push(
          `${PREFIX}${name}: listens beyond loopback, which needs TLS (${PREFIX}TLS_CERT_FILE, TLS_KEY_FILE) or ${PREFIX}ALLOW_PLAINTEXT=true`,
        );
    }
  }
  if (!values.NATS_URL) {
    for (const name of ['NATS_CREDS_FILE', 'NATS_CA_FILE'] as const)
      if (values[name]) faults.push(`${PREFIX}${name}: needs ${PREFIX}NATS_URL`);
  }
  if (values.RESILIENCE_DENSE_LOOK_MS > values.RESILIENCE_LOOK_MS)
    faults.push(`${PREFIX}RESILIENCE_DENSE_LOOK_MS: may not exceed ${PREFIX}RESILIENCE_LOOK_MS`);
  if (values.RPC_UNFINISHED_BYTES_MAX < values.RPC_RECEIVE_BYTES_MAX)
    faults.push(`${PREFIX}RPC_UNFINISHED_BYTES_MAX: must be at least ${PREFIX}RPC_RECEIVE_BYTES_MAX`);
  if (values.RPC_DEADLINE_MS > values.RPC_DEADLINE_MAX_MS)
    faults.push(`${PREFIX}RPC_DEADLINE_MS: may not exceed ${PREFIX}RPC_DEADLINE_MAX_MS`);
  return faults;
}

/** The table as Markdown, for docs/configuration.md. */
export function renderConfiguration(): string {
  const rows = (Object.entries(variables) as [Variable, Row<unknown>][]).map(
    ([name, row]) =>
      `| \`${PREFIX}${name}\` | ${row.fallback === '' ? 'none' : `\`${row.fallback}\``} | ${row.range} | ${row.meaning} |`,
  );
  return ['| variable | default | range | meaning |', '|---|---|---|---|', ...rows, ''].join('\n');
}
