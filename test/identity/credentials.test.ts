import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import type { Change, ChangeListener } from '../../src/identity/changes.ts';
import { createCredentials } from '../../src/identity/credentials.ts';
import { issueKey, KEY_BYTES, type StoredKey } from '../../src/identity/key/api-key.ts';
import { addKey, expireKey, revokeKeys } from '../../src/identity/key/key-store.ts';
import { newPrincipal, type StoredPrincipal } from '../../src/identity/principal/principal.ts';
import { addPrincipal, savePrincipal } from '../../src/identity/principal/principal-store.ts';
import { identityMigrations } from '../../src/identity/store.ts';
import { type AccessClaims, newClaims } from '../../src/identity/token/access-token.ts';
import type { Verified } from '../../src/identity/token/signing-service.ts';
import type { Principal } from '../../src/rpc/handler.ts';
import { systemSecrets } from '../../src/secrets.ts';
import type { Store } from '../../src/store/store.ts';
import { LOOPBACK } from '../support/calls.ts';
import { createFakeClock, type FakeClock } from '../support/fake-clock.ts';
import { openTestStore, type TestStore } from '../support/stores.ts';

const refusal = (reason: string) => ({ name: 'AppError', reason });
const at = (address: string) => ({ address, certificate: undefined });
const shows = (sha256: string, ...uris: string[]) => ({
  address: '127.0.0.1',
  certificate: { sha256, uris },
});

