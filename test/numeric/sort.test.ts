/** Sorting in slices beside the runtime's sort. */
import { expect, test } from '@jest/globals';
import { runThrough } from '../../src/numeric/slices.ts';
import { sortSteps } from '../../src/numeric/sort.ts';
import { createRandom } from '../../src/random.ts';

test.each([0, 1, 2, 4095, 4096, 4097, 8192, 12_289, 70_000])(
  '%i numbers are sorted as by the runtime',
  (count) => {
    const random = createRandom(count + 1);
    // Many are equal; the ends of the range are among them.
    const numbers = Float64Array.from({ length: count }, () => Math.round(50 * random.normal()) / 3 + 0);
    if (count > 2) numbers.set([Number.POSITIVE_INFINITY, -Number.MAX_VALUE]);
    expect(runThrough(sortSteps(numbers.slice()))).toEqual(numbers.slice().sort());
  },
);

test('many numbers are sorted in many steps', () => {
  const random = createRandom(7);
  const steps = sortSteps(Float64Array.from({ length: 65_536 }, () => random.uniform()));
  let paused = 0;
  while (!steps.next().done) paused++;
  expect(paused).toBeGreaterThan(15);
});
