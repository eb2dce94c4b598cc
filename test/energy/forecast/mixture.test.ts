/** Weights over predictors: their regret, their sum, and who may answer. */
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import {
  answerWeights,
  evenMixture,
  learnErrors,
  mixingRate,
  reweigh,
} from '../../../src/energy/forecast/mixture.ts';

describe('weights', () => {
  test('energy.selfLearning unshared regret stays within ln M / rate + rate n / 8', () => {
    const round = fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { minLength: 5, maxLength: 5 });
    fc.assert(
      fc.property(fc.array(round, { minLength: 1, maxLength: 300 }), (rounds) => {
        let weights: number[] = new Array(5).fill(0.2);
        let suffered = 0;
        for (const losses of rounds) {
          suffered += losses.reduce((sum, loss, at) => sum + loss * weights[at]!, 0);
          weights = reweigh(weights, losses, 0);
        }
        const totals = [0, 1, 2, 3, 4].map((at) => rounds.reduce((sum, losses) => sum + losses[at]!, 0));
        const rate = mixingRate(5);
        const bound = Math.log(5) / rate + (rate * rounds.length) / 8;
        expect(suffered - Math.min(...totals)).toBeLessThanOrEqual(bound + 1e-9);
      }),
    );
  });

  test('sum to 1 and never die, whatever the errors', () => {
    const errors = fc.array(fc.double({ min: 0, max: 1e300, noNaN: true }), { minLength: 3, maxLength: 3 });
    fc.assert(
      fc.property(fc.array(errors, { maxLength: 60 }), (rounds) => {
        let mixture = evenMixture(3);
        for (const round of rounds) mixture = learnErrors(mixture, round);
        expect(mixture.weights.reduce((sum, weight) => sum + weight, 0)).toBeCloseTo(1, 12);
        for (const weight of mixture.weights) expect(weight).toBeGreaterThan(0.003);
      }),
    );
  });

  test('follow another predictor within a few dozen rounds of its becoming the best', () => {
    let mixture = evenMixture(3);
    for (let i = 0; i < 200; i++) mixture = learnErrors(mixture, [0.1, 1, 1]);
    expect(mixture.weights[0]).toBeGreaterThan(0.9);
    for (let i = 0; i < 80; i++) mixture = learnErrors(mixture, [1, 0.1, 1]);
    expect(mixture.weights[1]).toBeGreaterThan(0.9);
  });

  test('the first rounds already tell the predictors apart', () => {
    let mixture = evenMixture(5);
    for (let i = 0; i < 5; i++) mixture = learnErrors(mixture, [1, 0.2, 1, 1, 1]);
    expect(mixture.weights[1]).toBeGreaterThan(0.8);
  });

  test('one round of enormous errors does not hide the differences in all others', () => {
    let mixture = evenMixture(3);
    for (let i = 0; i < 200; i++)
      mixture = learnErrors(mixture, i % 20 === 10 ? [1e9, 1e9, 1e9] : [0.1, 0.2, 0.3]);
    expect(mixture.weights[0]).toBeGreaterThan(0.9);
  });

  test('a predictor that is far off does not hide the differences between the good ones', () => {
    let mixture = evenMixture(3);
    for (let i = 0; i < 256; i++) mixture = learnErrors(mixture, [1e-6, 3e-6, 1e6]);
    expect(answerWeights(mixture.weights)).toEqual([1, 0, 0]);
  });
});

describe('an answer', () => {
  test('leaves out who only has a share, and who is not allowed', () => {
    expect(answerWeights([0.6, 0.39, 0.01])).toEqual([0.6 / 0.99, 0.39 / 0.99, 0]);
    expect(answerWeights([0.6, 0.39, 0.01], [false, false, true])).toEqual([0, 0, 1]);
  });
});
