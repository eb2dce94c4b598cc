import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { AccessVerdict, UserService } from '../../../src/gen/homeostat/identity/v1/user_service_pb.ts';
import { findPrincipal } from '../../../src/identity/principal/principal-store.ts';
import { identityMigrations } from '../../../src/identity/store.ts';
import type { Store } from '../../../src/store/store.ts';
import { createFakeClock, type FakeClock } from '../../support/fake-clock.ts';
import { describeOnStores, type TestDatabase } from '../../support/stores.ts';
import { createUserWorld, type Invoke, type UserWorld } from './user-world.ts';

const { method } = UserService;

describeOnStores('UserService', (engine) => {
  let database: TestDatabase;
  let store: Store;
  let clock: FakeClock;
  let world: UserWorld;
  let root: Invoke;

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

  describe('the last administrator', () => {
    test('stays, whatever is tried', async () => {
      await root(method.putRole, { name: 'boss', allow: ['user.admin'] });
      await root(method.putRole, { name: 'no-boss', deny: ['user.admin'] });
      for (const attempt of [
        () => root(method.updateUser, { id: 'root', roles: { names: ['viewer'] }, version: 1n }),
        () => root(method.updateUser, { id: 'root', roles: { names: ['admin', 'no-boss'] }, version: 1n }),
        () => root(method.updateUser, { id: 'root', disabled: true, version: 1n }),
        () => root(method.deleteUser, { id: 'root', version: 1n }),
      ])
        await expect(attempt()).rejects.toMatchObject({ reason: 'LAST_ADMIN', kind: 'FAILED_PRECONDITION' });
      expect(await findPrincipal(store, 'root')).toMatchObject({ roles: ['admin'], version: 1, epoch: 1 });
      expect(world.events.filter((event) => event.topic === 'principal_changed')).toEqual([]);

      await world.add('boss', ['boss']);
      await root(method.updateUser, { id: 'root', roles: { names: ['viewer'] }, version: 1n });
      const boss = await world.as('boss');
      for (const change of [{ allow: [] }, { allow: ['user.admin'], inherits: ['no-boss'] }])
        await expect(boss(method.putRole, { name: 'boss', version: 1n, ...change })).rejects.toMatchObject({
          reason: 'LAST_ADMIN',
        });
    });

    test('of two administrators that take each other away at once, on two servers, one is left', async () => {
      const worlds = [world, createUserWorld({ store: await database.open(), clock })] as const;
      let survivor = 'root';
      for (let round = 0; round < 5; round++) {
        const rival = `rival-${round}`;
        await world.add(rival, ['admin']);
        const callers = [await worlds[0].as(survivor), await worlds[1].as(rival)] as const;
        const results = await Promise.allSettled([
          callers[0](method.updateUser, { id: rival, disabled: true, version: 1n }),
          callers[1](method.deleteUser, { id: survivor, version: 1n }),
        ]);
        expect(
          results.flatMap((result) => (result.status === 'rejected' ? [result.reason.reason] : [])),
        ).toEqual(['LAST_ADMIN']);
        survivor = results[0].status === 'fulfilled' ? survivor : rival;
        expect(await findPrincipal(store, survivor)).toMatchObject({ disabled: false, deleted: false });
      }
    });
  });

  describe('roles', () => {
    test('the built-in ones come first, and cannot be changed', async () => {
      await root(method.putRole, { name: 'aaa', allow: ['energy.read'] });
      const { roles } = await root(method.listRoles, {});
      expect(roles.map((role) => [role.name, role.builtIn])).toEqual([
        ...['viewer', 'researcher', 'developer', 'operator', 'admin', 'node', 'service'].map((name) => [
          name,
          true,
        ]),
        ['aaa', false],
      ]);
      for (const call of [
        () => root(method.putRole, { name: 'viewer', allow: ['*.*'], version: 1n }),
        () => root(method.deleteRole, { name: 'viewer', version: 1n }),
      ])
        await expect(call()).rejects.toMatchObject({ reason: 'BUILT_IN', metadata: { role: 'viewer' } });
    });

    test('a role is created with version 0 and replaced with the version seen', async () => {
      const put = (change: object) =>
        root(method.putRole, { name: 'team', allow: ['energy.read'], ...change });
      await expect(put({ version: 3n })).rejects.toMatchObject({ reason: 'ROLE_NOT_FOUND' });
      expect((await put({})).role).toMatchObject({ name: 'team', version: 1n, builtIn: false });
      await expect(put({})).rejects.toMatchObject({ reason: 'VERSION_CONFLICT', metadata: { current: '1' } });
      const { role } = await put({ version: 1n, inherits: ['viewer'], deny: ['*.write'] });
      expect(role).toMatchObject({
        inherits: ['viewer'],
        allow: ['energy.read'],
        deny: ['*.write'],
        version: 2n,
      });
      expect((await root(method.listRoles, {})).roles.at(-1)).toEqual(role);
      expect(world.events).toMatchObject([
        { topic: 'role_changed', message: { deleted: false, changedBy: 'root' } },
        { topic: 'role_changed', message: { role, deleted: false } },
      ]);
      expect(world.changes).toEqual(Array(2).fill({ kind: 'role', id: 'team' }));
    });

    test('identity.R3 a cycle is refused with its path, unknown roles and permissions by name', async () => {
      await root(method.putRole, { name: 'a' });
      await root(method.putRole, { name: 'b', inherits: ['a'] });
      await root(method.putRole, { name: 'c', inherits: ['viewer', 'b'] });
      await expect(root(method.putRole, { name: 'a', inherits: ['c'], version: 1n })).rejects.toMatchObject({
        reason: 'ROLE_CYCLE',
        metadata: { path: 'a > c > b > a' },
      });
      await expect(root(method.putRole, { name: 'new', inherits: ['new'] })).rejects.toMatchObject({
        reason: 'ROLE_CYCLE',
      });
      await expect(root(method.putRole, { name: 'new', inherits: ['ghost'] })).rejects.toMatchObject({
        reason: 'ROLE_NOT_FOUND',
      });
      await expect(root(method.putRole, { name: 'new', deny: ['energy.fly'] })).rejects.toMatchObject({
        reason: 'UNKNOWN_PERMISSION',
        metadata: { permission: 'energy.fly' },
      });
    });

    test('a role in use is not deleted; made anew it is another event', async () => {
      await root(method.putRole, { name: 'base' });
      await root(method.putRole, { name: 'heir', inherits: ['base'] });
      await world.add('ann', ['base'], { disabled: true });
      await expect(root(method.deleteRole, { name: 'base', version: 1n })).rejects.toMatchObject({
        reason: 'ROLE_IN_USE',
        metadata: { role: 'base', count: '2' },
      });
      await expect(root(method.deleteRole, { name: 'heir', version: 2n })).rejects.toMatchObject({
        reason: 'VERSION_CONFLICT',
      });
      await root(method.deleteRole, { name: 'heir', version: 1n });
      await root(method.updateUser, { id: 'ann', roles: { names: [] }, version: 1n });
      await root(method.deleteRole, { name: 'base', version: 1n });
      await expect(root(method.deleteRole, { name: 'base', version: 1n })).rejects.toMatchObject({
        reason: 'ROLE_NOT_FOUND',
      });
      await clock.advance(1);
      await root(method.putRole, { name: 'base' });
      const told = world.events.filter((event) => event.topic === 'role_changed').map((event) => event.key);
      expect(new Set(told).size).toBe(told.length);
    });

    test('nobody widens by a role what they may do themselves', async () => {
      await root(method.putRole, { name: 'clerk', allow: ['user.*'] });
      await root(method.putRole, { name: 'fence', deny: ['energy.admin'] });
      await world.add('carl', ['clerk']);
      await world.add('fenced', ['admin', 'fence']);
      const carl = await world.as('carl');
      for (const change of [
        { name: 'clerk', allow: ['user.*', 'energy.read'] },
        { name: 'clerk', inherits: ['admin'], allow: [] },
        { name: 'fence', deny: [] },
      ])
        await expect(carl(method.putRole, { version: 1n, ...change })).rejects.toMatchObject({
          reason: 'NO_PERMISSION',
        });
      // Nobody has this role, so nobody gains; giving it to somebody is refused then.
      await carl(method.putRole, { name: 'trap', allow: ['*.*'] });
      await expect(
        carl(method.updateUser, { id: 'carl', roles: { names: ['clerk', 'trap'] }, version: 1n }),
      ).rejects.toMatchObject({ reason: 'NO_PERMISSION' });
    });
  });

  describe('explaining', () => {
    const explained = (principalId: string, name: string) =>
      root(method.explainAccess, { principalId, method: `homeostat.${name}` });

    test('names the deciding roles and the rule', async () => {
      await root(method.putRole, { name: 'quiet', deny: ['*.operate'] });
      await root(method.putRole, { name: 'team', inherits: ['operator', 'quiet'] });
      await world.add('ann', ['developer', 'team']);
      expect(await explained('ann', 'energy.v1.EnergyService/GetMap')).toMatchObject({
        verdict: AccessVerdict.ALLOWED,
        permission: 'energy.read',
        rolePath: ['developer', 'researcher', 'viewer'],
        rule: 'energy.read',
      });
      expect(await explained('ann', 'node.v1.NodeService/DrainNode')).toMatchObject({
        verdict: AccessVerdict.DENIED,
        permission: 'node.operate',
        rolePath: ['team', 'quiet'],
        rule: '*.operate',
      });
      expect(await explained('ann', 'identity.v1.UserService/CreateUser')).toMatchObject({
        verdict: AccessVerdict.NOT_GRANTED,
        permission: 'user.admin',
        rolePath: [],
        rule: '',
      });
    });

    test('knows public RPCs, disabled principals and RPCs that are not there', async () => {
      await world.add('ann', ['admin'], { disabled: true });
      expect(await explained('ann', 'energy.v1.EnergyService/GetMap')).toMatchObject({
        verdict: AccessVerdict.DISABLED,
        permission: 'energy.read',
      });
      const health = { principalId: 'ann', method: 'grpc.health.v1.Health/Check' };
      expect(await root(method.explainAccess, health)).toMatchObject({
        verdict: AccessVerdict.PUBLIC,
        permission: '',
      });
      await expect(explained('ann', 'energy.v1.EnergyService/Fly')).rejects.toMatchObject({
        reason: 'METHOD_NOT_FOUND',
        metadata: { method: 'homeostat.energy.v1.EnergyService/Fly' },
      });
    });
  });
});
