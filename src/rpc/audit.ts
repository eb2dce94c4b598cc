/**
 * What the edge tells the audit trail, behind the port `AuditSink`. Calls of methods with audit REQUIRED are committed
 * one by one before their reply; calls with audit BATCHED, and whatever was refused, are summed.
 */
import { Audit } from '../gen/homeostat/options/v1/method_pb.ts';
import type { Tx } from '../store/store.ts';
import type { Policy } from './policy.ts';

/** Who called what from where, and how it ended. */
export interface AuditedCall {
  /** Id of the principal; empty for a stranger. */
  readonly principal: string;
  /** `homeostat.session.v1.SessionService/CreateSession`. */
  readonly method: string;
  /** gRPC code by name. */
  readonly code: string;
  /** Reason of a refusal; empty for OK. */
  readonly reason: string;
  /** IP address of the caller. */
  readonly peer: string;
}

/** A call that gets an entry of its own. */
export interface AuditRecord extends AuditedCall {
  /** What it was about; empty where that is not known. */
  readonly resource: string;
  /** SHA-256 of the request's bytes; empty for a stream of requests. */
  readonly requestDigest: Uint8Array;
  readonly requestId: string;
}

export interface AuditSink {
  /** Adds the entry of a call to the chain, in the caller's transaction (`transactInTurn`). */
  record(tx: Tx, record: AuditRecord): Promise<void>;
  /** Commits the entry of a call in a transaction of its own. Rejects with AUDIT_UNAVAILABLE of identity. */
  commit(record: AuditRecord): Promise<void>;
  /** Counts a call that is summed with its like; at most a look into a map. */
  count(call: AuditedCall): void;
}

/** For servers without an audit trail. */
export const NO_AUDIT: AuditSink = {
  record: async () => undefined,
  commit: async () => undefined,
  count: () => undefined,
};

/** Refusals that are counted whatever is called: somebody without the right credentials or permission is at the door. */
const AT_THE_DOOR: ReadonlySet<string> = new Set(['UNAUTHENTICATED', 'PERMISSION_DENIED']);

/** Whether a call that ended like this, without an entry of its own, is summed. */
export function isSummed(policy: Policy, code: string): boolean {
  if (code === 'OK') return policy.audit === Audit.BATCHED;
  return policy.audit !== Audit.NONE || AT_THE_DOOR.has(code);
}
