/** What a node is used to be, and how far a window deviates from it. */
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { createJudgement } from '../../../src/energy/map/judgement.ts';
import { createStatisticalPlan, NodeModel } from '../../../src/energy/map/statistical.ts';
import { START_WINDOWS } from '../../../src/energy/map/warm-up.ts';
import { shrinkage } from '../../../src/energy/map/whitening.ts';
import { createRandom, type Random } from '../../../src/random.ts';

const plan = createStatisticalPlan();
const FORGETTING = 1 - 2 ** (-10 / (4 * 86_400));

function judgeAll(samples: readonly (readonly number[])[], ordinal = 0, forgetting = FORGETTING) {
  const model = new NodeModel(plan, ordinal);
  const judgement = createJudgement();
  const verdicts = samples.map((sample) => {
    const judged = model.judge(Float64Array.from(sample), forgetting, judgement);
    return judged
      ? {
          energy: judgement.energy,
          surprise: judgement.surprise,
          count: judgement.count,
          z: [...judgement.z.subarray(0, judgement.count)],
          contribution: [...judgement.contribution.subarray(0, judgement.count)],
        }
      : undefined;
  });
  return { model, verdicts };
}

const normals = (random: Random, d: number, n: number) =>
  Array.from({ length: n }, () => Array.from({ length: d }, () => random.normal()));

describe('the start', () => {
  test('takes median and covariance of the first 64 windows, which are not judged', () => {
    const samples = Array.from({ length: START_WINDOWS }, (_, i) => [i, i % 2]);
    const { model, verdicts } = judgeAll(samples);
    expect(verdicts.every((verdict) => verdict === undefined)).toBe(true);
    const state = model.state();
    expect([...state.mean]).toEqual([31.5, 0.5]);
    // Variance of 0..63 is (64^2 - 1) / 12; of an alternation 1/4; covariance of the two 1/4.
    expect([...state.covariance]).toEqual([341.25, 0.25, 0.25]);
    expect([...state.low, ...state.high]).toEqual([0, 0, 63, 1]);
    expect(judgeAll([...samples, [31.5, 0.5]]).verdicts.at(-1)).toMatchObject({ energy: 0, surprise: 0 });
  });

  test('waits until a metric has come in half as many windows', () => {
    // Eight metrics take turns, so the first has come 32 times in window 249 and is judged in its next one.
    const rare = Array.from({ length: 300 }, (_, i) =>
      Array.from({ length: 8 }, (_, j) => (i % 8 === j ? j : Number.NaN)),
    );
    const { verdicts } = judgeAll(rare);
    expect(verdicts.findIndex((verdict) => verdict !== undefined)).toBe(8 * 32);
  });
});

describe('the first judgement', () => {
  test('of two correlated metrics has the closed form', () => {
    // Four equal blocks of (a, b) = (+-1, +-1) with correlation 1/2: means 0, variances 1.
    const block = [
      [1, 1],
      [-1, -1],
      [1, 1],
      [-1, -1],
      [1, 1],
      [-1, -1],
      [1, -1],
      [-1, 1],
    ];
    const samples = Array.from({ length: START_WINDOWS }, (_, i) => block[i % 8]!);
    const x = [1.5, -0.5];
    const { verdicts } = judgeAll([...samples, x]);
    const floor = (0.003 * 2.5) ** 2;
    const floorB = (0.003 * 2) ** 2;
    const z = [1.5 / Math.sqrt(1 + floor), -0.5 / Math.sqrt(1 + floorB)];
    // The factor is of the start, when both ranges were 2.
    const r = 0.5 / (1 + floorB);
    const rho = shrinkage(2, 2 + 2 * r * r, 64);
    const p = (1 - rho) * r;
    const energy = (z[0]! ** 2 - 2 * p * z[0]! * z[1]! + z[1]! ** 2) / (2 * (1 - p * p));
    expect(verdicts.at(-1)!.energy).toBeCloseTo(energy, 12);
    expect(verdicts.at(-1)!.z).toEqual(z);
    // Two degrees of freedom: Pr(chi-square >= 2E) = e^-E.
    expect(verdicts.at(-1)!.surprise).toBeCloseTo(energy, 11);
  });

  test('shrinks as the oracle approximating estimator: none for one metric, all where there is no correlation', () => {
    expect(shrinkage(1, 1, 100)).toBe(0);
    expect(shrinkage(4, 4, 100)).toBe(1);
    expect(shrinkage(4, 16, 1000)).toBeCloseTo((0.5 * 16 + 16) / (1000.5 * 12), 15);
    expect(shrinkage(4, 16, 1)).toBe(1);
  });
});

