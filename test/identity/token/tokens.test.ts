/** Access tokens and their keys: what an independent reader makes of them, and what is refused. */
import { verify as verifySignature } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { createLocalJWKSet, generateKeyPair, jwtVerify, SignJWT } from 'jose';
import { AuthService, SigningAlgorithm } from '../../../src/gen/homeostat/identity/v1/auth_service_pb.ts';
import { identityMigrations } from '../../../src/identity/store.ts';
import { listSigningKeys } from '../../../src/identity/token/signing-key-store.ts';
import { createSealer } from '../../../src/sealing.ts';
import { systemSecrets } from '../../../src/secrets.ts';
import type { Store } from '../../../src/store/store.ts';
import { describeOnStores, type TestDatabase } from '../../support/stores.ts';
import {
  type AuthWorld,
  CONFIG,
  createAuthWorld,
  createJumpingClock,
  type JumpingClock,
  jwkOf,
  keyOf,
  PASSWORD,
  partsOf,
  refusal,
} from './auth-world.ts';

const DAY_MS = 86_400_000;
describeOnStores('access tokens', (engine) => {
  let database: TestDatabase;
  let store: Store;
  let clock: JumpingClock;
  let world: AuthWorld;
  const worlds: AuthWorld[] = [];

  const open = async (options: Partial<Parameters<typeof createAuthWorld>[0]> = {}) => {
    const opened = createAuthWorld({ store, clock, ...options });
    await opened.auth.start();
    worlds.push(opened);
    return opened;
  };

  beforeEach(async () => {
    database = await engine.createDatabase();
    store = await database.open(identityMigrations);
    clock = createJumpingClock();
    world = await open();
    await world.add('ada', { password: PASSWORD });
    await world.add('root', { password: PASSWORD, roles: ['admin'] });
  });
  afterEach(async () => {
    for (const { auth } of worlds.splice(0)) await auth.stop();
    expect(clock.pending()).toBe(0);
    await database.dispose();
  });

  test('identity.J1 an independent verifier agrees, and so does node:crypto alone', async () => {
    const { accessToken } = await world.login('ada');
    const keys = await world.jwks();
    const { payload, protectedHeader } = await jwtVerify(
      accessToken,
      createLocalJWKSet({
        keys: keys.map((key) => ({ ...jwkOf(key), kid: key.kid, alg: key.alg, use: key.use })),
      }),
      {
        issuer: CONFIG.issuer,
        audience: CONFIG.audience,
        typ: 'at+jwt',
        currentDate: new Date(clock.nowMs()),
      },
    );
    expect(protectedHeader).toEqual({ alg: 'EdDSA', typ: 'at+jwt', kid: keys[0]!.kid });
    const { signed, signature } = partsOf(accessToken);
    expect(verifySignature(null, signed, keyOf(keys[0]!), signature)).toBe(true);
    const issuedAt = clock.nowMs() / 1000;
    expect(payload).toEqual({
      iss: CONFIG.issuer,
      aud: CONFIG.audience,
      sub: 'ada',
      jti: expect.stringMatching(/^[0-9a-f-]{14}7/),
      iat: issuedAt,
      nbf: issuedAt,
      exp: issuedAt + 1_800,
      roles: ['developer'],
      epoch: 1,
      fam: expect.stringMatching(/^[0-9a-f-]{14}7/),
    });
    const principal = await world.verify(accessToken);
    expect(principal).toMatchObject({
      id: 'ada',
      tier: 'PRO',
      credential: { kind: 'TOKEN', id: payload.jti, familyId: payload['fam'] },
    });
    expect([principal.allows('session.write'), principal.allows('user.admin')]).toEqual([true, false]);
  });

  test('identity.J1 two servers on one database take each other’s tokens', async () => {
    const other = await open({ store: await database.open() });
    const here = await world.login('ada');
    const there = await other.login('ada');
    expect((await other.verify(here.accessToken)).id).toBe('ada');
    expect((await world.verify(there.accessToken)).id).toBe('ada');
    expect((await other.jwks()).map((key) => key.kid)).toEqual((await world.jwks()).map((key) => key.kid));
  });

  test('identity.J1 servers that start at once agree on one key', async () => {
    const fresh = await engine.createDatabase();
    try {
      const first = await fresh.open(identityMigrations);
      const replicas = [first, await fresh.open(), await fresh.open()];
      const started = replicas.map((replica) => createAuthWorld({ store: replica, clock }));
      await Promise.all(started.map(({ auth }) => auth.start()));
      for (const { auth } of started) await auth.stop();
      expect(await listSigningKeys(first)).toHaveLength(1);
    } finally {
      await fresh.dispose();
    }
  });

  test('identity.J3 a token is refused 30 minutes and 60 seconds after it was issued, remembered or not', async () => {
    const patient = await open({ config: { staleMs: Number.POSITIVE_INFINITY } });
    const verify = (token: string) => patient.verify(token);
    const { accessToken, expiresAt } = await world.login('ada');
    expect(Number(expiresAt!.seconds) * 1000).toBe(clock.nowMs() + 1_800_000);
    clock.jump(1_859_000);
    await verify(accessToken);
    await clock.advance(999);
    await verify(accessToken);
    await clock.advance(1);
    await expect(verify(accessToken)).rejects.toMatchObject(refusal('TOKEN_EXPIRED'));
    await clock.advance(60_000);
    await expect(verify(accessToken)).rejects.toMatchObject(refusal('TOKEN_EXPIRED'));
  });

  test('what a token allows follows its principal’s roles, not what it says', async () => {
    const { accessToken } = await world.login('ada');
    const ada = await world.verify(accessToken);
    expect(ada.allows('session.write')).toBe(true);
    await world.change({ ...(await world.add('eve')), id: 'ada', username: 'ada', roles: ['viewer'] });
    const now = await world.verify(accessToken);
    expect([now.allows('session.write'), now.allows('session.read')]).toEqual([false, true]);
    expect(partsOf(accessToken).payload.roles).toEqual(['developer']);
  });

  describe('keys', () => {
    const kids = async (by = world) => (await by.jwks()).map((key) => key.kid);
    const kidOf = (token: string) => partsOf(token).header.kid;

    /** Goes on by that time; the sweep of the last minute has run. */
    const pass = async (durationMs: number) => {
      clock.jump(durationMs - 60_000);
      await clock.advance(60_000);
      await world.auth.stop(); // Waits for the sweep.
      await world.auth.start();
    };

    test('identity.J6 the next key is published a day before it signs, and old tokens verify until they expire', async () => {
      const [first] = await kids();
      await pass(29 * DAY_MS - 120_000);
      expect(await kids()).toEqual([first]);
      await pass(120_000);
      const [signer, next, ...more] = await kids();
      expect([signer, more]).toEqual([first, []]);
      await pass(DAY_MS - 60_000);
      const long = await world.auth.issueNodeToken('ada');
      expect(kidOf(long.accessToken)).toBe(first);
      await pass(60_000);
      const { accessToken } = await world.login('ada');
      expect(kidOf(accessToken)).toBe(next);
      expect(await kids()).toEqual([next, first]);
      await pass(DAY_MS - 120_000);
      expect((await world.verify(long.accessToken)).id).toBe('ada');
      await pass(180_000);
      expect(await kids()).toEqual([next]);
      expect(await listSigningKeys(store)).toHaveLength(1);
      expect(world.events).toMatchObject([
        { topic: 'signing_key_rotated', key: next, message: { kid: next, previousRevoked: false } },
      ]);
    });

    test('identity.J6 ES256 signs from the moment it is asked for, on every server', async () => {
      const replica = await database.open();
      const other = await open({ store: replica });
      const before = await world.login('ada');
      const admin = await world.by((await world.login('root')).accessToken);
      const kid = await admin.rotate({ algorithm: SigningAlgorithm.ES256 });
      const after = await world.login('ada');
      const { header, signed, signature } = partsOf(after.accessToken);
      expect(header).toEqual({ alg: 'ES256', typ: 'at+jwt', kid });
      const [key, former] = await world.jwks();
      expect(key).toMatchObject({ kid, kty: 'EC', crv: 'P-256', alg: 'ES256', use: 'sig' });
      expect(former).toMatchObject({ kty: 'OKP', crv: 'Ed25519', alg: 'EdDSA', y: '' });
      const verifies = { key: keyOf(key!), dsaEncoding: 'ieee-p1363' } as const;
      expect(verifySignature('sha256', signed, verifies, signature)).toBe(true);
      for (const token of [before.accessToken, after.accessToken]) {
        expect((await world.verify(token)).id).toBe('ada');
        await clock.advance(1_000);
        expect((await other.verify(token)).id).toBe('ada');
      }
      expect(kidOf((await other.login('ada')).accessToken)).toBe(kid);
      // The algorithm stays when the key is turned over by itself.
      await pass(29 * DAY_MS);
      expect((await world.jwks()).map(({ alg }) => alg)).toEqual(['ES256', 'ES256']);
    });

    test('identity.J4 with the keys before revoked their tokens are refused at once', async () => {
      const { accessToken } = await world.login('ada');
      const admin = await world.by((await world.login('root')).accessToken);
      await world.verify(accessToken);
      const kid = await admin.rotate({ revokePrevious: true });
      await expect(world.verify(accessToken)).rejects.toMatchObject(refusal('TOKEN_REVOKED'));
      expect(await kids()).toEqual([kid]);
      expect((await listSigningKeys(store))[0]!.sealed).toHaveLength(0);
      expect((await world.verify((await world.login('ada')).accessToken)).id).toBe('ada');
      expect(world.events).toMatchObject([
        { topic: 'signing_key_rotated', key: kid, message: { kid, previousRevoked: true } },
      ]);
      expect(world.audited.at(-2)).toEqual({ resource: `signing-key/${kid}` });
    });

    test('a key that was published and has not signed gives way to one that is asked for', async () => {
      await pass(29 * DAY_MS);
      const admin = await world.by((await world.login('root')).accessToken);
      const [first] = await kids();
      const kid = await admin.rotate();
      expect(await kids()).toEqual([kid, first]);
    });

    test('private keys are sealed in the database, and a server with another secret does not start', async () => {
      const [key] = await listSigningKeys(store);
      expect(key!.sealed.length).toBeGreaterThan(32);
      const sealer = createSealer(new Uint8Array(32).fill(8), systemSecrets);
      const foreign = createAuthWorld({ store, clock, changed: { sealer } });
      await expect(foreign.auth.start()).rejects.toMatchObject({ reason: 'SECRET_FOREIGN' });
      await foreign.auth.stop();
    });

    test('an unknown key is looked for in SQL no more than once a second', async () => {
      let reads = 0;
      const counting: Store = {
        ...store,
        query() {
          reads++;
          return store.query();
        },
      };
      const other = await open({ store: counting });
      const { accessToken } = await world.login('ada');
      const unknown = await new SignJWT({})
        .setProtectedHeader({ alg: 'EdDSA', typ: 'at+jwt', kid: 'unknown' })
        .sign((await generateKeyPair('EdDSA')).privateKey);
      await other.verify(accessToken);
      await clock.advance(1_000);
      reads = 0;
      for (let i = 0; i < 20; i++)
        await expect(other.verify(unknown)).rejects.toMatchObject(refusal('BAD_TOKEN'));
      expect(reads).toBe(1);
    });
  });

  test('the service says how long its keys may be kept', async () => {
    const getJwks = world.auth.service.handlers['getJwks'] as () => Promise<{ maxAge: { seconds: bigint } }>;
    expect((await getJwks()).maxAge.seconds).toBe(300n);
    expect(world.auth.service.service).toBe(AuthService);
  });
});
