import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import {
  type Failures,
  oneMore,
  QUIET_MS,
  SlidingLimit,
  waitOf,
} from '../../../src/identity/password/throttle.ts';

const failed = (count: number, atMs = 0) => {
  let failures: Failures | undefined;
  for (let i = 0; i < count; i++) failures = oneMore(failures, atMs);
  return failures;
};

describe('throttling of names', () => {
  test('the first five failures are free, then waits double from 1 s to 15 min', () => {
    for (let count = 0; count < 5; count++) expect(waitOf(failed(count), 0)).toBe(0);
    const waits = Array.from({ length: 12 }, (_, i) => waitOf(failed(5 + i), 0) / 1_000);
    expect(waits).toEqual([1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900]);
    expect(waitOf(failed(2_000), 0)).toBe(QUIET_MS);
  });

  test('a wait ends to the millisecond', () => {
    expect(waitOf(failed(7), 3_999)).toBe(1);
    expect(waitOf(failed(7), 4_000)).toBe(0);
  });

  test('failures are forgotten after 15 minutes without one, not before', () => {
    expect(oneMore(failed(9), QUIET_MS - 1).count).toBe(10);
    expect(oneMore(failed(9), QUIET_MS).count).toBe(1);
    expect(waitOf(failed(50), QUIET_MS - 1)).toBe(1);
    expect(waitOf(failed(50), QUIET_MS)).toBe(0);
  });

  test('a clock that steps back makes nobody wait longer than 15 minutes', () => {
    expect(waitOf(failed(5, 1e9), 0)).toBe(QUIET_MS);
  });

  test('identity.A2 however guesses are spaced, at most 14 of them are looked at in any 15 minutes', () => {
    fc.assert(
      fc.property(fc.array(fc.nat({ max: 120_000 }), { minLength: 20, maxLength: 400 }), (gaps) => {
        let failures: Failures | undefined;
        let nowMs = 0;
        const looked: number[] = [];
        for (const gapMs of gaps) {
          nowMs += gapMs;
          if (waitOf(failures, nowMs) > 0) continue;
          failures = oneMore(failures, nowMs);
          looked.push(nowMs);
        }
        for (const fromMs of looked)
          expect(
            looked.filter((atMs) => atMs >= fromMs && atMs < fromMs + QUIET_MS).length,
          ).toBeLessThanOrEqual(14);
      }),
    );
  });
});

describe('a sliding limit', () => {
  test('never lets more through in any window, and always as soon as it can', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 8 }),
        fc.integer({ min: 1, max: 50 }),
        fc.array(fc.nat({ max: 20 }), { maxLength: 200 }),
        (limit, windowMs, gaps) => {
          const sliding = new SlidingLimit(limit, windowMs);
          const taken: number[] = [];
          let nowMs = 0;
          for (const gapMs of gaps) {
            nowMs += gapMs;
            const inWindow = taken.filter((atMs) => atMs > nowMs - windowMs);
            const waitMs = sliding.waitOf(nowMs);
            expect(waitMs === 0).toBe(inWindow.length < limit);
            if (waitMs > 0) expect(nowMs + waitMs).toBe(taken.at(-limit)! + windowMs);
            else {
              sliding.take(nowMs);
              taken.push(nowMs);
            }
          }
        },
      ),
    );
  });
});
