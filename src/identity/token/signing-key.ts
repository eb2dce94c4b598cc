/**
 * Keys that sign access tokens. Generations follow each other: each signs from its time until the next one's. A key is
 * published before it signs and verifies for as long as a token of it may live, unless it is revoked. Its id is its
 * thumbprint (RFC 7638), its algorithm never changes. Everything here is pure; times are wall milliseconds.
 */
import { createECDH, createPrivateKey, hash } from 'node:crypto';

export type Algorithm = 'EdDSA' | 'ES256';

/** The public half, member by member as in RFC 7517; `y` for P-256 only. */
export interface PublicKey {
  readonly kty: 'OKP' | 'EC';
  readonly crv: 'Ed25519' | 'P-256';
  readonly x: string;
  readonly y?: string;
}

export interface SigningKey {
  /** Counts from 1. */
  readonly generation: number;
  readonly kid: string;
  readonly algorithm: Algorithm;
  readonly publicKey: PublicKey;
  readonly signsFromMs: number;
  /** Its tokens are refused; undefined for a good one. */
  readonly revokedAtMs: number | undefined;
}

export interface RotationTerms {
  /** How long a key signs; default 30 days. */
  readonly keyRotationMs: number;
  /** How long it is published before; default 24 h. */
  readonly keyAnnounceMs: number;
}

/** Bytes of a private key, of either algorithm. */
export const PRIVATE_KEY_BYTES = 32;

/** The key pair of a private key of `PRIVATE_KEY_BYTES` unpredictable bytes; undefined for the rare ones that are none. */
export function keyPairOf(
  algorithm: Algorithm,
  privateKey: Uint8Array,
): { readonly kid: string; readonly publicKey: PublicKey } | undefined {
  const publicKey = algorithm === 'EdDSA' ? ed25519Of(privateKey) : p256Of(privateKey);
  return publicKey && { kid: thumbprintOf(publicKey), publicKey };
}

/** SHA-256 over the required members in the order of their names, base64url: RFC 7638. */
export function thumbprintOf({ kty, crv, x, y }: PublicKey): string {
  return hash('sha256', JSON.stringify({ crv, kty, x, ...(y !== undefined && { y }) }), 'base64url');
}

/** DER of a PKCS #8 key of Ed25519 up to the 32 bytes of the key itself: RFC 8410, section 7. */
const ED25519_PKCS8 = Buffer.from('302e020100300506032b657004220420', 'hex');

function ed25519Of(privateKey: Uint8Array): PublicKey {
  const der = Buffer.concat([ED25519_PKCS8, privateKey]);
  const { x } = createPrivateKey({ key: der, format: 'der', type: 'pkcs8' }).export({ format: 'jwk' });
  return { kty: 'OKP', crv: 'Ed25519', x: x! };
}

/** Coordinates of 32 bytes each, behind the byte that says that neither is compressed. */
function p256Of(privateKey: Uint8Array): PublicKey | undefined {
  const curve = createECDH('prime256v1');
  try {
    curve.setPrivateKey(privateKey);
  } catch {
    return undefined; // Zero, or not below the order of the curve: one in 2^32.
  }
  const point = curve.getPublicKey();
  const text = (from: number) => point.subarray(from, from + 32).toString('base64url');
  return { kty: 'EC', crv: 'P-256', x: text(1), y: text(33) };
}

/**
 * The key that signs at that time: of those whose time has come, the last. Where none's has, because the server that
 * made it has another clock, the first that will. Undefined without a key that is not revoked.
 */
export function signerAt<Key extends SigningKey>(keys: readonly Key[], nowMs: number): Key | undefined {
  const good = keys
    .filter((key) => key.revokedAtMs === undefined)
    .sort((a, b) => a.generation - b.generation);
  return good.findLast((key) => key.signsFromMs <= nowMs) ?? good[0];
}

/** The keys that whoever verifies needs: the one that signs first, then the next, then those before. */
export function publishedAt<Key extends SigningKey>(keys: readonly Key[], nowMs: number): Key[] {
  const signer = signerAt(keys, nowMs);
  const others = keys.filter((key) => key !== signer && key.revokedAtMs === undefined);
  return [...(signer ? [signer] : []), ...others.sort((a, b) => b.generation - a.generation)];
}

/** When the generation after these begins to sign, once it is time to publish it; undefined before that. */
export function nextDue(
  keys: readonly SigningKey[],
  nowMs: number,
  terms: RotationTerms,
): number | undefined {
  const signer = signerAt(keys, nowMs);
  if (!signer) return nowMs;
  if (keys.some((key) => key.generation > signer.generation && key.revokedAtMs === undefined))
    return undefined;
  const dueMs = signer.signsFromMs + terms.keyRotationMs;
  // A server that was away when it was due still publishes it first.
  return nowMs < dueMs - terms.keyAnnounceMs ? undefined : Math.max(dueMs, nowMs + terms.keyAnnounceMs);
}

/** The keys that no living token is signed with: `ttlMs` after the next generation began to sign. */
export function outlived(keys: readonly SigningKey[], nowMs: number, ttlMs: number): SigningKey[] {
  return keys.filter((key) =>
    keys.some((next) => next.generation > key.generation && next.signsFromMs + ttlMs <= nowMs),
  );
}
