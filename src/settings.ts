/** From the one table of configuration to what each part asks for. Nothing is decided here. */

import { readFileSync } from 'node:fs';
import type { Config } from './config.ts';
import type { EnergyConfig } from './energy/context.ts';
import type { HttpConfig } from './http/serve.ts';
import type { IdentityConfig } from './identity/context.ts';
import type { LedgerConfig } from './ledger/context.ts';
import type { ResilienceConfig } from './resilience/context.ts';
import type { RpcConfig } from './rpc/serve.ts';
import type { TlsConfig } from './rpc/tls.ts';
import type { SessionConfig } from './session/context.ts';
import type { TelemetryConfig } from './telemetry/context.ts';

export function rpcConfig(config: Config): RpcConfig {
  return {
    address: config.GRPC_ADDRESS,
    receiveBytesMax: config.RPC_RECEIVE_BYTES_MAX,
    sendBytesMax: config.RPC_SEND_BYTES_MAX,
    callsPerConnectionMax: config.RPC_CALLS_PER_CONNECTION_MAX,
    streamsMax: config.RPC_STREAMS_MAX,
    connectionsMax: config.RPC_CONNECTIONS_MAX,
    connectionsPerAddressMax: config.RPC_CONNECTIONS_PER_ADDRESS_MAX,
    firstByteMs: config.RPC_FIRST_BYTE_MS,
    resetsMax: config.RPC_RESETS_MAX,
    unfinishedBytesMax: config.RPC_UNFINISHED_BYTES_MAX,
    requestMs: config.RPC_REQUEST_MS,
    metadataBytesMax: config.RPC_METADATA_BYTES_MAX,
    keepaliveMs: config.RPC_KEEPALIVE_MS,
    keepaliveTimeoutMs: config.RPC_KEEPALIVE_TIMEOUT_MS,
    connectionAgeMs: config.RPC_CONNECTION_AGE_MS,
    connectionGraceMs: config.RPC_CONNECTION_GRACE_MS,
    deadlineMs: config.RPC_DEADLINE_MS,
    deadlineMaxMs: config.RPC_DEADLINE_MAX_MS,
    unsentBytesMax: config.RPC_UNSENT_BYTES_MAX,
    stallMs: config.RPC_STALL_MS,
    slowMs: config.RPC_SLOW_MS,
    reflection: config.REFLECTION === 'on',
    tokensPerMinute: {
      FREE: config.RPC_RATE_FREE,
      PRO: config.RPC_RATE_PRO,
      ENTERPRISE: config.RPC_RATE_ENTERPRISE,
    },
    bucketsMax: config.RPC_RATE_BUCKETS_MAX,
  };
}

export function httpConfig(config: Config): HttpConfig {
  return { address: config.HTTP_ADDRESS, corsOrigins: config.HTTP_CORS_ORIGINS };
}

/** Undefined without certificates: both ports then speak plaintext. */
export function tlsConfig(config: Config): TlsConfig | undefined {
  if (config.TLS_CERT_FILE === '') return undefined;
  return {
    certFile: config.TLS_CERT_FILE,
    keyFile: config.TLS_KEY_FILE,
    clientCaFile: config.TLS_CLIENT_CA_FILE,
    mtls: config.MTLS,
    reloadMs: config.TLS_RELOAD_MS,
  };
}

export function telemetryConfig(config: Config): TelemetryConfig {
  return {
    windowMs: config.TELEMETRY_WINDOW_MS,
    latenessMs: config.TELEMETRY_LATENESS_MS,
    seriesMax: config.TELEMETRY_SERIES_MAX,
    streamsMax: config.TELEMETRY_STREAMS_MAX,
    memoryMs: config.TELEMETRY_MEMORY_MS,
    silenceMs: config.TELEMETRY_SILENCE_MS,
    commitIntervalMs: config.TELEMETRY_COMMIT_MS,
    summaryRetentionMs: config.TELEMETRY_SUMMARY_RETENTION_MS,
    pruneIntervalMs: config.PRUNE_MS,
  };
}

export function energyConfig(config: Config): EnergyConfig {
  return {
    windowMs: config.TELEMETRY_WINDOW_MS,
    latenessMs: config.TELEMETRY_LATENESS_MS,
    halfLifeMs: config.ENERGY_HALF_LIFE_MS,
    mapRetentionMs: config.ENERGY_MAP_RETENTION_MS,
    explanationRetentionMs: config.ENERGY_EXPLANATION_RETENTION_MS,
    pruneIntervalMs: config.PRUNE_MS,
    snapshotWindows: config.ENERGY_SNAPSHOT_WINDOWS,
    watchQueueMax: config.ENERGY_WATCH_QUEUE,
    heartbeatMs: config.ENERGY_HEARTBEAT_MS,
    sliceMs: config.ENERGY_SLICE_MS,
    sendBytesMax: config.RPC_SEND_BYTES_MAX,
  };
}

