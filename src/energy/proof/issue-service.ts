/**
 * Issues a proof: in one transaction it looks for replays, takes the nonce, judges the origin, concludes, signs the
 * receipt, links it to the stream's last one, and commits it to the ledger. A refusal leaves nothing behind.
 */
import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { timestampFromMs } from '@bufbuild/protobuf/wkt';
import type { Bus } from '../../bus/bus.ts';
import { topics } from '../../bus/topics.ts';
import type { Clock } from '../../clock.ts';
import {
  type Proof,
  ProofCheckKind,
  ProofCheckOutcome,
  type ProofCheckSchema,
  ProofMode as ProofModeProto,
  type ProofReceiptBodySchema,
  ProofSchema,
  ProofVerdict,
} from '../../gen/homeostat/energy/v1/proof_service_pb.ts';
import type { NewId } from '../../ids.ts';
import type { Call } from '../../rpc/handler.ts';
import type { Tx } from '../../store/store.ts';
import { energyError } from '../errors.ts';
import { type Check, judged } from './check.ts';
import type { Observation } from './observation.ts';
import { conclude, type ProofMode } from './proof.ts';
import {
  chainHead,
  claimDigests,
  claimNonce,
  findProof,
  findVerified,
  moveChain,
  saveProof,
} from './proof-store.ts';
import { judgeOrigin, type Origin, type Parent } from './provenance.ts';
import { idBytes, parseReceipt, writeReceipt } from './receipt.ts';

export interface IssueDeps {
  readonly clock: Pick<Clock, 'nowMs'>;
  readonly bus: Pick<Bus, 'record'>;
  readonly newId: NewId;
  readonly ledger: ProofLedger;
  /** How durable the broker says telemetry is: SYNCED, BUFFERED or UNKNOWN. */
  readonly durabilityClass: () => string;
}

/** What must be provable is appended here, and receipts are signed. */
export interface ProofLedger {
  /** (kind, key) is appended once; the kind is this context's own name for it. */
  append(tx: Tx, kind: string, key: string, bytes: Uint8Array): Promise<{ readonly index: number }>;
  /** Ed25519 under `<origin>/proofs`; the same message has the same signature. */
  sign(message: Uint8Array): SignedMessage;
  /** Whether `sign` gave this for the message. */
  verify(message: Uint8Array, signed: SignedMessage): boolean;
  /** Why nothing is appended; undefined while entries are taken. */
  readOnly(): string | undefined;
}

interface SignedMessage {
  /** 64 bytes. */
  readonly signature: Uint8Array;
  /** Name of the key. */
  readonly signer: string;
}

/** A proof as far as its maps decide it. */
export interface Case {
  readonly mode: ProofMode;
  /** All checks but PROVENANCE, in their order. */
  readonly checks: readonly Check[];
  readonly origin: Origin;
  /** What of the map was observed, and so judged. */
  readonly observation: Observation;
  /** What the receipt says of the maps and of who judged them. */
  readonly facts: Pick<
    MessageInitShape<typeof ProofReceiptBodySchema>,
    'referenceDigest' | 'claimedRegime' | 'horizon' | 'modelVersion' | 'forecastId'
  >;
}

/** Kind of the ledger's entries of receipts, within this context. */
const LEDGER_KIND = 'proof';
const PPB = 1e9;
/** How long to wait before a read-only ledger is worth another try, ms. */
const READ_ONLY_RETRY_MS = 60_000;
const NONE = new Uint8Array(0);

