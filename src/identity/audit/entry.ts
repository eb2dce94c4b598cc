/**
 * Entries of the audit trail and how they form one chain: each holds the hash of the one before, and its own hash is
 * SHA-256 over RFC 8785 JSON of everything else in it. Pure. Times are wall milliseconds.
 */
import { hash } from 'node:crypto';

/** What happened, before it has its place in the chain. */
export interface Draft {
  /** When the call was answered; for summed calls the end of their minute. */
  readonly occurredAtMs: number;
  /** Who called; empty for a stranger, `*` where several callers were summed. */
  readonly principal: string;
  /** `homeostat.session.v1.SessionService/CreateSession`; `*` where several were summed. */
  readonly method: string;
  /** What it was about; may be empty. */
  readonly resource: string;
  /** gRPC code by name. */
  readonly code: string;
  /** Reason of a refusal; empty for OK. */
  readonly reason: string;
  /** SHA-256 of the request, or empty. */
  readonly requestDigest: Uint8Array;
  /** Address of the caller; empty or `*` where summed calls came from several. */
  readonly peer: string;
  /** Empty for summed calls. */
  readonly requestId: string;
  /** Calls it stands for, 1 or more. */
  readonly count: number;
}

/** A link of the chain. */
export interface Entry extends Draft {
  /** From 1, without gaps. */
  readonly sequence: number;
  readonly previousHash: Uint8Array;
  readonly hash: Uint8Array;
}

/** A place in the chain: an entry's sequence and hash. */
export interface Link {
  readonly sequence: number;
  readonly hash: Uint8Array;
}

/** Where every chain begins. */
export const ORIGIN: Link = { sequence: 0, hash: new Uint8Array(32) };

/**
 * RFC 8785 JSON of an entry without its hash. Its members are texts and safe integers and stand here in order, so that
 * `JSON.stringify` writes exactly the canonical form.
 */
export function canonicalEntry(entry: Omit<Entry, 'hash'>): string {
  return JSON.stringify({
    code: entry.code,
    count: entry.count,
    method: entry.method,
    occurred_at: entry.occurredAtMs,
    peer: entry.peer,
    previous_hash: hexOf(entry.previousHash),
    principal: entry.principal,
    reason: entry.reason,
    request_digest: hexOf(entry.requestDigest),
    request_id: entry.requestId,
    resource: entry.resource,
    sequence: entry.sequence,
  });
}

/** The hash an entry must have. */
export function entryHash(entry: Omit<Entry, 'hash'>): Uint8Array {
  return new Uint8Array(hash('sha256', canonicalEntry(entry), 'buffer'));
}

/** Gives a draft its place after `previous`. */
export function link(previous: Link, draft: Draft): Entry {
  const entry = { ...draft, sequence: previous.sequence + 1, previousHash: previous.hash };
  return { ...entry, hash: entryHash(entry) };
}

/** What is wrong with the entry that should follow `previous`; undefined when it does. */
export function linkFault(previous: Link, entry: Entry): string | undefined {
  if (entry.sequence !== previous.sequence + 1) return 'it is missing';
  if (!sameBytes(entry.hash, entryHash(entry))) return 'its content does not have its hash';
  if (!sameBytes(entry.previousHash, previous.hash)) return 'it does not follow from the entry before';
  return undefined;
}

/** Whether two byte strings are equal; for public values only, not in constant time. */
export function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0;
}

function hexOf(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex');
}