describe('a judgement', () => {
  test('attributes all of the energy: contributions sum to it exactly', () => {
    const samples = normals(createRandom(1), 12, 200);
    for (const verdict of judgeAll(samples).verdicts) {
      if (!verdict) continue;
      const sum = verdict.contribution.reduce((a, b) => a + b, 0);
      expect(Math.abs(sum - verdict.energy)).toBeLessThan(1e-9);
      expect(Math.min(...verdict.contribution)).toBeGreaterThanOrEqual(0);
    }
  });

  test('2E of independent normals follows chi-square: mean d, and surprise is calibrated', () => {
    const [d, n] = [6, 6000];
    const judged = judgeAll(normals(createRandom(2), d, n)).verdicts.filter((v) => v !== undefined);
    const mean = judged.reduce((sum, { energy }) => sum + 2 * energy, 0) / judged.length;
    expect(mean / d).toBeGreaterThan(0.97);
    expect(mean / d).toBeLessThan(1.12);
    const share = judged.filter(({ surprise }) => surprise > -Math.log(0.01)).length / judged.length;
    expect(share).toBeGreaterThan(0.005);
    expect(share).toBeLessThan(0.03);
  });

  test('finds a broken correlation that no single metric shows', () => {
    const random = createRandom(3);
    const samples = Array.from({ length: 500 }, () => {
      const common = random.normal();
      return [common + 0.05 * random.normal(), common + 0.05 * random.normal()];
    });
    const { verdicts } = judgeAll([...samples, [1, -1]]);
    expect(Math.max(...verdicts.at(-1)!.z.map(Math.abs))).toBeLessThan(2);
    expect(verdicts.at(-1)!.surprise).toBeGreaterThan(100);
  });

  test('of a constant metric is 0 while it stays and at its bound, 1000/3, when it moves', () => {
    const constant = Array.from({ length: 80 }, () => [0, 5]);
    const { verdicts } = judgeAll([...constant, [0.25, 5]]);
    expect(verdicts.at(-2)).toMatchObject({ energy: 0, surprise: 0, z: [0, 0] });
    expect(verdicts.at(-1)!.z[0]).toBeCloseTo(1000 / 3, 9);
    expect(verdicts.at(-1)!.z[1]).toBe(0);
    // Beyond 10 deviations it is the logarithm that counts.
    expect(verdicts.at(-1)!.energy).toBeCloseTo((10 * (1 + Math.log(100 / 3))) ** 2 / 2, 9);
  });

  test('rises with every deviation, and one idle metric that stirs does not outweigh many that move together', () => {
    const calm = normals(createRandom(10), 12, 400);
    const idle = calm.map((row) => row.map((value, j) => (j === 0 ? 0 : value)));
    const energies = [4, 9.9, 10.1, 50, 250, 1000].map(
      (size) => judgeAll([...calm, [size, ...Array(11).fill(0)]]).verdicts.at(-1)!.energy,
    );
    expect([...energies].sort((a, b) => a - b)).toEqual(energies);
    const [stirred] = judgeAll([...idle, [1, ...Array(11).fill(0)]]).verdicts.slice(-1);
    const [moved] = judgeAll([...idle, [0, ...Array(11).fill(15)]]).verdicts.slice(-1);
    expect(stirred!.z[0]).toBeGreaterThan(300);
    expect(moved!.energy).toBeGreaterThan(stirred!.energy);
  });

  test('never gives NaN or infinity, whatever finite numbers come', () => {
    const wild = fc.oneof(
      fc.constantFrom(0, -0, 1, 1e-320, 1e308, -1e308, 1e100, 5e-324, Number.NaN),
      fc.double({ noNaN: true, noDefaultInfinity: true }),
    );
    fc.assert(
      fc.property(fc.array(fc.tuple(wild, wild, wild), { minLength: 90, maxLength: 160 }), (samples) => {
        for (const verdict of judgeAll(samples.filter((s) => !s.every(Number.isNaN))).verdicts) {
          if (!verdict) continue;
          const numbers = [verdict.energy, verdict.surprise, ...verdict.z, ...verdict.contribution];
          expect(numbers.every(Number.isFinite)).toBe(true);
        }
      }),
      { numRuns: 60 },
    );
  });
});

