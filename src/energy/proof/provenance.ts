/**
 * Where a map comes from, as far as that can be told: what it says of itself, and whether that holds together. Of a map
 * that no submitter signed nothing says that its cells stand where they were measured: see proof.ts. Pure.
 */
import { createPublicKey, verify } from 'node:crypto';
import { sameHash } from '../../numeric/merkle.ts';
import type { StreamName } from '../stream/stream-name.ts';
import type { Measure } from './check.ts';

/** What is said of a map's origin. Times are milliseconds since 1970. */
export interface Origin {
  /** Of the grid itself, 32 bytes. */
  readonly digest: Uint8Array;
  readonly claimedDigest: Uint8Array | undefined;
  readonly nonce: Uint8Array;
  readonly signature: SubmitterSignature | undefined;
  readonly capturedAtMs: number;
  /** The window a forecast is of, both ends included; undefined without a forecast. */
  readonly target: { readonly startMs: number; readonly endMs: number } | undefined;
  readonly stream: StreamName | undefined;
  /** Named where there is one to follow. */
  readonly parentProofId: string | undefined;
  /** Faults already found in what is said of it. */
  readonly faults: readonly string[];
}

export interface SubmitterSignature {
  /** Ed25519, 32 bytes. */
  readonly publicKey: Uint8Array;
  /** Over "homeostat.observation.v1", a zero byte, the digest of the grid and the nonce; 64 bytes. */
  readonly signature: Uint8Array;
}

/** The proof that is followed, as it is kept. */
export interface Parent {
  readonly stream: StreamName | undefined;
  readonly capturedAtMs: number;
}

const AGE_MAX_MS = 24 * 60 * 60 * 1000;
const AHEAD_MAX_MS = 60 * 1000;
const SIGNED_PREFIX = 'homeostat.observation.v1\0';
/** A public Ed25519 key in DER (RFC 8410, section 4) is this and its 32 bytes. */
const PUBLIC_KEY_PREFIX = Buffer.from('302a300506032b6570032100', 'hex');
/**
 * Every point whose order divides 8, without the bit of its sign, among them the encodings that are not reduced (S. Chalkias,
 * F. Garillot and V. Nikolaenko, "Taming the many EdDSAs", 2020, table 1). As keys they are nobody's: each has signatures
 * that hold for every message, or for one of eight.
 */
const SMALL_ORDER_KEYS: ReadonlySet<string> = new Set([
  '0000000000000000000000000000000000000000000000000000000000000000',
  '0100000000000000000000000000000000000000000000000000000000000000',
  '26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05',
  'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a',
  'ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
  'edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
  'eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
]);

/** Faults of origin, and whose map it is. */
export interface JudgedOrigin extends Measure {
  /** The key whose signature holds; undefined without one. */
  readonly submitterKey: Uint8Array | undefined;
}

/** How many faults of origin there are; `parent` is undefined where none is kept under its id. */
export function judgeOrigin(origin: Origin, parent: Parent | undefined, issuedAtMs: number): JudgedOrigin {
  const { digest, claimedDigest, signature, capturedAtMs, target, parentProofId } = origin;
  const faults = [...origin.faults];
  if (claimedDigest && !sameHash(claimedDigest, digest)) faults.push('the digest is of another map');
  if (issuedAtMs - capturedAtMs > AGE_MAX_MS) faults.push('it was captured over 24 h ago');
  if (capturedAtMs - issuedAtMs > AHEAD_MAX_MS) faults.push('it was captured over 60 s ahead');
  if (target && (capturedAtMs < target.startMs || capturedAtMs > target.endMs))
    faults.push('it was captured outside the window that was foretold');
  if (parentProofId !== undefined) faults.push(...parentFaults(origin, parent));
  const holds = signature !== undefined && signatureHolds(origin, signature);
  if (signature && !holds) faults.push('the signature is not by that key');
  const submitterKey = holds ? signature.publicKey : undefined;
  return { value: faults.length, detail: faults.join('; '), submitterKey };
}

function parentFaults({ stream, capturedAtMs }: Origin, parent: Parent | undefined): string[] {
  if (parent === undefined) return ['there is no such proof to follow'];
  const isSame = parent.stream?.domain === stream?.domain && parent.stream?.cluster === stream?.cluster;
  if (!isSame) return ['the proof it follows is of another stream'];
  return parent.capturedAtMs > capturedAtMs ? ['the proof it follows is of a later map'] : [];
}

function signatureHolds({ digest, nonce }: Origin, { publicKey, signature }: SubmitterSignature): boolean {
  if (isSmallOrder(publicKey)) return false;
  const der = Buffer.concat([PUBLIC_KEY_PREFIX, publicKey]);
  const key = createPublicKey({ key: der, format: 'der', type: 'spki' });
  return verify(null, Buffer.concat([Buffer.from(SIGNED_PREFIX), digest, nonce]), key, signature);
}

function isSmallOrder(publicKey: Uint8Array): boolean {
  const unsigned = Buffer.from(publicKey);
  unsigned[31]! &= 0x7f;
  return SMALL_ORDER_KEYS.has(unsigned.toString('hex'));
}
