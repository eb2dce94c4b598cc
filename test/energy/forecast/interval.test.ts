/** Intervals: coverage on noise of many kinds and through shifts, and the bound that holds against any errors. */
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { COVERAGES, Intervals } from '../../../src/energy/forecast/interval.ts';
import { runThrough } from '../../../src/numeric/slices.ts';
import { createRandom } from '../../../src/random.ts';

const GAMMA = 0.005;
/** Places of 0.8, 0.9 and 0.95. */
const STATED = [1, 2, 3];

/** Coverage of each stated level over rounds `from` up to but not `to` of |errors|, measured from outside. */
function coverages(
  [from, to]: readonly [number, number],
  cells: number,
  error: (t: number, cell: number) => number,
): number[] {
  const state = new Intervals();
  const observed = new Uint8Array(cells).fill(1);
  const inside = COVERAGES.map(() => 0);
  for (let t = 0; t < to; t++) {
    const errors = Float64Array.from({ length: cells }, (_, cell) => error(t, cell));
    for (const [at, coverage] of t < from ? [] : COVERAGES.entries()) {
      const width = state.halfWidths(coverage);
      const held = width ? errors.filter((each, cell) => each <= width[cell]!).length : cells;
      inside[at]! += held / cells / (to - from);
    }
    runThrough(state.score(errors, observed));
  }
  return inside;
}

describe('coverage over 2,000 forecasts', () => {
  const random = createRandom(21);
  const heavy = () => Math.abs(random.normal() / Math.max(0.05, Math.sqrt(random.uniform())));
  test.each([
    ['normal errors', 16, () => Math.abs(random.normal())],
    ['one cell', 1, () => Math.abs(random.normal())],
    ['heavy tails', 16, heavy],
    [
      'cells that differ a hundredfold',
      16,
      (_t: number, cell: number) => Math.abs(random.normal()) * 1.4 ** cell,
    ],
  ])('energy.intervals are within 0.02 of what they state: %s', (_name, cells, error) => {
    const inside = coverages([0, 2000], cells, error);
    for (const at of STATED) expect(Math.abs(inside[at]! - COVERAGES[at]!)).toBeLessThan(0.02);
  });

  test.each([
    ['a rise', (isLate: boolean) => Math.abs(random.normal()) * (isLate ? 5 : 1)],
    ['a fall', (isLate: boolean) => Math.abs(random.normal()) * (isLate ? 0.2 : 1)],
    ['another law', (isLate: boolean) => (isLate ? heavy() : Math.abs(random.normal()))],
  ])('energy.intervals are within 0.02 of what they state from a shift on, alone: %s', (_name, error) => {
    const inside = coverages([1000, 3000], 16, (t) => error(t >= 1000));
    for (const at of STATED) expect(Math.abs(inside[at]! - COVERAGES[at]!)).toBeLessThan(0.02);
  });
});

describe('the long run', () => {
  test('misses as often as stated within (1 + gamma) / (gamma n), whatever the errors', () => {
    const size = fc.double({ min: 0, max: 1e6, noNaN: true });
    const cells = fc.array(size, { minLength: 3, maxLength: 3 });
    fc.assert(
      fc.property(fc.array(cells, { minLength: 250, maxLength: 400 }), (rounds) => {
        const inside = coverages([0, rounds.length], 3, (t, cell) => rounds[t]![cell]!);
        const bound = (1 + GAMMA) / (GAMMA * rounds.length);
        for (const [at, coverage] of COVERAGES.entries())
          expect(Math.abs(inside[at]! - coverage)).toBeLessThanOrEqual(bound);
      }),
      { numRuns: 20 },
    );
  });

  test('errors that only grow are covered in the end: the width loses its bound', () => {
    const [, , ninety] = coverages([0, 3000], 1, (t) => 1.05 ** Math.min(t, 10_000));
    expect(ninety).toBeGreaterThan(0.85);
  });
});

describe('the width', () => {
  test('is without bound before the first error and rises with the coverage asked', () => {
    const state = new Intervals();
    expect(state.halfWidths(0.9)).toBeUndefined();
    const random = createRandom(4);
    for (let t = 0; t < 300; t++) {
      const errors = Float64Array.of(Math.abs(random.normal()), 10 * Math.abs(random.normal()));
      runThrough(state.score(errors, Uint8Array.of(1, 1)));
    }
    let last = 0;
    for (const coverage of [0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.93, 0.95, 0.97]) {
      const width = state.halfWidths(coverage)!;
      expect(width[0]).toBeGreaterThan(last);
      expect(width[1]! / width[0]!).toBeGreaterThan(6);
      last = width[0]!;
    }
  });

  test('does not learn from cells that were not observed', () => {
    const state = new Intervals();
    for (let t = 0; t < 50; t++) runThrough(state.score(Float64Array.of(1, 1e9), Uint8Array.of(1, 0)));
    const width = state.halfWidths(0.9)!;
    expect(width[0]).toBeLessThan(2);
    expect(width[1]).toBeLessThan(2);
  });
});