describe('a missing metric', () => {
  const samples = normals(createRandom(4), 3, 120);

  test('adds its expectation 1/2, and surprise counts the others only', () => {
    const whole = judgeAll([...samples, [1, 2, 3]]).verdicts.at(-1)!;
    const partly = judgeAll([...samples, [1, 2, Number.NaN]]).verdicts.at(-1)!;
    expect(partly.count).toBe(3);
    expect([partly.z[2], partly.contribution[2]]).toEqual([0, 0.5]);
    expect(partly.z.slice(0, 2)).toEqual(whole.z.slice(0, 2));
    // Two present: Pr(chi-square >= 2E) = e^-E.
    expect(partly.surprise).toBeCloseTo(partly.energy - 0.5, 10);
  });

  test('is marginalized: the others are judged as if it were not modelled', () => {
    const random = createRandom(5);
    const independent = Array.from({ length: 400 }, () => [random.normal(), random.normal()]);
    const both = judgeAll([...independent, [2, Number.NaN]]).verdicts.at(-1)!;
    const alone = judgeAll([...independent.map(([a]) => [a!]), [2]]).verdicts.at(-1)!;
    // Not equal to the last digit: what is an outlier, and thus learned less, differs a little between the two.
    expect((both.energy - 0.5) / alone.energy).toBeCloseTo(1, 1);
    expect(both.surprise / alone.surprise).toBeCloseTo(1, 1);
  });

  test('leaves its mean and variance as they were', () => {
    const { model } = judgeAll(samples);
    const before = { mean: model.state().mean[2], variance: model.state().covariance[5] };
    model.judge(Float64Array.of(3, 3, Number.NaN), FORGETTING, createJudgement());
    expect({ mean: model.state().mean[2], variance: model.state().covariance[5] }).toEqual(before);
  });

  test('a later metric joins after its own 64 windows, uncorrelated', () => {
    const random = createRandom(6);
    const rows = Array.from({ length: 200 }, (_, i) => {
      const common = random.normal();
      return [common, i < 100 ? Number.NaN : common];
    });
    const { verdicts, model } = judgeAll(rows.slice(0, 164));
    expect(verdicts.at(-1)!.count).toBe(1);
    expect(model.state().metrics).toEqual([0, 1]);
    expect(model.state().covariance[1]).toBe(0);
    const next = judgeAll(rows.slice(0, 165)).verdicts.at(-1)!;
    expect(next.count).toBe(2);
  });
});

describe('the evidence', () => {
  const random = createRandom(13);
  const alone = Array.from({ length: 300 }, () => [random.normal(), Number.NaN]);
  const evidenceOf = (model: NodeModel, sample: readonly number[]) => {
    const judgement = createJudgement();
    model.judge(Float64Array.from(sample), FORGETTING, judgement);
    return judgement.evidence;
  };

  test('of a single metric knows the windows of the start', () => {
    const spikes = alone.slice(0, START_WINDOWS).map(([x], i) => [i % 16 === 9 ? 40 : x!]);
    const first = judgeAll(alone.slice(0, START_WINDOWS).map(([x]) => [x!])).model;
    const again = judgeAll(spikes).model;
    expect(evidenceOf(again, [40])).toBeLessThan(evidenceOf(first, [40]) / 2);
  });

  test('starts anew when a second metric joins, of which the energy is then remembered', () => {
    const joined = judgeAll([
      ...alone,
      ...Array.from({ length: 65 }, () => [random.normal(), random.normal()]),
    ]);
    expect(joined.model.state().novelty!.frame).toBeUndefined();
    expect(joined.model.state().novelty!.memory.values).toBe(1);
    expect(judgeAll(alone).model.state().novelty!.frame!.unit).toBeCloseTo(1, 0);
  });

  test('is that of a memory of nothing yet where the saved state has none', () => {
    const { novelty, ...older } = structuredClone(judgeAll(alone).model.state());
    const resumed = NodeModel.restore(plan, older);
    const judgement = createJudgement();
    expect(resumed.judge(Float64Array.of(50, Number.NaN), FORGETTING, judgement)).toBe(true);
    expect(judgement.evidence).toBe(judgement.surprise);
    expect(resumed.state().novelty!.frame!.center).not.toBe(novelty!.frame!.center);
  });
});

