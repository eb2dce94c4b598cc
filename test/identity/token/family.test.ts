import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { judge, newFamily, used } from '../../../src/identity/token/family.ts';

const DAY_MS = 86_400_000;
const TERMS = { refreshIdleMs: 7 * DAY_MS, refreshMaxMs: 30 * DAY_MS };
const ABOUT = { id: 'f', principalId: 'ada', scopes: undefined, certificateSha256: '' };

describe('families of refresh tokens', () => {
  test('end 7 days after their last use', () => {
    const family = newFamily(ABOUT, TERMS, 0);
    expect(judge(family, false, 7 * DAY_MS - 1)).toBe('GOOD');
    expect(judge(family, false, 7 * DAY_MS)).toBe('INVALID');
    expect(judge(used(family, TERMS, 6 * DAY_MS), false, 13 * DAY_MS - 1)).toBe('GOOD');
  });

  test('end 30 days after the login, however much they are used', () => {
    let family = newFamily(ABOUT, TERMS, 0);
    for (let day = 6; day < 30; day += 6) family = used(family, TERMS, day * DAY_MS);
    expect(judge(family, false, 30 * DAY_MS - 1)).toBe('GOOD');
    expect(judge(family, false, 30 * DAY_MS)).toBe('INVALID');
  });

  test('end before that where they are to', () => {
    const family = newFamily({ ...ABOUT, endsAtMs: 1_000 }, TERMS, 0);
    expect(judge(used(family, TERMS, 500), false, 999)).toBe('GOOD');
    expect(judge(used(family, TERMS, 500), false, 1_000)).toBe('INVALID');
  });

  test('of a revoked one no token is good, nor reused', () => {
    const family = { ...newFamily(ABOUT, TERMS, 0), revokedAtMs: 1 };
    expect([judge(family, false, 2), judge(family, true, 2)]).toEqual(['INVALID', 'INVALID']);
  });

  test('identity.J5 whatever is presented in whatever order: each token wins once, and reuse ends everything', () => {
    const step = fc.record({ token: fc.nat({ max: 6 }), gapMs: fc.nat({ max: 3 * DAY_MS }) });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        let family = newFamily(ABOUT, TERMS, 0);
        const spent = [false];
        let nowMs = 0;
        let lastWonMs = 0;
        for (const { token, gapMs } of steps) {
          nowMs += gapMs;
          const presented = Math.min(token, spent.length - 1);
          const verdict = judge(family, spent[presented]!, nowMs);
          const isOver = nowMs >= lastWonMs + TERMS.refreshIdleMs || nowMs >= TERMS.refreshMaxMs;
          if (family.revokedAtMs !== undefined || isOver) expect(verdict).toBe('INVALID');
          else expect(verdict).toBe(presented === spent.length - 1 ? 'GOOD' : 'REUSED');
          if (verdict === 'REUSED') family = { ...family, revokedAtMs: nowMs };
          if (verdict !== 'GOOD') continue;
          spent[presented] = true;
          spent.push(false);
          family = used(family, TERMS, nowMs);
          lastWonMs = nowMs;
        }
      }),
    );
  });
});