/** Resolves with the proof as it is kept. Throws LEDGER_READ_ONLY, OBSERVATION_REPLAYED and NONCE_REUSED. */
export async function issueProof(deps: IssueDeps, tx: Tx, call: Call, given: Case): Promise<Proof> {
  const { mode, origin, observation } = given;
  const { stream, digest } = origin;
  const reason = deps.ledger.readOnly();
  if (reason !== undefined)
    throw energyError('LEDGER_READ_ONLY', { reason }, { retryAfterMs: READ_ONLY_RETRY_MS });
  // The same cells under another mask are no new observation, nor are the same observed ones with another filler.
  const digests = [digest, ...(observation.digest.length > 0 ? [observation.digest] : [])];
  const replayed = await findVerified(tx, stream, digests);
  if (replayed !== undefined) throw energyError('OBSERVATION_REPLAYED', { proof_id: replayed });
  const proofId = deps.newId();
  const used = await claimNonce(tx, call.principal.id, origin.nonce, proofId);
  if (used !== undefined) throw energyError('NONCE_REUSED', { proof_id: used });
  const issuedAtMs = Math.floor(deps.clock.nowMs());
  const provenance = judgeOrigin(origin, await parentOf(tx, origin), issuedAtMs);
  const checks = [...given.checks, judged('PROVENANCE', provenance)];
  const { verdict, quality } = conclude(mode, checks, observation.count / observation.cells);
  const receipt = writeReceipt(
    {
      ...given.facts,
      ...stream,
      proofId: idBytes(proofId),
      mode: ProofModeProto[mode],
      verdict: ProofVerdict[verdict],
      qualityPpb: Math.round(PPB * quality),
      observationDigest: digest,
      observedCount: observation.count,
      observedDigest: observation.digest,
      submitterKey: provenance.submitterKey ?? NONE,
      nonce: origin.nonce,
      capturedAtMs: BigInt(origin.capturedAtMs),
      issuedAtMs: BigInt(issuedAtMs),
      durabilityClass: deps.durabilityClass(),
      previousReceiptHash: stream ? await chainHead(tx, stream) : NONE,
      parentProofId: idBytes(origin.parentProofId ?? ''),
      outcomes: checks.map(({ kind, outcome }) => ProofCheckKind[kind] * 4 + ProofCheckOutcome[outcome]),
    },
    deps.ledger.sign,
  );
  if (verdict === 'VERIFIED') await claimDigests(tx, stream, digests, proofId);
  if (stream) await moveChain(tx, stream, receipt.hash);
  const { index } = await deps.ledger.append(tx, LEDGER_KIND, proofId, receipt.bytes);
  const proof = create(ProofSchema, {
    proofId,
    mode: ProofModeProto[mode],
    verdict: ProofVerdict[verdict],
    quality,
    checks: checks.map(checkToProto),
    receipt: receipt.bytes,
    ledgerIndex: BigInt(index),
    ...(stream && { stream: { ...stream } }),
    issuedAt: timestampFromMs(issuedAtMs),
    principal: call.principal.id,
  });
  await saveProof(tx, proof, issuedAtMs);
  await recordIssued(deps.bus, tx, call, proof, digest);
  return proof;
}

/** The proof that is followed, where one is kept. */
async function parentOf(tx: Tx, { parentProofId }: Origin): Promise<Parent | undefined> {
  const proof = parentProofId === undefined ? undefined : await findProof(tx, parentProofId);
  if (proof === undefined) return undefined;
  return { stream: proof.stream, capturedAtMs: Number(parseReceipt(proof.receipt)!.body.capturedAtMs) };
}

async function recordIssued(
  bus: Pick<Bus, 'record'>,
  tx: Tx,
  call: Call,
  proof: Proof,
  observationDigest: Uint8Array,
): Promise<void> {
  const { proofId, stream, mode, verdict, quality, issuedAt } = proof;
  const event = {
    proofId,
    ...(stream && { stream }),
    mode,
    verdict,
    qualityPpb: Math.round(PPB * quality),
    observationDigest,
    issuedAt: issuedAt!,
  };
  await bus.record(tx, topics.proofIssued, proofId, event, call.traceparent);
}

function checkToProto(check: Check): MessageInitShape<typeof ProofCheckSchema> {
  const { kind, value, threshold, outcome, weight, detail } = check;
  return {
    kind: ProofCheckKind[kind],
    value,
    threshold,
    margin: threshold - value,
    outcome: ProofCheckOutcome[outcome],
    weight,
    detail,
  };
}
