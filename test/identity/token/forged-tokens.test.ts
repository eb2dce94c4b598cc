/** Tokens that nobody issued: each is refused, whatever was done to a good one. */
import { createHmac } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { generateKeyPair, importJWK, SignJWT, UnsecuredJWT } from 'jose';
import { identityMigrations } from '../../../src/identity/store.ts';
import { listSigningKeys } from '../../../src/identity/token/signing-key-store.ts';
import { createFakeClock } from '../../support/fake-clock.ts';
import { openTestStore, type TestStore } from '../../support/stores.ts';
import {
  type AuthWorld,
  createAuthWorld,
  jwkOf,
  keyOf,
  PASSWORD,
  partsOf,
  refusal,
  SEALER,
} from './auth-world.ts';

describe('identity.J2 refused:', () => {
  const clock = createFakeClock();
  let opened: TestStore;
  let world: AuthWorld;
  let token: string;
  let claims: Record<string, unknown>;
  let header: { alg: string; typ: string; kid: string };
  let privateKey: Awaited<ReturnType<typeof importJWK>>;

  beforeAll(async () => {
    opened = await openTestStore(identityMigrations);
    world = createAuthWorld({ store: opened.store, clock });
    await world.auth.start();
    await world.add('ada', { password: PASSWORD });
    await world.add('root', { roles: ['admin'] });
    token = (await world.login('ada')).accessToken;
    ({ payload: claims, header } = partsOf(token));
    const [key] = await listSigningKeys(opened.store);
    const d = Buffer.from(SEALER.open('identity.signing-key', key!.sealed)).toString('base64url');
    privateKey = await importJWK({ ...key!.publicKey, d }, 'EdDSA');
  });
  afterAll(async () => {
    await world.auth.stop();
    await opened.dispose();
  });

  const signed = (changed: object, head: object = {}) =>
    new SignJWT({ ...claims, ...changed }).setProtectedHeader({ ...header, ...head }).sign(privateKey);
  const refuses = (text: string, reason = 'BAD_TOKEN') =>
    expect(world.verify(text)).rejects.toMatchObject({ ...refusal(reason), kind: 'UNAUTHENTICATED' });

  test('nothing that was signed as it should be', async () => {
    expect((await world.verify(await signed({}))).id).toBe('ada');
  });

  test('no signature', async () => {
    await refuses(new UnsecuredJWT(claims).encode());
    const none = Buffer.from(JSON.stringify({ ...header, alg: 'none' })).toString('base64url');
    const [, payload, signature] = token.split('.');
    await refuses(`${none}.${payload}.`);
    await refuses(`${none}.${payload}.${signature}`);
  });

  test('HS256 with the public key for its secret', async () => {
    const [key] = await world.jwks();
    const head = Buffer.from(JSON.stringify({ ...header, alg: 'HS256' })).toString('base64url');
    const signing = `${head}.${token.split('.')[1]}`;
    const pem = keyOf(key!).export({ format: 'pem', type: 'spki' });
    for (const secret of [pem, Buffer.from(key!.x, 'base64url'), JSON.stringify(jwkOf(key!))])
      await refuses(`${signing}.${createHmac('sha256', secret).update(signing).digest('base64url')}`);
  });

  test('a key of somebody else, under its own name and under ours', async () => {
    const foreign = (await generateKeyPair('EdDSA')).privateKey;
    const sign = (kid: string) => new SignJWT(claims).setProtectedHeader({ ...header, kid }).sign(foreign);
    await refuses(await sign(header.kid));
    await refuses(await sign('somebody-elses'));
    const bare = await new SignJWT(claims).setProtectedHeader({ alg: 'EdDSA', typ: 'at+jwt' }).sign(foreign);
    await refuses(bare);
  });

  test('another algorithm than the one its key is pinned to', async () => {
    const es = (await generateKeyPair('ES256')).privateKey;
    await refuses(await new SignJWT(claims).setProtectedHeader({ ...header, alg: 'ES256' }).sign(es));
  });

  test('another type of JWT', async () => {
    await refuses(await signed({}, { typ: 'JWT' }));
    await refuses(await signed({}, { typ: undefined }));
  });

  test('another audience or issuer, or none', async () => {
    for (const changed of [{ aud: 'another' }, { iss: 'another' }, { aud: undefined }, { iss: undefined }])
      await refuses(await signed(changed));
  });

  test('one that is not good yet, beyond the skew', async () => {
    const now = clock.nowMs() / 1000;
    await refuses(await signed({ nbf: now + 61 }));
    expect((await world.verify(await signed({ nbf: now + 60 }))).id).toBe('ada');
  });

  test('a payload that was changed, or claims what we would never', async () => {
    const [head, , signature] = token.split('.');
    const payload = Buffer.from(JSON.stringify({ ...claims, sub: 'root' })).toString('base64url');
    await refuses(`${head}.${payload}.${signature}`);
    await refuses(await signed({ sub: undefined }));
    await refuses(await signed({ epoch: '1' }));
    await refuses(await signed({ sub: 'nobody' }), 'TOKEN_REVOKED');
  });

  test('each single character of a token changed', async () => {
    const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
    for (let at = 0; at < token.length; at += 7) {
      const other = alphabet[(alphabet.indexOf(token[at]!) + 32) % 64] ?? 'A';
      await refuses(token.slice(0, at) + other + token.slice(at + 1));
    }
  });

  test('a refresh token, and text that is nothing', async () => {
    const { refreshToken } = await world.login('ada');
    for (const text of [refreshToken, 'x', 'a.b.c', `${token}.`, token.slice(0, -1), `${token}A`, ''])
      await refuses(text);
  });
});
