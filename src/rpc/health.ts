/**
 * Health of the server and of each service, by the gRPC health checking protocol. One snapshot, refreshed in the
 * background every `REFRESH_MS` from what the contexts say; readers only look at it, and one that has not been
 * refreshed for `STALE_MS` says NOT_SERVING. Check costs a lookup: the request's bytes are the key, the reply's bytes
 * are at hand. Reasons travel in the metadata `homeostat-health-reason`.
 */
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import type { Clock, Timer } from '../clock.ts';
import {
  Health,
  HealthCheckRequestSchema,
  HealthCheckResponseSchema,
  HealthCheckResponse_ServingStatus as ServingStatus,
} from '../gen/grpc/health/v1/health_pb.ts';
import type { Logger, Metrics } from '../observability.ts';
import type { EdgeCall } from './edge-call.ts';
import { edgeError } from './errors.ts';
import type { ServiceBinding } from './handler.ts';

/** Health of one service; the empty name is the whole server. */
export interface ServiceHealth {
  readonly service: string;
  readonly serving: boolean;
  /** Why it does not serve, or what it does without while it serves. */
  readonly reasons: readonly string[];
}

/** What the rest of the server sees of health. */
export interface HealthView {
  /** The whole server first. */
  services(): readonly ServiceHealth[];
  /** Milliseconds since the last refresh. */
  ageMs(): number;
  /** Whether the whole server serves, by a snapshot that is not stale. */
  serving(): boolean;
}

export interface HealthState extends HealthView {
  /** The standard service, whose handlers take and give bytes. */
  readonly binding: ServiceBinding;
  start(): void;
  /** STARTING and DRAINING take every service down; SERVING leaves it to the contexts. */
  enter(phase: 'STARTING' | 'SERVING' | 'DRAINING'): void;
  stop(): void;
}

export interface HealthDeps {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: Metrics;
  /** The services that can fail. */
  readonly bindings: readonly ServiceBinding[];
  /** Standard services: they serve while the server does. */
  readonly always: readonly string[];
  /** Why the whole server cannot serve (`STORE_DOWN`); as cheap as a binding's `unavailable`. */
  readonly unavailable: () => readonly string[];
  /** What the whole server does without while it serves. */
  readonly degraded: () => readonly string[];
}

const REFRESH_MS = 100;
const STALE_MS = 1_000;
const REASON_HEADER = 'homeostat-health-reason';

/** A prepared answer. */
interface Entry extends ServiceHealth {
  readonly reply: Buffer;
}