describe('learning', () => {
  test('follows the stated formulas', () => {
    const { model } = judgeAll(normals(createRandom(7), 1, START_WINDOWS));
    const judgement = createJudgement();
    let latest: number | undefined;
    [20, 0.5, -1, 0, 12, 0.1, 400, -400, 1e-9].forEach((deviation, i) => {
      const { mean, covariance } = model.state();
      const [mu, s] = [mean[0]!, covariance[0]!];
      model.judge(Float64Array.of(mu + deviation), FORGETTING, judgement);
      const alpha = 1 / (START_WINDOWS + i + 1);
      const size = Math.sqrt((2 * judgement.energy) / 5.023886187314888);
      latest = latest === undefined ? size : latest + (1 - (1 - FORGETTING) ** 384) * (size - latest);
      const step = alpha * Math.min(1, Math.max(latest ** -4, 0.1 * latest ** -2));
      const delta = mu + deviation - mu;
      expect(model.state().latest! / latest).toBeCloseTo(1, 12);
      expect(model.state().mean[0]!).toBeCloseTo(mu + step * delta, 12);
      expect(model.state().covariance[0]! / ((1 - step) * s + step * delta * delta)).toBeCloseTo(1, 10);
    });
  });

  test('takes in a spike that comes alone, and little of an incident, so that its return still surprises', () => {
    const random = createRandom(11);
    // The latest deviations are forgotten by half in 15 windows.
    const forgetting = 1 - 2 ** (-60 / (4 * 86_400));
    const calm = normals(random, 6, 3000);
    const spike = Array(6).fill(4);
    const learned = (rows: readonly (readonly number[])[]) => {
      const { model } = judgeAll(rows, 0, forgetting);
      const before = model.state().mean[0]!;
      model.judge(Float64Array.from(spike), forgetting, createJudgement());
      return model.state().mean[0]! - before;
    };
    const incident = Array.from({ length: 60 }, () => spike);
    expect(learned(calm)).toBeGreaterThan(20 * learned([...calm, ...incident]));
    const after = normals(random, 6, 60);
    const { verdicts } = judgeAll([...calm, ...incident, ...after, spike], 0, forgetting);
    expect(verdicts.at(-1)!.surprise).toBeGreaterThan(0.6 * verdicts[3000]!.surprise);
  });

  test('a lasting change is surprising at first and learned at last', () => {
    const random = createRandom(8);
    const calm = normals(random, 2, 300);
    const shifted = Array.from({ length: 4000 }, () => [random.normal() + 8, random.normal()]);
    const { verdicts } = judgeAll([...calm, ...shifted], 0, 0.02);
    const average = (from: number, to: number) =>
      verdicts.slice(from, to).reduce((sum, verdict) => sum + verdict!.surprise, 0) / (to - from);
    expect(average(300, 310)).toBeGreaterThan(15);
    expect(average(4200, 4300)).toBeLessThan(3);
  });

  test('a lasting change of a single metric is learned however large it is', () => {
    const random = createRandom(12);
    const calm = normals(random, 1, 300);
    for (const size of [5, 20, 100]) {
      const shifted = normals(random, 1, 1000).map(([value]) => [value! + size]);
      const { verdicts } = judgeAll([...calm, ...shifted], 0, 0.02);
      const last = verdicts.slice(-100).reduce((sum, verdict) => sum + verdict!.surprise, 0) / 100;
      expect(last).toBeLessThan(2);
    }
  });

  test('continues bit for bit from its saved state, wherever it was saved', () => {
    const random = createRandom(9);
    const rows = Array.from({ length: 220 }, (_, i) => [
      random.normal(),
      random.uniform() < 0.2 ? Number.NaN : random.normal(),
      i < 90 ? Number.NaN : random.uniform(),
    ]);
    const straight = judgeAll(rows, 3);
    for (const cut of [1, 63, 64, 65, 84, 100, 153, 154, 155, 200]) {
      const first = judgeAll(rows.slice(0, cut), 3).model;
      const resumed = NodeModel.restore(plan, structuredClone(first.state()));
      const judgement = createJudgement();
      rows.slice(cut).forEach((row, i) => {
        const judged = resumed.judge(Float64Array.from(row), FORGETTING, judgement);
        const expected = straight.verdicts[cut + i];
        expect(judged ? judgement.energy : undefined).toBe(expected?.energy);
      });
      expect(resumed.state()).toEqual(straight.model.state());
    }
  });
});
