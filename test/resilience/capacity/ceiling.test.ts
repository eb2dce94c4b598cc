/** The ceiling of utilization. */
import { expect, test } from '@jest/globals';
import { utilizationCeiling } from '../../../src/resilience/capacity/ceiling.ts';

const utilizationWithoutPromise = 0.8;

test.each([
  [3, 0.533],
  [4, 0.6],
  [10, 0.72],
])('%d nodes without a promise stay under %d, so that one can be lost', (nodes, ceiling) => {
  expect(utilizationCeiling({ utilizationWithoutPromise, nodes })).toBeCloseTo(ceiling, 3);
});

test('an unknown number of nodes sets nothing aside', () => {
  expect(utilizationCeiling({ utilizationWithoutPromise })).toBe(0.8);
});

test('a promise about waiting takes the place of the stand-in', () => {
  const promise = { servers: 50, waitServiceTimes: 0, probability: 0.2 };
  expect(utilizationCeiling({ utilizationWithoutPromise, promise })).toBeCloseTo(0.854, 3);
  expect(utilizationCeiling({ utilizationWithoutPromise, promise, nodes: 2 })).toBeCloseTo(0.427, 3);
});

test('a lone node has no room at all', () => {
  expect(utilizationCeiling({ utilizationWithoutPromise, nodes: 1 })).toBe(0);
});