export function createHealth(deps: HealthDeps): HealthState {
  const { clock, logger, metrics } = deps;
  const entries = new Map<string, Entry>();
  /** Entries by the bytes that ask for them, read as Latin-1. */
  const byRequest = new Map<string, Entry>();
  const watchers = new Set<() => void>();
  let phase: 'STARTING' | 'SERVING' | 'DRAINING' = 'STARTING';
  let refreshedMs = clock.monotonicMs();
  let timer: Timer | undefined;

  const put = (service: string, faults: readonly string[], degraded: readonly string[]): boolean => {
    const serving = phase === 'SERVING' && faults.length === 0;
    const reasons = phase === 'SERVING' ? [...faults, ...degraded] : [phase];
    const before = entries.get(service);
    if (before?.serving === serving && sameText(before.reasons, reasons)) return false;
    const entry = { service, serving, reasons, reply: serving ? SERVING : NOT_SERVING };
    entries.set(service, entry);
    byRequest.set(encodeRequest(service), entry);
    return true;
  };
  const refresh = () => {
    let changed = put('', ask(deps.unavailable, ''), ask(deps.degraded, ''));
    for (const name of deps.always) changed = put(name, [], []) || changed;
    for (const { service, unavailable, degraded } of deps.bindings) {
      const { typeName } = service;
      changed = put(typeName, ask(unavailable, typeName), ask(degraded, typeName)) || changed;
    }
    refreshedMs = clock.monotonicMs();
    if (changed) for (const wake of watchers) wake();
  };
  /** Reasons given by a context; one that throws has faulted. */
  const ask = (reasons: (() => readonly string[]) | undefined, service: string): readonly string[] => {
    try {
      return reasons?.() ?? [];
    } catch (err) {
      logger.error({ service, err }, 'health cannot be read');
      return ['FAULTED'];
    }
  };
  const isStale = () => clock.monotonicMs() - refreshedMs > STALE_MS;

  const check = (request: Buffer, call: EdgeCall): Buffer => {
    const entry = byRequest.get(request.toString('latin1')) ?? entries.get(serviceOf(request));
    if (!entry) throw edgeError('SERVICE_NOT_FOUND', { service: serviceOf(request) });
    if (isStale()) {
      call.sendHeader(REASON_HEADER, 'STALE');
      return NOT_SERVING;
    }
    if (entry.reasons.length > 0) call.sendHeader(REASON_HEADER, entry.reasons.join(','));
    return entry.reply;
  };
  async function* watch(request: Buffer, call: EdgeCall): AsyncGenerator<Buffer> {
    const service = serviceOf(request);
    let last: Buffer | undefined;
    while (!call.signal.aborted) {
      const reply = entries.get(service)?.reply ?? UNKNOWN;
      if (reply === last) await nextChange(watchers, call.signal);
      else yield reply;
      last = reply;
    }
  }

  refresh();
  const ageMs = () => clock.monotonicMs() - refreshedMs;
  exportHealth(metrics, entries, ageMs);
  return {
    binding: { service: Health, handlers: { check, watch } },
    services: () => [...entries.values()],
    ageMs,
    serving: () => !isStale() && (entries.get('')?.serving ?? false),
    start() {
      timer = clock.every(REFRESH_MS, refresh);
      refresh();
    },
    enter(next) {
      phase = next;
      refresh();
    },
    stop() {
      timer?.cancel();
    },
  };
}

/** Service a request asks about. */
function serviceOf(request: Buffer): string {
  try {
    return fromBinary(HealthCheckRequestSchema, request).service;
  } catch (cause) {
    throw edgeError('MALFORMED', { type: HealthCheckRequestSchema.typeName }, { cause });
  }
}

/** Resolves at the next change, or when the signal aborts. */
function nextChange(watchers: Set<() => void>, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      watchers.delete(done);
      signal.removeEventListener('abort', done);
      resolve();
    };
    watchers.add(done);
    signal.addEventListener('abort', done);
  });
}

function exportHealth(metrics: Metrics, entries: ReadonlyMap<string, Entry>, ageMs: () => number): void {
  metrics.gauge('homeostat_service_serving', 'Whether a service serves; 1 or 0.', ['service', 'reason'], () =>
    [...entries.values()].map(({ service, serving, reasons }) => ({
      value: serving ? 1 : 0,
      labels: { service, reason: reasons[0] ?? '' },
    })),
  );
  metrics.gauge('homeostat_health_age_seconds', 'Age of the health snapshot.', [], () => [
    { value: ageMs() / 1000 },
  ]);
}

/** Replies are compared by identity, so there is one of each kind. */
const SERVING = encodeStatus(ServingStatus.SERVING);
const NOT_SERVING = encodeStatus(ServingStatus.NOT_SERVING);
const UNKNOWN = encodeStatus(ServingStatus.SERVICE_UNKNOWN);

function encodeStatus(status: ServingStatus): Buffer {
  return Buffer.from(toBinary(HealthCheckResponseSchema, create(HealthCheckResponseSchema, { status })));
}

function encodeRequest(service: string): string {
  const bytes = toBinary(HealthCheckRequestSchema, create(HealthCheckRequestSchema, { service }));
  return Buffer.from(bytes).toString('latin1');
}

function sameText(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((text, i) => text === b[i]);
}
