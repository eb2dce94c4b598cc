/**
 * What all calls share: the order of checks before a handler runs (admission, credentials, permission, rate), the set
 * of calls under way, deadlines, slow readers, and draining. Calls are looked over every `SWEEP_MS` instead of each
 * having timers of its own.
 */
import type { Metadata } from '@grpc/grpc-js';
import type { Clock, Timer } from '../clock.ts';
import type { AppError } from '../errors.ts';
import { Criticality } from '../gen/homeostat/options/v1/method_pb.ts';
import type { Logger } from '../observability.ts';
import { authenticate, type CredentialVerifier } from './authenticate.ts';
import { isAllowed } from './authorize.ts';
import type { EdgeCall } from './edge-call.ts';
import { edgeError, identityError } from './errors.ts';
import type { Principal } from './handler.ts';
import type { Method } from './method.ts';
import type { Policy } from './policy.ts';

/** Limits of calls. */
export interface CallLimits {
  /** Deadline of a unary call that brings none, milliseconds; default 30,000. */
  readonly deadlineMs: number;
  /** Longest time a unary call may take, whatever it asks for; default 300,000. */
  readonly deadlineMaxMs: number;
  /** Streaming calls under way at a time; default 1,000. */
  readonly streamsMax: number;
  /** Largest reply, bytes; default 64 MiB. */
  readonly sendBytesMax: number;
  /** Unsent bytes a reader has `stallMs` to take; default 4 MiB. A longer message has as much time for each such part. */
  readonly unsentBytesMax: number;
  /** Default 10,000. */
  readonly stallMs: number;
  /** Unary calls that take longer are logged, milliseconds; default 1,000. */
  readonly slowMs: number;
}

/** Decides whether a caller may make one more call now. */
export interface RateLimiter {
  /** What the caller is refused with; undefined when the call was charged. */
  charge(principal: Principal, policy: Policy, requestBytes: number): AppError | undefined;
}

export interface EdgeDeps {
  readonly limits: CallLimits;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly verifier: CredentialVerifier;
  /** None: callers are not limited. */
  readonly limiter?: RateLimiter | undefined;
  /** Makes the id of a request; asked only where somebody reads it. */
  readonly createRequestId: () => string;
}

export interface Edge extends EdgeDeps {
  /** Calls that have no status yet. */
  readonly calls: ReadonlySet<EdgeCall>;
  /** Refused credentials and permissions by reason. */
  readonly authFailures: ReadonlyMap<string, number>;
  readonly draining: boolean;
  /** Begins to count a call. */
  opened(call: EdgeCall): void;
  /** A call has its status. */
  closed(call: EdgeCall, error: AppError | undefined): void;
  /**
   * Lets a call in: sets its principal, or throws what it is refused with. A promise only where the verifier has to
   * look the token up.
   */
  enter(call: EdgeCall, metadata: Metadata, requestBytes: number): Promise<void> | undefined;
  start(): void;
  /**
   * Refuses new calls from now on, asks streams to end, and resolves when no call is under way or the time is over;
   * then the remaining ones are ended with DRAINING.
   */
  drain(timeoutMs: number): Promise<void>;
  stop(): void;
}

const SWEEP_MS = 50;
/** When a refused caller may find another replica, or this one again. */
const RETRY_MS = 1_000;

export function createEdge(deps: EdgeDeps): Edge {
  const { limits, clock, verifier, limiter } = deps;
  const calls = new Set<EdgeCall>();
  const authFailures = new Map<string, number>();
  let streams = 0;
  let draining = false;
  let sweeping: Timer | undefined;
  let onIdle: (() => void) | undefined;

  const isStream = (method: Method) => method.kind !== 'unary';
  const drainError = () => edgeError('DRAINING', {}, { retryAfterMs: RETRY_MS });

  /** The first check, before anything is spent on a call. Health is answered to the end. */
  const admit = (method: Method) => {
    const { policy } = method;
    if (draining && !(policy.public && policy.criticality === Criticality.CRITICAL)) throw drainError();
    if (isStream(method) && streams > limits.streamsMax)
      throw edgeError('OVERLOADED', { limit: limits.streamsMax }, { retryAfterMs: RETRY_MS });
  };
  const allow = (call: EdgeCall, principal: Principal, requestBytes: number) => {
    const { policy } = call.method;
    call.principal = principal;
    if (!policy.public && !isAllowed(principal, policy.grants))
      throw identityError('NO_PERMISSION', { permission: policy.permission });
    const refusal = limiter?.charge(principal, policy, requestBytes);
    if (refusal) throw refusal;
  };
  const sweep = () => {
    const nowMs = clock.monotonicMs();
    for (const call of calls) call.sweep(nowMs);
  };

  return {
    ...deps,
    calls,
    authFailures,
    get draining() {
      return draining;
    },
    opened(call) {
      calls.add(call);
      call.method.counts.inFlight++;
      if (isStream(call.method)) streams++;
    },
    closed(call, error) {
      calls.delete(call);
      call.method.counts.inFlight--;
      if (isStream(call.method)) streams--;
      if (error?.domain === identityError.domain)
        authFailures.set(error.reason, (authFailures.get(error.reason) ?? 0) + 1);
      if (draining && calls.size === 0) onIdle?.();
    },
    enter(call, metadata, requestBytes) {
      admit(call.method);
      if (call.method.policy.public) {
        allow(call, call.principal, requestBytes);
        return undefined;
      }
      const principal = authenticate(verifier, metadata);
      if (principal instanceof Promise) return principal.then((found) => allow(call, found, requestBytes));
      allow(call, principal, requestBytes);
      return undefined;
    },
    start() {
      sweeping = clock.every(SWEEP_MS, sweep);
    },
    async drain(timeoutMs) {
      draining = true;
      for (const call of calls) call.drain(drainError());
      if (calls.size > 0) {
        await new Promise<void>((resolve) => {
          const timer = clock.after(timeoutMs, resolve);
          onIdle = () => {
            timer.cancel();
            resolve();
          };
        });
      }
      for (const call of calls) call.stop(drainError());
    },
    stop() {
      sweeping?.cancel();
    },
  };
}
