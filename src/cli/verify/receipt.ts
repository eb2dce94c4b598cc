/**
 * The checks of a proof's receipt: that a trusted key signed it, that it is of the map, that what was printed around it
 * says the same, and that the ledger's entry is its own. Pure. What a reply says beside its receipt of values, thresholds
 * and the caller is not signed.
 */
import { timestampMs } from '@bufbuild/protobuf/wkt';
import { idText, parseReceipt } from '../../energy/context.ts';
import {
  type Proof,
  ProofModeSchema,
  type ProofReceiptBody,
  ProofVerdictSchema,
} from '../../gen/homeostat/energy/v1/proof_service_pb.ts';
import type { GetInclusionProofResponse } from '../../gen/homeostat/ledger/v1/ledger_service_pb.ts';
import { messageSignatureHolds, parseLeafData, type VerifierKey } from '../../ledger/context.ts';
import { sameHash } from '../../numeric/merkle.ts';
import type { ProofBundle } from './bundle.ts';
import { absent, type Finding, failed, instantText, ok } from './finding.ts';
import type { MapDigests } from './map.ts';

/** Kind of the ledger's entries of receipts. */
const ENTRY_KIND = 'energy.proof';
/** What follows the name of the log in the name of the key that signs receipts. */
const SIGNER_SUFFIX = '/proofs';
const PPB = 1e9;

/** Verifies a receipt by itself, and against a map where one is given. */
export function verifyReceipt(
  { receipt, proof }: ProofBundle,
  keys: readonly VerifierKey[],
  map: MapDigests | undefined,
): readonly Finding[] {
  const parsed = parseReceipt(receipt);
  if (parsed === undefined) return [failed('receipt', 'it is not a receipt')];
  const { body, message, signature, signer } = parsed;
  const named = keys.filter(({ name }) => name === signer && name.endsWith(SIGNER_SUFFIX));
  if (named.length === 0) return [failed('receipt', 'no trusted key of the name it gives signs receipts')];
  if (!named.some((key) => messageSignatureHolds(key, message, signature)))
    return [failed('receipt', `the signature of ${signer} does not hold`)];
  return [
    ok('receipt', describe(body, signer)),
    ...(proof ? [compareReply(proof, body)] : []),
    compareMap(body, map),
  ];
}

function describe(body: ProofReceiptBody, signer: string): string {
  const mode = ProofModeSchema.value[body.mode]?.localName.toLowerCase() ?? 'proof';
  const verdict = ProofVerdictSchema.value[body.verdict]?.localName ?? 'unknown';
  const stream = body.domain === '' ? '' : ` of ${body.domain}/${body.cluster}`;
  const quality = (body.qualityPpb / PPB).toFixed(4);
  const at = instantText(Number(body.issuedAtMs));
  const proof = `proof ${idText(body.proofId)}`;
  return `${signer} found a ${mode}${stream} ${verdict} with quality ${quality} at ${at}, ${proof}${describeMap(body)}`;
}

/** How much of the map was judged, and whose it is. Receipts of before this was told say neither. */
function describeMap({ observedCount, observedDigest, submitterKey }: ProofReceiptBody): string {
  const isMasked = observedDigest.length > 0;
  const judged = isMasked ? `the ${observedCount} cells that were observed` : `all ${observedCount} cells`;
  const over = isMasked || observedCount > 0 ? `, over ${judged}` : '';
  const key = Buffer.from(submitterKey).toString('base64');
  return key === '' ? over : `${over}, of a map signed by ${key}`;
}

/** Whether a reply says of the proof what its receipt says. */
function compareReply(proof: Proof, body: ProofReceiptBody): Finding {
  const { stream, issuedAt, checks } = proof;
  const codes = checks.map(({ kind, outcome }) => kind * 4 + outcome);
  const isSame =
    proof.proofId === idText(body.proofId) &&
    proof.mode === body.mode &&
    proof.verdict === body.verdict &&
    Math.round(PPB * proof.quality) === body.qualityPpb &&
    codes.length === body.outcomes.length &&
    codes.every((code, at) => code === body.outcomes[at]) &&
    (stream?.domain ?? '') === body.domain &&
    (stream?.cluster ?? '') === body.cluster &&
    issuedAt !== undefined &&
    BigInt(timestampMs(issuedAt)) === body.issuedAtMs &&
    issuedAt.nanos % 1_000_000 === 0;
  return isSame
    ? ok('proof', 'the reply says what its receipt says')
    : failed('proof', 'the reply does not say what its receipt says');
}

function compareMap(body: ProofReceiptBody, map: MapDigests | undefined): Finding {
  if (map === undefined) return absent('map', 'it was not given');
  if (!sameHash(map.grid, body.observationDigest)) return failed('map', 'another one was observed');
  if (map.observed !== undefined && !sameHash(map.observed, body.observedDigest))
    return failed('map', 'other cells of it were observed');
  if (body.observedDigest.length === 0) return ok('map', 'it is the one observed, and every cell was judged');
  const which = map.observed === undefined ? ', and its file does not say which' : '';
  return ok(
    'map',
    `it is the one observed, and ${body.observedCount} of ${map.cells} cells were judged${which}`,
  );
}

/** Whether an entry of the ledger is that of the receipt, in the log whose key signed it; its proof is verified elsewhere. */
export function verifyKept(
  { receipt, proof }: ProofBundle,
  inclusion: GetInclusionProofResponse | undefined,
): Finding {
  if (inclusion === undefined) return absent('ledger', 'no proof of its entry was given');
  const parsed = parseReceipt(receipt);
  const leaf = parseLeafData(inclusion.leafData);
  const origin = inclusion.checkpoint?.note.split('\n', 1)[0] ?? '';
  const isOwn =
    parsed !== undefined &&
    leaf?.kind === ENTRY_KIND &&
    leaf.key === idText(parsed.body.proofId) &&
    parsed.signer === `${origin}${SIGNER_SUFFIX}` &&
    (proof === undefined || proof.ledgerIndex === inclusion.index);
  return isOwn
    ? ok('ledger', `entry ${inclusion.index} of ${origin} is that of this proof`)
    : failed('ledger', `entry ${inclusion.index} is not that of this proof`);
}
