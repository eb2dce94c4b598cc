/**
 * What of the chain enters the ledger: the payload of an anchor says which hash its head had. `homeostat-audit/1`, the
 * sequence as eight bytes, most significant first, and the 32 bytes of the hash.
 */
import type { Link } from './entry.ts';

/** A head of the chain that is in the ledger. */
export interface Anchor extends Link {
  /** Index of the ledger entry. */
  readonly ledgerIndex: number;
}

const LABEL = Buffer.from('homeostat-audit/1');

/** The payload that stands for a head: 57 bytes. */
export function anchorPayload(head: Link): Uint8Array {
  const sequence = Buffer.alloc(8);
  sequence.writeBigUInt64BE(BigInt(head.sequence));
  return new Uint8Array(Buffer.concat([LABEL, sequence, head.hash]));
}
