/** Scores by rank: exact for few values, of one law whatever the values' law is, restored bit for bit. */
import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { normalQuantile } from '../../src/numeric/quantile.ts';
import { SequentialScores } from '../../src/numeric/sequential-score.ts';
import { createRandom } from '../../src/random.ts';

test('a score is the quantile of (rank - 1/2) / count among the values so far, ties sharing their ranks', () => {
  const value = fc.integer({ min: -20, max: 20 });
  fc.assert(
    fc.property(fc.array(value, { minLength: 1, maxLength: 60 }), (values) => {
      const scores = new SequentialScores();
      for (const [at, own] of values.entries()) {
        const so = values.slice(0, at + 1);
        const below = so.filter((each) => each < own).length;
        const equal = so.filter((each) => each === own).length;
        expect(scores.score(own)).toBe(normalQuantile((below + equal / 2) / so.length));
      }
    }),
  );
});

test('a rising function of the values has their scores', () => {
  const random = createRandom(2);
  const [plain, wild] = [new SequentialScores(), new SequentialScores()];
  for (let at = 0; at < 500; at++) {
    const value = random.normal();
    expect(wild.score(Math.exp(5 * value))).toBe(plain.score(value));
  }
});

test('only the newest 2,048 values are ranked among', () => {
  const scores = new SequentialScores();
  for (let at = 0; at < 2048; at++) scores.score(1000 + at);
  for (let at = 0; at < 2047; at++) scores.score(at / 2048);
  // Of those before only the last, the greatest, is left.
  expect(scores.score(900)).toBe(normalQuantile((2047 + 0.5) / 2048));
  expect(scores.count).toBe(2048);
});

test('a restored one goes on bit for bit, also past its fill', () => {
  const random = createRandom(6);
  const whole = new SequentialScores();
  let restored = new SequentialScores();
  for (let at = 0; at < 2200; at++) {
    if (at % 97 === 0) restored = new SequentialScores(structuredClone(restored.state()));
    const value = random.normal();
    expect(restored.score(value)).toBe(whole.score(value));
  }
});

test.each([3, 2040, 2100, 4500])(
  'values tried after %i others score as if they were taken, and are not',
  (count) => {
    const random = createRandom(count);
    // Few different values, so that many are equal.
    const next = () => Math.round(4 * random.normal());
    const scores = new SequentialScores();
    for (let at = 0; at < count; at++) scores.score(next());
    const before = scores.state();
    const taken = new SequentialScores(scores.state());
    let tried = scores.tried();
    for (let at = 0; at < 40; at++) {
      if (at === 20) tried = tried.tried();
      const value = next();
      expect(tried.score(value)).toBe(taken.score(value));
    }
    expect(tried.state()).toEqual(taken.state());
    expect(scores.state()).toEqual(before);
  },
);
