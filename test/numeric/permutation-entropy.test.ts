/** Orders of four values: all 24, ties, entropy and irreversibility of noise and of chaos. */
import { describe, expect, test } from '@jest/globals';
import {
  PATTERNS,
  patternEntropy,
  patternIrreversibility,
  patternOf,
} from '../../src/numeric/permutation-entropy.ts';
import { createRandom } from '../../src/random.ts';

function countsOf(values: readonly number[]): number[] {
  const counts = new Array<number>(PATTERNS).fill(0);
  for (let at = 3; at < values.length; at++) {
    const pattern = patternOf(values[at - 3]!, values[at - 2]!, values[at - 1]!, values[at]!);
    if (pattern >= 0) counts[pattern]!++;
  }
  return counts;
}

function series(count: number, next: (before: number) => number): number[] {
  const values = [0.3];
  while (values.length < count) values.push(next(values.at(-1)!));
  return values;
}

describe('orders of four values', () => {
  test('are 24, each with a place of its own', () => {
    const places = new Set<number>();
    for (let code = 0; code < 256; code++) {
      const digits = [code >> 6, (code >> 4) & 3, (code >> 2) & 3, code & 3] as const;
      const place = patternOf(...digits);
      expect(place >= 0).toBe(new Set(digits).size === 4);
      if (place >= 0) places.add(place);
    }
    expect([...places].sort((a, b) => a - b)).toEqual(Array.from({ length: PATTERNS }, (_, at) => at));
  });

  test('of noise are as frequent as each other, and alike backwards', () => {
    const random = createRandom(4);
    const counts = countsOf(series(20_000, () => random.normal()));
    expect(patternEntropy(counts)).toBeGreaterThan(0.998);
    expect(patternIrreversibility(counts)).toBeLessThan(0.03);
    const slow = countsOf(series(20_000, (x) => 0.9 * x + random.normal()));
    expect(patternIrreversibility(slow)).toBeLessThan(0.03);
  });

  test('of a logistic map are few, and not alike backwards', () => {
    const counts = countsOf(series(20_000, (x) => 4 * x * (1 - x)));
    expect(counts.filter((count) => count > 0)).toHaveLength(12);
    expect(patternEntropy(counts)).toBeLessThan(0.8);
    expect(patternIrreversibility(counts)).toBeGreaterThan(0.3);
  });

  test('are none of a constant', () => {
    const counts = countsOf([1, 1, 1, 1, 1]);
    expect([patternEntropy(counts), patternIrreversibility(counts)]).toEqual([undefined, undefined]);
    expect(patternEntropy(countsOf([1, 2, 3, 4, 5]))).toBe(0);
    expect(patternIrreversibility(countsOf([1, 2, 3, 4, 5]))).toBe(1);
  });
});
