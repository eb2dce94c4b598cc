import { describe, expect, test } from '@jest/globals';
import { createRandom, philox } from '../src/random.ts';

/** Known answers of the generator's authors (Random123, kat_vectors, philox4x32 with 10 rounds). */
const KNOWN: readonly [counter: number[], key: number[], out: number[]][] = [
  [
    [0, 0, 0, 0],
    [0, 0],
    [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8],
  ],
  [
    [0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff],
    [0xffffffff, 0xffffffff],
    [0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd],
  ],
  [
    [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344],
    [0xa4093822, 0x299f31d0],
    [0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1],
  ],
];

describe('random numbers', () => {
  test('Philox4x32-10 gives the published answers', () => {
    for (const [counter, key, out] of KNOWN) {
      const block = new Uint32Array(4);
      philox(Uint32Array.from(counter), Uint32Array.from(key), block);
      expect([...block]).toEqual(out);
    }
  });

  test('the same seed and stream give the same numbers; another of either does not', () => {
    const draw = (seed: number | bigint, stream?: number) => {
      const random = createRandom(seed, stream);
      return Array.from({ length: 9 }, () => random.uint32());
    };
    expect(draw(7)).toEqual(draw(7n));
    expect(draw(7)).not.toEqual(draw(8));
    expect(draw(7, 1)).not.toEqual(draw(7, 2));
    expect(draw(1)).not.toEqual(draw(1n + (1n << 40n)));
  });

  test('uniform, normal and exponential have their moments within five standard errors', () => {
    const random = createRandom(42);
    const n = 50_000;
    const moments = (next: () => number) => {
      let sum = 0;
      let square = 0;
      for (let i = 0; i < n; i++) {
        const value = next();
        sum += value;
        square += value * value;
      }
      return { mean: sum / n, variance: square / n - (sum / n) ** 2 };
    };
    const uniform = moments(random.uniform);
    expect(Math.abs(uniform.mean - 0.5)).toBeLessThan(5 * Math.sqrt(1 / 12 / n));
    expect(Math.abs(uniform.variance - 1 / 12)).toBeLessThan(5 * Math.sqrt(1 / 180 / n));
    const normal = moments(random.normal);
    expect(Math.abs(normal.mean)).toBeLessThan(5 / Math.sqrt(n));
    expect(Math.abs(normal.variance - 1)).toBeLessThan(5 * Math.sqrt(2 / n));
    const exponential = moments(random.exponential);
    expect(Math.abs(exponential.mean - 1)).toBeLessThan(5 / Math.sqrt(n));
    expect(Math.abs(exponential.variance - 1)).toBeLessThan(5 * Math.sqrt(8 / n));
  });

  test('below stays below', () => {
    const random = createRandom(3);
    const seen = new Set(Array.from({ length: 1000 }, () => random.below(7)));
    expect([...seen].sort()).toEqual([0, 1, 2, 3, 4, 5, 6]);
  });
});
