/** The thermodynamic state of a map: golden numbers, identities, policies, slices. */
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { gridDigest } from '../../../src/energy/map/digest.ts';
import {
  type MapField,
  type MapState,
  type StateInput,
  type StateOptions,
  stateOf,
  stateSteps,
} from '../../../src/energy/map/state.ts';
import { createStatePlans, type StatePlan } from '../../../src/energy/map/state-plan.ts';
import { applyNegativeRule, type NegativeRule } from '../../../src/numeric/negative-policy.ts';
import { runInSlices, runThrough } from '../../../src/numeric/slices.ts';
import { createRandom } from '../../../src/random.ts';
import { addEntropy, ENTROPY } from '../../numeric/support/plain-entropy.ts';
import { logSumExp } from '../../numeric/support/plain-log-sum-exp.ts';
import {
  addMoments,
  addSquaredDeviations,
  compensatedSum,
  createMoments,
  MOMENTS,
  pairValue,
} from '../../numeric/support/plain-sums.ts';

const OPTIONS: StateOptions = { temperature: 1, scheme: 'SOBEL', bins: 64, edges: undefined };

function field(
  rows: number,
  cols: number,
  cells: ArrayLike<number>,
  change: Partial<MapField> = {},
): MapField {
  return {
    rows,
    cols,
    cells: Float64Array.from(cells),
    observed: undefined,
    cellArea: 1,
    spacing: 1,
    boundary: 'NEUMANN',
    ...change,
  };
}

const plans = createStatePlans(2);

/** The state with copies of its fields. */
const computeSteps = (map: MapField, change: Partial<StateOptions> = {}) =>
  plans.lend({ ...map, options: { ...OPTIONS, ...change } }, stateAndFields);

function* stateAndFields(plan: StatePlan, input: StateInput) {
  const state = yield* stateOf(plan, input);
  yield;
  return {
    state,
    weights: plan.weights.slice(),
    gradientRow: plan.gradientRow.slice(),
    gradientCol: plan.gradientCol.slice(),
    gradientMagnitude: plan.gradientMagnitude.slice(),
  };
}

const compute = (map: MapField, change: Partial<StateOptions> = {}) => runThrough(computeSteps(map, change));

const cellsArbitrary = fc.array(fc.double({ min: -1e4, max: 1e4, noNaN: true }), {
  minLength: 1,
  maxLength: 40,
});

describe('golden numbers', () => {
  const boltzmann: [number, number[]][] = [
    [1, [0.665241, 0.244728, 0.090031]],
    [10, [0.367165, 0.332225, 0.30061]],
  ];
  test.each(boltzmann)(
    'energy.golden Boltzmann weights of energies 0, 1, 2 at temperature %d',
    (temperature, expected) => {
      const { weights } = compute(field(1, 3, [0, 1, 2]), { temperature });
      expected.forEach((weight, at) => {
        expect(Math.abs(weights[at]! - weight)).toBeLessThan(1e-6 * weight + 5e-7);
      });
    },
  );

  test('energy.golden Boltzmann weights of energies 0, 1, 2 at temperature 0.1', () => {
    const { weights } = compute(field(1, 3, [0, 1, 2]), { temperature: 0.1 });
    expect(weights[0]).toBeCloseTo(0.9999546, 7);
    expect(weights[1]! / 4.54e-5).toBeCloseTo(1, 3);
    expect(weights[2]! / 2.06e-9).toBeCloseTo(1, 2);
  });

  test('energy.golden entropy of [[1, 2], [3, 4]] is 1.279854, its total 10', () => {
    const { state } = compute(field(2, 2, [1, 2, 3, 4]));
    expect(state.totals.net).toBe(10);
    expect(state.totals.spatialEntropy).toBeCloseTo(1.279854, 6);
    expect([state.mean, state.variance, state.totals.min, state.totals.max]).toEqual([2.5, 1.25, 1, 4]);
  });

  test('energy.golden entropy of a uniform 32 x 32 map is the greatest, ln 1024 = 6.931472', () => {
    const { state } = compute(field(32, 32, new Float64Array(1024).fill(3)));
    expect(state.totals.spatialEntropy).toBeCloseTo(6.931472, 6);
    expect(state.valueEntropy).toBe(0);
    expect([state.gradientMean, state.gradientMax]).toEqual([0, 0]);
  });

  test('energy.golden the digest of [[1, 2], [3, 4]]', () => {
    expect(Buffer.from(gridDigest(Float32Array.of(1, 2, 3, 4), 2, 2)).toString('hex')).toBe(
      '7e0ae13ac17da554438d2af7008b181cc214643fd19bdafd76ccb3c3da32c86b',
    );
  });
});

