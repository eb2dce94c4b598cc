import { createHash } from 'node:crypto';
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import {
  formatApiKey,
  hashSecret,
  issueKey,
  isUsable,
  KEY_BYTES,
  makeApiKey,
  parseApiKey,
  type StoredKey,
  secretMatches,
} from '../../../src/identity/key/api-key.ts';
import { systemSecrets } from '../../../src/secrets.ts';

const bytes = fc.uint8Array({ minLength: KEY_BYTES, maxLength: KEY_BYTES });

function storedKey(secret: string, change: Partial<StoredKey> = {}): StoredKey {
  return {
    prefix: '0123456789',
    secretHash: hashSecret(secret),
    principalId: 'admin',
    label: '',
    scopes: ['*.*'],
    sourceRanges: [],
    environment: 'live',
    createdAtMs: 0,
    expiresAtMs: undefined,
    revokedAtMs: undefined,
    lastUsedAtMs: undefined,
    ...change,
  };
}

describe('API keys', () => {
  test('a key is hk_, its environment, 10 characters of prefix and 43 of secret', () => {
    const key = makeApiKey('live', new Uint8Array(KEY_BYTES));
    expect(formatApiKey(key)).toBe(`hk_live_0000000000_${'A'.repeat(43)}`);
    expect(formatApiKey(makeApiKey('test', new Uint8Array(KEY_BYTES).fill(255)))).toBe(
      `hk_test_vvvvvvvvvv_${'_'.repeat(42)}8`,
    );
  });

  test('every key that is made can be read again', () => {
    fc.assert(
      fc.property(bytes, fc.constantFrom('live' as const, 'test' as const), (random, environment) => {
        const key = makeApiKey(environment, random);
        expect(parseApiKey(formatApiKey(key))).toEqual(key);
      }),
    );
  });

  test('different bytes give different secrets', () => {
    fc.assert(
      fc.property(bytes, bytes, (a, b) => {
        const equal = Buffer.from(a.subarray(10)).equals(Buffer.from(b.subarray(10)));
        expect(makeApiKey('live', a).secret === makeApiKey('live', b).secret).toBe(equal);
      }),
    );
  });

  test.each([
    ['', 'nothing'],
    [`hk_prod_0123456789_${'A'.repeat(43)}`, 'an unknown environment'],
    [`hk_live_012345678_${'A'.repeat(43)}`, 'a short prefix'],
    [`hk_live_012345678Z_${'A'.repeat(43)}`, 'a character the prefix cannot hold'],
    [`hk_live_0123456789_${'A'.repeat(42)}`, 'a short secret'],
    [`hk_live_0123456789_${'A'.repeat(44)}`, 'a long secret'],
    [`hk_live_0123456789_${'A'.repeat(42)}+`, 'a character the secret cannot hold'],
    [`hk_live_0123456789_${'A'.repeat(43)}\n`, 'a line end'],
    [` hk_live_0123456789_${'A'.repeat(43)}`, 'a blank'],
  ])('%j is refused for %s', (text) => {
    expect(parseApiKey(text)).toBeUndefined();
  });

  test('only the secret itself matches its stored hash', () => {
    const { secret } = makeApiKey('live', systemSecrets.bytes(KEY_BYTES));
    expect(Buffer.from(hashSecret(secret))).toEqual(createHash('sha256').update(secret).digest());
    expect(secretMatches(secret, storedKey(secret))).toBe(true);
    for (let i = 0; i < secret.length; i++) {
      const other = `${secret.slice(0, i)}${secret[i] === 'A' ? 'B' : 'A'}${secret.slice(i + 1)}`;
      expect(secretMatches(other, storedKey(secret))).toBe(false);
    }
    expect(secretMatches(secret, undefined)).toBe(false);
  });

  test('a key is usable until it expires or is revoked', () => {
    expect(isUsable(storedKey('x'), Number.MAX_SAFE_INTEGER)).toBe(true);
    expect(isUsable(storedKey('x', { expiresAtMs: 100 }), 99)).toBe(true);
    expect(isUsable(storedKey('x', { expiresAtMs: 100 }), 100)).toBe(false);
    expect(isUsable(storedKey('x', { revokedAtMs: 200 }), 100)).toBe(false);
  });

  test('an issued key is good for who has its text, and nothing that is stored tells it', () => {
    const terms = { ...storedKey('x'), label: 'ci', expiresAtMs: 500 };
    const { text, stored } = issueKey(terms, systemSecrets.bytes(KEY_BYTES), 100);
    const { prefix, secret } = parseApiKey(text)!;
    expect(stored).toMatchObject({
      prefix,
      label: 'ci',
      scopes: ['*.*'],
      createdAtMs: 100,
      expiresAtMs: 500,
    });
    expect(secretMatches(secret, stored)).toBe(true);
    expect(JSON.stringify(stored)).not.toContain(secret);
  });
});
