import { describe, expect, test } from '@jest/globals';
import { claimsOf, looksLikeJwt, newClaims, payloadOf } from '../../../src/identity/token/access-token.ts';

const TOKEN = {
  jti: 'j',
  principal: { id: 'ada', roles: ['viewer'], epoch: 3 },
  scopes: ['energy.read', '*.write'],
  familyId: 'f',
  certificateSha256: 'c',
  ttlMs: 60_000,
};

describe('access tokens', () => {
  test('what is put into a payload is read out of it', () => {
    const full = newClaims(TOKEN, 1_999);
    expect(claimsOf(payloadOf(full, 'issuer', 'audience'))).toEqual(full);
    const bare = newClaims({ ...TOKEN, scopes: undefined, familyId: '', certificateSha256: '' }, 1_999);
    expect(claimsOf(payloadOf(bare, 'issuer', 'audience'))).toEqual(bare);
    expect(Object.keys(payloadOf(bare, 'issuer', 'audience'))).toEqual(
      expect.not.arrayContaining(['scope', 'fam', 'cnf']),
    );
  });

  test('times are whole seconds, and a life is never longer than asked, than 24 h, or than what it hangs on', () => {
    expect(newClaims(TOKEN, 1_999)).toMatchObject({ issuedAt: 1, expiresAt: 61 });
    expect(newClaims({ ...TOKEN, ttlMs: 1e12 }, 0).expiresAt).toBe(86_400);
    expect(newClaims({ ...TOKEN, endsAtMs: 30_500 }, 0).expiresAt).toBe(30);
  });

  test('a payload that lacks a member or has one of another type claims nothing', () => {
    const good = payloadOf(newClaims(TOKEN, 0), 'issuer', 'audience');
    for (const member of ['sub', 'jti', 'iat', 'exp', 'roles', 'epoch']) {
      const { [member]: _, ...rest } = good;
      expect(claimsOf(rest)).toBeUndefined();
    }
    const wrong = {
      sub: 1,
      jti: null,
      iat: '0',
      exp: '0',
      roles: 'admin',
      epoch: '3',
      scope: [],
      fam: 1,
      cnf: {},
    };
    for (const [member, value] of Object.entries(wrong))
      expect(claimsOf({ ...good, [member]: value })).toBeUndefined();
    expect(claimsOf({ ...good, cnf: null })).toBeUndefined();
    expect(claimsOf({ ...good, roles: [1] })).toBeUndefined();
  });

  test('three parts look like a token, also with an empty signature; nothing else does', () => {
    expect(looksLikeJwt('a.b.c')).toBe(true);
    expect(looksLikeJwt('a.b.')).toBe(true);
    for (const text of ['', 'a.b', 'a.b.c.d', 'a..c', 'a b.c.d', 'hk_live_0123456789_x'])
      expect(looksLikeJwt(text)).toBe(false);
  });
});
