/**
 * Who is let in, in this order: nobody but health while the server drains, then credentials, permission, rate. The same
 * for calls of gRPC and for requests that come another way.
 */
import { AppError } from '../errors.ts';
import { Criticality } from '../gen/homeostat/options/v1/method_pb.ts';
import { authenticate, type CredentialVerifier, NOBODY } from './authenticate.ts';
import { isAllowed } from './authorize.ts';
import { edgeError, identityError } from './errors.ts';
import type { Principal } from './handler.ts';
import type { Policy } from './policy.ts';

/** Decides whether a caller may make one more call now. */
export interface RateLimiter {
  /** What the caller is refused with; undefined when the call was charged. */
  charge(principal: Principal, policy: Policy, requestBytes: number): AppError | undefined;
}

export interface Gate {
  /**
   * Resolves with the caller of a request that a policy lets in; rejects with what it is refused with, which is counted.
   * `authorization` is the header of that name.
   */
  admit(policy: Policy, authorization: string | undefined, requestBytes: number): Promise<Principal>;
}

/** The checks one by one, for calls that count and log their refusals themselves. */
export interface GateState extends Gate {
  /** Who calls, unless nobody is let in any more. A promise only where the verifier has to look the token up. */
  identify(policy: Policy, authorization: string | Uint8Array | undefined): Principal | Promise<Principal>;
  /** Throws what the caller is refused with. */
  allow(policy: Policy, principal: Principal, requestBytes: number): void;
  /** From now on only health is let in. */
  drain(): void;
  readonly draining: boolean;
  /** Counts a refusal, if it is one of credentials or permissions. */
  refused(error: unknown): void;
  /** Refused credentials and permissions by reason. */
  readonly authFailures: ReadonlyMap<string, number>;
}

/** When a refused caller may find another replica, or this one again. */
const RETRY_MS = 1_000;

/** What a draining server refuses with. */
export function drainError(): AppError {
  return edgeError('DRAINING', {}, { retryAfterMs: RETRY_MS });
}

export function createGate(verifier: CredentialVerifier, limiter: RateLimiter | undefined): GateState {
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
    identify(policy, authorization) {
      if (draining && !(policy.public && policy.criticality === Criticality.CRITICAL)) throw drainError();
      return policy.public ? NOBODY : authenticate(verifier, authorization);
    },
    allow(policy, principal, requestBytes) {
      if (!policy.public && !isAllowed(principal, policy.grants))
        throw identityError('NO_PERMISSION', { permission: policy.permission });
      const refusal = limiter?.charge(principal, policy, requestBytes);
      if (refusal) throw refusal;
    },
    async admit(policy, authorization, requestBytes) {
      try {
        const principal = await gate.identify(policy, authorization);
        gate.allow(policy, principal, requestBytes);
        return principal;
      } catch (error) {
        gate.refused(error);
        throw error;
      }
    },
    refused(error) {
      if (!(error instanceof AppError) || error.domain !== identityError.domain) return;
      authFailures.set(error.reason, (authFailures.get(error.reason) ?? 0) + 1);
    },
  };
  return gate;
}
