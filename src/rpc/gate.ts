/**
 * Who is let in, in this order: nobody but health while the server drains; then admission, credentials, permission, rate.
 * The same for calls of gRPC and for requests that come another way.
 */
import { AppError } from '../errors.ts';
import { Criticality } from '../gen/homeostat/options/v1/method_pb.ts';
import type { Admission, Caller } from './admission.ts';
import { type AuditSink, isSummed } from './audit.ts';
import { authenticate, type CredentialVerifier, NOBODY } from './authenticate.ts';
import { edgeError, identityError } from './errors.ts';
import type { Peer, Principal } from './handler.ts';
import type { Treatment } from './method.ts';
import type { Policy } from './policy.ts';
import type { RateLimiter } from './rate-limit.ts';

/** Who stands before the gate. */
export interface Visitor {
  /** The header `authorization`. */
  readonly authorization: string | undefined;
  /** The header `homeostat-criticality`. */
  readonly criticality: string | undefined;
  readonly peer: Peer;
}

/** A request that was let in, until it says how it ended. */
export interface Visit {
  readonly principal: Principal;
  /** Once, whatever became of it; `error` is what it was refused with, undefined when it was answered. */
  leave(error: AppError | undefined): void;
}

export interface Gate {
  /**
   * Resolves with the visit of a request that the treatment of its method lets in; rejects with what it is refused with,
   * which is counted. `requestBytes` is its size, where that is known.
   */
  admit(treatment: Treatment, visitor: Visitor, requestBytes: number): Promise<Visit>;
}

/** The checks one by one, for calls that count and log their refusals themselves. */
export interface GateState extends Gate {
  /** Throws DRAINING or OVERLOADED; a unary call that was let in is in flight until it leaves the admission. */
  open(policy: Policy, caller: Caller, isStream: boolean): void;
  /** Who calls. A promise only where the verifier has to look the token up. */
  identify(
    policy: Policy,
    authorization: string | Uint8Array | undefined,
    peer: Peer,
  ): Principal | Promise<Principal>;
  /** Throws NO_PERMISSION. */
  authorize(policy: Policy, principal: Principal): void;
  /** Throws RATE_LIMITED. */
  charge(treatment: Treatment, principal: Principal, peer: Peer, tokens: number): void;
  /** From now on only health is let in. */
  drain(): void;
  readonly draining: boolean;
  /** Counts a refusal, if it is one of credentials or permissions. */
  refused(error: unknown): void;
  /** Refused credentials and permissions by reason. */
  readonly authFailures: ReadonlyMap<string, number>;
}

export interface GateDeps {
  readonly verifier: CredentialVerifier;
  readonly admission: Admission;
  readonly limiter: RateLimiter;
  readonly audit: AuditSink;
  readonly monotonicMs: () => number;
}

/** When a refused caller may find another replica, or this one again. */
const RETRY_MS = 1_000;

/** What a draining server refuses with. */
export function drainError(): AppError {
  return edgeError('DRAINING', {}, { retryAfterMs: RETRY_MS });
}

/** Health is served while the server drains, and costs nothing. */
export function isHealth(policy: Policy): boolean {
  return policy.public && policy.criticality === Criticality.CRITICAL;
}

export function createGate(deps: GateDeps): GateState {
  const { verifier, admission, limiter } = deps;
  const authFailures = new Map<string, number>();
  let draining = false;

  const gate: GateState = {
    authFailures,
    get draining() {
      return draining;
    },
    drain() {
      draining = true;
    },
    open(policy, caller, isStream) {
      if (draining && !isHealth(policy)) throw drainError();
      const enter = isStream ? admission.enterStream : admission.enter;
      const refusal = enter(policy.criticality, caller);
      if (refusal) throw refusal;
    },
    identify: (policy, authorization, peer) =>
      policy.public ? NOBODY : authenticate(verifier, authorization, peer),
    authorize(policy, principal) {
      if (!policy.public && !principal.allows(policy.permission))
        throw identityError('NO_PERMISSION', { permission: policy.permission });
    },
    charge({ path, policy }, principal, peer, tokens) {
      const refusal = isHealth(policy) ? undefined : limiter.charge(principal, peer, path, tokens);
      if (refusal) throw refusal;
    },
    admit: (treatment, visitor, requestBytes) => admit(deps, gate, treatment, visitor, requestBytes),
    refused(error) {
      if (!(error instanceof AppError) || error.domain !== identityError.domain) return;
      if (error.kind !== 'UNAUTHENTICATED' && error.kind !== 'PERMISSION_DENIED') return;
      authFailures.set(error.reason, (authFailures.get(error.reason) ?? 0) + 1);
    },
  };
  return gate;
}

async function admit(
  { admission, audit, monotonicMs }: GateDeps,
  gate: GateState,
  treatment: Treatment,
  { authorization, criticality, peer }: Visitor,
  requestBytes: number,
): Promise<Visit> {
  const { policy, path, cost, latency } = treatment;
  const startedMs = monotonicMs();
  let principal = NOBODY;
  let isOpen = false;
  const leave = (error: AppError | undefined) => {
    if (isOpen) admission.leave(latency, monotonicMs() - startedMs, error === undefined);
    gate.refused(error);
    const code = error?.kind ?? 'OK';
    if (!isSummed(policy, code)) return;
    const reason = error?.reason ?? '';
    audit.count({ principal: principal.id, method: path.slice(1), code, reason, peer: peer.address });
  };
  try {
    const caller = { criticality: () => criticality, identity: () => authorization ?? peer.address };
    gate.open(policy, caller, false);
    isOpen = true;
    principal = await gate.identify(policy, authorization, peer);
    gate.authorize(policy, principal);
    gate.charge(treatment, principal, peer, cost.tokens(requestBytes));
    return { principal, leave };
  } catch (error) {
    leave(error instanceof AppError ? error : edgeError('INTERNAL', { request_id: '' }, { cause: error }));
    throw error;
  }
}
