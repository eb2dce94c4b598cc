/** The 0-1 test: chaos and noise near 1, regular motion near 0. */
import { expect, test } from '@jest/globals';
import { chaosStatistic } from '../../src/numeric/chaos-test.ts';
import { createRandom } from '../../src/random.ts';

const of = (count: number, value: (at: number) => number) =>
  Float64Array.from({ length: count }, (_, at) => value(at));

function logistic(growth: number, count: number): Float64Array {
  let x = 0.31;
  for (let burn = 0; burn < 100; burn++) x = growth * x * (1 - x);
  return of(count, () => {
    x = growth * x * (1 - x);
    return x;
  });
}

test('a chaotic map is told from a periodic one', () => {
  expect(chaosStatistic(logistic(3.97, 1000))).toBeGreaterThan(0.9);
  expect(chaosStatistic(logistic(3.55, 1000))).toBeLessThan(0.2);
  expect(chaosStatistic(logistic(3.97, 64))).toBeGreaterThan(0.7);
});

test('quasi-periodic motion is regular, noise is not', () => {
  expect(chaosStatistic(of(1000, (t) => Math.sin(0.2 * t) + Math.sin(0.2 * Math.SQRT2 * t)))).toBeLessThan(
    0.2,
  );
  const random = createRandom(8);
  expect(chaosStatistic(of(1000, () => random.normal()))).toBeGreaterThan(0.9);
});

test('neither scale nor level matters, and too short or constant series have none', () => {
  const values = logistic(3.9, 200);
  const moved = values.map((value) => 1e6 + 512 * value);
  expect(chaosStatistic(moved)).toBeCloseTo(chaosStatistic(values)!, 6);
  expect(chaosStatistic(values.subarray(0, 15))).toBeUndefined();
  expect(chaosStatistic(of(64, () => 3))).toBeUndefined();
});
