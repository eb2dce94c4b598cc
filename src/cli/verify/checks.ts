/**
 * The checks of `verify`: signatures of checkpoints, proofs that lead to them, and what the proven entries say. Pure:
 * bytes and keys in, findings out. A finding that is absent proves nothing and refutes nothing.
 */
import { timestampMs } from '@bufbuild/protobuf/wkt';
import type { AuditAnchor } from '../../gen/homeostat/identity/v1/audit_service_pb.ts';
import type {
  GetConsistencyProofResponse,
  GetInclusionProofResponse,
} from '../../gen/homeostat/ledger/v1/ledger_service_pb.ts';
import type { Checkpoint } from '../../gen/homeostat/type/v1/ledger_pb.ts';
import { verifyExport } from '../../identity/context.ts';
import { parseLeafData, type VerifierKey, verifyCheckpoint } from '../../ledger/context.ts';
import { leafHash, sameHash, sha256, verifyConsistency, verifyInclusion } from '../../numeric/merkle.ts';
import type { Bundle } from './bundle.ts';
import { absent, type Finding, failed, instantText, ok } from './finding.ts';
import type { MapDigests } from './map.ts';
import { verifyKept, verifyReceipt } from './receipt.ts';

export interface Trust {
  readonly keys: readonly VerifierKey[];
  /** Witnesses that must have cosigned each checkpoint. */
  readonly witnessesMin: number;
}

/** A checkpoint as far as it could be verified; `body` is undefined when it is not to be believed. */
interface CheckedCheckpoint {
  readonly findings: readonly Finding[];
  readonly body: Body | undefined;
}

interface Body {
  readonly origin: string;
  readonly size: bigint;
  readonly root: Uint8Array;
}

/** Kind of the ledger's entries that anchor the audit trail. */
const ANCHOR_KIND = 'identity.audit';

/** Checks that a proof does without. */
const OPTIONAL: ReadonlySet<string> = new Set(['payload', 'witnesses', 'map', 'ledger']);

/** Whether findings amount to a proof: nothing failed, and nothing it rests on is absent. */
export function isProven(findings: readonly Finding[]): boolean {
  return findings.every(
    ({ check, outcome }) => outcome === 'ok' || (outcome === 'absent' && OPTIONAL.has(check)),
  );
}

/** What is held against a bundle beside the keys, as far as it was given. */
export interface Beside {
  /** What an entry is said to commit to. */
  readonly payload?: Uint8Array | undefined;
  /** The map that a proof is said to be of. */
  readonly map?: MapDigests | undefined;
  /** The ledger's proof of a proof's receipt. */
  readonly inclusion?: GetInclusionProofResponse | undefined;
}

/** Verifies whatever it is. */
export function verifyBundle(bundle: Bundle, trust: Trust, beside: Beside = {}): readonly Finding[] {
  switch (bundle.kind) {
    case 'note':
      return verifyNoteText(bundle.note, trust).findings;
    case 'checkpoint':
      return verifyMessage(bundle.checkpoint, trust).findings;
    case 'entry':
      return verifyEntry(bundle.reply, trust, beside.payload);
    case 'consistency':
      return verifyGrowth(bundle.reply, trust);
    case 'proof': {
      const { inclusion, map } = beside;
      return [
        ...verifyReceipt(bundle, trust.keys, map),
        verifyKept(bundle, inclusion),
        ...(inclusion ? verifyEntry(inclusion, trust, bundle.receipt) : []),
      ];
    }
    case 'audit': {
      const { findings, anchor } = verifyExport(bundle.items);
      return [...findings, ...(anchor ? verifyAnchor(anchor, trust) : [])];
    }
  }
}

const REFUSALS = {
  MALFORMED: ['checkpoint', 'it is not a checkpoint in the form of a signed note'],
  SIGNATURE_INVALID: ['signature', 'a signature by a trusted key does not hold'],
  NOT_SIGNED: ['signature', 'no trusted key of the log it names has signed it'],
  // Not met here: none are asked for, they are counted.
  TOO_FEW_WITNESSES: ['witnesses', 'too few trusted witnesses cosigned'],
} as const;

function verifyNoteText(note: string, { keys, witnessesMin }: Trust): CheckedCheckpoint {
  const verdict = verifyCheckpoint(note, keys);
  if (!verdict.valid) {
    const [check, detail] = REFUSALS[verdict.because];
    return { findings: [failed(check, detail)], body: undefined };
  }
  const { checkpoint, witnesses } = verdict;
  const signature = ok('signature', `${checkpoint.origin} signed ${checkpoint.size} entries`);
  return { findings: [signature, countWitnesses(witnesses, witnessesMin)], body: checkpoint };
}

function countWitnesses(count: number, wanted: number): Finding {
  if (count < wanted) return failed('witnesses', `${count} trusted witnesses cosigned, ${wanted} are wanted`);
  if (count === 0) return absent('witnesses', 'no trusted witness cosigned, and none is wanted');
  return ok('witnesses', `${count} trusted witnesses cosigned`);
}

