/** Golden-section search: closed forms, and how near it comes. */
import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { goldenSection } from '../../src/numeric/golden-section.ts';

test('finds the least of a parabola to the width its steps leave', () => {
  const place = fc.double({ min: -3, max: 5, noNaN: true });
  fc.assert(
    fc.property(place, fc.integer({ min: 0, max: 30 }), (at, steps) => {
      const found = goldenSection((x) => (x - at) ** 2, -3, 5, steps);
      return Math.abs(found - at) <= (8 * ((Math.sqrt(5) - 1) / 2) ** steps) / 2 + 1e-7;
    }),
  );
});

test('asks once a step and twice to begin, and of a loss that only rises or falls finds the end', () => {
  let asked = 0;
  const rising = (x: number) => {
    asked++;
    return x;
  };
  expect(goldenSection(rising, 2, 3, 40)).toBeCloseTo(2, 7);
  expect(asked).toBe(42);
  expect(goldenSection((x) => -x, 2, 3, 40)).toBeCloseTo(3, 7);
});
