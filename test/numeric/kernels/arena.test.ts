/** Regions of an arena. */
import { expect, test } from '@jest/globals';
import { createArena } from '../../../src/numeric/kernels/arena.ts';

test('regions are zero, aligned to cache lines and apart', () => {
  const arena = createArena(1);
  const regions = [arena.uint8(3), arena.float64(5), arena.uint32(1), arena.float32(0), arena.float64(2)];
  let end = 0;
  for (const region of regions) {
    expect(region.byteOffset % 64).toBe(0);
    expect(region.byteOffset).toBeGreaterThanOrEqual(end);
    expect(region.every((value) => value === 0)).toBe(true);
    region.fill(1);
    end = region.byteOffset + region.byteLength;
  }
});

test('an arena is full when it is full, and stays usable', () => {
  const arena = createArena(1);
  expect(() => arena.float64(131_072)).toThrow(RangeError);
  expect(arena.float64(128_000).length).toBe(128_000);
  expect(() => arena.float64(1_000)).toThrow(RangeError);
  expect(arena.float64(10).length).toBe(10);
});

test('addresses are given of own arrays that are long enough only', () => {
  const arena = createArena(1);
  const own = arena.float64(4);
  expect(arena.addressOf(own.subarray(1), 3)).toBe(own.byteOffset + 8);
  expect(() => arena.addressOf(own, 5)).toThrow(RangeError);
  expect(() => arena.addressOf(new Float64Array(4), 4)).toThrow(RangeError);
  expect(() => arena.addressOf(createArena(1).float64(4), 4)).toThrow(RangeError);
});

test('sizes that are none are refused', () => {
  for (const size of [0, -1, Number.NaN, 5000]) expect(() => createArena(size)).toThrow(RangeError);
});