describe('credentials', () => {
  let opened: TestStore;
  let clock: FakeClock;
  let stale = false;
  let reads: number;
  let used: string[];
  let listener: ChangeListener;
  /** Runs once, before the next read from the store. */
  let beforeRead: (() => void) | undefined;
  const signed = new Map<string, Verified>();

  const create = (cacheEntriesMax = 10) => {
    const store: Store = {
      ...opened.store,
      query() {
        reads++;
        const action = beforeRead;
        beforeRead = undefined;
        action?.();
        return opened.store.query();
      },
    };
    return createCredentials({
      config: { cacheMs: 60_000, cacheEntriesMax, skewMs: 60_000 },
      store,
      clock,
      signing: { verify: async (token) => signed.get(token) ?? { refused: 'BAD' } },
      changes: {
        stale: () => stale,
        subscribe: (given) => {
          listener = given;
        },
      },
      keyUsed: (prefix) => used.push(prefix),
    });
  };
  const heard = (...changes: Change[]) => listener(changes);
  const addUser = async (id: string, about: Partial<StoredPrincipal> = {}) => {
    const roles = ['developer'];
    const user = { ...newPrincipal({ id, username: id, kind: 'USER', roles, tier: 'PRO' }, 0), ...about };
    await opened.store.transact((tx) => addPrincipal(tx, user));
    return user;
  };
  const addApiKey = async (principalId: string, about: Partial<StoredKey> = {}) => {
    const terms = {
      principalId,
      label: 'test',
      scopes: ['*.*'],
      sourceRanges: [],
      environment: 'live',
    } as const;
    const made = issueKey(
      { expiresAtMs: undefined, ...terms, ...about },
      systemSecrets.bytes(KEY_BYTES),
      clock.nowMs(),
    );
    await opened.store.transact((tx) => addKey(tx, { ...made.stored, ...about }));
    return { text: made.text, prefix: made.stored.prefix };
  };
  const tokenOf = (user: StoredPrincipal, changed: Partial<AccessClaims> = {}) => {
    const about = { jti: `jti-${signed.size}`, scopes: undefined, familyId: '', certificateSha256: '' };
    const claims = newClaims({ principal: user, ...about, ttlMs: 1_800_000 }, clock.nowMs());
    const token = `a.b${signed.size}.c`;
    signed.set(token, { claims: { ...claims, ...changed } });
    return token;
  };

  beforeEach(async () => {
    opened = await openTestStore(identityMigrations);
    clock = createFakeClock();
    stale = false;
    reads = 0;
    used = [];
    signed.clear();
  });
  afterEach(() => opened.dispose());

  test('are looked up once and answered synchronously for a minute, by the same principal', async () => {
    const credentials = create();
    const user = await addUser('ada', { tier: 'ENTERPRISE' });
    const { text, prefix } = await addApiKey('ada', { scopes: ['session.*'] });
    for (const token of [text, tokenOf(user)]) {
      const looking = credentials.verify(token, LOOPBACK);
      expect(looking).toBeInstanceOf(Promise);
      const principal = await looking;
      expect(principal).toMatchObject({ id: 'ada', tier: 'ENTERPRISE' });
      reads = 0;
      expect(credentials.verify(token, LOOPBACK)).toBe(principal);
      await clock.advance(59_999);
      expect(credentials.verify(token, LOOPBACK)).toBe(principal);
      expect(reads).toBe(0);
      await clock.advance(1);
      expect(credentials.verify(token, LOOPBACK)).toBeInstanceOf(Promise);
      expect(() => Object.assign(principal, { id: 'root' })).toThrow(TypeError);
      expect(() => Object.assign(principal.credential, { id: '' })).toThrow(TypeError);
    }
    const byKey = await credentials.verify(text, LOOPBACK);
    expect(byKey.credential).toEqual({ kind: 'API_KEY', id: prefix, familyId: '' });
    expect([
      byKey.allows('session.write'),
      byKey.allows('session.admin'),
      byKey.allows('energy.read'),
    ]).toEqual([true, false, false]);
    expect(credentials.credentialOf(byKey)).toMatchObject({ kind: 'API_KEY', scopes: ['session.*'] });
    expect(credentials.credentialOf({ ...byKey })).toBeUndefined();
  });

  test('a use of a key is told of once per look-up, never of a refused one', async () => {
    const credentials = create();
    await addUser('ada');
    const { text, prefix } = await addApiKey('ada');
    for (let i = 0; i < 5; i++) await credentials.verify(text, LOOPBACK);
    expect(used).toEqual([prefix]);
    await clock.advance(60_000);
    await credentials.verify(text, LOOPBACK);
    const other = text.slice(0, -1) + (text.endsWith('A') ? 'B' : 'A');
    await expect(credentials.verify(other, LOOPBACK)).rejects.toMatchObject(refusal('BAD_TOKEN'));
    expect(used).toEqual([prefix, prefix]);
  });

  test('expiry is looked at on every call, also while they are remembered', async () => {
    const credentials = create();
    const user = await addUser('ada');
    const { text } = await addApiKey('ada', { expiresAtMs: clock.nowMs() + 1_000 });
    const token = tokenOf(user, { expiresAt: clock.nowMs() / 1000 - 59 });
    for (const one of [text, token]) {
      expect(await credentials.verify(one, LOOPBACK)).toMatchObject({ id: 'ada' });
      expect(credentials.verify(one, LOOPBACK)).toMatchObject({ id: 'ada' });
    }
    await clock.advance(1_000);
    for (const one of [text, token])
      expect(() => credentials.verify(one, LOOPBACK)).toThrow(
        expect.objectContaining(refusal('TOKEN_EXPIRED')),
      );
    listener('EVERYTHING');
    await expect(credentials.verify(text, LOOPBACK)).rejects.toMatchObject(refusal('TOKEN_EXPIRED'));
    await expect(credentials.inspect(token)).rejects.toMatchObject(refusal('TOKEN_EXPIRED'));
  });

  test('while changes elsewhere are not known nobody is let in, whatever is remembered', async () => {
    const credentials = create();
    await addUser('ada');
    const { text } = await addApiKey('ada');
    await credentials.verify(text, LOOPBACK);
    stale = true;
    const refused = expect.objectContaining({
      ...refusal('REVOCATION_STALE'),
      kind: 'UNAVAILABLE',
      retryAfterMs: 1_000,
    });
    expect(() => credentials.verify(text, LOOPBACK)).toThrow(refused);
    expect(() => credentials.verify(undefined, shows('s', 'urn:x'))).toThrow(refused);
    await expect(credentials.inspect(text)).rejects.toEqual(refused);
    stale = false;
    expect(credentials.verify(text, LOOPBACK)).toMatchObject({ id: 'ada' });
  });

  test('a change forgets what it is about and nothing else', async () => {
    const credentials = create();
    const [ada, bob] = [await addUser('ada'), await addUser('bob')];
    const { text, prefix } = await addApiKey('ada');
    const tokens = { own: tokenOf(ada), other: tokenOf(ada, { jti: 'other' }), bob: tokenOf(bob), key: text };
    const remembered = () =>
      Object.entries(tokens)
        .filter(([, token]) => !(credentials.verify(token, LOOPBACK) instanceof Promise))
        .map(([name]) => name);
    const all = async () => {
      for (const token of Object.values(tokens)) await credentials.verify(token, LOOPBACK);
      expect(remembered()).toEqual(['own', 'other', 'bob', 'key']);
    };
    await all();
    heard({ kind: 'token', id: 'other' });
    expect(remembered()).toEqual(['own', 'bob', 'key']);
    await all();
    heard({ kind: 'key', id: prefix }, { kind: 'key', id: 'another' });
    expect(remembered()).toEqual(['own', 'other', 'bob']);
    await all();
    heard({ kind: 'principal', id: 'ada' });
    expect(remembered()).toEqual(['bob']);
    await all();
    heard({ kind: 'token', id: prefix }, { kind: 'key', id: 'other' }, { kind: 'family', id: 'x' });
    expect(remembered()).toEqual(['own', 'other', 'bob', 'key']);
    for (const change of [{ kind: 'role', id: 'r' } as const, { kind: 'signing-key', id: 'k' } as const]) {
      heard(change);
      expect(remembered()).toEqual([]);
      await all();
    }
    listener('EVERYTHING');
    expect(remembered()).toEqual([]);
  });

  test('a change while they are being read is not overlooked', async () => {
    const credentials = create();
    await addUser('ada');
    const { text, prefix } = await addApiKey('ada');
    const revoked = opened.store.transact((tx) =>
      revokeKeys(tx, { principalId: 'ada', prefix }, clock.nowMs()),
    );
    const verifying = credentials.verify(text, LOOPBACK);
    await revoked;
    heard({ kind: 'key', id: prefix });
    // Whoever asks from now on does not share the answer that was under way.
    await expect(credentials.verify(text, LOOPBACK)).rejects.toMatchObject(refusal('TOKEN_REVOKED'));
    await Promise.allSettled([verifying]);
    expect(credentials.size).toBe(0);
  });

  test('however often changes come in between, the answer comes and is not remembered', async () => {
    const credentials = create();
    await addUser('ada');
    const { text } = await addApiKey('ada');
    const unrelated = () => {
      heard({ kind: 'token', id: 'unrelated' });
      beforeRead = unrelated;
    };
    beforeRead = unrelated;
    expect(await credentials.verify(text, LOOPBACK)).toMatchObject({ id: 'ada' });
    expect(credentials.size).toBe(0);
    beforeRead = undefined;
    await credentials.verify(text, LOOPBACK);
    expect(credentials.size).toBe(1);
  });

  test('uses of one text at once share one look-up, also when it is refused', async () => {
    const credentials = create();
    await addUser('ada');
    const { text } = await addApiKey('ada');
    await credentials.verify(text, LOOPBACK);
    const one = reads;
    listener('EVERYTHING');
    reads = 0;
    const principals = await Promise.all(
      Array.from({ length: 50 }, () => credentials.verify(text, LOOPBACK)),
    );
    expect(reads).toBe(one);
    expect(new Set(principals).size).toBe(1);
    reads = 0;
    const refused = await Promise.allSettled(
      Array.from({ length: 50 }, () => credentials.verify('x', LOOPBACK)),
    );
    expect(refused.every(({ status }) => status === 'rejected')).toBe(true);
    expect(reads).toBe(1);
  });

  test('a wrong secret, an unknown prefix and text that is nothing are each refused after one look-up', async () => {
    const credentials = create();
    await addUser('ada');
    const { text, prefix } = await addApiKey('ada');
    const secret = text.slice(-43);
    const wrong = [
      `hk_live_${prefix}_${'A'.repeat(43)}`,
      `hk_live_0000000000_${secret}`,
      'no key at all',
      '',
      text.slice(0, -1),
      ` ${text}`,
    ];
    for (const token of wrong) {
      reads = 0;
      await expect(credentials.verify(token, LOOPBACK)).rejects.toMatchObject({
        ...refusal('BAD_TOKEN'),
        kind: 'UNAUTHENTICATED',
      });
      expect(reads).toBe(1);
    }
    expect(credentials.size).toBe(0);
  });

  test('a revoked or expired key, and one of a disabled, deleted or unknown principal, is refused as such', async () => {
    const credentials = create();
    const user = await addUser('ada');
    const { text, prefix } = await addApiKey('ada');
    const save = (changed: StoredPrincipal) => opened.store.transact((tx) => savePrincipal(tx, changed));
    const refuses = async (token: string, reason: string) => {
      listener('EVERYTHING');
      await expect(credentials.verify(token, LOOPBACK)).rejects.toMatchObject(refusal(reason));
    };
    const token = tokenOf(user);
    for (const changed of [{ disabled: true }, { deleted: true }]) {
      await save({ ...user, ...changed });
      await refuses(text, 'TOKEN_REVOKED');
      await refuses(token, 'TOKEN_REVOKED');
    }
    await save(user);
    expect(await credentials.verify(text, LOOPBACK)).toMatchObject({ id: 'ada' });
    await refuses(tokenOf(user, { epoch: 2 }), 'TOKEN_REVOKED');
    await refuses(tokenOf(user, { principalId: 'nobody' }), 'TOKEN_REVOKED');
    await refuses(tokenOf(user, { familyId: 'forgotten' }), 'TOKEN_REVOKED');
    await opened.store.transact((tx) => expireKey(tx, prefix, clock.nowMs()));
    await refuses(text, 'TOKEN_EXPIRED');
    await opened.store.transact((tx) => revokeKeys(tx, { principalId: 'ada', prefix }, clock.nowMs()));
    await refuses(text, 'TOKEN_REVOKED');
    signed.set('x.y.z', { refused: 'EXPIRED' });
    await refuses('x.y.z', 'TOKEN_EXPIRED');
  });

  test('no more are remembered than allowed, and the one remembered first gives way', async () => {
    const credentials = create(3);
    await addUser('ada');
    const keys: string[] = [];
    for (let i = 0; i < 5; i++) keys.push((await addApiKey('ada')).text);
    for (const key of keys) await credentials.verify(key, LOOPBACK);
    expect(credentials.size).toBe(3);
    for (const key of keys.slice(2)) expect(credentials.verify(key, LOOPBACK)).not.toBeInstanceOf(Promise);
    expect(credentials.verify(keys[0]!, LOOPBACK)).toBeInstanceOf(Promise);
  });

  test('a look-up that fails is passed on and not remembered as an answer', async () => {
    const credentials = create();
    await addUser('ada');
    const { text } = await addApiKey('ada');
    beforeRead = () => {
      throw new Error('database away');
    };
    await expect(credentials.verify(text, LOOPBACK)).rejects.toThrow('database away');
    expect(await credentials.verify(text, LOOPBACK)).toMatchObject({ id: 'ada' });
  });

  test('a key with source ranges is taken from them alone, whoever asked before', async () => {
    const credentials = create();
    await addUser('ada');
    const { text } = await addApiKey('ada', { sourceRanges: ['192.0.2.0/24', '2001:db8::/32'] });
    const refused = expect.objectContaining(refusal('BAD_TOKEN'));
    await expect(credentials.verify(text, at('198.51.100.1'))).rejects.toEqual(refused);
    expect(await credentials.verify(text, at('192.0.2.9'))).toMatchObject({ id: 'ada' });
    expect(await credentials.verify(text, at('2001:db8::1'))).toMatchObject({ id: 'ada' });
    expect(() => credentials.verify(text, at('198.51.100.1'))).toThrow(refused);
    expect(() => credentials.verify(text, at(''))).toThrow(refused);
  });

  describe('with client certificates', () => {
    const mismatch = expect.objectContaining(refusal('CERTIFICATE_MISMATCH'));
    const principalOf = async (verified: Principal | Promise<Principal>) => (await verified).id;

    test('a certificate alone is its principal, with all its roles allow, and is remembered', async () => {
      const credentials = create();
      await addUser('ada', { certificateUri: 'spiffe://test/ada' });
      const peer = shows('s1', 'spiffe://test/other', 'spiffe://test/ada');
      const principal = await credentials.verify(undefined, peer);
      expect(principal).toMatchObject({
        id: 'ada',
        credential: { kind: 'CERTIFICATE', id: '', familyId: '' },
      });
      expect(principal.allows('session.write')).toBe(true);
      expect(credentials.verify(undefined, peer)).toBe(principal);
      heard({ kind: 'principal', id: 'ada' });
      expect(credentials.verify(undefined, peer)).toBeInstanceOf(Promise);
    });

    test('a certificate that names nobody, or two, is refused, with a token as well', async () => {
      const credentials = create();
      const ada = await addUser('ada', { certificateUri: 'urn:ada' });
      await addUser('bob', { certificateUri: 'urn:bob' });
      const token = tokenOf(ada);
      for (const peer of [shows('s1'), shows('s2', 'urn:nobody'), shows('s3', 'urn:ada', 'urn:bob')]) {
        await expect(credentials.verify(undefined, peer)).rejects.toEqual(mismatch);
        await expect(credentials.verify(token, peer)).rejects.toEqual(mismatch);
      }
      expect(await principalOf(credentials.verify(token, LOOPBACK))).toBe('ada');
    });

    test('a token or key beside a certificate belongs to the same principal, or is refused', async () => {
      const credentials = create();
      const ada = await addUser('ada', { certificateUri: 'urn:ada' });
      await addUser('bob', { certificateUri: 'urn:bob' });
      const { text } = await addApiKey('ada');
      for (const token of [tokenOf(ada), text]) {
        expect(await principalOf(credentials.verify(token, shows('a', 'urn:ada')))).toBe('ada');
        expect(credentials.verify(token, shows('a', 'urn:ada'))).not.toBeInstanceOf(Promise);
        await expect((async () => credentials.verify(token, shows('b', 'urn:bob')))()).rejects.toEqual(
          mismatch,
        );
        expect(() => credentials.verify(token, shows('b', 'urn:bob'))).toThrow(mismatch);
      }
    });

    test('identity.A1 a token bound to a certificate is good with that one alone', async () => {
      const credentials = create();
      const ada = await addUser('ada', { certificateUri: 'urn:ada' });
      const token = tokenOf(ada, { certificateSha256: 'mine' });
      await expect(credentials.verify(token, LOOPBACK)).rejects.toEqual(mismatch);
      await expect((async () => credentials.verify(token, shows('renewed', 'urn:ada')))()).rejects.toEqual(
        mismatch,
      );
      expect(await principalOf(credentials.verify(token, shows('mine', 'urn:ada')))).toBe('ada');
      expect(() => credentials.verify(token, LOOPBACK)).toThrow(mismatch);
      expect((await credentials.inspect(token)).credential.certificateSha256).toBe('mine');
    });
  });
});
