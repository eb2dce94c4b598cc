import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import {
  PrincipalKind,
  type User,
  UserService,
} from '../../../src/gen/homeostat/identity/v1/user_service_pb.ts';
import { findPassword } from '../../../src/identity/password/password-store.ts';
import { findPrincipal } from '../../../src/identity/principal/principal-store.ts';
import { identityMigrations } from '../../../src/identity/store.ts';
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

  describe('passwords', () => {
    test('a changed password ends all logins; the one before is wrong from then on', async () => {
      const { id } = await createUser({ password: PASSWORD });
      const ada = await world.as(id);
      // Not her role, but every user with self.write may do this; the edge looks at that.
      const change = { current: PASSWORD, new: 'another fine password' };
      expect(await ada(method.changePassword, change)).toMatchObject({ familiesRevoked: 0 });
      expect(await findPrincipal(store, id)).toMatchObject({ epoch: 2, version: 1 });
      await expect(ada(method.changePassword, change)).rejects.toMatchObject({
        reason: 'INVALID_CREDENTIALS',
      });
      await ada(method.changePassword, { current: change.new, new: PASSWORD });
    });

    test('a weak new password is refused before the current one is looked at', async () => {
      const { id } = await createUser({ password: PASSWORD });
      const ada = await world.as(id);
      await expect(
        ada(method.changePassword, { current: 'wrong', new: 'xx ada xxxxxxx' }),
      ).rejects.toMatchObject({
        reason: 'WEAK_PASSWORD',
        metadata: { rule: 'must not contain the username' },
      });
    });

    test('who has no password cannot change it, and guessing is throttled', async () => {
      const { id } = await createUser();
      const ada = await world.as(id);
      const guess = () =>
        ada(method.changePassword, { current: 'a guess at it', new: 'another fine password' });
      for (let i = 0; i < 5; i++)
        await expect(guess()).rejects.toMatchObject({ reason: 'INVALID_CREDENTIALS' });
      await expect(guess()).rejects.toMatchObject({ reason: 'LOGIN_THROTTLED', retryAfterMs: 1_000 });
    });

    test('a reset gives a one-time password that serves to choose another, for 15 minutes', async () => {
      const { id } = await createUser({ password: PASSWORD, roles: ['viewer'] });
      const reset = await root(method.resetPassword, { id, version: 1n });
      expect(reset.oneTimePassword).toMatch(/^[a-z0-9]{24}$/);
      expect(Number(reset.expiresAt!.seconds) * 1000).toBe(clock.nowMs() + 15 * 60_000);
      expect(await findPrincipal(store, id)).toMatchObject({ version: 2, epoch: 2 });
      const ada = await world.as(id);
      await expect(
        ada(method.changePassword, { current: PASSWORD, new: 'another fine password' }),
      ).rejects.toMatchObject({ reason: 'INVALID_CREDENTIALS' });
      await ada(method.changePassword, { current: reset.oneTimePassword, new: 'another fine password' });

      const again = await root(method.resetPassword, { id, version: 2n });
      expect(again.oneTimePassword).not.toBe(reset.oneTimePassword);
      await clock.advance(15 * 60_000);
      await expect(
        ada(method.changePassword, { current: again.oneTimePassword, new: PASSWORD }),
      ).rejects.toMatchObject({ reason: 'INVALID_CREDENTIALS' });
    });

    test('only a user, whose version is known, is reset, and only by who may do all that the user may', async () => {
      const service = await createUser({ username: 'bot', kind: PrincipalKind.SERVICE });
      await expect(root(method.resetPassword, { id: service.id, version: 1n })).rejects.toMatchObject({
        violations: [{ field: 'id' }],
      });
      const { id } = await createUser({ roles: ['operator'] });
      await expect(root(method.resetPassword, { id, version: 7n })).rejects.toMatchObject({
        reason: 'VERSION_CONFLICT',
      });
      const narrow = await world.as('root', ['user.*']);
      await expect(narrow(method.resetPassword, { id, version: 1n })).rejects.toMatchObject({
        reason: 'NO_PERMISSION',
      });
      expect(await findPassword(store, id)).toBeUndefined();
    });

    test('no password is announced, audited or remembered', async () => {
      const { id } = await createUser({ password: PASSWORD });
      const { oneTimePassword } = await root(method.resetPassword, { id, version: 1n });
      const told = JSON.stringify([world.events, world.audited, world.changes], (_, value) =>
        typeof value === 'bigint' ? String(value) : value,
      );
      for (const secret of [PASSWORD, oneTimePassword]) expect(told).not.toContain(secret);
    });
  });
});
