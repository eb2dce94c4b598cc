/**
 * API keys: `hk_<live|test>_<prefix 10>_<secret 43>`. The prefix is public and finds the stored row; of the secret
 * only its SHA-256 is stored. A plain hash is enough: the secret has 256 random bits, so there is nothing to guess.
 * Times are wall milliseconds.
 */
import { hash, timingSafeEqual } from 'node:crypto';

/** Where a key is meant to be used; says nothing about its rights. */
export type KeyEnvironment = 'live' | 'test';

/** The parts of a key's text. */
export interface ApiKey {
  readonly environment: KeyEnvironment;
  /** 10 characters of 0-9 a-v, public. */
  readonly prefix: string;
  /** 43 characters of base64url: 32 bytes. */
  readonly secret: string;
}

/** What is stored of a key. */
export interface StoredKey {
  readonly prefix: string;
  /** SHA-256 of the secret's text, 32 bytes. */
  readonly secretHash: Uint8Array;
  readonly principalId: string;
  /** What the key is for, in its owner's words. */
  readonly label: string;
  /** What the key was issued for, `<noun>.<verb>`; never more than the principal's roles allow. */
  readonly scopes: readonly string[];
  /** Addresses it is taken from, as address or CIDR; empty for any. */
  readonly sourceRanges: readonly string[];
  readonly environment: KeyEnvironment;
  readonly createdAtMs: number;
  /** Never when undefined. */
  readonly expiresAtMs: number | undefined;
  readonly revokedAtMs: number | undefined;
  /** To the minute; undefined for never. */
  readonly lastUsedAtMs: number | undefined;
}

/** What is decided about a key when it is made. */
export type KeyTerms = Pick<
  StoredKey,
  'principalId' | 'label' | 'scopes' | 'sourceRanges' | 'environment' | 'expiresAtMs'
>;

/** Random bytes that one key takes. */
export const KEY_BYTES = 42;

const PREFIX_LENGTH = 10;
const PREFIX_ALPHABET = '0123456789abcdefghijklmnopqrstuv'; // 32 characters, so 5 bits of a byte choose evenly.
const KEY_FORMAT = /^hk_(live|test)_([0-9a-v]{10})_([A-Za-z0-9_-]{43})$/;

/** Stands in for a row that does not exist, so that an unknown prefix costs what a wrong secret costs. */
const NOBODY = new Uint8Array(32);

/** A new key on these terms: the text for its owner, and what is stored of it. */
export function issueKey(
  terms: KeyTerms,
  bytes: Uint8Array,
  nowMs: number,
): { readonly text: string; readonly stored: StoredKey } {
  const key = makeApiKey(terms.environment, bytes);
  const stored = {
    ...terms,
    prefix: key.prefix,
    secretHash: hashSecret(key.secret),
    createdAtMs: nowMs,
    revokedAtMs: undefined,
    lastUsedAtMs: undefined,
  };
  return { text: formatApiKey(key), stored };
}

/** Makes a key from `KEY_BYTES` unpredictable bytes. */
export function makeApiKey(environment: KeyEnvironment, bytes: Uint8Array): ApiKey {
  const prefix = Array.from(bytes.subarray(0, PREFIX_LENGTH), (byte) => PREFIX_ALPHABET[byte & 31]).join('');
  return {
    environment,
    prefix,
    secret: Buffer.from(bytes.subarray(PREFIX_LENGTH, KEY_BYTES)).toString('base64url'),
  };
}

/** The text that is handed to its owner, once. */
export function formatApiKey(key: ApiKey): string {
  return `hk_${key.environment}_${key.prefix}_${key.secret}`;
}

/** Reads a key's text; undefined when it is not of that form. */
export function parseApiKey(text: string): ApiKey | undefined {
  const parts = KEY_FORMAT.exec(text);
  return parts
    ? { environment: parts[1] as KeyEnvironment, prefix: parts[2]!, secret: parts[3]! }
    : undefined;
}

/** SHA-256 of a secret's text, 32 bytes. */
export function hashSecret(secret: string): Uint8Array {
  return new Uint8Array(hash('sha256', secret, 'buffer'));
}

/** Whether the secret is the stored key's. Takes the same time whatever the answer, also without a stored key. */
export function secretMatches(secret: string, stored: StoredKey | undefined): boolean {
  const equal = timingSafeEqual(hashSecret(secret), stored?.secretHash ?? NOBODY);
  return equal && stored !== undefined;
}

/** Whether the key may be used at that time: neither revoked nor expired. */
export function isUsable(stored: StoredKey, nowMs: number): boolean {
  return stored.revokedAtMs === undefined && (stored.expiresAtMs === undefined || nowMs < stored.expiresAtMs);
}
