import { describe, expect, test } from '@jest/globals';
import { createPasswords } from '../../../src/identity/password/password-service.ts';
import { systemSecrets } from '../../../src/secrets.ts';

const FLOOR = { passwordMemoryKib: 19_456, passwordPasses: 2 };
const create = (config = FLOOR, limits: { parallel?: number; queueMax?: number } = {}) =>
  createPasswords({ config, secrets: systemSecrets, ...limits });

describe('hashing of passwords', () => {
  test('identity.W1 a hash is argon2id with the parameters that are configured and a salt of its own', async () => {
    const passwords = create({ passwordMemoryKib: 20_480, passwordPasses: 3 });
    const [one, other] = await Promise.all([passwords.hash('same'), passwords.hash('same')]);
    expect(one).toMatch(/^\$argon2id\$v=19\$m=20480,p=1,t=3\$[\w+/]{22}\$[\w+/]{43}$/);
    expect(other).not.toBe(one);
    expect(await passwords.verify(one, 'same')).toBe('RIGHT');
    expect(await passwords.verify(one, 'Same')).toBe('WRONG');
  });

  test('identity.W1 parameters below the least allowed are refused', () => {
    expect(() => create({ passwordMemoryKib: 19_455, passwordPasses: 2 })).toThrow(RangeError);
    expect(() => create({ passwordMemoryKib: 19_456, passwordPasses: 1 })).toThrow(RangeError);
    expect(() => create({ passwordMemoryKib: Number.NaN, passwordPasses: 2 })).toThrow(RangeError);
  });

  test('identity.W1 a hash made with less work is to be made anew, one made with more is not', async () => {
    const hash = await create().hash('password');
    expect(create().needsRehash(hash)).toBe(false);
    expect(create({ passwordMemoryKib: 19_457, passwordPasses: 2 }).needsRehash(hash)).toBe(true);
    expect(create({ passwordMemoryKib: 19_456, passwordPasses: 3 }).needsRehash(hash)).toBe(true);
    expect(create().needsRehash(hash.replace('m=19456', 'm=65536'))).toBe(false);
    expect(create().needsRehash(hash.replace('argon2id', 'argon2i'))).toBe(true);
    expect(create().needsRehash(hash.replace('p=1', 'p=4'))).toBe(true);
  });

  test('without a hash every password is wrong', async () => {
    expect(await create().verify(undefined, '')).toBe('WRONG');
  });

  test('so many run, so many wait, and who comes then is told to come again', async () => {
    const passwords = create(FLOOR, { parallel: 2, queueMax: 3 });
    const hash = await passwords.hash('password');
    const taken = Array.from({ length: 5 }, () => passwords.verify(hash, 'password'));
    await expect(passwords.verify(hash, 'password')).rejects.toMatchObject({
      reason: 'LOGIN_THROTTLED',
      retryAfterMs: 1_000,
    });
    expect(() => passwords.assertRoom()).toThrow('too many attempts');
    expect(await Promise.all(taken)).toEqual(Array(5).fill('RIGHT'));
    passwords.assertRoom();
    expect(await passwords.verify(hash, 'password')).toBe('RIGHT');
  });

  test('a hash that cannot be read gives its place back', async () => {
    const passwords = create(FLOOR, { parallel: 1, queueMax: 1 });
    await expect(passwords.verify('not a hash', 'password')).rejects.toThrow();
    expect(await passwords.verify(undefined, 'password')).toBe('WRONG');
  });
});
