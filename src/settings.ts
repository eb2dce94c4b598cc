/** From the one table of configuration to what each part asks for. Nothing is decided here. */
import type { Config } from './config.ts';
import type { EnergyConfig } from './energy/context.ts';
import type { IdentityConfig } from './identity/context.ts';
import type { ResilienceConfig } from './resilience/context.ts';
import type { RpcConfig } from './rpc/serve.ts';
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
    cacheMs: config.IDENTITY_CACHE_MS,
    cacheEntriesMax: config.IDENTITY_CACHE_ENTRIES,
    pollIntervalMs: config.IDENTITY_POLL_MS,
  };
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
