/** Compiled sums, entropies and ensembles against their plain forms, closed forms, symmetries, SciPy. */
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { addHistogram } from '../../../src/numeric/entropy.ts';
import { createArena } from '../../../src/numeric/kernels/arena.ts';
import { createStatisticsPlan } from '../../../src/numeric/kernels/statistics-plan.ts';
import { runThrough } from '../../../src/numeric/slices.ts';
import { expectNear, expectSameBits, normalsOf, placed, relativeError } from '../support/arrays.ts';
import { addEntropy, ENTROPY } from '../support/plain-entropy.ts';
import {
  addBoltzmannWeights,
  addReducedMean,
  addReducedVariance,
  logSumExp,
} from '../support/plain-log-sum-exp.ts';
import {
  addMoments,
  addSquaredDeviations,
  compensatedSum,
  createMoments,
  MOMENTS,
  pairValue,
} from '../support/plain-sums.ts';

const finite = fc.double({ min: -1e6, max: 1e6, noNaN: true });
const arrays = fc.array(finite, { minLength: 1, maxLength: 300 });

function planned(values: ArrayLike<number>) {
  const arena = createArena(1);
  return { arena, plan: createStatisticsPlan(arena, 64), values: placed(arena, values) };
}

/** Within 1e-12 of the plain value, by the size of what was summed. */
function expectClose(found: number, plain: number, size: number): void {
  expect(Math.abs(found - plain)).toBeLessThanOrEqual(1e-12 * Math.max(size, Number.MIN_VALUE));
}

describe('compiled sums', () => {
  test('recover what plain summation loses', () => {
    const { plan, values } = planned([1, 1e100, 1, -1e100]);
    expect(plan.sum(values)).toBe(2);
    const { plan: other, values: tenths } = planned(new Float64Array(100_000).fill(0.1));
    expect(other.sum(tenths)).toBe(10_000);
    expect(other.moments(tenths).positive).toBeCloseTo(10_000, 10);
  });

  test('are the plain ones for every length', () => {
    fc.assert(
      fc.property(arrays, (list) => {
        const { plan, values } = planned(list);
        const plain = createMoments();
        addMoments(values, 0, values.length, plain);
        const [above, below] = [pairValue(plain, MOMENTS.positive), pairValue(plain, MOMENTS.negative)];
        const found = plan.moments(values);
        expectClose(plan.sum(values), compensatedSum(values), above - below);
        expectClose(found.positive, above, above);
        expectClose(found.negative, below, -below);
        expect([found.min + 0, found.max + 0]).toEqual([Math.min(...list) + 0, Math.max(...list) + 0]);
        expect(plan.least(values) + 0).toBe(Math.min(...list) + 0);
        const squares = new Float64Array(2);
        addSquaredDeviations(values, 0, values.length, list[0]!, squares);
        expectClose(plan.squaredDeviations(values, list[0]!), pairValue(squares), pairValue(squares));
      }),
    );
  });

  test('do not depend on the order of the values beyond rounding, and change sign with them', () => {
    const list = normalsOf(1001, 1);
    const { plan, values } = planned(list);
    const { plan: other, values: turned } = planned([...list].reverse().map((v) => -v));
    expect(other.sum(turned)).toBeCloseTo(-plan.sum(values), 13);
    expect(other.moments(turned).positive).toBeCloseTo(-plan.moments(values).negative, 11);
    expect(other.squaredDeviations(turned, -2)).toBeCloseTo(plan.squaredDeviations(values, 2), 10);
  });

  test('of nothing are nothing', () => {
    const { plan, values } = planned([]);
    expect(plan.sum(values)).toBe(0);
    expect(plan.moments(values)).toEqual({
      positive: 0,
      negative: 0,
      min: Number.POSITIVE_INFINITY,
      max: Number.NEGATIVE_INFINITY,
    });
    expect(plan.least(values)).toBe(Number.POSITIVE_INFINITY);
  });
});