describe('the digest', () => {
  test('reads -0 as +0, and tells shapes and cells apart', () => {
    const digest = (cells: number[], rows: number, cols: number) =>
      Buffer.from(gridDigest(Float32Array.from(cells), rows, cols)).toString('hex');
    expect(digest([-0, 1], 1, 2)).toBe(digest([0, 1], 1, 2));
    expect(digest([0, 1], 2, 1)).not.toBe(digest([0, 1], 1, 2));
    expect(digest([0, 2], 1, 2)).not.toBe(digest([0, 1], 1, 2));
  });
});

describe('totals', () => {
  test('energy.negative totals split by sign: net = positive + negative, absolute = positive - negative', () => {
    fc.assert(
      fc.property(cellsArbitrary, (cells) => {
        const { totals } = compute(field(1, cells.length, cells, { cellArea: 2 })).state;
        const plain = cells.reduce((sum, cell) => sum + 2 * cell, 0);
        expect(totals.net).toBe(totals.positive + totals.negative);
        expect(totals.absolute).toBe(totals.positive - totals.negative);
        expect(totals.net).toBeCloseTo(plain, 6);
        expect(totals.negative).toBeLessThanOrEqual(0);
      }),
    );
  });

  test('energy.totals a map of zeros has totals 0 and no spatial entropy', () => {
    const { state } = compute(field(3, 3, new Float64Array(9)));
    expect([state.totals.net, state.totals.absolute, state.mean, state.variance]).toEqual([0, 0, 0, 0]);
    expect(state.totals.spatialEntropy).toBeUndefined();
  });

  test('unobserved cells are left out of everything', () => {
    const observed = Uint8Array.of(1, 0, 1, 1);
    const masked = compute(field(2, 2, [1, 1e30, 3, 4], { observed }));
    const alone = compute(field(1, 3, [1, 3, 4]));
    expect(masked.state.totals).toEqual(alone.state.totals);
    expect(masked.state.boltzmann).toEqual(alone.state.boltzmann);
    expect([...masked.weights]).toEqual([alone.weights[0], 0, alone.weights[1], alone.weights[2]]);
    expect(masked.gradientMagnitude[1]).toBe(0);
  });

  test('a map without observed cells has nothing', () => {
    const { state } = compute(field(1, 2, [5, 6], { observed: new Uint8Array(2) }));
    expect(state.totals).toMatchObject({ count: 0, net: 0, min: 0, max: 0, spatialEntropy: undefined });
    expect([state.boltzmann, state.valueEntropy, state.gradientMean]).toEqual([undefined, undefined, 0]);
  });
});

describe('the Boltzmann ensemble', () => {
  const temperatures = fc.double({ min: 1e-6, max: 1e6, noNaN: true });

  test('energy.boltzmann weights sum to 1 and F = <E> - TS, at any temperature and sign', () => {
    fc.assert(
      fc.property(cellsArbitrary, temperatures, (cells, temperature) => {
        const { weights, state } = compute(field(1, cells.length, cells), { temperature });
        const { freeEnergy, internalEnergy, entropy, heatCapacity } = state.boltzmann!;
        const total = weights.reduce((sum, weight) => sum + weight, 0);
        expect(Math.abs(total - 1)).toBeLessThan(1e-12);
        const scale = Math.max(1, Math.abs(freeEnergy), temperature * entropy);
        expect(Math.abs(freeEnergy - (internalEnergy - temperature * entropy))).toBeLessThan(1e-12 * scale);
        expect(heatCapacity).toBeGreaterThanOrEqual(0);
        expect(entropy).toBeGreaterThanOrEqual(-1e-15);
        expect(entropy).toBeLessThanOrEqual(Math.log(cells.length) + 1e-12);
      }),
    );
  });

  test('energy.boltzmann entropy rises with temperature', () => {
    fc.assert(
      fc.property(cellsArbitrary, temperatures, (cells, temperature) => {
        const at = (t: number) => compute(field(1, cells.length, cells), { temperature: t }).state.boltzmann!;
        expect(at(2 * temperature).entropy).toBeGreaterThanOrEqual(at(temperature).entropy - 1e-12);
      }),
    );
  });

  test('two levels have the closed form of a two-level system', () => {
    const [gap, temperature] = [3, 2];
    const { boltzmann } = compute(field(1, 2, [0, gap]), { temperature }).state;
    const upper = 1 / (1 + Math.exp(gap / temperature));
    expect(boltzmann!.internalEnergy).toBeCloseTo(gap * upper, 12);
    expect(boltzmann!.heatCapacity).toBeCloseTo((gap / temperature) ** 2 * upper * (1 - upper), 12);
    expect(boltzmann!.logPartition).toBeCloseTo(Math.log1p(Math.exp(-gap / temperature)), 12);
  });

  test('energy.boltzmann stays finite at temperature 1e-6 with negative energies', () => {
    const { boltzmann } = compute(field(1, 3, [-3e38, -1, 3e38]), { temperature: 1e-6 }).state;
    for (const value of Object.values(boltzmann!)) expect(Number.isFinite(value)).toBe(true);
    expect(boltzmann!.internalEnergy).toBe(-3e38);
  });
});

