/** Logins and refresh tokens: who gets in, who does not, and what ends a login. */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { createPasswords } from '../../../src/identity/password/password-service.ts';
import { findPassword, setPassword } from '../../../src/identity/password/password-store.ts';
import { identityMigrations } from '../../../src/identity/store.ts';
import { systemSecrets } from '../../../src/secrets.ts';
import type { Store } from '../../../src/store/store.ts';
import { describeOnStores, type TestDatabase } from '../../support/stores.ts';
import {
  type AuthWorld,
  CONFIG,
  createAuthWorld,
  createJumpingClock,
  type JumpingClock,
  PASSWORD,
  peerWith,
  refusal,
} from './auth-world.ts';

const DAY_MS = 86_400_000;
const WRONG = 'wrong horse battery';

describeOnStores('logins', (engine) => {
  let database: TestDatabase;
  let store: Store;
  let clock: JumpingClock;
  let world: AuthWorld;
  const worlds: AuthWorld[] = [];

  const open = async (options: Partial<Parameters<typeof createAuthWorld>[0]> = {}) => {
    const opened = createAuthWorld({
      store,
      clock,
      ...options,
      config: { staleMs: Number.POSITIVE_INFINITY, ...options.config },
    });
    await opened.auth.start();
    worlds.push(opened);
    return opened;
  };
  const refuses = (attempt: Promise<unknown>, reason = 'INVALID_CREDENTIALS') =>
    expect(attempt).rejects.toMatchObject({ ...refusal(reason), kind: 'UNAUTHENTICATED' });

  beforeEach(async () => {
    database = await engine.createDatabase();
    store = await database.open(identityMigrations);
    clock = createJumpingClock();
    world = await open();
  });
  afterEach(async () => {
    for (const { auth } of worlds.splice(0)) await auth.stop();
    expect(clock.pending()).toBe(0);
    await database.dispose();
  });

  test('the right password gives tokens and is audited; all others get one answer', async () => {
    const ada = await world.add('ada', { password: PASSWORD, roles: ['developer', 'operator'] });
    await world.add('off', { password: PASSWORD, disabled: true });
    await world.add('gone', { password: PASSWORD, deleted: true });
    await world.add('service', { kind: 'SERVICE' });
    const reply = await world.login('ada');
    expect(reply).toMatchObject({ roles: ['developer', 'operator'], passwordChangeRequired: false });
    expect(reply.refreshToken).toMatch(/^[\w-]{43}$/);
    expect((await world.verify(reply.accessToken)).id).toBe(ada.id);
    expect(world.audited).toEqual([{ resource: 'principal/ada' }]);
    for (const [name, password] of [
      ['ada', WRONG],
      ['ada', ''],
      ['ADA', PASSWORD],
      ['nobody', PASSWORD],
      ['a\0b', PASSWORD],
      ['', PASSWORD],
      ['off', PASSWORD],
      ['gone', PASSWORD],
      ['service', PASSWORD],
    ] as const)
      await refuses(world.login(name, password));
    expect(world.audited).toHaveLength(1);
  });

  test('a password is the same however its characters are composed', async () => {
    await world.add('ada', { password: 'Zürich ﬁnest Å' });
    await world.login('ada', 'Zu\u0308rich finest A\u030a');
  });

  test('identity.A2 a throttled attempt is not looked at, right or wrong, while others log in', async () => {
    await world.add('ada', { password: PASSWORD });
    await world.add('bob', { password: PASSWORD });
    const from = (i: number) => ({ address: `10.0.0.${i}`, certificate: undefined });
    for (let i = 0; i < 5; i++) await refuses(world.login('ada', WRONG, from(i)));
    for (const password of [PASSWORD, WRONG])
      await expect(world.login('ada', password, from(9))).rejects.toMatchObject({
        reason: 'LOGIN_THROTTLED',
        kind: 'RESOURCE_EXHAUSTED',
        retryAfterMs: 1_000,
      });
    await world.login('bob', PASSWORD, from(9));
    clock.jump(1_000);
    await world.login('ada', PASSWORD, from(10));
    // The failures before it are forgiven.
    for (let i = 0; i < 5; i++) await refuses(world.login('ada', WRONG, from(11)));
  });

  test('identity.A2 names that nobody has throttle alike', async () => {
    for (let i = 0; i < 5; i++) await refuses(world.login('nobody', WRONG));
    await expect(world.login('nobody', WRONG)).rejects.toMatchObject(refusal('LOGIN_THROTTLED'));
  });

  test('identity.W1 a hash made with less work is made anew at the next login, and then left alone', async () => {
    await world.add('ada', { password: PASSWORD });
    const before = (await findPassword(store, 'ada'))!.hash;
    const raised = await open({ config: { passwordPasses: 3 } });
    await refuses(raised.login('ada', WRONG));
    expect((await findPassword(store, 'ada'))!.hash).toBe(before);
    await raised.login('ada');
    const after = (await findPassword(store, 'ada'))!.hash;
    expect(after).toMatch(/^\$argon2id\$v=19\$m=19456,p=1,t=3\$/);
    await raised.login('ada');
    await world.login('ada');
    expect((await findPassword(store, 'ada'))!.hash).toBe(after);
  });

  test('a one-time password is good for one login, whose tokens are good for choosing another', async () => {
    const untilMs = clock.nowMs() + 15 * 60_000;
    await world.add('ada', { password: PASSWORD, roles: ['admin'], oneTimeUntilMs: untilMs });
    const reply = await world.login('ada');
    expect(reply.passwordChangeRequired).toBe(true);
    const ada = await world.verify(reply.accessToken);
    expect([ada.allows('self.write'), ada.allows('user.read'), ada.allows('energy.read')]).toEqual([
      true,
      false,
      false,
    ]);
    expect(Number(reply.expiresAt!.seconds) * 1000).toBe(untilMs);
    await refuses(world.login('ada'));
    const next = await world.refresh(reply.refreshToken);
    expect((await world.verify(next.accessToken)).allows('user.read')).toBe(false);
    clock.jump(15 * 60_000);
    await refuses(world.refresh(next.refreshToken), 'REFRESH_INVALID');
  });

  test('of logins at once with a one-time password one succeeds; after its time none does', async () => {
    const hash = await world.auth.passwords.hash(PASSWORD);
    await world.add('ada', { password: PASSWORD, oneTimeUntilMs: clock.nowMs() + 60_000 });
    const logins = await Promise.allSettled(Array.from({ length: 4 }, () => world.login('ada')));
    expect(logins.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    const options = { oneTimeUntilMs: clock.nowMs() + 60_000 };
    await store.transact((tx) => setPassword(tx, 'ada', hash, options, clock.nowMs()));
    clock.jump(60_000);
    await refuses(world.login('ada'));
  });

  test('a password replaced while the old one was being looked at lets nobody in', async () => {
    await world.add('ada', { password: PASSWORD });
    const passwords = createPasswords({ config: CONFIG, secrets: systemSecrets });
    const other = await passwords.hash('another horse battery');
    const racing: Store = {
      ...store,
      // Between the look at the password and the transaction of the login.
      transactInTurn: async (work) => {
        await store.transact((tx) => setPassword(tx, 'ada', other, {}, clock.nowMs()));
        return store.transactInTurn(work);
      },
    };
    await refuses((await open({ store: racing })).login('ada'));
  });

  test('identity.J5 a refresh token is good once, and the next one follows from it', async () => {
    await world.add('ada', { password: PASSWORD });
    const first = await world.login('ada');
    const second = await world.refresh(first.refreshToken);
    expect(second.refreshToken).not.toBe(first.refreshToken);
    expect(second.roles).toEqual(['developer']);
    const [one, two] = [await world.verify(first.accessToken), await world.verify(second.accessToken)];
    expect(two.credential.familyId).toBe(one.credential.familyId);
    expect(two.credential.id).not.toBe(one.credential.id);
    await world.refresh(second.refreshToken);
    expect(world.audited).toEqual(Array(3).fill({ resource: 'principal/ada' }));
  });

  test('identity.J5 a spent refresh token presented again revokes its family, at once and for good', async () => {
    await world.add('ada', { password: PASSWORD });
    const first = await world.login('ada');
    const other = await world.login('ada');
    const second = await world.refresh(first.refreshToken);
    const { credential } = await world.verify(second.accessToken);
    const thief = { address: '203.0.113.9', certificate: undefined };
    await refuses(world.refresh(first.refreshToken, thief), 'REFRESH_REUSED');
    for (const { accessToken } of [first, second]) await refuses(world.verify(accessToken), 'TOKEN_REVOKED');
    for (const { refreshToken } of [first, second])
      await refuses(world.refresh(refreshToken), 'REFRESH_INVALID');
    await world.verify(other.accessToken);
    await world.refresh(other.refreshToken);
    expect(world.events).toMatchObject([
      {
        topic: 'refresh_reused',
        key: credential.familyId,
        message: { familyId: credential.familyId, principalId: 'ada', peer: '203.0.113.9' },
      },
    ]);
    expect(world.audited[3]).toMatchObject({
      principal: 'ada',
      method: 'homeostat.identity.v1.AuthService/Refresh',
      code: 'UNAUTHENTICATED',
      reason: 'REFRESH_REUSED',
      peer: '203.0.113.9',
      resource: `family/${credential.familyId}`,
    });
  });

  test('identity.J5 of 20 uses of one refresh token at once, on two servers, at most one wins', async () => {
    const other = await open({ store: await database.open() });
    await world.add('ada', { password: PASSWORD });
    const { refreshToken, accessToken } = await world.login('ada');
    const uses = await Promise.allSettled(
      Array.from({ length: 20 }, (_, i) => (i % 2 === 0 ? world : other).refresh(refreshToken)),
    );
    const won = uses.filter(({ status }) => status === 'fulfilled');
    expect(won.length).toBeLessThanOrEqual(1);
    const reasons = uses.flatMap((use) => (use.status === 'rejected' ? [use.reason.reason] : []));
    expect(reasons.filter((reason) => reason === 'REFRESH_REUSED')).toHaveLength(1);
    expect(reasons.filter((reason) => reason === 'REFRESH_INVALID')).toHaveLength(19 - won.length);
    await refuses(world.verify(accessToken), 'TOKEN_REVOKED');
  });

  test('identity.J5 a refresh token ends 7 days after the last use and 30 days after the login', async () => {
    await world.add('ada', { password: PASSWORD });
    const idle = await world.login('ada');
    let { refreshToken } = await world.login('ada');
    clock.jump(7 * DAY_MS - 1);
    ({ refreshToken } = await world.refresh(refreshToken));
    clock.jump(1);
    await refuses(world.refresh(idle.refreshToken), 'REFRESH_INVALID');
    for (let day = 13; day < 30; day += 6) {
      clock.jump(6 * DAY_MS);
      ({ refreshToken } = await world.refresh(refreshToken));
    }
    clock.jump(5 * DAY_MS - 1);
    ({ refreshToken } = await world.refresh(refreshToken));
    clock.jump(1);
    await refuses(world.refresh(refreshToken), 'REFRESH_INVALID');
  });

  test('who is disabled or deleted refreshes nothing, nor does a token that nobody issued', async () => {
    const ada = await world.add('ada', { password: PASSWORD });
    const { refreshToken, accessToken } = await world.login('ada');
    await world.change({ ...ada, disabled: true });
    await refuses(world.refresh(refreshToken), 'REFRESH_INVALID');
    await refuses(world.verify(accessToken), 'TOKEN_REVOKED');
    await world.change({ ...ada, deleted: true });
    await refuses(world.refresh(refreshToken), 'REFRESH_INVALID');
    await world.change({ ...ada, roles: ['viewer'] });
    expect((await world.refresh(refreshToken)).roles).toEqual(['viewer']);
    for (const token of ['', 'x', accessToken]) await refuses(world.refresh(token), 'REFRESH_INVALID');
  });

  test('identity.A1 a login over a client certificate is bound to it, its refresh token as well', async () => {
    const mine = peerWith('mine', 'spiffe://test/ada');
    const theirs = peerWith('theirs', 'spiffe://test/ada');
    await world.add('ada', { password: PASSWORD, certificateUri: 'spiffe://test/ada' });
    const { accessToken, refreshToken } = await world.login('ada', PASSWORD, mine);
    expect((await world.verify(accessToken, mine)).id).toBe('ada');
    await refuses(world.verify(accessToken, theirs), 'CERTIFICATE_MISMATCH');
    await refuses(world.verify(accessToken), 'CERTIFICATE_MISMATCH');
    await refuses(world.refresh(refreshToken), 'CERTIFICATE_MISMATCH');
    await refuses(world.refresh(refreshToken, theirs), 'CERTIFICATE_MISMATCH');
    const next = await world.refresh(refreshToken, mine);
    await refuses(world.verify(next.accessToken, theirs), 'CERTIFICATE_MISMATCH');
  });

  test('logging out ends the login of the token, or all of the caller’s', async () => {
    await world.add('ada', { password: PASSWORD });
    await world.add('bob', { password: PASSWORD });
    const bob = await world.login('bob');
    const [one, two, three] = [await world.login('ada'), await world.login('ada'), await world.login('ada')];
    const caller = await world.by(one.accessToken);
    expect(await caller.logout()).toBe(1);
    expect(await caller.logout()).toBe(0);
    await refuses(world.verify(one.accessToken), 'TOKEN_REVOKED');
    await refuses(world.refresh(one.refreshToken), 'REFRESH_INVALID');
    const { familyId } = caller.call.principal.credential;
    expect(world.events).toMatchObject([
      {
        topic: 'credential_revoked',
        key: `family.${familyId}`,
        message: { revokedBy: 'ada', reason: 'logout' },
      },
    ]);
    expect(world.audited.at(-1)).toEqual({ resource: `family/${familyId}` });
    expect(await (await world.by(two.accessToken)).logout(true)).toBe(2);
    for (const { accessToken } of [two, three]) await refuses(world.verify(accessToken), 'TOKEN_REVOKED');
    await world.verify(bob.accessToken);
    await world.refresh(bob.refreshToken);
  });

  if (engine.name === 'SQLite')
    test('identity.W1 no password, refresh token or private key is anywhere in the database', async () => {
      await world.add('ada', { password: PASSWORD });
      const { refreshToken, accessToken } = await world.login('ada');
      const second = await world.refresh(refreshToken);
      await refuses(world.login(PASSWORD, WRONG));
      const caller = await world.by(second.accessToken);
      const issued = await caller.issue();
      const { dataDir } = database.location;
      const files = await readdir(dataDir);
      const contents = await Promise.all(files.map((file) => readFile(join(dataDir, file))));
      const stored = Buffer.concat(contents);
      expect(stored.includes('ada')).toBe(true);
      expect(stored.includes('$argon2id$v=19$m=19456,p=1,t=2$')).toBe(true);
      for (const secret of [
        PASSWORD,
        WRONG,
        refreshToken,
        second.refreshToken,
        accessToken,
        issued.accessToken,
      ])
        expect(stored.includes(secret)).toBe(false);
    });
});
