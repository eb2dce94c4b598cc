/** Autoregressions of a series as it comes: their weights found, none where there is no memory. */
import { expect, test } from '@jest/globals';
import {
  expectedNext,
  NO_SUMS,
  type SeriesSums,
  withValue,
} from '../../src/numeric/running-autoregression.ts';
import { createRandom } from '../../src/random.ts';

function learned(count: number, next: (past: readonly number[]) => number): SeriesSums {
  let sums = NO_SUMS;
  const past = [0, 0, 0];
  for (let at = 0; at < count; at++) {
    const value = next(past);
    sums = withValue(sums, value);
    past.unshift(value);
    past.length = 3;
  }
  return sums;
}

test('a series of known law is expected as the law says', () => {
  const random = createRandom(3);
  const laws: readonly (readonly number[])[] = [[0.8], [1.2, -0.5], [0.3, 0.2, -0.4]];
  for (const law of laws) {
    const sums = learned(20_000, (past) => law.reduce((sum, w, k) => sum + w * past[k]!, random.normal()));
    const truth = law.reduce((sum, w, k) => sum + w * sums.tail[k]!, 0);
    expect(Math.abs(expectedNext(sums) - truth)).toBeLessThan(0.1);
  }
});

test('noise and too few values are expected to be 0', () => {
  const random = createRandom(4);
  expect(expectedNext(learned(2000, () => random.normal()))).toBe(0);
  expect(expectedNext(learned(6, (past) => past[0]! + 1))).toBe(0);
  expect(expectedNext(learned(50, () => 0))).toBe(0);
  expect(expectedNext(NO_SUMS)).toBe(0);
});
