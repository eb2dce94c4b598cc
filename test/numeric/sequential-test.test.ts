import { describe, expect, test } from '@jest/globals';
import { SequentialTest } from '../../src/numeric/sequential-test.ts';
import { createRandom } from '../../src/random.ts';

/** Feeds draws until the test has ended or they run out. */
function feed(observed: number, drawsMax: number, draws: Iterable<number>): SequentialTest {
  const test = new SequentialTest(observed, drawsMax);
  for (const draw of draws) {
    if (test.ended) break;
    test.add(draw);
  }
  return test;
}

describe('the sequential Monte Carlo test', () => {
  test('ends at the tenth exceedance with p = 10 / draws', () => {
    const draws = Array.from({ length: 100 }, (_, index) => (index % 3 === 2 ? 1 : 0));
    const outcome = feed(0.5, 199, draws);
    expect([outcome.ended, outcome.draws, outcome.p]).toEqual([true, 30, 10 / 30]);
  });

  test('ends at the greatest number of draws with p = (exceedances + 1) / (draws + 1)', () => {
    const draws = Array.from({ length: 300 }, (_, index) => (index < 4 ? 1 : 0));
    const outcome = feed(0.5, 199, draws);
    expect([outcome.ended, outcome.draws, outcome.p]).toEqual([true, 199, 5 / 200]);
  });

  test('draws equal to the observed value count as exceedances', () => {
    expect(feed(1, 199, new Array<number>(199).fill(1)).p).toBe(1);
  });

  test('takes nothing after its end', () => {
    const test = feed(0, 99, new Array<number>(99).fill(-1));
    test.add(5);
    expect([test.draws, test.p]).toEqual([99, 0.01]);
  });

  test('the threshold is the quantile of what was drawn', () => {
    const test = feed(
      1_000,
      100,
      Array.from({ length: 100 }, (_, index) => (index * 37) % 100),
    );
    expect(test.threshold(0.05)).toBe(95);
    expect(test.threshold(0.5)).toBe(50);
    expect(new SequentialTest(0, 99).threshold(0.05)).toBeNaN();
  });

  test('under the null no p is promised more often than its size', () => {
    const random = createRandom(11);
    const pValues = Array.from({ length: 4_000 }, () => {
      const test = new SequentialTest(random.normal(), 399);
      while (!test.ended) test.add(random.normal());
      return test.p;
    });
    for (const size of [0.01, 0.05, 0.2, 0.5]) {
      const share = pValues.filter((p) => p <= size).length / pValues.length;
      const error = Math.sqrt((size * (1 - size)) / pValues.length);
      expect(share).toBeLessThan(size + 3 * error);
      expect(share).toBeGreaterThan(0.8 * size - 3 * error);
    }
  });
});
