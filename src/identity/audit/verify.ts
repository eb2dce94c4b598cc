/**
 * Verifies an export of the audit trail with nothing but the export: its entries link and hash, and its anchor stands
 * for the last of them. What the anchor itself is worth (leaf, inclusion, checkpoint) is the ledger's to verify. Pure.
 */
import type {
  AuditAnchor,
  AuditEntry,
  ExportAuditResponse,
} from '../../gen/homeostat/identity/v1/audit_service_pb.ts';
import { anchorPayload } from './anchor.ts';
import { entryFromProto } from './contract.ts';
import { type Link, linkFault, sameBytes } from './entry.ts';

/** What became of one check. */
export interface ExportFinding {
  readonly check: 'chain' | 'anchor';
  readonly outcome: 'ok' | 'failed' | 'absent';
  /** One sentence; names the first bad sequence where there is one. */
  readonly detail: string;
}

export interface ExportVerdict {
  readonly findings: readonly ExportFinding[];
  /** The anchor that the ledger's checks go on with; undefined where the export has none. */
  readonly anchor: AuditAnchor | undefined;
}

/** Verifies the messages of an export, in their order. Never throws. Cost: one hash per entry. */
export function verifyExport(items: readonly ExportAuditResponse[]): ExportVerdict {
  const entries: AuditEntry[] = [];
  const anchors: AuditAnchor[] = [];
  let isOrdered = true;
  for (const { item } of items) {
    if (item.case === 'entry') entries.push(item.value);
    if (item.case === 'anchor') anchors.push(item.value);
    if (item.case === undefined || (item.case === 'entry' && anchors.length > 0)) isOrdered = false;
  }
  if (!isOrdered || anchors.length > 1)
    return {
      findings: [failed('chain', 'these are not entries with one anchor behind them')],
      anchor: anchors[0],
    };
  const { finding, last } = verifyEntries(entries);
  const [anchor] = anchors;
  return { findings: [finding, verifyPayload(anchor, last)], anchor };
}

function verifyEntries(messages: readonly AuditEntry[]): { finding: ExportFinding; last: Link | undefined } {
  let last: Link | undefined;
  for (const message of messages) {
    const entry = entryFromProto(message);
    if (entry === undefined)
      return {
        finding: failed('chain', `entry ${message.sequence} has a number or time that none has`),
        last,
      };
    // What the first one follows from is not in the export.
    const previous = last ?? { sequence: entry.sequence - 1, hash: entry.previousHash };
    const fault = linkFault(previous, entry);
    if (fault !== undefined)
      return { finding: failed('chain', `entry ${previous.sequence + 1}: ${fault}`), last };
    last = { sequence: entry.sequence, hash: entry.hash };
  }
  if (last === undefined)
    return { finding: { check: 'chain', outcome: 'absent', detail: 'there are no entries' }, last };
  const first = last.sequence - messages.length + 1;
  const detail = `entries ${first} to ${last.sequence} link, and each has its hash`;
  return { finding: { check: 'chain', outcome: 'ok', detail }, last };
}

function verifyPayload(anchor: AuditAnchor | undefined, last: Link | undefined): ExportFinding {
  if (anchor === undefined)
    return { check: 'anchor', outcome: 'absent', detail: 'nothing says that the last entry was the head' };
  if (last === undefined) return failed('anchor', 'there is no entry it could stand for');
  if (anchor.sequence !== BigInt(last.sequence) || !sameBytes(anchor.hash, last.hash))
    return failed('anchor', `it stands for another entry than ${last.sequence}, which is the last`);
  const payload = anchor.entry?.payload;
  if (payload === undefined || !sameBytes(payload, anchorPayload(last)))
    return failed('anchor', `its ledger entry does not say what hash entry ${last.sequence} has`);
  return {
    check: 'anchor',
    outcome: 'ok',
    detail: `its ledger entry holds the hash of entry ${last.sequence}`,
  };
}

function failed(check: ExportFinding['check'], detail: string): ExportFinding {
  return { check, outcome: 'failed', detail };
}
