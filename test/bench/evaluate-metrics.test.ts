import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import {
  areaUnderRoc,
  averagePrecision,
  hitRate,
  judgeAlarms,
  quantile,
  wilsonInterval,
} from '../../bench/evaluate/detection-metrics.ts';

const scored = (...pairs: readonly (readonly [score: number, label: 0 | 1])[]) => ({
  scores: Float64Array.from(pairs, ([score]) => score),
  labels: Uint8Array.from(pairs, ([, label]) => label),
});

describe('average precision and area under ROC', () => {
  test('are 1 when every labelled step scores above every other', () => {
    const { scores, labels } = scored([1, 0], [9, 1], [2, 0], [8, 1]);
    expect(averagePrecision(scores, labels)).toBe(1);
    expect(areaUnderRoc(scores, labels)).toBe(1);
  });

  test('agree with a ranking worked by hand', () => {
    // From the top 1 0 1 0 0 1: precision 1/1, 2/3, 3/6 at the labelled steps; 3 + 2 + 0 of 9 pairs in order.
    const { scores, labels } = scored([6, 1], [5, 0], [4, 1], [3, 0], [2, 0], [1, 1]);
    expect(averagePrecision(scores, labels)).toBeCloseTo((1 + 2 / 3 + 1 / 2) / 3, 15);
    expect(areaUnderRoc(scores, labels)).toBeCloseTo(5 / 9, 15);
  });

  test('take steps of one score together', () => {
    // From the top {1}, {1 0 0 0}, {1 0}: precision 1, 2/5, 3/7. Pairs: 4 + (3/2 + 1) + 1/2 of 12.
    const pairs = [
      [3, 1],
      [2, 0],
      [2, 1],
      [2, 0],
      [2, 0],
      [1, 0],
      [1, 1],
    ] as const;
    for (const order of [pairs, pairs.toReversed()]) {
      const { scores, labels } = scored(...order);
      expect(averagePrecision(scores, labels)).toBeCloseTo((1 + 2 / 5 + 3 / 7) / 3, 15);
      expect(areaUnderRoc(scores, labels)).toBeCloseTo(7 / 12, 15);
    }
  });

  test('of a constant score are the labelled share and one half', () => {
    const { scores, labels } = scored([5, 0], [5, 1], [5, 0], [5, 0]);
    expect(averagePrecision(scores, labels)).toBe(0.25);
    expect(areaUnderRoc(scores, labels)).toBe(0.5);
  });

  test('are not numbers where nothing is labelled, and infinite scores rank first', () => {
    const none = scored([1, 0], [2, 0]);
    expect(averagePrecision(none.scores, none.labels)).toBeNaN();
    expect(areaUnderRoc(none.scores, none.labels)).toBeNaN();
    const endless = scored([Number.POSITIVE_INFINITY, 1], [2, 0]);
    expect(averagePrecision(endless.scores, endless.labels)).toBe(1);
  });

  test('refuse a score that is not a number, and labels of another length', () => {
    const { scores, labels } = scored([Number.NaN, 1], [2, 0]);
    expect(() => averagePrecision(scores, labels)).toThrow(RangeError);
    expect(() => areaUnderRoc(new Float64Array(3), labels)).toThrow(RangeError);
  });

  test('agree with their definitions over all pairs and all thresholds', () => {
    const steps = fc.array(
      fc.tuple(fc.integer({ min: 0, max: 5 }), fc.constantFrom(0 as const, 1 as const)),
      {
        minLength: 2,
        maxLength: 30,
      },
    );
    fc.assert(
      fc.property(steps, (pairs) => {
        const positive = pairs.filter(([, label]) => label === 1).map(([score]) => score);
        const negative = pairs.filter(([, label]) => label === 0).map(([score]) => score);
        fc.pre(positive.length > 0 && negative.length > 0);
        const won = positive.flatMap((p) => negative.map((n) => (p > n ? 1 : p === n ? 0.5 : 0)));
        const precisions = positive.map((score) => {
          const taken = pairs.filter(([one]) => one >= score);
          return taken.filter(([, label]) => label === 1).length / taken.length;
        });
        const average = (values: readonly number[]) => values.reduce((a, b) => a + b, 0) / values.length;
        const { scores, labels } = scored(...pairs);
        expect(areaUnderRoc(scores, labels)).toBeCloseTo(average(won), 12);
        expect(averagePrecision(scores, labels)).toBeCloseTo(average(precisions), 12);
      }),
    );
  });
});

describe('alarms', () => {
  test('hit an incident by one step of it, and are false episodes outside', () => {
    //                              |incident|     |inc|
    const scores = Float64Array.of(9, 9, 0, 9, 0, 9, 9, 0, 0, 9);
    const incidents = [
      { from: 2, to: 5 },
      { from: 7, to: 9 },
    ];
    expect(judgeAlarms(scores, 5, incidents)).toEqual({ incidentsHit: 1, falseAlarmEpisodes: 3 });
  });

  test('begin above the threshold, not at it', () => {
    expect(judgeAlarms(Float64Array.of(5, 5), 5, [{ from: 0, to: 1 }])).toEqual({
      incidentsHit: 0,
      falseAlarmEpisodes: 0,
    });
  });

  test('that go on beyond an incident are a false episode of their own', () => {
    expect(judgeAlarms(Float64Array.of(9, 9, 9, 9), 5, [{ from: 1, to: 2 }])).toEqual({
      incidentsHit: 1,
      falseAlarmEpisodes: 2,
    });
  });
});

describe('the share of affected metrics named', () => {
  test('looks at half as many again as were affected, rounded down', () => {
    const sizes = Float64Array.of(1, 9, 5, 7, 3);
    expect(hitRate(sizes, [1])).toBe(1); // The first 1: metric 1.
    expect(hitRate(sizes, [3])).toBe(0);
    expect(hitRate(sizes, [1, 2])).toBe(1); // The first 3: metrics 1, 3, 2.
    expect(hitRate(sizes, [2, 4, 0])).toBe(2 / 3); // The first 4: metrics 1, 3, 2, 4.
  });

  test('ranks metrics of one size by their places', () => {
    expect(hitRate(Float64Array.of(2, 2), [0])).toBe(1);
    expect(hitRate(Float64Array.of(2, 2), [1])).toBe(0);
  });
});

describe('a quantile', () => {
  test('lies between the order statistics beside it', () => {
    const values = Float64Array.of(40, 10, 30, 20);
    expect(quantile(values, 0)).toBe(10);
    expect(quantile(values, 1)).toBe(40);
    expect(quantile(values, 0.5)).toBe(25);
    expect(quantile(values, 0.9)).toBeCloseTo(37, 12);
    expect(values[0]).toBe(40);
  });

  test('of nothing is not a number', () => {
    expect(quantile(new Float64Array(0), 0.5)).toBeNaN();
  });
});

test.each([
  // Newcombe, "Two-sided confidence intervals for the single proportion", Statistics in Medicine 1998, table I.
  [81, 263, 0.2553, 0.3662],
  [15, 148, 0.0624, 0.1605],
  [0, 20, 0, 0.1611],
  [1, 29, 0.0061, 0.1718],
])('the interval of %i hits of %i goes from %f to %f', (hits, trials, low, high) => {
  const interval = wilsonInterval(hits, trials);
  expect(interval.low).toBeCloseTo(low, 4);
  expect(interval.high).toBeCloseTo(high, 4);
});