describe('value entropy', () => {
  test("counts the map's own range in 64 bins, or the edges given", () => {
    const cells = Float64Array.from({ length: 128 }, (_, at) => at);
    expect(compute(field(1, 128, cells)).state.valueEntropy).toBeCloseTo(Math.log(64) + 63 / 256, 12);
    expect(compute(field(1, 128, cells), { bins: 2 }).state.valueEntropy).toBeCloseTo(Math.LN2 + 1 / 256, 12);
    expect(compute(field(1, 128, cells), { edges: [1e6, 2e6] }).state.valueEntropy).toBe(0);
  });
});

describe('the slope', () => {
  test('energy.totals slope of a ramp is exact, per spacing', () => {
    const cells = Float64Array.from({ length: 64 }, (_, at) => 3 * (at % 8) + 4 * Math.floor(at / 8));
    const { gradientMagnitude, gradientRow, gradientCol, state } = compute(
      field(8, 8, cells, { spacing: 2 }),
    );
    expect([gradientRow[27], gradientCol[27], gradientMagnitude[27]]).toEqual([2, 1.5, 2.5]);
    expect(state.gradientMax).toBe(2.5);
  });
});

describe('negative policies', () => {
  const apply = (cells: number[], rule: NegativeRule, observed?: number[]) => {
    const values = Float64Array.from(cells);
    const refused = applyNegativeRule(values, observed && Uint8Array.from(observed), rule);
    return { values: [...values], refused };
  };

  test('energy.negative SIGNED keeps, ABSOLUTE takes the size, SHIFT_TO_MIN shifts, REJECT names the cell', () => {
    expect(apply([1, -2, 3], 'SIGNED').values).toEqual([1, -2, 3]);
    expect(apply([1, -2, 3], 'ABSOLUTE').values).toEqual([1, 2, 3]);
    expect(apply([1, -2, 3], 'SHIFT_TO_MIN').values).toEqual([3, 0, 5]);
    expect(apply([5, 6], 'SHIFT_TO_MIN').values).toEqual([0, 1]);
    expect(apply([1, -2, 3], 'REJECT').refused).toBe(1);
    expect(apply([1, 0, 3], 'REJECT').refused).toBeUndefined();
  });

  test('an unobserved cell decides nothing', () => {
    expect(apply([1, -2, 3], 'REJECT', [1, 0, 1]).refused).toBeUndefined();
    expect(apply([1, -2, 3], 'SHIFT_TO_MIN', [1, 0, 1]).values).toEqual([0, -3, 2]);
    expect(apply([1, -2], 'SHIFT_TO_MIN', [0, 0]).values).toEqual([1, -2]);
  });
});

describe('slices', () => {
  const random = createRandom(11);
  const cells = Float64Array.from({ length: 300 * 200 }, () => random.normal());
  const map = field(300, 200, cells);

  test('a computation in slices gives the same bits and lets the event loop turn', async () => {
    let nowMs = 0;
    const clock = { monotonicMs: () => nowMs++ };
    let turns = 0;
    const counting = setInterval(() => turns++, 0);
    const sliced = await runInSlices(computeSteps(map), { clock, sliceMs: 2 });
    clearInterval(counting);
    expect(sliced).toEqual(compute(map));
    expect(nowMs).toBeGreaterThan(10);
    expect(turns).toBeGreaterThan(0);
  });

  test('a computation ends at the next slice once its signal aborts', async () => {
    const ended = new Error('cancelled');
    const running = runInSlices(computeSteps(map), {
      clock: { monotonicMs: () => 0 },
      sliceMs: 0,
      signal: AbortSignal.abort(ended),
    });
    await expect(running).rejects.toBe(ended);
  });
});

