import { describe, expect, test } from '@jest/globals';
import {
  type ApiKey,
  formatApiKey,
  hashSecret,
  KEY_BYTES,
  makeApiKey,
  type StoredKey,
} from '../../../src/identity/access/api-key.ts';
import { createCredentials } from '../../../src/identity/access/credentials.ts';
import { systemSecrets } from '../../../src/secrets.ts';
import { createFakeClock } from '../../support/fake-clock.ts';

const newKey = () => makeApiKey('live', systemSecrets.bytes(KEY_BYTES));

function setUp(cacheEntriesMax = 10) {
  const clock = createFakeClock();
  const rows = new Map<string, StoredKey>();
  const asked: string[] = [];
  let beforeAnswer = async () => {};
  const find = async (prefix: string) => {
    asked.push(prefix);
    const row = rows.get(prefix);
    await beforeAnswer();
    return row;
  };
  const credentials = createCredentials({ config: { cacheMs: 60_000, cacheEntriesMax }, clock, find });
  const store = (key: ApiKey, change: Partial<StoredKey> = {}) => {
    rows.set(key.prefix, {
      prefix: key.prefix,
      secretHash: hashSecret(key.secret),
      principalId: `owner-of-${key.prefix}`,
      scopes: ['*.*'],
      roles: ['admin'],
      expiresAtMs: undefined,
      revokedAtMs: undefined,
      ...change,
    });
    return formatApiKey(key);
  };
  const whileReading = (action: () => Promise<void>) => {
    beforeAnswer = async () => {
      beforeAnswer = async () => {};
      await action();
    };
  };
  return { clock, asked, credentials, store, whileReading };
}

describe('credentials', () => {
  test('a key is looked up once and answered synchronously for a minute', async () => {
    const { clock, asked, credentials, store } = setUp();
    const key = newKey();
    const token = store(key);
    const bearer = { id: `owner-of-${key.prefix}`, permissions: ['*.*'] };
    expect(credentials.verify(token)).toBeInstanceOf(Promise);
    expect(await credentials.verify(token)).toEqual(bearer);
    asked.length = 0;
    await clock.advance(59_999);
    expect(credentials.verify(token)).toEqual(bearer);
    expect(asked).toEqual([]);
    await clock.advance(1);
    expect(await credentials.verify(token)).toEqual(bearer);
    expect(asked).toEqual([key.prefix]);
  });

  test('what a key allows is what its scopes and roles have in common, and nobody can widen it', async () => {
    const { credentials, store } = setUp();
    const bearer = await credentials.verify(store(newKey(), { scopes: ['session.read', 'energy.read'] }));
    expect(bearer!.permissions).toEqual(['session.read', 'energy.read']);
    expect(() => (bearer!.permissions as string[]).push('*.*')).toThrow(TypeError);
    expect(() => Object.assign(bearer!, { id: 'admin' })).toThrow(TypeError);
    expect((await credentials.verify(store(newKey(), { roles: ['nobody'] })))!.permissions).toEqual([]);
  });

  test('expiry is looked at on every call, also while the key is remembered', async () => {
    const { clock, credentials, store } = setUp();
    const token = store(newKey(), { expiresAtMs: clock.nowMs() + 1_000 });
    expect(await credentials.verify(token)).toBeDefined();
    await clock.advance(999);
    expect(credentials.verify(token)).toBeDefined();
    await clock.advance(1);
    expect(credentials.verify(token)).toBeUndefined();
    await clock.advance(60_000);
    expect(await credentials.verify(token)).toBeUndefined();
  });

  test('a revoked key is refused at once after forget, and for good', async () => {
    const { clock, credentials, store } = setUp();
    const key = newKey();
    const token = store(key);
    await credentials.verify(token);
    store(key, { revokedAtMs: clock.nowMs() });
    expect(credentials.verify(token)).toBeDefined();
    credentials.forget();
    expect(await credentials.verify(token)).toBeUndefined();
    expect(credentials.size).toBe(0);
  });

  test('a revocation while the key is being read is not overlooked', async () => {
    const { clock, credentials, store, whileReading } = setUp();
    const key = newKey();
    const token = store(key);
    whileReading(async () => {
      store(key, { revokedAtMs: clock.nowMs() });
      credentials.forget();
    });
    expect(await credentials.verify(token)).toBeUndefined();
    expect(credentials.size).toBe(0);
  });

  test('a wrong secret, an unknown prefix and text that is no key are each refused after one look-up', async () => {
    const { asked, credentials, store } = setUp();
    const key = newKey();
    store(key);
    const wrongSecret = formatApiKey({ ...key, secret: newKey().secret });
    const unknownPrefix = formatApiKey({ ...key, prefix: newKey().prefix });
    for (const token of [wrongSecret, unknownPrefix, 'no key at all', '', formatApiKey(key).slice(0, -1)]) {
      asked.length = 0;
      expect(await credentials.verify(token)).toBeUndefined();
      expect(asked).toHaveLength(1);
    }
    expect(credentials.size).toBe(0);
  });

  test('the other environment of a key is the same key', async () => {
    const { credentials, store } = setUp();
    const key = newKey();
    store(key);
    expect(await credentials.verify(formatApiKey({ ...key, environment: 'test' }))).toBeDefined();
  });

  test('no more keys are remembered than allowed, and the one remembered first gives way', async () => {
    const { asked, credentials, store } = setUp(3);
    const tokens = Array.from({ length: 5 }, () => store(newKey()));
    for (const token of tokens) await credentials.verify(token);
    expect(credentials.size).toBe(3);
    asked.length = 0;
    for (const token of tokens.slice(2)) expect(credentials.verify(token)).not.toBeInstanceOf(Promise);
    expect(credentials.verify(tokens[0]!)).toBeInstanceOf(Promise);
    expect(asked).toHaveLength(1);
  });

  test('a look-up that fails is passed on and not remembered as an answer', async () => {
    const { credentials, store, whileReading } = setUp();
    const token = store(newKey());
    whileReading(() => Promise.reject(new Error('database away')));
    await expect(credentials.verify(token)).rejects.toThrow('database away');
    expect(await credentials.verify(token)).toBeDefined();
  });
});
