/**
 * Secrets at rest: sealed under the server's secret file, so that a copy of the database alone tells none of them.
 * AES-256-GCM with a key per purpose, derived by HKDF-SHA-256 (RFC 5869). A sealed text is one byte of version (1),
 * 8 bytes that name the secret, 12 bytes of nonce, the ciphertext and 16 bytes of tag.
 */
import { createCipheriv, createDecipheriv, createHmac, hash, hkdfSync } from 'node:crypto';
import { AppError } from './errors.ts';
import type { Secrets } from './secrets.ts';

/** Bytes of a secret. */
export const SECRET_BYTES = 32;

const VERSION = 1;
const NAME_BYTES = 8;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const HEAD_BYTES = 1 + NAME_BYTES;

export interface Sealer {
  /** Seals bytes for a purpose (`identity.signing-key`); the same bytes never seal to the same text twice. */
  seal(purpose: string, plain: Uint8Array): Uint8Array;
  /** Opens what was sealed for that purpose. Throws SECRET_FOREIGN for anything else. */
  open(purpose: string, sealed: Uint8Array): Uint8Array;
  /** HMAC-SHA-256 of bytes for a purpose, 32 bytes: tells equal from different to nobody without the secret. */
  digest(purpose: string, bytes: Uint8Array): Uint8Array;
}

/** A sealer of one secret of `SECRET_BYTES`. Throws RangeError for another length. */
export function createSealer(secret: Uint8Array, secrets: Secrets): Sealer {
  if (secret.length !== SECRET_BYTES) throw new RangeError(`a secret has ${SECRET_BYTES} bytes`);
  const keys = new Map<string, Uint8Array>();
  const keyOf = (purpose: string, use = 'seal'): Uint8Array => {
    const info = `homeostat/${use}/1/${purpose}`;
    let key = keys.get(info);
    if (!key) {
      key = new Uint8Array(hkdfSync('sha256', secret, '', info, 32));
      keys.set(info, key);
    }
    return key;
  };
  const head = Buffer.concat([
    Uint8Array.of(VERSION),
    hash('sha256', Buffer.concat([Buffer.from('homeostat/secret/1'), secret]), 'buffer').subarray(
      0,
      NAME_BYTES,
    ),
  ]);
  return {
    seal(purpose, plain) {
      const nonce = secrets.bytes(NONCE_BYTES);
      const cipher = createCipheriv('aes-256-gcm', keyOf(purpose), nonce).setAAD(head);
      return new Uint8Array(
        Buffer.concat([head, nonce, cipher.update(plain), cipher.final(), cipher.getAuthTag()]),
      );
    },
    digest: (purpose, bytes) =>
      new Uint8Array(createHmac('sha256', keyOf(purpose, 'digest')).update(bytes).digest()),
    open(purpose, sealed) {
      const bytes = Buffer.from(sealed);
      const body = bytes.subarray(HEAD_BYTES + NONCE_BYTES, -TAG_BYTES);
      if (bytes.length < HEAD_BYTES + NONCE_BYTES + TAG_BYTES || !bytes.subarray(0, HEAD_BYTES).equals(head))
        throw foreign(purpose);
      const nonce = bytes.subarray(HEAD_BYTES, HEAD_BYTES + NONCE_BYTES);
      const decipher = createDecipheriv('aes-256-gcm', keyOf(purpose), nonce)
        .setAAD(head)
        .setAuthTag(bytes.subarray(-TAG_BYTES));
      try {
        return new Uint8Array(Buffer.concat([decipher.update(body), decipher.final()]));
      } catch (cause) {
        throw foreign(purpose, cause);
      }
    },
  };
}

function foreign(purpose: string, cause?: unknown): AppError {
  const message = `what is stored for ${purpose} was sealed under another secret file, or is damaged: bring back the secret file this database was used with`;
  return new AppError(
    { domain: 'homeostat.edge', reason: 'SECRET_FOREIGN', kind: 'FAILED_PRECONDITION', message },
    { purpose },
    { cause },
  );
}