describe('compiled kernels', () => {
  const random = createRandom(12);
  test.each([
    [1, 1],
    [1, 7],
    [10, 10],
    [64, 65],
  ])('agree to 1e-12 with the plain forms on %d x %d cells, some of them hidden', (rows, cols) => {
    for (const share of [1, 0.7]) {
      const cells = Float64Array.from({ length: rows * cols }, () => 3 * random.normal());
      const observed = Uint8Array.from(cells, () => (random.uniform() < share ? 1 : 0));
      const { state, weights } = compute(field(rows, cols, cells, { observed }), { temperature: 0.7 });
      const seen = cells.filter((_, at) => observed[at] === 1);
      const plain = plainState(seen, 0.7);
      expect(state.totals.count).toBe(seen.length);
      expectClose([state.totals.positive, state.totals.negative], [plain.positive, plain.negative]);
      if (seen.length === 0) continue;
      expectClose([state.totals.spatialEntropy!, state.mean, state.variance], plain.spread);
      expectClose([state.boltzmann!.logPartition], [plain.logPartition]);
      expectClose(
        weights.filter((_, at) => observed[at] === 1),
        plain.weights,
      );
      expect(weights.every((weight, at) => observed[at] === 1 || weight === 0)).toBe(true);
    }
  });

  test('energy.totals the same map gives the same bits, whatever was computed between and with whichever plan', () => {
    const cells = Float64Array.from({ length: 24 * 24 }, () => random.normal());
    const map = field(24, 24, cells, { observed: Uint8Array.from(cells, (_, at) => (at % 5 ? 1 : 0)) });
    const first = compute(map);
    compute(
      field(
        24,
        24,
        cells.map((value) => value * value),
      ),
    );
    expect(compute(map)).toEqual(first);
    const other = createStatePlans(1);
    const again = runThrough(stateSteps(map, OPTIONS, other));
    expect(again).toEqual(first.state);
  });

  test('two computations whose slices take turns do not meet', () => {
    const maps = [1, 2].map((seed) =>
      field(
        9,
        9,
        Float64Array.from({ length: 81 }, () => seed * random.normal()),
      ),
    );
    const apart = maps.map((map) => compute(map).state);
    const turns = maps.map((map) => stateSteps(map, OPTIONS, plans));
    const together = turns.map(() => undefined as MapState | undefined);
    while (together.includes(undefined)) {
      for (const [at, steps] of turns.entries()) {
        const step = steps.next();
        if (step.done) together[at] ??= step.value;
      }
    }
    expect(together).toEqual(apart);
  });
});

/** Equal to 1e-12, relative to what is over 1. */
function expectClose(found: ArrayLike<number>, expected: ArrayLike<number>): void {
  expect(found.length).toBe(expected.length);
  for (let i = 0; i < expected.length; i++) {
    const scale = Math.max(1, Math.abs(expected[i]!));
    expect(Math.abs(found[i]! - expected[i]!) / scale).toBeLessThanOrEqual(1e-12);
  }
}

/** Totals, entropy, moments and ensemble of cells by the plain forms. */
function plainState(cells: Float64Array, temperature: number) {
  const count = cells.length;
  const moments = createMoments();
  addMoments(cells, 0, count, moments);
  const [positive, negative] = [pairValue(moments, MOMENTS.positive), pairValue(moments, MOMENTS.negative)];
  const entropy = new Float64Array(ENTROPY.size);
  addEntropy(cells, 0, count, positive - negative, entropy);
  const mean = compensatedSum(cells) / count;
  const squares = new Float64Array(2);
  addSquaredDeviations(cells, 0, count, mean, squares);
  const logPartition = logSumExp(cells.map((cell) => -cell / temperature));
  return {
    positive,
    negative,
    spread: [pairValue(entropy, ENTROPY.entropy), mean, pairValue(squares) / count],
    logPartition,
    weights: cells.map((cell) => Math.exp(-cell / temperature - logPartition)),
  };
}
