import { createPrivateKey, createPublicKey, sign, verify } from 'node:crypto';
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { calculateJwkThumbprint } from 'jose';
import {
  keyPairOf,
  nextDue,
  outlived,
  publishedAt,
  type SigningKey,
  signerAt,
  thumbprintOf,
} from '../../../src/identity/token/signing-key.ts';
import { systemSecrets } from '../../../src/secrets.ts';

const DAY_MS = 86_400_000;
const TERMS = { keyRotationMs: 30 * DAY_MS, keyAnnounceMs: DAY_MS };
const PUBLIC = { kty: 'OKP', crv: 'Ed25519', x: '' } as const;
const key = (generation: number, signsFromMs: number, revokedAtMs?: number): SigningKey => ({
  generation,
  kid: `k${generation}`,
  algorithm: 'EdDSA',
  publicKey: PUBLIC,
  signsFromMs,
  revokedAtMs,
});
const generations = (keys: readonly SigningKey[]) => keys.map(({ generation }) => generation);

describe('pairs of keys', () => {
  test('of Ed25519 are those of RFC 8037, its thumbprint included', () => {
    const d = Buffer.from('nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A', 'base64url');
    expect(keyPairOf('EdDSA', d)).toEqual({
      kid: 'kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k',
      publicKey: { kty: 'OKP', crv: 'Ed25519', x: '11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo' },
    });
  });

  test('of P-256 are those of RFC 7515, appendix A.3', () => {
    const d = Buffer.from('jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI', 'base64url');
    expect(keyPairOf('ES256', d)?.publicKey).toEqual({
      kty: 'EC',
      crv: 'P-256',
      x: 'f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU',
      y: 'x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0',
    });
  });

  test('that P-256 has no point for are none', () => {
    expect(keyPairOf('ES256', new Uint8Array(32))).toBeUndefined();
    expect(keyPairOf('ES256', new Uint8Array(32).fill(0xff))).toBeUndefined();
  });

  test('sign and verify, and are named as RFC 7638 has it', async () => {
    for (const algorithm of ['EdDSA', 'ES256'] as const) {
      const privateKey = systemSecrets.bytes(32);
      const { kid, publicKey } = keyPairOf(algorithm, privateKey)!;
      expect(kid).toBe(await calculateJwkThumbprint(publicKey));
      expect(kid).toBe(thumbprintOf({ ...publicKey }));
      const d = Buffer.from(privateKey).toString('base64url');
      const digest = algorithm === 'EdDSA' ? null : 'sha256';
      const signature = sign(
        digest,
        Buffer.from('text'),
        createPrivateKey({ key: { ...publicKey, d }, format: 'jwk' }),
      );
      const verifies = createPublicKey({ key: { ...publicKey }, format: 'jwk' });
      expect(verify(digest, Buffer.from('text'), verifies, signature)).toBe(true);
    }
  });
});

describe('generations of keys', () => {
  test('the last whose time has come signs; a revoked one never', () => {
    const keys = [key(1, 0), key(2, 10), key(3, 20)];
    expect([0, 9, 10, 19, 20].map((at) => signerAt(keys, at)?.generation)).toEqual([1, 1, 2, 2, 3]);
    expect(signerAt([key(1, 0, 5), key(2, 10)], 7)?.generation).toBe(2);
    expect(signerAt([key(1, 0, 5)], 7)).toBeUndefined();
  });

  test('all that are not revoked are published, the one that signs first', () => {
    const keys = [key(1, 0), key(2, 10, 15), key(3, 20), key(4, 30)];
    expect(generations(publishedAt(keys, 25))).toEqual([3, 4, 1]);
    expect(generations(publishedAt(keys, 30))).toEqual([4, 3, 1]);
  });

  test('the first is due at once, the next a day before it signs, and no second next', () => {
    expect(nextDue([], 5, TERMS)).toBe(5);
    const first = key(1, 0);
    expect(nextDue([first], 29 * DAY_MS - 1, TERMS)).toBeUndefined();
    expect(nextDue([first], 29 * DAY_MS, TERMS)).toBe(30 * DAY_MS);
    expect(nextDue([first, key(2, 30 * DAY_MS)], 29 * DAY_MS + 1, TERMS)).toBeUndefined();
    expect(nextDue([first, key(2, 30 * DAY_MS)], 59 * DAY_MS, TERMS)).toBe(60 * DAY_MS);
  });

  test('who was away when it was due still publishes the next a day before it signs', () => {
    expect(nextDue([key(1, 0)], 100 * DAY_MS, TERMS)).toBe(101 * DAY_MS);
  });

  test('a key goes once the last token of it has expired', () => {
    const keys = [key(1, 0), key(2, 10), key(3, 20)];
    expect(generations(outlived(keys, 14, 5))).toEqual([]);
    expect(generations(outlived(keys, 15, 5))).toEqual([1]);
    expect(generations(outlived(keys, 25, 5))).toEqual([1, 2]);
  });

  test('identity.J6 however often servers look, whoever signs was published a day before', () => {
    fc.assert(
      fc.property(fc.array(fc.nat({ max: 3 * DAY_MS }), { maxLength: 200 }), (gaps) => {
        let keys: SigningKey[] = [key(1, 0)];
        const publishedSince = new Map([[1, Number.NEGATIVE_INFINITY]]);
        let nowMs = 0;
        for (const gapMs of gaps) {
          nowMs += gapMs;
          const signer = signerAt(keys, nowMs)!;
          expect(nowMs - publishedSince.get(signer.generation)!).toBeGreaterThanOrEqual(DAY_MS);
          const dueMs = nextDue(keys, nowMs, TERMS);
          if (dueMs !== undefined) {
            const generation = keys.at(-1)!.generation + 1;
            keys.push(key(generation, dueMs));
            publishedSince.set(generation, nowMs);
          }
          const gone = outlived(keys, nowMs, DAY_MS);
          keys = keys.filter((one) => !gone.includes(one));
          expect(keys.length).toBeLessThanOrEqual(3);
        }
      }),
    );
  });
});
