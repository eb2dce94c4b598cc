import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { type BenchRow, median, medianInterval, meetsBar, runPairs } from '../../bench/harness.ts';

const upTo = (count: number) => Array.from({ length: count }, (_, i) => i + 1);

describe('the interval of a median', () => {
  test.each([
    [6, 1, 6], // 1 - 2/64 = 96.9 %
    [9, 2, 8], // 1 - 20/512 = 96.1 %; from the third it is 82 %
    [15, 4, 12], // 96.5 %
    [20, 6, 15], // 95.9 %
  ])('of %i values goes from the %i-th to the %i-th', (count, low, high) => {
    expect(medianInterval(upTo(count).reverse())).toEqual({ low, high });
  });

  test('of too few values is their whole range', () => {
    expect(medianInterval([3, 1, 2])).toEqual({ low: 1, high: 3 });
    expect(medianInterval([])).toEqual({ low: Number.NaN, high: Number.NaN });
  });

  test('holds the median', () => {
    fc.assert(
      fc.property(
        fc.array(fc.double({ noNaN: true, min: -1e300, max: 1e300 }), { minLength: 1, maxLength: 40 }),
        (values) => {
          const { low, high } = medianInterval(values);
          expect(low).toBeLessThanOrEqual(median(values));
          expect(high).toBeGreaterThanOrEqual(median(values));
        },
      ),
    );
  });
});

describe('a comparison', () => {
  const compare = (ratesA: number[], ratesB: number[], bar: number) =>
    runPairs({
      id: 'T',
      name: 'test',
      bar,
      unit: '1/s',
      pairs: ratesA.length - 1,
      a: async () => ratesA.shift()!,
      b: async () => ratesB.shift()!,
    });

  test('warms up once, takes ratios pair by pair and the median of them', async () => {
    const row = await compare([1, 10, 30, 20], [99, 10, 10, 10], 1);
    expect(row).toMatchObject({ ratio: 2, low: 1, high: 3, rateA: 20, rateB: 10, pairs: 3 });
  });

  test('fails only when the whole interval lies under the bar, or a check is exceeded', () => {
    const row: BenchRow = {
      id: 'T',
      title: 'test',
      bar: 1,
      ratio: 0.9,
      low: 0.8,
      high: 1,
      rateA: 9,
      rateB: 10,
      unit: '1/s',
      pairs: 9,
      checks: [{ name: 'tail', value: 1.5, atMost: 1.5 }],
      notes: [],
    };
    expect(meetsBar(row)).toBe(true);
    expect(meetsBar({ ...row, high: 0.99 })).toBe(false);
    expect(meetsBar({ ...row, checks: [{ name: 'tail', value: 1.51, atMost: 1.5 }] })).toBe(false);
  });
});