describe('the compiled entropy of sizes', () => {
  const entropyOf = (list: ArrayLike<number>) => {
    const { plan, values } = planned(list);
    const { positive, negative } = plan.moments(values);
    return plan.sizeEntropy(values, positive - negative);
  };

  test('of equal parts is the logarithm of their number', () => {
    const { entropy, squaredLog } = entropyOf(new Float64Array(1024).fill(-7));
    expect(entropy).toBeCloseTo(6.931471805599453, 13);
    expect(squaredLog).toBeCloseTo(Math.log(1024) ** 2, 11);
  });

  test('energy.golden entropy of [1, 2, 3, 4] is the value of scipy.stats.entropy, and zeros add nothing', () => {
    expect(entropyOf([1, 2, 3, 4]).entropy).toBeCloseTo(1.2798542258336674, 15);
    expect(entropyOf([0, 1, 2, 0, -3, 4, 0]).entropy).toBeCloseTo(1.2798542258336674, 15);
  });

  test('is the plain one', () => {
    fc.assert(
      fc.property(arrays, (list) => {
        const { plan, values } = planned(list);
        const { positive, negative } = plan.moments(values);
        const total = positive - negative;
        fc.pre(total > 1e-290);
        const plain = new Float64Array(ENTROPY.size);
        addEntropy(values, 0, values.length, total, plain);
        const found = plan.sizeEntropy(values, total);
        const entropy = pairValue(plain, ENTROPY.entropy);
        const squaredLog = pairValue(plain, ENTROPY.squaredLog);
        // What rounding of p alone may change: a share of it, ln p by as much.
        expect(Math.abs(found.entropy - entropy)).toBeLessThanOrEqual(1e-12 * entropy + 1e-15);
        expect(Math.abs(found.squaredLog - squaredLog)).toBeLessThanOrEqual(1e-12 * squaredLog + 1e-15);
      }),
    );
  });
});

