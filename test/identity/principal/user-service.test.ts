import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import {
  PrincipalKind,
  Tier,
  type User,
  UserService,
} from '../../../src/gen/homeostat/identity/v1/user_service_pb.ts';
import { issueKey, KEY_BYTES } from '../../../src/identity/key/api-key.ts';
import { addKey, findKey } from '../../../src/identity/key/key-store.ts';
import { findPassword } from '../../../src/identity/password/password-store.ts';
import { findPrincipal } from '../../../src/identity/principal/principal-store.ts';
import { identityMigrations } from '../../../src/identity/store.ts';
import { systemSecrets } from '../../../src/secrets.ts';
import type { Store } from '../../../src/store/store.ts';
import { createFakeClock, type FakeClock } from '../../support/fake-clock.ts';
import { describeOnStores, type TestDatabase } from '../../support/stores.ts';
import { createUserWorld, type Invoke, type UserWorld } from './user-world.ts';

const { method } = UserService;
const PASSWORD = 'correct horse battery';

describeOnStores('UserService', (engine) => {
  let database: TestDatabase;
  let store: Store;
  let clock: FakeClock;
  let world: UserWorld;
  let root: Invoke;
  let keys = 0;

  const key = () => `key-${keys++}`;
  const createUser = async (change: object = {}): Promise<User> =>
    (await root(method.createUser, { username: 'ada', idempotencyKey: key(), ...change })).user!;

  beforeEach(async () => {
    database = await engine.createDatabase();
    store = await database.open(identityMigrations);
    clock = createFakeClock();
    world = createUserWorld({ store, clock });
    await world.add('root', ['admin']);
    root = await world.as('root');
  });
  afterEach(async () => {
    expect(clock.pending()).toBe(0);
    await database.dispose();
  });

  describe('creating', () => {
    test('a user is returned as it is read back, announced and audited', async () => {
      const user = await createUser({
        roles: ['viewer', 'operator', 'viewer'],
        tier: Tier.PRO,
        password: PASSWORD,
      });
      expect(user).toMatchObject({
        username: 'ada',
        kind: PrincipalKind.USER,
        roles: ['viewer', 'operator'],
        tier: Tier.PRO,
        disabled: false,
        version: 1n,
        certificateUri: '',
        hasPassword: true,
      });
      expect((await root(method.getUser, { id: user.id })).user).toEqual(user);
      expect(world.events).toMatchObject([
        {
          topic: 'principal_changed',
          key: `${user.id}.1`,
          message: { user, deleted: false, changedBy: 'root' },
        },
      ]);
      expect(world.audited).toEqual([`principal/${user.id}`]);
    });

    test('a service has no password, a certificate names it, and its tier is FREE where none is given', async () => {
      const uri = 'spiffe://fleet/ci';
      const user = await createUser({ kind: PrincipalKind.SERVICE, certificateUri: uri });
      expect(user).toMatchObject({
        kind: PrincipalKind.SERVICE,
        tier: Tier.FREE,
        certificateUri: uri,
        hasPassword: false,
      });
      await expect(createUser({ username: 'bob', certificateUri: uri })).rejects.toMatchObject({
        reason: 'FIELD_INVALID',
        violations: [{ field: 'certificate_uri' }],
      });
    });

    test.each([
      [{ kind: PrincipalKind.NODE }, 'kind'],
      [{ kind: PrincipalKind.SERVICE, password: PASSWORD }, 'password'],
    ])('%j is refused for its %s', async (change, field) => {
      await expect(createUser(change)).rejects.toMatchObject({
        reason: 'FIELD_INVALID',
        violations: [{ field }],
      });
    });

    test('a weak password, an unknown role and a name that is taken are refused', async () => {
      await expect(createUser({ password: 'short' })).rejects.toMatchObject({ reason: 'WEAK_PASSWORD' });
      await expect(createUser({ password: 'I am Ada of Mars' })).rejects.toMatchObject({
        reason: 'WEAK_PASSWORD',
      });
      await expect(createUser({ roles: ['viewer', 'ghost'] })).rejects.toMatchObject({
        reason: 'ROLE_NOT_FOUND',
        metadata: { role: 'ghost' },
      });
      await createUser();
      await expect(createUser()).rejects.toMatchObject({
        reason: 'USERNAME_TAKEN',
        metadata: { username: 'ada' },
      });
    });

    test('a repeat returns the first answer, another request under its key is refused', async () => {
      const request = { username: 'ada', password: PASSWORD, idempotencyKey: 'one' };
      const { user } = await root(method.createUser, request);
      expect((await root(method.createUser, request)).user).toEqual(user);
      for (const change of [{ tier: Tier.PRO }, { password: `${PASSWORD}!` }])
        await expect(root(method.createUser, { ...request, ...change })).rejects.toMatchObject({
          reason: 'IDEMPOTENCY_KEY_REUSED',
          metadata: { idempotency_key: 'one' },
        });
    });

    test('of twenty at once under one name one is created', async () => {
      const results = await Promise.allSettled(Array.from({ length: 20 }, () => createUser()));
      const refused = results
        .filter((result) => result.status === 'rejected')
        .map((result) => result.reason.reason);
      expect(refused).toEqual(Array(19).fill('USERNAME_TAKEN'));
    });

    test('nobody gives more than the credential of the call allows', async () => {
      await root(method.putRole, { name: 'clerk', allow: ['user.*', 'energy.read'] });
      await world.add('carl', ['clerk']);
      const carl = await world.as('carl');
      await expect(
        carl(method.createUser, { username: 'eve', roles: ['admin'], idempotencyKey: 'x' }),
      ).rejects.toMatchObject({ reason: 'NO_PERMISSION', kind: 'PERMISSION_DENIED' });
      await carl(method.createUser, { username: 'eve', roles: ['clerk'], idempotencyKey: 'x' });
      const narrow = await world.as('root', ['user.admin']);
      await expect(
        narrow(method.createUser, { username: 'mal', roles: ['viewer'], idempotencyKey: 'y' }),
      ).rejects.toMatchObject({ reason: 'NO_PERMISSION', metadata: { permission: 'telemetry.read' } });
    });
  });

  describe('listing', () => {
    test('principals come in the order of their names, in pages, filtered', async () => {
      for (const [i, roles] of [['viewer'], ['a_b'], ['a.b', 'viewer'], []].entries())
        await world.add(`user-${i}`, roles, { kind: i === 3 ? 'SERVICE' : 'USER', disabled: i === 1 });
      const names = async (request: object) =>
        (await root(method.listUsers, request)).users.map((user) => user.username);
      expect(await names({})).toEqual(['root', 'user-0', 'user-1', 'user-2', 'user-3']);
      expect(await names({ role: 'viewer' })).toEqual(['user-0', 'user-2']);
      expect(await names({ role: 'a_b' })).toEqual(['user-1']);
      expect(await names({ role: 'view' })).toEqual([]);
      expect(await names({ kind: PrincipalKind.SERVICE })).toEqual(['user-3']);
      expect(await names({ disabled: true })).toEqual(['user-1']);
      expect(await names({ disabled: false, role: 'viewer' })).toEqual(['user-0', 'user-2']);

      const first = await root(method.listUsers, { page: { pageSize: 3 } });
      expect(first.users.map((user) => user.username)).toEqual(['root', 'user-0', 'user-1']);
      const rest = await root(method.listUsers, { page: { pageSize: 3, pageToken: first.nextPageToken } });
      expect(rest.users.map((user) => user.username)).toEqual(['user-2', 'user-3']);
      expect(rest.nextPageToken).toBe('');
      await expect(names({ page: { pageToken: 'Not a name' } })).rejects.toMatchObject({
        violations: [{ field: 'page.page_token' }],
      });
    });
  });

  describe('changing', () => {
    test('what is unset stays, and the version grows', async () => {
      const user = await createUser({ roles: ['viewer'], tier: Tier.PRO });
      await clock.advance(5);
      const { user: after } = await root(method.updateUser, {
        id: user.id,
        tier: Tier.ENTERPRISE,
        version: 1n,
      });
      expect(after).toMatchObject({ roles: ['viewer'], tier: Tier.ENTERPRISE, disabled: false, version: 2n });
      expect(after!.updatedAt).not.toEqual(after!.createdAt);
      expect((await findPrincipal(store, user.id))!.epoch).toBe(1);
      expect(world.events.map((event) => event.topic)).toEqual(['principal_changed', 'principal_changed']);
    });

    test('other roles and disabling make everything issued before worthless, and say so', async () => {
      const user = await createUser({ roles: ['viewer'] });
      const epoch = async () => (await findPrincipal(store, user.id))!.epoch;
      await root(method.updateUser, { id: user.id, roles: { names: ['viewer'] }, version: 1n });
      expect(await epoch()).toBe(1);
      await root(method.updateUser, { id: user.id, roles: { names: [] }, version: 2n });
      expect(await epoch()).toBe(2);
      await root(method.updateUser, { id: user.id, disabled: true, version: 3n });
      expect(await epoch()).toBe(3);
      expect(world.events.filter((event) => event.topic === 'credential_revoked')).toMatchObject(
        [2, 3].map((number) => ({
          key: `principal.${user.id}.${number}`,
          message: { subjectId: user.id, revokedBy: 'root', reason: 'changed' },
        })),
      );
      expect(world.changes).toContainEqual({ kind: 'principal', id: user.id });
    });

    test('a version that is not the current one is refused, and of ten at once one wins', async () => {
      const { id } = await createUser();
      await expect(root(method.updateUser, { id, tier: Tier.PRO, version: 2n })).rejects.toMatchObject({
        reason: 'VERSION_CONFLICT',
        metadata: { current: '1' },
      });
      const results = await Promise.allSettled(
        Array.from({ length: 10 }, () => root(method.updateUser, { id, tier: Tier.PRO, version: 1n })),
      );
      expect(results.filter((result) => result.status === 'fulfilled')).toHaveLength(1);
      expect((await root(method.getUser, { id })).user!.version).toBe(2n);
    });

    test('enabling somebody again is giving what they may do', async () => {
      await world.add('ops', ['operator'], { disabled: true });
      const narrow = await world.as('root', ['user.admin']);
      const enable = { id: 'ops', disabled: false, version: 1n };
      await expect(narrow(method.updateUser, enable)).rejects.toMatchObject({ reason: 'NO_PERMISSION' });
      expect((await root(method.updateUser, enable)).user!.disabled).toBe(false);
    });

    test('unknown principals are not found', async () => {
      for (const call of [
        () => root(method.getUser, { id: 'nobody' }),
        () => root(method.updateUser, { id: 'nobody', version: 1n }),
        () => root(method.deleteUser, { id: 'nobody', version: 1n }),
        () => root(method.resetPassword, { id: 'nobody', version: 1n }),
        () => root(method.explainAccess, { principalId: 'nobody', method: 'grpc.health.v1.Health/Check' }),
      ])
        await expect(call()).rejects.toMatchObject({ reason: 'PRINCIPAL_NOT_FOUND' });
    });
  });

  describe('deleting', () => {
    test('takes password, keys and certificate with it; id and name stay taken', async () => {
      const uri = 'spiffe://fleet/ada';
      const user = await createUser({ password: PASSWORD, certificateUri: uri, roles: ['viewer'] });
      const { stored } = issueKey(
        {
          principalId: user.id,
          label: 'mine',
          scopes: ['energy.read'],
          sourceRanges: [],
          environment: 'live',
          expiresAtMs: undefined,
        },
        systemSecrets.bytes(KEY_BYTES),
        clock.nowMs(),
      );
      await store.transact((tx) => addKey(tx, stored));
      const { deletedAt } = await root(method.deleteUser, { id: user.id, version: 1n });
      expect(deletedAt).toBeDefined();
      await expect(root(method.getUser, { id: user.id })).rejects.toMatchObject({
        reason: 'PRINCIPAL_NOT_FOUND',
      });
      expect((await root(method.listUsers, {})).users.map((one) => one.username)).toEqual(['root']);
      expect(await findPassword(store, user.id)).toBeUndefined();
      expect((await findKey(store, stored.prefix))!.revokedAtMs).toBe(clock.nowMs());
      expect(await findPrincipal(store, user.id)).toMatchObject({ deleted: true, roles: [], epoch: 2 });
      expect(world.changes).toEqual([{ kind: 'principal', id: user.id }]);
      expect(world.events.at(-2)).toMatchObject({ topic: 'principal_changed', message: { deleted: true } });
      await expect(createUser()).rejects.toMatchObject({ reason: 'USERNAME_TAKEN' });
      await createUser({ username: 'heir', certificateUri: uri });
    });
  });
});
