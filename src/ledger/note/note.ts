/**
 * Signed notes (C2SP signed-note): a text that ends with a newline, an empty line, and signature lines `— name base64`,
 * where the base64 holds the key id and the signature. Signatures by unknown keys are ignored; one by a known key that
 * does not hold spoils the note.
 */
import { verify } from 'node:crypto';
import {
  decodeBase64,
  encodeBase64,
  isKeyName,
  SIGNATURE_BYTES,
  type VerifierKey,
  WITNESS_KEY,
} from './key.ts';
import { cosignedMessage, TIME_BYTES } from './witness.ts';

export interface Note {
  /** What is signed, with its last newline. */
  readonly text: string;
  readonly signatures: readonly NoteSignature[];
}

export interface NoteSignature {
  readonly name: string;
  /** Id of the key, in lower-case hexadecimal. */
  readonly keyId: string;
  /** What follows the key id. */
  readonly bytes: Uint8Array;
  /** The line itself, without newline. */
  readonly line: string;
}

const ID_BYTES = 4;
const SIGNATURES_MAX = 100;
const LINE = /^\u2014 (\S+) ([A-Za-z0-9+/=]+)$/u;

/** Reads a note; undefined for anything else, and for more than 100 signatures. Nothing is verified. */
export function parseNote(note: string): Note | undefined {
  const split = note.lastIndexOf('\n\n');
  if (split < 1 || !note.endsWith('\n') || /[^\P{Cc}\n]/u.test(note)) return undefined;
  const lines = note.slice(split + 2, -1).split('\n');
  if (lines.length > SIGNATURES_MAX) return undefined;
  const signatures = lines.map(parseSignature);
  if (signatures.some((signature) => signature === undefined)) return undefined;
  return { text: note.slice(0, split + 1), signatures: signatures as NoteSignature[] };
}

/** Reads one signature line; undefined where it is none. */
export function parseSignature(line: string): NoteSignature | undefined {
  const [, name, encoded] = LINE.exec(line) ?? [];
  if (name === undefined || encoded === undefined || !isKeyName(name)) return undefined;
  const bytes = decodeBase64(encoded);
  if (bytes === undefined || bytes.length <= ID_BYTES) return undefined;
  const keyId = Buffer.from(bytes.subarray(0, ID_BYTES)).toString('hex');
  return { name, keyId, bytes: bytes.subarray(ID_BYTES), line };
}

/** Puts a note together. */
export function formatNote(text: string, lines: readonly string[]): string {
  return `${text}\n${lines.map((line) => `${line}\n`).join('')}`;
}

export function signatureLine(key: VerifierKey, bytes: Uint8Array): string {
  const id = Buffer.from(key.id, 'hex');
  return `\u2014 ${key.name} ${encodeBase64(Buffer.concat([id, bytes]))}`;
}

/** Whether a signature names this key; whether it holds is another question. */
export function isBy(signature: NoteSignature, key: VerifierKey): boolean {
  return signature.name === key.name && signature.keyId === key.id;
}

/** Whether a key has made the signature of the text. */
export function signatureHolds(text: string, signature: NoteSignature, key: VerifierKey): boolean {
  if (!isBy(signature, key)) return false;
  const { bytes } = signature;
  if (key.type !== WITNESS_KEY) return verify(null, Buffer.from(text), key.key, bytes);
  if (bytes.length !== TIME_BYTES + SIGNATURE_BYTES) return false;
  return verify(null, Buffer.from(cosignedMessage(text, bytes)), key.key, bytes.subarray(TIME_BYTES));
}

export type NoteVerdict =
  /** `signers`: the trusted keys that have signed, each once; at least one. */
  | { readonly valid: true; readonly note: Note; readonly signers: readonly VerifierKey[] }
  | { readonly valid: false; readonly because: 'MALFORMED' | 'SIGNATURE_INVALID' | 'NOT_SIGNED' };

/**
 * Verifies a note. NOT_SIGNED: by none of the trusted keys; SIGNATURE_INVALID: a signature names a trusted key and does
 * not hold. Cost: one Ed25519 verification for each signature that names a trusted key.
 */
export function verifyNote(text: string, trusted: readonly VerifierKey[]): NoteVerdict {
  const note = parseNote(text);
  if (note === undefined) return { valid: false, because: 'MALFORMED' };
  const signers = new Set<VerifierKey>();
  for (const signature of note.signatures)
    for (const key of trusted) {
      if (!isBy(signature, key)) continue;
      if (!signatureHolds(note.text, signature, key)) return { valid: false, because: 'SIGNATURE_INVALID' };
      signers.add(key);
    }
  if (signers.size === 0) return { valid: false, because: 'NOT_SIGNED' };
  return { valid: true, note, signers: [...signers] };
}
