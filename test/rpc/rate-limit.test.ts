import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { NOBODY } from '../../src/rpc/authenticate.ts';
import type { Principal, RateTier } from '../../src/rpc/handler.ts';
import { createRateLimiter, type RateConfig } from '../../src/rpc/rate-limit.ts';
import { LOOPBACK, principalOf } from '../support/calls.ts';
import { createFakeClock } from '../support/fake-clock.ts';

const tokensPerMinute = { FREE: 100, PRO: 5_000, ENTERPRISE: 100_000 };
const METHOD = '/homeostat.probe.v1.ProbeService/Echo';

function create(config: Partial<RateConfig> = {}) {
  const clock = createFakeClock();
  const limiter = createRateLimiter({ tokensPerMinute, bucketsMax: 100_000, ...config }, clock);
  /** What a call is told to wait; undefined when it was let in. */
  const wait = (principal: Principal, tokens = 1, path = METHOD, peer = LOOPBACK) =>
    limiter.charge(principal, peer, path, tokens)?.retryAfterMs;
  return { clock, limiter, wait };
}

const caller = (id: string, tier: RateTier = 'FREE'): Principal => ({ ...principalOf(id), tier });
const address = (text: string) => ({ address: text, certificate: undefined });

describe('identity.T1 a bucket', () => {
  test.each([
    ['FREE', 100],
    ['PRO', 5_000],
    ['ENTERPRISE', 100_000],
  ] as const)(
    'of tier %s holds %d calls, and then one more as soon as its token is there',
    async (tier, burst) => {
      const { clock, wait } = create();
      const ann = caller('ann', tier);
      const refused = Array.from({ length: burst }, () => wait(ann)).filter((waitMs) => waitMs !== undefined);
      expect(refused).toEqual([]);
      const waitMs = wait(ann)!;
      expect(waitMs).toBe(Math.ceil(60_000 / burst));
      await clock.advance(waitMs);
      expect(wait(ann)).toBeUndefined();
      expect(wait(ann)).toBeGreaterThan(0);
    },
  );

  test('refuses with what was asked of whom, and counts it', () => {
    const { limiter } = create();
    const ann = caller('ann');
    limiter.charge(ann, LOOPBACK, METHOD, 90);
    expect(limiter.charge(ann, LOOPBACK, METHOD, 20)).toMatchObject({
      domain: 'homeostat.identity',
      reason: 'RATE_LIMITED',
      kind: 'RESOURCE_EXHAUSTED',
      metadata: { tier: 'FREE', cost: '20' },
      retryAfterMs: 6_000,
    });
    expect([...limiter.limited]).toEqual([['FREE', 1]]);
  });

  test('is charged nothing by a refusal', () => {
    const { wait } = create();
    const ann = caller('ann');
    expect(wait(ann, 60)).toBeUndefined();
    for (let i = 0; i < 1_000; i++) expect(wait(ann, 41)).toBe(600);
    expect(wait(ann, 40)).toBeUndefined();
  });

  test('of one method is not charged when that of all methods refuses, nor the other way round', () => {
    const { wait } = create();
    const ann = caller('ann');
    for (let i = 0; i < 10; i++) expect(wait(ann, 100, `/method/${i}`)).toBeUndefined();
    expect(wait(ann, 1, '/method/10')).toBe(60); // The eleventh: one token of 1,000 a minute.
    const bob = caller('bob');
    expect(wait(bob, 100, '/method/0')).toBeUndefined();
    for (let i = 0; i < 50; i++) expect(wait(bob, 100, '/method/0')).toBe(60_000);
    for (let i = 1; i < 10; i++) expect(wait(bob, 100, `/method/${i}`)).toBeUndefined();
  });

  test('lets in by being full what costs more than it holds, which is paid back afterwards', async () => {
    const { clock, wait } = create();
    const ann = caller('ann');
    expect(wait(ann, 1)).toBeUndefined();
    expect(wait(ann, 250)).toBe(600); // Until it is full.
    await clock.advance(600);
    expect(wait(ann, 250)).toBeUndefined();
    expect(wait(ann, 1)).toBe(90_600); // 150 owed, and one.
    await clock.advance(90_600);
    expect(wait(ann, 1)).toBeUndefined();
  });

  test('follows a change of tier', () => {
    const { wait } = create();
    expect(wait(caller('ann', 'FREE'), 100)).toBeUndefined();
    expect(wait(caller('ann', 'PRO'), 100)).toBe(1_200);
  });

  test('never gives more than its burst and what flows in, and its waits are exact', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.record({ pauseMs: fc.nat(5_000), tokens: fc.integer({ min: 1, max: 100 }) }), {
          minLength: 1,
          maxLength: 60,
        }),
        async (calls) => {
          const { clock, wait } = create();
          const ann = caller('ann');
          let taken = 0;
          for (const { pauseMs, tokens } of calls) {
            await clock.advance(pauseMs);
            const waitMs = wait(ann, tokens);
            if (waitMs === undefined) taken += tokens;
            expect(taken).toBeLessThanOrEqual(100 + (clock.monotonicMs() * 100) / 60_000 + 0.01);
            if (waitMs === undefined || waitMs <= 1) continue;
            await clock.advance(waitMs - 1);
            expect(wait(ann, tokens)).toBe(1);
            await clock.advance(1);
            expect(wait(ann, tokens)).toBeUndefined();
            taken += tokens;
          }
        },
      ),
      { numRuns: 30 },
    );
  });
});

