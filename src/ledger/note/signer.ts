/**
 * Ed25519 signers of notes and of messages that are none, from a seed of 32 bytes (RFC 8032). Signatures are
 * deterministic: any number of servers with the seed sign the same note. Each name but the log's own gets a key derived
 * from the seed, so that no text signed under one name counts under another. A message holds a zero byte, which no note
 * does, so that neither counts as the other.
 */
import { createPrivateKey, createPublicKey, hkdfSync, type KeyObject, sign, verify } from 'node:crypto';
import { NOTE_KEY, type VerifierKey, verifierKey } from './key.ts';
import { signatureLine } from './note.ts';

export interface NoteSigner {
  readonly verifier: VerifierKey;
  /** The signature line of a note's text, without newline. */
  sign(text: string): string;
  /** The signature of a message, 64 bytes. Throws RangeError for one without a zero byte. */
  signBytes(message: Uint8Array): Uint8Array;
}

/** What DER puts before the 32 bytes of a private Ed25519 key (RFC 8410, section 7). */
const PRIVATE_PREFIX = Buffer.from('302e020100300506032b657004220420', 'hex');

/** A signer whose key is the seed itself. */
export function createSigner(name: string, seed: Uint8Array): NoteSigner {
  const privateKey = createPrivateKey({
    key: Buffer.concat([PRIVATE_PREFIX, seed]),
    format: 'der',
    type: 'pkcs8',
  });
  const verifier = verifierKey(name, NOTE_KEY, rawPublicKey(privateKey));
  return {
    verifier,
    sign: (text) => signatureLine(verifier, sign(null, Buffer.from(text), privateKey)),
    signBytes(message) {
      if (!message.includes(0)) throw new RangeError('a message without a zero byte could be a note');
      return new Uint8Array(sign(null, message, privateKey));
    },
  };
}

/** Whether the key of a signer has signed the message, as `signBytes` does; false for the key of a witness. */
export function messageSignatureHolds(key: VerifierKey, message: Uint8Array, signature: Uint8Array): boolean {
  return key.type === NOTE_KEY && message.includes(0) && verify(null, message, key.key, signature);
}

/** A signer of `<origin>/<name>` whose key follows from the log's seed. */
export function createDerivedSigner(origin: string, name: string, seed: Uint8Array): NoteSigner {
  const derived = hkdfSync('sha256', seed, '', `homeostat/note-key/1/${name}`, 32);
  return createSigner(`${origin}/${name}`, new Uint8Array(derived));
}

function rawPublicKey(privateKey: KeyObject): Uint8Array {
  const { x } = createPublicKey(privateKey).export({ format: 'jwk' });
  return new Uint8Array(Buffer.from(x!, 'base64url'));
}