describe('the compiled Boltzmann ensemble', () => {
  const ensembleOf = (list: ArrayLike<number>, temperature: number) => {
    const { arena, plan, values } = planned(list);
    const weights = arena.float64(values.length);
    const least = plan.least(values);
    return {
      ...runThrough(plan.ensemble(values, least, temperature, weights)),
      weights,
      least,
      plan,
      values,
      arena,
    };
  };

  test('energy.golden Boltzmann weights of energies 0, 1, 2', () => {
    // Each to half a unit of the last digit given.
    const golden: [number, [number, number][]][] = [
      [
        1,
        [
          [0.665241, 5e-7],
          [0.244728, 5e-7],
          [0.090031, 5e-7],
        ],
      ],
      [
        0.1,
        [
          [0.9999546, 5e-8],
          [4.54e-5, 5e-8],
          [2.06e-9, 5e-12],
        ],
      ],
      [
        10,
        [
          [0.367165, 5e-7],
          [0.332225, 5e-7],
          [0.30061, 5e-7],
        ],
      ],
    ];
    for (const [temperature, expected] of golden) {
      const { weights } = ensembleOf([0, 1, 2], temperature);
      for (const [k, [weight, half]] of expected.entries()) {
        expect(Math.abs(weights[k]! - weight)).toBeLessThan(half);
      }
      expect(weights.reduce((sum, w) => sum + w, 0)).toBeCloseTo(1, 15);
    }
    expect(ensembleOf([0, 1, 2], 1).weights[0]).toBeCloseTo(0.6652409557748219, 15);
  });

  test('has the reference values of NumPy', () => {
    // E = numpy.array([-1.5, 0, .25, 3, 7]); x = (E + 1.5) / .8; w = numpy.exp(-x); Z = w.sum(); w /= Z;
    // m = (w * x).sum(); w, numpy.log(Z), m, (w * (x - m) ** 2).sum()
    const found = ensembleOf([-1.5, 0, 0.25, 3, 7], 0.8);
    const expected = [
      0.7879086148841316, 0.1208296995123895, 0.08840089660419058, 0.0028416421649903236,
      1.914683429807128e-5,
    ];
    expect(relativeError(found.weights, expected)).toBeLessThan(1e-15);
    expect(found.logNormalizer).toBeCloseTo(0.23837316680863355, 15);
    expect(found.mean).toBeCloseTo(0.43612032019988484, 14);
    expect(found.variance).toBeCloseTo(0.7496759137654683, 14);
  });

  test('is finite at the ends of the temperatures and energies', () => {
    const cold = ensembleOf([-1e308, 1e308, -1e308], 5e-324);
    expect([...cold.weights]).toEqual([0.5, 0, 0.5]);
    expect([cold.mean, cold.variance]).toEqual([0, 0]);
    const hot = ensembleOf([-3, 1, 1e3], 1e300);
    expectNear(hot.weights, [1 / 3, 1 / 3, 1 / 3], 15);
    expect(hot.logNormalizer).toBeCloseTo(Math.log(3), 15);
  });

  test('is the plain one at every temperature', () => {
    const temperatures = fc.constantFrom(1e-6, 0.3, 1, 40, 1e9);
    fc.assert(
      fc.property(arrays, temperatures, (list, temperature) => {
        const found = ensembleOf(list, temperature);
        const { values, least } = found;
        const n = values.length;
        const plain = new Float64Array(n);
        const sums = [new Float64Array(2), new Float64Array(2), new Float64Array(2)] as const;
        addBoltzmannWeights(values, 0, n, least, temperature, plain, sums[0]);
        addReducedMean(values, 0, n, least, temperature, pairValue(sums[0]), plain, sums[1]);
        addReducedVariance(values, 0, n, least, temperature, pairValue(sums[1]), plain, sums[2]);
        for (let i = 0; i < n; i++) {
          expect(Math.abs(found.weights[i]! - plain[i]!)).toBeLessThanOrEqual(1e-12 * plain[i]! + 1e-300);
        }
        expectClose(found.logNormalizer, Math.log(pairValue(sums[0])), 1);
        expectClose(found.mean, pairValue(sums[1]), Math.max(1, pairValue(sums[1])));
        expectClose(found.variance, pairValue(sums[2]), Math.max(1, pairValue(sums[1])) ** 2);
        const alone = found.arena.float64(n);
        found.plan.weights(values, least, temperature, alone);
        expectSameBits(alone, found.weights);
      }),
    );
  });

  test('has the log-sum-exp of the plain form', () => {
    fc.assert(
      fc.property(fc.array(fc.double({ min: -700, max: 700, noNaN: true })), (list) => {
        const { arena, plan, values } = planned(list);
        const out = arena.float64(list.length);
        const plain = logSumExp(Float64Array.from(list));
        const found = plan.logSumExp(values, out);
        if (list.length === 0) expect(found).toBe(plain);
        else expect(Math.abs(found - plain)).toBeLessThanOrEqual(1e-12 * Math.max(1, Math.abs(plain)));
      }),
    );
    // scipy.special.logsumexp([-1.5, 0, .25, 3, 7])
    const { arena, plan, values } = planned([-1.5, 0, 0.25, 3, 7]);
    expect(plan.logSumExp(values, arena.float64(5))).toBeCloseTo(7.020392520769015, 14);
  });
});

describe('the compiled histogram', () => {
  test('has the counts of the plain one, whatever the edges', () => {
    const edges = fc.tuple(finite, finite);
    fc.assert(
      fc.property(arrays, edges, fc.integer({ min: 1, max: 64 }), (list, [a, b], bins) => {
        const { arena, plan, values } = planned([...list, a, b]);
        const plain = new Uint32Array(bins);
        const [lower, upper] = [Math.min(a, b), Math.max(a, b)];
        addHistogram(values, 0, values.length, lower, upper, plain);
        const counts = arena.uint32(bins);
        plan.histogram(values, lower, upper, counts);
        expect([...counts]).toEqual([...plain]);
      }),
    );
  });

  test('adds to what is there and refuses more bins than planned', () => {
    const { arena, plan, values } = planned([5, 5, 5]);
    const counts = arena.uint32(4);
    plan.histogram(values, 5, 5, counts);
    plan.histogram(values, 0, 8, counts);
    expect([...counts]).toEqual([3, 0, 3, 0]);
    expect(() => plan.histogram(values, 0, 1, arena.uint32(65))).toThrow(RangeError);
  });
});
