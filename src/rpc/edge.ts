/**
 * What all calls share: who is let in (`gate.ts`), the set of calls under way, deadlines, slow readers, and draining.
 * Calls are looked over every `SWEEP_MS` instead of each having timers of its own.
 */
import type { Clock, Timer } from '../clock.ts';
import type { AppError } from '../errors.ts';
import type { Logger } from '../observability.ts';
import type { Admission } from './admission.ts';
import type { AuditSink } from './audit.ts';
import type { CredentialVerifier } from './authenticate.ts';
import type { EdgeCall } from './edge-call.ts';
import { edgeError } from './errors.ts';
import { createGate, drainError, type GateState } from './gate.ts';
import type { Principal } from './handler.ts';
import type { Method } from './method.ts';
import { criticalityName } from './policy.ts';
import type { RateLimiter } from './rate-limit.ts';

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

export interface EdgeDeps {
  readonly limits: CallLimits;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly verifier: CredentialVerifier;
  readonly audit: AuditSink;
  readonly admission: Admission;
  readonly limiter: RateLimiter;
  /** Makes the id of a request; asked only where somebody reads it. */
  readonly createRequestId: () => string;
}

export interface Edge extends EdgeDeps {
  /** Calls that have no status yet. */
  readonly calls: ReadonlySet<EdgeCall>;
  readonly gate: GateState;
  /** Begins to count a call. */
  opened(call: EdgeCall): void;
  /** A call has its status; `carriedOut` says whether its duration is that of its work. */
  closed(call: EdgeCall, error: AppError | undefined, durationMs: number, carriedOut: boolean): void;
  /**
   * Lets a call in: sets its principal, or throws what it is refused with. A promise only where the verifier has to
   * look the token up.
   */
  enter(call: EdgeCall): Promise<void> | undefined;
  /** Charges a call that was let in and gives its request, decoded and checked. Throws what it is refused with. */
  take(call: EdgeCall, bytes: Buffer): unknown;
  /** Charges a call whose requests come as a stream. */
  chargeStream(call: EdgeCall): void;
  start(): void;
  /**
   * Refuses new calls from now on, asks streams to end, and resolves when no call is under way or the time is over;
   * then the remaining ones are ended with DRAINING.
   */
  drain(timeoutMs: number): Promise<void>;
  stop(): void;
}

const SWEEP_MS = 50;
/** When a stream refused for their number may find room, milliseconds. */
const RETRY_MS = 1_000;

export function createEdge(deps: EdgeDeps): Edge {
  const { limits, clock } = deps;
  const { admission } = deps;
  const gate = createGate({ ...deps, monotonicMs: clock.monotonicMs });
  const calls = new Set<EdgeCall>();
  let streams = 0;
  let sweeping: Timer | undefined;
  let onIdle: (() => void) | undefined;

  const isStream = (method: Method) => method.kind !== 'unary';
  const allow = (call: EdgeCall, principal: Principal) => {
    call.principal = principal;
    gate.authorize(call.method.policy, principal);
  };
  const charge = (call: EdgeCall, requestBytes: number, request?: object) =>
    gate.charge(call.method, call.principal, call.peer, call.method.cost.tokens(requestBytes, request));
  const sweep = () => {
    const nowMs = clock.monotonicMs();
    for (const call of calls) call.sweep(nowMs);
  };

  return {
    ...deps,
    calls,
    gate,
    opened(call) {
      calls.add(call);
      call.method.counts.inFlight++;
      if (isStream(call.method)) streams++;
    },
    closed(call, error, durationMs, carriedOut) {
      calls.delete(call);
      call.method.counts.inFlight--;
      if (isStream(call.method)) streams--;
      else if (call.admitted) admission.leave(call.method.latency, durationMs, carriedOut);
      gate.refused(error);
      if (gate.draining && calls.size === 0) onIdle?.();
    },
    enter(call) {
      const { policy } = call.method;
      const isMany = isStream(call.method);
      gate.open(policy, call, isMany);
      call.admitted = true;
      if (isMany && streams > limits.streamsMax)
        throw edgeError(
          'OVERLOADED',
          { cause: 'STREAMS', criticality: criticalityName(policy.criticality) },
          { retryAfterMs: RETRY_MS },
        );
      const principal = gate.identify(policy, call.header('authorization'), call.peer);
      if (principal instanceof Promise) return principal.then((found) => allow(call, found));
      allow(call, principal);
      return undefined;
    },
    take(call, bytes) {
      const { method } = call;
      if (!method.cost.needsRequest) charge(call, bytes.length);
      const request = method.decode(bytes);
      if (method.cost.needsRequest) charge(call, bytes.length, request);
      method.check(request);
      return request;
    },
    chargeStream: (call) => charge(call, 0),
    start() {
      sweeping = clock.every(SWEEP_MS, sweep);
      admission.start();
    },
    async drain(timeoutMs) {
      gate.drain();
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
      admission.stop();
    },
  };
}