export function identityConfig(config: Config): IdentityConfig {
  return {
    issuer: config.JWT_ISSUER,
    audience: config.JWT_AUDIENCE,
    accessTtlMs: config.IDENTITY_ACCESS_TTL_MS,
    refreshIdleMs: config.IDENTITY_REFRESH_IDLE_MS,
    refreshMaxMs: config.IDENTITY_REFRESH_MAX_MS,
    keyRotationMs: config.IDENTITY_KEY_ROTATION_MS,
    keyAnnounceMs: config.IDENTITY_KEY_ANNOUNCE_MS,
    skewMs: config.IDENTITY_SKEW_MS,
    cacheMs: config.IDENTITY_CACHE_MS,
    cacheEntriesMax: config.IDENTITY_CACHE_ENTRIES,
    pollIntervalMs: config.IDENTITY_POLL_MS,
    staleMs: config.IDENTITY_STALE_MS,
    passwordMemoryKib: config.IDENTITY_PASSWORD_KIB,
    passwordPasses: config.IDENTITY_PASSWORD_PASSES,
    audit: {
      anchorIntervalMs: config.AUDIT_ANCHOR_MS,
      anchorEntriesMax: config.AUDIT_ANCHOR_ENTRIES,
      retentionMs: config.AUDIT_RETENTION_MS,
      sumsMax: config.AUDIT_SUMS_MAX,
      sumEntriesMax: config.AUDIT_SUM_ENTRIES_MAX,
      proofWaitMs: config.AUDIT_PROOF_WAIT_MS,
    },
  };
}

export function ledgerConfig(config: Config): LedgerConfig {
  return {
    origin: config.LEDGER_ORIGIN,
    witnesses: linesOf(config.LEDGER_WITNESSES_FILE),
    noteNames: ['sessions', 'proofs'],
    checkpointIntervalMs: config.LEDGER_CHECKPOINT_MS,
    scrubIntervalMs: config.LEDGER_SCRUB_MS,
    heartbeatMs: config.LEDGER_HEARTBEAT_MS,
    batchEntriesMax: config.LEDGER_BATCH_ENTRIES,
    batchWaitMs: config.LEDGER_BATCH_WAIT_MS,
    tilesMax: config.LEDGER_TILES_MAX,
  };
}

/** The lines of a file that say something; none without a file. */
function linesOf(path: string): readonly string[] {
  if (path === '') return [];
  const lines = readFileSync(path, 'utf8').split('\n');
  return lines.map((line) => line.trim()).filter((line) => line !== '' && !line.startsWith('#'));
}

export function resilienceConfig(config: Config): ResilienceConfig {
  return {
    utilizationMetric: config.RESILIENCE_UTILIZATION_METRIC,
    utilizationSpanMs: config.RESILIENCE_UTILIZATION_SPAN_MS,
    evidenceMs: config.RESILIENCE_EVIDENCE_MS,
    utilizationWithoutPromise: config.RESILIENCE_SLO_UTILIZATION,
    holdMs: config.RESILIENCE_LOWER_AFTER_MS,
    margin: config.RESILIENCE_MARGIN,
    unknownLooksMax: config.RESILIENCE_UNKNOWN_LOOKS,
    healthIntervalMs: config.RESILIENCE_HEALTH_MS,
    logRetentionMs: config.RESILIENCE_LOG_RETENTION_MS,
    gridMs: config.RESILIENCE_GRID_MS,
    lookMs: config.RESILIENCE_LOOK_MS,
    denseLookMs: config.RESILIENCE_DENSE_LOOK_MS,
    surrogates: config.RESILIENCE_SURROGATES,
    alpha: config.RESILIENCE_ALPHA,
    bandwidth: config.RESILIENCE_BANDWIDTH,
    rolling: config.RESILIENCE_ROLLING,
    mapGraceMs: config.RESILIENCE_MAP_GRACE_MS,
    phaseMayDeclareEmergency: config.RESILIENCE_PHASE_MAY_DECLARE_EMERGENCY,
    pruneIntervalMs: config.PRUNE_MS,
  };
}

export function sessionConfig(config: Config): SessionConfig {
  return {
    sessionsMax: config.SESSION_LIMIT,
    sessionsPerOwnerMax: config.SESSION_OWNER_LIMIT,
    startWithinMs: config.SESSION_START_WITHIN_MS,
    retryAfterMs: config.SESSION_RETRY_MS,
    sweepIntervalMs: config.SESSION_SWEEP_MS,
  };
}
