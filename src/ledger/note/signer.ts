/**
 * Ed25519 signers of notes, from a seed of 32 bytes (RFC 8032). Signatures are deterministic: any number of servers with
 * the seed sign the same note. Each name but the log's own gets a key derived from the seed, so that no text
 * signed under one name counts under another.
 */
import { createPrivateKey, createPublicKey, hkdfSync, type KeyObject, sign } from 'node:crypto';
import { NOTE_KEY, type VerifierKey, verifierKey } from './key.ts';
import { signatureLine } from './note.ts';

export interface NoteSigner {
  readonly verifier: VerifierKey;
  /** The signature line of a note's text, without newline. */
  sign(text: string): string;
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
  };
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
