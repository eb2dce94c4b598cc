import { timestampMs } from '@bufbuild/protobuf/wkt';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { ApiKeyService, KeyEnvironment } from '../../../src/gen/homeostat/identity/v1/api_key_service_pb.ts';
import { UserService } from '../../../src/gen/homeostat/identity/v1/user_service_pb.ts';
import { hashSecret, isUsable, parseApiKey, secretMatches } from '../../../src/identity/key/api-key.ts';
import { KEYS_PER_OWNER_MAX } from '../../../src/identity/key/key-service.ts';
import { findKey } from '../../../src/identity/key/key-store.ts';
import { createKeyUse } from '../../../src/identity/key/key-use-service.ts';
import { identityMigrations } from '../../../src/identity/store.ts';
import type { Store } from '../../../src/store/store.ts';
import { createFakeClock, type FakeClock, settle } from '../../support/fake-clock.ts';
import { describeOnStores, silentLogger, type TestDatabase } from '../../support/stores.ts';
import { createUserWorld, type Invoke, type UserWorld } from '../principal/user-world.ts';

const { method } = ApiKeyService;
const DAY_MS = 24 * 60 * 60 * 1000;

describeOnStores('ApiKeyService', (engine) => {
  let database: TestDatabase;
  let store: Store;
  let clock: FakeClock;
  let world: UserWorld;
  let root: Invoke;
  let ada: Invoke;
  let keys = 0;

  const request = (change: object = {}) => ({
    label: 'ci',
    scopes: ['energy.read'],
    idempotencyKey: `key-${keys++}`,
    ...change,
  });
  const create = (change: object = {}, caller = ada) => caller(method.createApiKey, request(change));
  const storedOf = async (text: string) => (await findKey(store, parseApiKey(text)!.prefix))!;

  beforeEach(async () => {
    database = await engine.createDatabase();
    store = await database.open(identityMigrations);
    clock = createFakeClock();
    world = createUserWorld({ store, clock });
    await world.add('root', ['admin']);
    await world.add('ada', ['viewer']);
    root = await world.as('root');
    ada = await world.as('ada');
  });
  afterEach(async () => {
    expect(clock.pending()).toBe(0);
    await database.dispose();
  });

  describe('creating', () => {
    test('a key is shown once, and what is stored does not tell its secret', async () => {
      const { key, apiKey } = await create({
        scopes: ['energy.read', 'energy.read'],
        sourceRanges: ['10.0.0.0/8'],
      });
      const { prefix, secret, environment } = parseApiKey(key)!;
      expect(environment).toBe('live');
      expect(apiKey).toMatchObject({
        keyId: prefix,
        owner: 'ada',
        label: 'ci',
        scopes: ['energy.read'],
        sourceRanges: ['10.0.0.0/8'],
      });
      expect(timestampMs(apiKey!.expiresAt!)).toBe(clock.nowMs() + 90 * DAY_MS);
      expect([apiKey!.lastUsedAt, apiKey!.revokedAt]).toEqual([undefined, undefined]);
      const stored = await storedOf(key);
      expect(stored.secretHash).toEqual(hashSecret(secret));
      expect(secretMatches(secret, stored)).toBe(true);
      expect((await ada(method.listApiKeys, {})).apiKeys).toEqual([apiKey]);
      expect(world.audited).toEqual([`key/${prefix}`]);
    });

    test('environment and time are as asked', async () => {
      const { key, apiKey } = await create({
        environment: KeyEnvironment.TEST,
        expiresIn: { seconds: 86_400n, nanos: 0 },
      });
      expect(key).toMatch(/^hk_test_/);
      expect(timestampMs(apiKey!.expiresAt!)).toBe(clock.nowMs() + DAY_MS);
    });

    test('a repeat shows the same key again, which lies sealed in the database', async () => {
      const again = request();
      const first = await ada(method.createApiKey, again);
      expect(await ada(method.createApiKey, again)).toEqual(first);
      await expect(ada(method.createApiKey, { ...again, label: 'other' })).rejects.toMatchObject({
        reason: 'IDEMPOTENCY_KEY_REUSED',
      });
      const rows = await store
        .query<{ store_idempotency: { response: Uint8Array } }>()
        .selectFrom('store_idempotency')
        .select('response')
        .execute();
      expect(rows).toHaveLength(1);
      expect(Buffer.from(rows[0]!.response).includes(parseApiKey(first.key)!.secret)).toBe(false);
    });

    test('a scope wider than what the owner may do, or than the credential of the call, is refused', async () => {
      for (const [scopes, wide] of [
        [['energy.read', 'energy.write'], 'energy.write'],
        [['energy.compute'], 'energy.compute'],
        [['*.read'], '*.read'],
        [['*.*'], '*.*'],
      ] as const)
        await expect(create({ scopes })).rejects.toMatchObject({
          reason: 'SCOPE_EXCEEDS',
          metadata: { scope: wide },
        });
      const narrow = await world.as('ada', ['self.write']);
      await expect(create({}, narrow)).rejects.toMatchObject({ metadata: { scope: 'energy.read' } });
      await create({ scopes: ['session.read', 'self.*'] });
    });

    test("others' keys need key.admin, and are no way to more than one may do oneself", async () => {
      await expect(create({ owner: 'root' })).rejects.toMatchObject({
        reason: 'NO_PERMISSION',
        metadata: { permission: 'key.admin' },
      });
      expect((await create({ owner: 'ada' }, root)).apiKey!.owner).toBe('ada');
      await expect(create({ owner: 'ada', scopes: ['user.read'] }, root)).rejects.toMatchObject({
        reason: 'SCOPE_EXCEEDS',
      });
      await expect(create({ owner: 'ghost' }, root)).rejects.toMatchObject({ reason: 'PRINCIPAL_NOT_FOUND' });
      await root(UserService.method.putRole, { name: 'keeper', allow: ['key.admin', 'self.write'] });
      await world.add('kim', ['keeper']);
      await expect(
        create({ owner: 'root', scopes: ['user.admin'] }, await world.as('kim')),
      ).rejects.toMatchObject({
        reason: 'SCOPE_EXCEEDS',
      });
    });

    test('bad ranges and labels are refused with their path', async () => {
      await expect(
        create({ label: 'a\u0000', sourceRanges: ['10.0.0.0/8', '10.0.0.0/40', 'here'] }),
      ).rejects.toMatchObject({
        reason: 'FIELD_INVALID',
        violations: [{ field: 'label' }, { field: 'source_ranges[1]' }, { field: 'source_ranges[2]' }],
      });
      await expect(create({ label: 'e\u0301' })).rejects.toMatchObject({ violations: [{ field: 'label' }] });
    });

    test('an owner has at most 50 keys that are good, however many are asked for at once', async () => {
      const results = await Promise.allSettled(
        Array.from({ length: KEYS_PER_OWNER_MAX + 5 }, () => create()),
      );
      const refused = results.flatMap((result) => (result.status === 'rejected' ? [result.reason] : []));
      expect(refused.map((error) => error.reason)).toEqual(Array(5).fill('TOO_MANY_KEYS'));
      expect(refused[0].metadata).toEqual({ limit: '50' });
      const [one] = (await ada(method.listApiKeys, {})).apiKeys;
      await ada(method.rotateApiKey, { keyId: one!.keyId });
      const overlap = { seconds: 60n, nanos: 0 };
      const next = (await ada(method.listApiKeys, {})).apiKeys.find((key) => key.revokedAt === undefined)!;
      await expect(ada(method.rotateApiKey, { keyId: next.keyId, overlap })).rejects.toMatchObject({
        reason: 'TOO_MANY_KEYS',
      });
      await ada(method.revokeApiKey, { keyId: next.keyId, reason: 'room' });
      await create();
      await clock.advance(90 * DAY_MS);
      await create();
    });
  });

  describe('listing', () => {
    test('is newest first, in pages, of one owner', async () => {
      const made: string[] = [];
      for (let i = 0; i < 5; i++) {
        made.unshift((await create({ label: `key ${i}` })).apiKey!.label);
        if (i !== 2) await clock.advance(1_000);
      }
      await create({ label: "root's" }, root);
      const seen: string[] = [];
      let pageToken = '';
      do {
        const reply = await ada(method.listApiKeys, { page: { pageSize: 2, pageToken } });
        expect(reply.apiKeys.length).toBeLessThanOrEqual(2);
        seen.push(...reply.apiKeys.map((key) => key.label));
        pageToken = reply.nextPageToken;
      } while (pageToken !== '');
      expect(seen.toSorted()).toEqual(made.toSorted());
      expect([seen[0], seen.at(-1)]).toEqual(['key 4', 'key 0']);
      await expect(ada(method.listApiKeys, { owner: 'root' })).rejects.toMatchObject({
        reason: 'NO_PERMISSION',
      });
      const others = (await root(method.listApiKeys, {})).apiKeys[0]!;
      await expect(ada(method.listApiKeys, { page: { pageToken: others.keyId } })).rejects.toMatchObject({
        violations: [{ field: 'page.page_token' }],
      });
    });
  });

  describe('rotating', () => {
    test('without overlap the old key ends at once; everything else is as before', async () => {
      const { key, apiKey } = await create({ sourceRanges: ['::1'], environment: KeyEnvironment.TEST });
      await clock.advance(DAY_MS);
      const rotated = await ada(method.rotateApiKey, { keyId: apiKey!.keyId });
      expect(rotated.key).toMatch(/^hk_test_/);
      const { label, scopes, sourceRanges, expiresAt } = apiKey!;
      expect(rotated.apiKey).toMatchObject({ owner: 'ada', label, scopes, sourceRanges, expiresAt });
      expect(rotated.apiKey!.keyId).not.toBe(apiKey!.keyId);
      expect(isUsable(await storedOf(key), clock.nowMs())).toBe(false);
      expect(isUsable(await storedOf(rotated.key), clock.nowMs())).toBe(true);
      expect(world.changes).toEqual([{ kind: 'key', id: apiKey!.keyId }]);
      expect(world.events).toMatchObject([
        {
          topic: 'credential_revoked',
          message: { subjectId: apiKey!.keyId, revokedBy: 'ada', reason: 'rotated' },
        },
      ]);
      await expect(ada(method.rotateApiKey, { keyId: apiKey!.keyId })).rejects.toMatchObject({
        reason: 'KEY_REVOKED',
        metadata: { key_id: apiKey!.keyId },
      });
    });

    test('with overlap both are good until it is over, and no longer than before', async () => {
      const { key, apiKey } = await create({ expiresIn: { seconds: 86_400n, nanos: 0 } });
      const overlap = { seconds: 3_600n, nanos: 0 };
      const rotated = await ada(method.rotateApiKey, { keyId: apiKey!.keyId, overlap });
      const usable = async (text: string) => isUsable(await storedOf(text), clock.nowMs());
      await clock.advance(3_599_999);
      expect([await usable(key), await usable(rotated.key)]).toEqual([true, true]);
      await clock.advance(1);
      expect([await usable(key), await usable(rotated.key)]).toEqual([false, true]);
      expect(world.changes).toEqual([{ kind: 'key', id: apiKey!.keyId }]);
      const week = { seconds: 604_800n, nanos: 0 };
      await ada(method.rotateApiKey, { keyId: rotated.apiKey!.keyId, overlap: week });
      expect((await storedOf(rotated.key)).expiresAtMs).toBe(timestampMs(apiKey!.expiresAt!));
    });

    test('a repeat under its key shows the same key, without one it makes another', async () => {
      const { apiKey } = await create();
      const overlap = { seconds: 3_600n, nanos: 0 };
      const once = { keyId: apiKey!.keyId, overlap, idempotencyKey: 'rotate' };
      const first = await ada(method.rotateApiKey, once);
      expect(await ada(method.rotateApiKey, once)).toEqual(first);
      const more = { keyId: apiKey!.keyId, overlap };
      expect((await ada(method.rotateApiKey, more)).key).not.toBe((await ada(method.rotateApiKey, more)).key);
    });

    test('is no way to more than the credential of the call allows', async () => {
      const { apiKey } = await create({ scopes: ['energy.read', 'self.write'] });
      const narrow = await world.as('ada', ['self.write']);
      await expect(narrow(method.rotateApiKey, { keyId: apiKey!.keyId })).rejects.toMatchObject({
        reason: 'SCOPE_EXCEEDS',
        metadata: { scope: 'energy.read' },
      });
      const others = await create({}, root);
      await expect(ada(method.rotateApiKey, { keyId: others.apiKey!.keyId })).rejects.toMatchObject({
        reason: 'NO_PERMISSION',
      });
    });
  });

  describe('revoking', () => {
    test('counts at once, is announced once, and again changes nothing', async () => {
      const { key, apiKey } = await create();
      const { keyId } = apiKey!;
      const first = await ada(method.revokeApiKey, { keyId, reason: 'lost' });
      expect(timestampMs(first.effectiveAt!)).toBe(clock.nowMs());
      expect(isUsable(await storedOf(key), clock.nowMs())).toBe(false);
      await clock.advance(1_000);
      expect(await root(method.revokeApiKey, { keyId, reason: 'again' })).toEqual(first);
      expect(world.events).toMatchObject([
        { topic: 'credential_revoked', key: `key.${keyId}`, message: { revokedBy: 'ada', reason: 'lost' } },
      ]);
      expect(world.changes).toEqual([{ kind: 'key', id: keyId }]);
      expect((await ada(method.listApiKeys, {})).apiKeys[0]!.revokedAt).toEqual(first.effectiveAt);
    });

    test('unknown keys are not found, and control characters refused', async () => {
      for (const call of [
        () => ada(method.revokeApiKey, { keyId: '0123456789', reason: 'x' }),
        () => ada(method.rotateApiKey, { keyId: '0123456789' }),
      ])
        await expect(call()).rejects.toMatchObject({
          reason: 'KEY_NOT_FOUND',
          metadata: { key_id: '0123456789' },
        });
      await expect(ada(method.revokeApiKey, { keyId: '0123456789', reason: '\u0007' })).rejects.toMatchObject(
        {
          violations: [{ field: 'reason' }],
        },
      );
    });
  });

  describe('uses', () => {
    const lastUse = async (keyId: string) => (await findKey(store, keyId))!.lastUsedAtMs;

    test('are written once a minute, the last one, and at the end', async () => {
      const { keyId } = (await create()).apiKey!;
      const use = createKeyUse({ store, clock, logger: silentLogger });
      use.start();
      use.note(keyId);
      await clock.advance(30_000);
      use.note(keyId);
      const lastMs = clock.nowMs();
      expect(await lastUse(keyId)).toBeUndefined();
      await clock.advance(30_000);
      while ((await lastUse(keyId)) === undefined) await settle();
      expect(await lastUse(keyId)).toBe(lastMs);
      use.note(keyId);
      await use.stop();
      expect(await lastUse(keyId)).toBe(clock.nowMs());
    });

    test('an earlier use does not take the place of a later one from another server', async () => {
      const { keyId } = (await create()).apiKey!;
      const [early, late] = [
        createKeyUse({ store, clock, logger: silentLogger }),
        createKeyUse({ store, clock, logger: silentLogger }),
      ];
      early.note(keyId);
      await clock.advance(1_000);
      late.note(keyId);
      await late.stop();
      await early.stop();
      expect(await lastUse(keyId)).toBe(clock.nowMs());
    });
  });
});