describe('identity.T1 callers of public methods', () => {
  test('have a bucket by their address, ten times that of tier FREE', () => {
    const { wait } = create();
    const call = (peer: string) => wait(NOBODY, 1, METHOD, address(peer));
    for (let i = 0; i < 1_000; i++) expect(call('192.0.2.1')).toBeUndefined();
    expect(call('192.0.2.1')).toBe(60);
    expect(call('192.0.2.2')).toBeUndefined();
  });

  test.each([
    ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::9', true],
    ['2001:db8::1', '2001:db8:0:0:ffff::', true],
    ['::1', '0:0:0:0:1::', true],
    ['2001:db8:1:2::1', '2001:db8:1:3::1', false],
    ['2001:db8::', '2001:db9::', false],
  ])('%s and %s share one: %s', (first, second, shared) => {
    const { wait } = create();
    expect(wait(NOBODY, 1_000, METHOD, address(first))).toBeUndefined();
    expect(wait(NOBODY, 1, METHOD, address(second))).toBe(shared ? 60 : undefined);
  });

  test('are not taken for a principal of that name', () => {
    const { wait } = create();
    expect(wait(NOBODY, 1_000, METHOD, address('abc'))).toBeUndefined();
    expect(wait(caller('abc'))).toBeUndefined();
  });
});

describe('identity.T1 a million principals', () => {
  test('are bounded, and each has its own tokens while those before are idle', () => {
    const ann = caller('ann');
    let nowMs = 0;
    const limiter = createRateLimiter({ tokensPerMinute, bucketsMax: 1_000 }, { monotonicMs: () => nowMs });
    let refused = 0;
    let most = 0;
    for (let i = 0; i < 1_000_000; i++) {
      nowMs += 4; // 500 buckets a second, each full again after 0.6 s.
      if (limiter.charge({ ...ann, id: `p${i}` }, LOOPBACK, METHOD, 1)) refused++;
      most = Math.max(most, limiter.size);
    }
    expect({ refused, most }).toEqual({ refused: 0, most: 1_000 });
  });

  test('that come too fast share what is left, and those who were there keep what they have', () => {
    const { limiter, wait } = create({ bucketsMax: 200 });
    const first = Array.from({ length: 100 }, (_, i) => caller(`first${i}`));
    for (const one of first) expect(wait(one, 50)).toBeUndefined();
    const refused = Array.from({ length: 1_000 }, (_, i) => wait(caller(`late${i}`))).filter(
      (waitMs) => waitMs !== undefined,
    );
    expect(refused).toHaveLength(900); // One bucket of 100 among all.
    expect(limiter.size).toBe(200);
    for (const one of first) expect(wait(one, 50)).toBeUndefined();
  });

  test('get buckets of their own again once there is room', async () => {
    const { clock, wait } = create({ bucketsMax: 20 });
    for (let i = 0; i < 10; i++) wait(caller(`early${i}`), 100);
    for (let i = 0; i < 100; i++) wait(caller(`late${i}`));
    expect(wait(caller('last'), 100)).toBeGreaterThan(0);
    await clock.advance(61_000);
    for (let i = 0; i < 8; i++) expect(wait(caller(`new${i}`), 100)).toBeUndefined();
  });

  test('never get more than their share by having their bucket dropped', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.record({ who: fc.nat(9), method: fc.nat(2), pauseMs: fc.nat(2_000) }), {
          minLength: 100,
          maxLength: 300,
        }),
        async (calls) => {
          const { clock, limiter, wait } = create({
            bucketsMax: 6,
            tokensPerMinute: { ...tokensPerMinute, FREE: 6 },
          });
          const taken = new Map<string, number>();
          for (const { who, method, pauseMs } of calls) {
            await clock.advance(pauseMs);
            const path = `/method/${method}`;
            if (wait(caller(`p${who}`), 1, path) !== undefined) continue;
            const key = `${who} ${path}`;
            taken.set(key, (taken.get(key) ?? 0) + 1);
          }
          expect(limiter.size).toBeLessThanOrEqual(6);
          // Its own bucket, and at worst the shared one besides.
          const most = 2 * (6 + (clock.monotonicMs() * 6) / 60_000);
          for (const count of taken.values()) expect(count).toBeLessThanOrEqual(most + 0.01);
        },
      ),
      { numRuns: 30 },
    );
  });
});
