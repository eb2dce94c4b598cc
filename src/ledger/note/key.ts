/**
 * Keys of signed notes (C2SP signed-note, https://c2sp.org/signed-note): Ed25519, for notes themselves (type 0x01) or for
 * cosignatures of witnesses (type 0x04, https://c2sp.org/tlog-cosignature). A key id is the first 4 bytes of
 * SHA-256(name + LF + type + key); the notation is name, id in hexadecimal, and type and key in base64, joined by `+`.
 */
import { createHash, createPublicKey, type KeyObject } from 'node:crypto';

export const KEY_BYTES = 32;
export const SIGNATURE_BYTES = 64;
const ID_BYTES = 4;

export type KeyType = 0x01 | 0x04;
export const NOTE_KEY: KeyType = 0x01;
export const WITNESS_KEY: KeyType = 0x04;

/** A key that signatures are verified with. */
export interface VerifierKey {
  readonly name: string;
  readonly type: KeyType;
  /** 8 characters of lower-case hexadecimal. */
  readonly id: string;
  /** Its notation. */
  readonly vkey: string;
  readonly key: KeyObject;
}

/** What DER puts before the 32 bytes of a public Ed25519 key (RFC 8410, section 4). */
const PUBLIC_PREFIX = Buffer.from('302a300506032b6570032100', 'hex');

/** Makes a verifier of 32 bytes. */
export function verifierKey(name: string, type: KeyType, publicKey: Uint8Array): VerifierKey {
  const typed = Buffer.concat([Uint8Array.of(type), publicKey]);
  const id = createHash('sha256')
    .update(`${name}\n`)
    .update(typed)
    .digest('hex')
    .slice(0, 2 * ID_BYTES);
  const der = Buffer.concat([PUBLIC_PREFIX, publicKey]);
  return {
    name,
    type,
    id,
    vkey: `${name}+${id}+${typed.toString('base64')}`,
    key: createPublicKey({ key: der, format: 'der', type: 'spki' }),
  };
}

/** Reads the notation; undefined for anything that is not exactly the notation of a key of these two types. */
export function parseVerifierKey(vkey: string): VerifierKey | undefined {
  const [, name, encoded] = /^([^+]+)\+[0-9a-f]{8}\+([A-Za-z0-9+/=]+)$/.exec(vkey) ?? [];
  if (name === undefined || encoded === undefined || !isKeyName(name)) return undefined;
  const typed = decodeBase64(encoded);
  const type = typed?.[0];
  if (typed?.length !== 1 + KEY_BYTES || (type !== NOTE_KEY && type !== WITNESS_KEY)) return undefined;
  const parsed = verifierKey(name, type, typed.subarray(1));
  return parsed.vkey === vkey ? parsed : undefined;
}

/** Reads the key of a witness; undefined for a text that is none, and for a key of another type. */
export function parseWitness(vkey: string): VerifierKey | undefined {
  const key = parseVerifierKey(vkey);
  return key?.type === WITNESS_KEY ? key : undefined;
}

/** A key's name is not empty and holds neither white space nor `+`. */
export function isKeyName(name: string): boolean {
  return name !== '' && !/[\s+\p{Cc}]/u.test(name);
}

/** Standard base64 with padding; undefined for anything that another text would stand for as well. */
export function decodeBase64(text: string): Uint8Array | undefined {
  const bytes = Buffer.from(text, 'base64');
  return bytes.toString('base64') === text ? new Uint8Array(bytes) : undefined;
}

export function encodeBase64(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('base64');
}
