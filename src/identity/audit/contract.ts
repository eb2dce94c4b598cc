/** Crosses the contract: entries to their messages and, for verification offline, back without losing a bit. */
import type { MessageInitShape } from '@bufbuild/protobuf';
import { timestampFromMs, timestampMs } from '@bufbuild/protobuf/wkt';
import type { AuditEntry, AuditEntrySchema } from '../../gen/homeostat/identity/v1/audit_service_pb.ts';
import type { Entry } from './entry.ts';

/** The arrays are shared. */
export function entryToProto(entry: Entry): MessageInitShape<typeof AuditEntrySchema> {
  const { principal, method, resource, code, reason, requestDigest, peer, requestId } = entry;
  return {
    sequence: BigInt(entry.sequence),
    occurredAt: timestampFromMs(entry.occurredAtMs),
    principal,
    method,
    resource,
    code,
    reason,
    requestDigest,
    peer,
    requestId,
    count: BigInt(entry.count),
    previousHash: entry.previousHash,
    hash: entry.hash,
  };
}

const NANOS_PER_MS = 1_000_000;

/**
 * The entry of a message somebody kept; undefined for one that no chain can hold: numbers that would be rounded, or no
 * time.
 */
export function entryFromProto(message: AuditEntry): Entry | undefined {
  const sequence = Number(message.sequence);
  const count = Number(message.count);
  const { occurredAt } = message;
  if (!Number.isSafeInteger(sequence) || !Number.isSafeInteger(count)) return undefined;
  if (occurredAt === undefined || occurredAt.nanos % NANOS_PER_MS !== 0) return undefined;
  const { principal, method, resource, code, reason, requestDigest, peer, requestId } = message;
  const { previousHash, hash } = message;
  const facts = { principal, method, resource, code, reason, requestDigest, peer, requestId };
  return { ...facts, sequence, count, occurredAtMs: timestampMs(occurredAt), previousHash, hash };
}