/** A checkpoint message: its note counts, and what it says beside it must agree. */
function verifyMessage(message: Checkpoint | undefined, trust: Trust): CheckedCheckpoint {
  if (message === undefined)
    return { findings: [absent('signature', 'there is no checkpoint')], body: undefined };
  const { findings, body } = verifyNoteText(message.note, trust);
  if (body === undefined || (body.size === message.treeSize && sameHash(body.root, message.root)))
    return { findings, body };
  const mismatch = failed('checkpoint', 'its size or root is not what its note says');
  return { findings: [...findings, mismatch], body: undefined };
}

/** The leaf's place in the tree of a checkpoint. */
function verifyPlace(
  leaf: { readonly index: bigint; readonly leafData: Uint8Array; readonly proof: readonly Uint8Array[] },
  body: Body | undefined,
): Finding {
  const { index, leafData, proof } = leaf;
  if (body === undefined) return absent('inclusion', `entry ${index} has no checkpoint to be proven against`);
  const claim = { index, size: body.size, leafHash: leafHash(leafData), proof, root: body.root };
  return verifyInclusion(claim)
    ? ok('inclusion', `entry ${index} is among the ${body.size}`)
    : failed('inclusion', `the proof does not lead from entry ${index} to the root`);
}

function verifyEntry(
  reply: GetInclusionProofResponse,
  trust: Trust,
  payload?: Uint8Array,
): readonly Finding[] {
  const { findings, body } = verifyMessage(reply.checkpoint, trust);
  const fields = parseLeafData(reply.leafData);
  if (fields === undefined)
    return [failed('leaf', `entry ${reply.index} is not in the form of a leaf`), ...findings];
  const { kind, key, atMs, payloadHash } = fields;
  const leaf = ok('leaf', `entry ${reply.index} is ${kind} ${key}, appended at ${instantText(atMs)}`);
  return [leaf, verifyPayload(payloadHash, payload), verifyPlace(reply, body), ...findings];
}

function verifyPayload(payloadHash: Uint8Array, payload: Uint8Array | undefined): Finding {
  if (payload === undefined) return absent('payload', 'it was not given');
  return sameHash(sha256(payload), payloadHash)
    ? ok('payload', 'it is what the entry commits to')
    : failed('payload', 'the entry commits to another one');
}

function verifyGrowth(reply: GetConsistencyProofResponse, trust: Trust): readonly Finding[] {
  const first = verifyMessage(reply.firstCheckpoint, trust);
  const second = verifyMessage(reply.secondCheckpoint, trust);
  const findings = [...first.findings, ...second.findings];
  if (!first.body || !second.body)
    return [absent('consistency', 'there are no two checkpoints to compare'), ...findings];
  return [compareTrees(first.body, second.body, reply.proof), ...findings];
}

function compareTrees(first: Body, second: Body, proof: readonly Uint8Array[]): Finding {
  if (first.origin !== second.origin)
    return failed('consistency', `${first.origin} and ${second.origin} are two logs`);
  const holds = verifyConsistency({
    firstSize: first.size,
    secondSize: second.size,
    firstRoot: first.root,
    secondRoot: second.root,
    proof,
  });
  return holds
    ? ok('consistency', `the first ${first.size} of ${second.size} entries are those of before`)
    : failed('consistency', `the log of ${second.size} entries does not begin with that of ${first.size}`);
}

/** The ledger entry of an anchor; that its payload stands for the trail was verified with the trail. */
function verifyAnchor(anchor: AuditAnchor, trust: Trust): readonly Finding[] {
  const { findings, body } = verifyMessage(anchor.checkpoint, trust);
  const { entry, proof } = anchor;
  if (entry === undefined) return [absent('leaf', 'the anchor has no ledger entry'), ...findings];
  const { index, leafData } = entry;
  const fields = parseLeafData(leafData);
  const isSame =
    fields !== undefined &&
    fields.kind === ANCHOR_KIND &&
    fields.kind === entry.kind &&
    fields.key === String(anchor.sequence) &&
    fields.key === entry.key &&
    entry.appendedAt !== undefined &&
    fields.atMs === timestampMs(entry.appendedAt) &&
    entry.appendedAt.nanos % 1_000_000 === 0 &&
    sameHash(fields.payloadHash, entry.payloadHash) &&
    entry.payload !== undefined &&
    sameHash(fields.payloadHash, sha256(entry.payload)) &&
    sameHash(entry.leafHash, leafHash(leafData));
  const leaf = isSame
    ? ok('leaf', `entry ${index} anchors audit entry ${anchor.sequence}`)
    : failed('leaf', `entry ${index} does not say what its leaf says, or does not anchor ${anchor.sequence}`);
  return [leaf, verifyPlace({ index, leafData, proof }, body), ...findings];
}
