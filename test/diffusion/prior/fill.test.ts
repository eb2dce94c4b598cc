/** Maps with gaps: what stands in them, and how little that changes what is fitted. */
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { fillMaps } from '../../../src/diffusion/prior/fill.ts';
import { fitPrior } from '../../../src/diffusion/prior/fit.ts';
import { createSpectralGrid } from '../../../src/diffusion/prior/modes.ts';
import { bitsFromMask } from '../../../src/numeric/given-grid.ts';
import { createRandom } from '../../../src/random.ts';

const bitsOf = (mask: readonly number[]) => bitsFromMask(Uint8Array.from(mask));

describe('a gap is filled', () => {
  const maps = [Float32Array.of(1, 2, 9, -7), Float32Array.of(3, 4, 5, -8), Float32Array.of(2, 0, 7, -9)];
  // Of the third map the second cell was not observed, of none the fourth.
  const observed = [bitsOf([1, 1, 1, 0]), bitsOf([1, 1, 1, 0]), bitsOf([1, 0, 1, 0])];

  test('as far from the mean of its cell as the rest of its map is on average', () => {
    const { maps: filled, observedShares, filledCells } = fillMaps(maps, observed, undefined, undefined);
    // Means of the cells: 2, 3, 7 and, never observed, theirs, 4.
    expect([...filled[0]!]).toEqual([1, 2, 9, 4]);
    expect([...filled[1]!]).toEqual([3, 4, 5, 4]);
    expect([...filled[2]!]).toEqual([2, 3, 7, 4]);
    expect([...observedShares]).toEqual([0.75, 0.75, 0.5]);
    expect(filledCells).toBe(4);
    expect([...maps[2]!]).toEqual([2, 0, 7, -9]);
  });

  test('that was never observed, as far from the mean that is given as other cells', () => {
    const { maps: filled } = fillMaps(maps, observed, Float64Array.of(0, 0, 0, 100), undefined);
    expect(filled.map((map) => map[3])).toEqual([104, 104, 104]);
  });

  test('and maps without one stay the same', () => {
    const whole = fillMaps(maps, [undefined, undefined, undefined], undefined, undefined);
    expect(whole.maps).toBe(maps);
    expect(whole.filledCells).toBe(0);
    const one = fillMaps(maps, [undefined, bitsOf([1, 1, 1, 0]), undefined], undefined, undefined);
    expect(one.maps[0]).toBe(maps[0]);
    // The fourth cell was observed in the others.
    expect(one.maps[1]![3]).toBe(Math.fround(-8 + (3 - 2 + 4 - 2 + (5 - 7)) / 3));
  });

  test('and is what it would have been, of maps that differ in their level alone', () => {
    const mask = fc.array(fc.constantFrom(0, 1), { minLength: 11, maxLength: 11 });
    fc.assert(
      fc.property(mask, fc.integer({ min: 2, max: 9 }), (rest, count) => {
        const given = Float64Array.from({ length: 12 }, (_, i) => i);
        const truth = Array.from({ length: count }, (_, n) => Float32Array.from(given, (i) => 8 * n * n + i));
        const bits = bitsOf([1, ...rest]);
        const { maps: filled } = fillMaps(
          truth,
          truth.map(() => bits),
          given,
          undefined,
        );
        for (const [n, map] of filled.entries())
          for (const [i, cell] of map.entries()) expect(cell).toBeCloseTo(truth[n]![i]!, 3);
      }),
    );
  });
});

describe('a fit to maps with gaps', () => {
  const random = createRandom(7);
  const [rows, cols, count] = [8, 7, 400];
  /** A level of all cells, deviation 3, on noise of deviation 2 around 50. */
  const maps = Array.from({ length: count }, () => {
    const level = 50 + 3 * random.normal();
    return Float32Array.from({ length: rows * cols }, () => level + 2 * random.normal());
  });
  const fitted = (observed: readonly Uint8Array[] | undefined, periodic: boolean) => {
    const holed = maps.map((map, n) =>
      observed ? map.map((cell, i) => ((observed[n]![i >> 3]! >> (i & 7)) & 1 ? cell : -1e6)) : map,
    );
    const job = { rows, cols, mean: 'CLIMATOLOGY', components: 1, seed: 0n, periodic } as const;
    return fitPrior({ ...job, maps: holed, ...(observed && { observed }) });
  };
  const spare = bitsOf(Array.from({ length: rows * cols }, (_, i) => (i < 50 ? 1 : 0)));
  const drop = (share: number) =>
    bitsOf(Array.from({ length: rows * cols }, () => (random.uniform() < share ? 0 : 1)));
  const CASES = [
    ['six spare cells', maps.map(() => spare), 6 * count],
    ['a fifth of the cells silent, others each time', maps.map(() => drop(0.2)), undefined],
    ['half of the cells silent, others each time', maps.map(() => drop(0.5)), undefined],
  ] as const;

  test.each(CASES)('has the spectrum that one to whole maps has: %s', (_name, observed, filled) => {
    const [whole, holed] = [fitted(undefined, true), fitted(observed, true)];
    if (filled !== undefined) expect(holed.filledCells).toBe(filled);
    expect(whole.filledCells).toBe(0);
    expect(Math.abs(holed.meanTotal / whole.meanTotal - 1)).toBeLessThan(0.01);
    expect(Math.abs(holed.siteVariance / whole.siteVariance - 1)).toBeLessThan(0.03);
    for (const [shell, power] of holed.shellPowers.entries())
      expect(Math.abs(power / whole.shellPowers[shell]! - 1)).toBeLessThan(0.05);
  });

  test('tapered as well keeps the variance of a cell', () => {
    const [whole, holed] = [
      fitted(undefined, false),
      fitted(
        maps.map(() => spare),
        false,
      ),
    ];
    expect(Math.abs(holed.siteVariance / whole.siteVariance - 1)).toBeLessThan(0.05);
  });

  test('finds two kinds of maps as one to whole maps does', () => {
    const grid = createSpectralGrid(6, 5);
    const two = Array.from({ length: 80 }, (_, n) =>
      Float32Array.from({ length: grid.cells }, () => (n % 4 === 0 ? 30 : 3) + random.normal()),
    );
    const observed = two.map(() =>
      bitsOf(Array.from({ length: grid.cells }, () => (random.uniform() < 0.2 ? 0 : 1))),
    );
    const job = { rows: 6, cols: 5, mean: 'CLIMATOLOGY', components: 3, seed: 0n, periodic: true } as const;
    const { components } = fitPrior({ ...job, maps: two, observed });
    expect(components.map(({ weight }) => weight)).toEqual([0.75, 0.25]);
    for (const [at, level] of [3, 30].entries()) {
      expect(components[at]!.meanTotal / grid.cells / level).toBeCloseTo(1, 1);
      expect(components[at]!.siteVariance).toBeGreaterThan(0.7);
      expect(components[at]!.siteVariance).toBeLessThan(1.4);
    }
  });
});
