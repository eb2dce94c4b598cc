/** Arrays for tests of the compiled kernels: copies into an arena, random values, comparisons. */
import { expect } from '@jest/globals';
import type { Arena } from '../../../src/numeric/kernels/arena.ts';
import { createRandom } from '../../../src/random.ts';

/** Standard normals. */
export function normalsOf(length: number, seed: number): Float64Array {
  const random = createRandom(seed);
  return Float64Array.from({ length }, () => random.normal());
}

/** A copy in the arena. */
export function placed(arena: Arena, values: ArrayLike<number>): Float64Array<ArrayBuffer> {
  const copy = arena.float64(values.length);
  copy.set(values);
  return copy;
}

/** Length of the difference over the length of the expected values; 0 when both are nothing. */
export function relativeError(found: ArrayLike<number>, expected: ArrayLike<number>): number {
  let difference = 0;
  let whole = 0;
  for (let i = 0; i < expected.length; i++) {
    difference += (found[i]! - expected[i]!) ** 2;
    whole += expected[i]! ** 2;
  }
  return difference === 0 ? 0 : Math.sqrt(difference / whole);
}

/** The bits, with -0 as 0: kernels may differ from plain loops in the sign of a zero only. */
export function expectSameBits(found: Float64Array | Float32Array, expected: ArrayLike<number>): void {
  expect(Array.from(found, (value) => value + 0)).toEqual(Array.from(expected, (value) => value + 0));
}

/** Entry by entry, to `digits` decimals. */
export function expectNear(found: ArrayLike<number>, expected: ArrayLike<number>, digits: number): void {
  expect(found.length).toBeGreaterThanOrEqual(expected.length);
  for (let i = 0; i < expected.length; i++) expect(found[i]).toBeCloseTo(expected[i]!, digits);
}
