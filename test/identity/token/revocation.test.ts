/** What ends credentials, here at once and on another server within a second; and what issued tokens are good for. */

import { create } from '@bufbuild/protobuf';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { AuthService } from '../../../src/gen/homeostat/identity/v1/auth_service_pb.ts';
import { issueKey, KEY_BYTES } from '../../../src/identity/key/api-key.ts';
import { addKey, revokeKeys } from '../../../src/identity/key/key-store.ts';
import { saveRole } from '../../../src/identity/principal/role-store.ts';
import { identityMigrations } from '../../../src/identity/store.ts';
import type { Principal } from '../../../src/rpc/handler.ts';
import { systemSecrets } from '../../../src/secrets.ts';
import type { Store, Tx } from '../../../src/store/store.ts';
import { callOf } from '../../support/calls.ts';
import { settle } from '../../support/fake-clock.ts';
import { describeOnStores, type TestDatabase } from '../../support/stores.ts';
import {
  type AuthWorld,
  createAuthWorld,
  createJumpingClock,
  type JumpingClock,
  PASSWORD,
  partsOf,
  peerWith,
  refusal,
} from './auth-world.ts';

const NOBODY = '018f0000-0000-7000-8000-000000000001';

describeOnStores('credentials that are issued and revoked', (engine) => {
  let database: TestDatabase;
  let store: Store;
  let clock: JumpingClock;
  let world: AuthWorld;
  let other: AuthWorld;
  let root: Awaited<ReturnType<AuthWorld['by']>>;
  const worlds: AuthWorld[] = [];

  const open = async (on: Store) => {
    const opened = createAuthWorld({ store: on, clock });
    await opened.auth.start();
    worlds.push(opened);
    return opened;
  };
  const addApiKey = async (principalId: string, about: { scopes?: string[]; expiresAtMs?: number } = {}) => {
    const terms = {
      principalId,
      label: 'test',
      scopes: about.scopes ?? ['*.*'],
      sourceRanges: [],
      environment: 'live' as const,
      expiresAtMs: about.expiresAtMs,
    };
    const { text, stored } = issueKey(terms, systemSecrets.bytes(KEY_BYTES), clock.nowMs());
    await store.transact((tx) => addKey(tx, stored));
    return { text, prefix: stored.prefix };
  };
  const refuses = (attempt: Promise<unknown>, reason: string) =>
    expect(attempt).rejects.toMatchObject(refusal(reason));
  /** Passes when the other server refuses the token after a second; from then on only SQL is waited for. */
  const refusedElsewhere = async (token: string) => {
    await clock.advance(1_000);
    const giveUpMs = performance.now() + 10_000;
    const reason = () =>
      other.verify(token).then(
        () => 'good',
        (error) => error.reason,
      );
    while ((await reason()) === 'good' && performance.now() < giveUpMs) await settle();
    expect(await reason()).toBe('TOKEN_REVOKED');
  };

  beforeEach(async () => {
    database = await engine.createDatabase();
    store = await database.open(identityMigrations);
    clock = createJumpingClock();
    world = await open(store);
    other = await open(await database.open());
    await world.add('root', { password: PASSWORD, roles: ['admin'] });
    await world.add('ada', { password: PASSWORD });
    root = await world.by((await world.login('root')).accessToken);
  });
  afterEach(async () => {
    for (const { auth } of worlds.splice(0)) await auth.stop();
    expect(clock.pending()).toBe(0);
    await database.dispose();
  });

  const kinds: [string, (token: string, principal: Principal) => Promise<unknown>][] = [
    ['one token', (_token, { credential }) => root.revoke({ case: 'jti', value: credential.id })],
    ['a login', (_token, { credential }) => root.revoke({ case: 'familyId', value: credential.familyId })],
    ['a principal', (_token, { id }) => root.revoke({ case: 'principalId', value: id })],
    ['its signing key', () => root.rotate({ revokePrevious: true })],
    ['reuse of its refresh token', async () => undefined],
  ];
  for (const [name, revoke] of kinds)
    test(`identity.J4 revoked with ${name}, a token is refused here at once and elsewhere within 1 s`, async () => {
      const { accessToken, refreshToken } = await world.login('ada');
      const bystander = await world.login('root');
      const principal = await world.verify(accessToken);
      await other.verify(accessToken);
      await revoke(accessToken, principal);
      if (name === 'reuse of its refresh token') {
        await world.refresh(refreshToken);
        await refuses(world.refresh(refreshToken), 'REFRESH_REUSED');
      }
      await refuses(world.verify(accessToken), 'TOKEN_REVOKED');
      await refusedElsewhere(accessToken);
      if (name !== 'its signing key') expect((await other.verify(bystander.accessToken)).id).toBe('root');
    });

  test('identity.J4 a revoked API key and a changed role count here at once and elsewhere within 1 s', async () => {
    const { text, prefix } = await addApiKey('ada');
    await other.verify(text);
    await world.verify(text);
    await store.transact(async (tx) => {
      await revokeKeys(tx, { principalId: 'ada', prefix }, clock.nowMs());
      await world.auth.changes.note(tx, { kind: 'key', id: prefix });
    });
    await refuses(world.verify(text), 'TOKEN_REVOKED');
    await refusedElsewhere(text);

    const role = { name: 'own', inherits: [], allow: ['energy.read'], deny: [], version: 1 };
    const put = (tx: Tx, allow: string[]) => saveRole(tx, { ...role, allow });
    await store.transact((tx) => put(tx, ['energy.read']));
    await world.add('eve', { password: PASSWORD, roles: ['own'] });
    const { accessToken } = await world.login('eve');
    expect((await world.verify(accessToken)).allows('energy.read')).toBe(true);
    await store.transact(async (tx) => {
      await put(tx, []);
      await world.auth.changes.note(tx, { kind: 'role', id: 'own' });
    });
    expect((await world.verify(accessToken)).allows('energy.read')).toBe(false);
  });

  test('a revocation says from when it counts, is announced and audited; unknown subjects are named', async () => {
    const { accessToken } = await world.login('ada');
    const { credential } = await world.verify(accessToken);
    const reply = await root.revoke({ case: 'jti', value: credential.id }, 'leaked');
    expect(reply).toMatchObject({ effectiveAt: { seconds: BigInt(clock.nowMs() / 1000) } });
    await root.revoke({ case: 'familyId', value: credential.familyId }, 'leaked');
    await root.revoke({ case: 'familyId', value: credential.familyId }, 'again');
    await root.revoke({ case: 'principalId', value: 'ada' }, 'leaked');
    expect(
      world.events.map(({ topic, key, message }) => [topic, key, message['revokedBy'], message['reason']]),
    ).toEqual([
      ['credential_revoked', `token.${credential.id}`, 'root', 'leaked'],
      ['credential_revoked', `family.${credential.familyId}`, 'root', 'leaked'],
      ['credential_revoked', 'principal.ada.2', 'root', 'leaked'],
    ]);
    expect(world.audited.slice(-4).map(({ resource }) => resource)).toEqual([
      `token/${credential.id}`,
      `family/${credential.familyId}`,
      `family/${credential.familyId}`,
      'principal/ada',
    ]);
    await refuses(root.revoke({ case: 'familyId', value: NOBODY }), 'SUBJECT_NOT_FOUND');
    await refuses(root.revoke({ case: 'principalId', value: 'nobody' }), 'SUBJECT_NOT_FOUND');
    await refuses(root.revoke({ case: undefined }), 'FIELD_INVALID');
    await refuses(root.revoke({ case: 'principalId', value: '' }), 'FIELD_INVALID');
    await refuses(root.revoke({ case: 'jti', value: NOBODY }, 'a\u0007b'), 'FIELD_INVALID');
  });

  test('a principal whose tokens were revoked logs in anew, and its API keys are still good', async () => {
    const { text } = await addApiKey('ada');
    const { refreshToken } = await world.login('ada');
    await root.revoke({ case: 'principalId', value: 'ada' });
    await refuses(world.refresh(refreshToken), 'REFRESH_INVALID');
    expect((await world.verify(text)).id).toBe('ada');
    expect((await world.verify((await world.login('ada')).accessToken)).id).toBe('ada');
  });

  test('a token for oneself ends with the login, is bound to the certificate, and takes the scopes asked for', async () => {
    const { accessToken } = await world.login('ada');
    const ada = await world.by(accessToken);
    const {
      accessToken: own,
      jti,
      expiresAt,
    } = await ada.issue({ scopes: ['energy.read', 'twin.*', 'energy.read'] });
    expect(partsOf(own).payload).toMatchObject({ jti, sub: 'ada', scope: 'energy.read twin.*' });
    expect(Number(expiresAt!.seconds)).toBe(clock.nowMs() / 1000 + 1_800);
    await refuses(ada.issue({ scopes: ['twin.*', 'user.admin'] }), 'SCOPE_EXCEEDS');
    const { accessToken: narrow } = await ada.issue({ scopes: ['energy.read'] });
    const principal = await world.verify(narrow);
    expect([principal.allows('energy.read'), principal.allows('session.read')]).toEqual([true, false]);
    await ada.logout();
    await refuses(world.verify(narrow), 'TOKEN_REVOKED');

    await world.add('eve', { password: PASSWORD, certificateUri: 'urn:eve' });
    const mine = peerWith('mine', 'urn:eve');
    const eve = await world.by((await world.login('eve', PASSWORD, mine)).accessToken, mine);
    const { accessToken: bound } = await eve.issue();
    expect(partsOf(bound).payload).toMatchObject({ cnf: { 'x5t#S256': 'mine' } });
    await refuses(world.verify(bound), 'CERTIFICATE_MISMATCH');
  });

  test('scopes go no further than the credential that asks, and an issued token does not outlive it', async () => {
    const { text } = await addApiKey('ada', { scopes: ['self.write', 'energy.*'] });
    const byKey = await world.by(text);
    await refuses(byKey.issue({ scopes: ['session.read'] }), 'SCOPE_EXCEEDS');
    await refuses(byKey.issue({ scopes: ['*.read'] }), 'SCOPE_EXCEEDS');
    const { accessToken, expiresAt } = await byKey.issue({ ttl: { seconds: 7_200n } });
    expect(Number(expiresAt!.seconds)).toBe(clock.nowMs() / 1000 + 7_200);
    const whole = await world.verify(accessToken);
    expect([whole.allows('energy.compute'), whole.allows('session.read')]).toEqual([true, false]);
    clock.jump(10_000);
    const next = await (await world.by(accessToken)).issue({
      scopes: ['self.write'],
      ttl: { seconds: 86_400n },
    });
    expect(next.expiresAt).toEqual(expiresAt);
    const last = await world.by(next.accessToken);
    await refuses(last.issue({ scopes: ['energy.read'] }), 'SCOPE_EXCEEDS');
    expect((await world.verify((await last.issue()).accessToken)).allows('energy.read')).toBe(false);
  });

  test('tokens for others need token.admin, go no further than their roles, and carry nobody’s login', async () => {
    const ada = await world.by((await world.login('ada')).accessToken);
    await expect(ada.issue({ principalId: 'root' })).rejects.toMatchObject({
      reason: 'NO_PERMISSION',
      metadata: { permission: 'token.admin' },
    });
    await refuses(root.issue({ principalId: 'nobody' }), 'PRINCIPAL_NOT_FOUND');
    await refuses(root.issue({ principalId: 'ada', scopes: ['user.admin'] }), 'SCOPE_EXCEEDS');
    const { accessToken } = await root.issue({ principalId: 'ada' });
    const principal = await world.verify(accessToken);
    expect(principal).toMatchObject({ id: 'ada', credential: { familyId: '' } });
    expect(principal.allows('user.admin')).toBe(false);
    const eve = await world.add('eve', { disabled: true });
    await refuses(root.issue({ principalId: eve.id }), 'PRINCIPAL_NOT_FOUND');
    const narrow = await world.by((await root.issue({ scopes: ['token.admin', 'self.write'] })).accessToken);
    await refuses(narrow.issue({ principalId: 'ada', scopes: ['energy.read'] }), 'SCOPE_EXCEEDS');
    const { text } = await addApiKey('root', { scopes: ['token.admin', 'self.write'] });
    const issuer = await world.by(text);
    expect((await issuer.issue({ principalId: 'ada', scopes: ['energy.read'] })).jti).not.toBe('');
  });

  test('a repeated command gives the token of the first; it lies sealed in the database', async () => {
    const request = { scopes: ['energy.read'], idempotencyKey: 'once' };
    const first = await root.issue(request);
    expect(await root.issue(request)).toEqual(first);
    await refuses(root.issue({ ...request, scopes: [] }), 'IDEMPOTENCY_KEY_REUSED');
    const rows = await store
      .query<{ store_idempotency: { key: string; response: Uint8Array } }>()
      .selectFrom('store_idempotency')
      .select('response')
      .where('key', '=', 'once')
      .execute();
    expect(rows).toHaveLength(1);
    expect(Buffer.from(rows[0]!.response).includes(first.accessToken)).toBe(false);
    expect(world.audited.at(-1)).toEqual({ resource: `token/${first.jti}` });
  });

  test('a node’s token lives 24 h and may be bound to a certificate', async () => {
    await world.add('n1', { kind: 'NODE', roles: ['node'] });
    const { accessToken, claims } = await world.auth.issueNodeToken('n1');
    expect(claims.expiresAt - claims.issuedAt).toBe(86_400);
    const node = await world.verify(accessToken);
    expect([node.id, node.allows('agent.write'), node.allows('node.admin')]).toEqual(['n1', true, false]);
    const bound = await world.auth.issueNodeToken('n1', { certificateSha256: 'mine' });
    await refuses(world.verify(bound.accessToken), 'CERTIFICATE_MISMATCH');
    await refuses(world.auth.issueNodeToken('nobody'), 'PRINCIPAL_NOT_FOUND');
  });

  test('introspection tells what a token or key is worth now, and of others only that they are not active', async () => {
    const { accessToken } = await world.login('ada');
    const { credential } = await world.verify(accessToken);
    const { claims, active, permissions } = await root.introspect(accessToken);
    expect(active).toBe(true);
    expect(claims).toMatchObject({
      principalId: 'ada',
      tokenId: credential.id,
      roles: ['developer'],
      scopes: [],
      familyId: credential.familyId,
      certificateSha256: '',
    });
    expect(permissions).toEqual(expect.arrayContaining(['energy.read', 'session.write', 'self.write']));
    expect(permissions).not.toContain('user.read');
    const { text, prefix } = await addApiKey('ada', { scopes: ['energy.read'] });
    const key = await root.introspect(text);
    expect(key).toMatchObject({ active: true, permissions: ['energy.read'] });
    expect(key.claims).toMatchObject({ tokenId: prefix, scopes: ['energy.read'] });
    expect(key.claims!.expiresAt).toBeUndefined();
    await root.revoke({ case: 'jti', value: credential.id });
    for (const token of [accessToken, 'x', 'a.b.c', text.slice(0, -1)]) {
      const inactive = await root.introspect(token);
      expect(inactive).toMatchObject({ active: false, permissions: [] });
      expect(inactive.claims).toBeUndefined();
    }
  });

  test('logging out by API key ends no login, unless all are to end', async () => {
    await world.login('ada');
    const { text } = await addApiKey('ada');
    const caller = await world.by(text);
    expect(await caller.logout()).toBe(0);
    expect(await caller.logout(true)).toBe(1);
    expect((await world.verify(text)).id).toBe('ada');
  });

  test('what fails in the database while a token is looked at is passed on', async () => {
    const broken = createAuthWorld({
      store: {
        ...store,
        query: () => {
          throw new Error('database away');
        },
      },
      clock,
    });
    const introspect = broken.auth.service.handlers['introspectToken'] as (
      request: unknown,
      call: unknown,
    ) => Promise<unknown>;
    const request = create(AuthService.method.introspectToken.input, { token: 'x' });
    await expect(introspect(request, callOf())).rejects.toThrow('database away');
  });
});
