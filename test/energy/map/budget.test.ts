/** Energy budgets between two maps. */
import { describe, expect, test } from '@jest/globals';
import { type Budget, checkBudget } from '../../../src/energy/map/budget.ts';
import { totalsSteps } from '../../../src/energy/map/state.ts';
import { createStatePlans } from '../../../src/energy/map/state-plan.ts';
import { createArena } from '../../../src/numeric/kernels/arena.ts';
import { createGridPlan } from '../../../src/numeric/kernels/grid-plan.ts';
import { runThrough } from '../../../src/numeric/slices.ts';
import { createRandom } from '../../../src/random.ts';
import { carried } from '../../numeric/support/spectral-flow.ts';

const plans = createStatePlans(4);

const totals = (cells: ArrayLike<number>) =>
  runThrough(
    totalsSteps(
      {
        rows: 1,
        cols: cells.length,
        cells: Float64Array.from(cells),
        observed: undefined,
        cellArea: 1,
      },
      plans,
    ),
  );

const check = (before: ArrayLike<number>, after: ArrayLike<number>, change: Partial<Budget> = {}) =>
  checkBudget(totals(before), totals(after), {
    rule: 'CONSERVATIVE',
    dt: 1,
    netPower: 0,
    absoluteTolerance: 0,
    relativeTolerance: 1e-3,
    ...change,
  });

/** One explicit step of the heat equation on a ring: conserves the total, spreads it. */
function heatStep(cells: Float64Array, rate: number): Float64Array {
  const n = cells.length;
  return cells.map((cell, i) => cell + rate * (cells[(i + 1) % n]! + cells[(i + n - 1) % n]! - 2 * cell));
}

/** Some hills on a plain, over 0, smooth on the grid. */
function hills(n: number, seed: number): Float64Array {
  const random = createRandom(seed);
  const all = Array.from({ length: 6 }, () => [
    n * random.uniform(),
    n * random.uniform(),
    1 + random.uniform(),
  ]);
  const apart = (a: number, b: number) => Math.min(Math.abs(a - b), n - Math.abs(a - b));
  return Float64Array.from({ length: n * n }, (_, at) => {
    const [row, col] = [Math.floor(at / n), at % n];
    return all.reduce(
      (sum, [top, left, height]) =>
        sum + height! * Math.exp(-(apart(row, top!) ** 2 + apart(col, left!) ** 2) / 32),
      0.5,
    );
  });
}

/** Steps of the heat equation on a periodic square. */
function createDiffusion(n: number, number: number): (cells: Float64Array) => Float64Array {
  const arena = createArena(1);
  const [from, to] = [arena.float64(n * n), arena.float64(n * n)];
  const grid = createGridPlan(arena, n, n);
  return (cells) => {
    from.set(cells);
    grid.heatStep(from, { boundary: 'PERIODIC', number }, to);
    return to.slice();
  };
}

describe('a budget', () => {
  test('energy.conservation doubling a map fails', () => {
    const verdict = check([1, 2, 3], [2, 4, 6]);
    expect(verdict).toMatchObject({ passed: false, residual: 6, fidelity: 0.5 });
    expect(verdict.reasons).toHaveLength(1);
  });

  test('the same map passes with full fidelity, an even or an empty one too', () => {
    for (const cells of [
      [1, 2, 3],
      [5, 5, 5],
      [0, 0, 0],
      [-1, 1, 4],
    ])
      expect(check(cells, cells)).toMatchObject({ passed: true, residual: 0, fidelity: 1 });
  });

  test('the tolerance grows with the larger of the two maps, by rtol, from atol', () => {
    expect(check([1000], [1000.9]).passed).toBe(true);
    expect(check([1000], [1001.2]).passed).toBe(false);
    expect(check([1000], [1005], { absoluteTolerance: 4 })).toMatchObject({ passed: true, tolerance: 5.005 });
  });

  test('declared power explains a change only where the budget is driven or dissipative', () => {
    expect(check([10], [16], { rule: 'DRIVEN', netPower: 3, dt: 2 })).toMatchObject({
      passed: true,
      residual: 0,
    });
    expect(check([10], [16], { rule: 'DRIVEN', netPower: 1, dt: 2 }).passed).toBe(false);
  });

  test('a dissipative budget lets energy leave, not appear', () => {
    expect(check([10], [2], { rule: 'DISSIPATIVE' }).passed).toBe(true);
    expect(check([10], [12], { rule: 'DISSIPATIVE' }).passed).toBe(false);
  });

  test('a map that gathers at constant total fails for its entropy, and only in a conservative budget', () => {
    const spread = new Float64Array(400).fill(1);
    const gathered = new Float64Array(400);
    gathered[7] = 400;
    expect(check(spread, gathered)).toMatchObject({ passed: false, residual: 0 });
    expect(check(spread, gathered).entropyChange).toBeCloseTo(-Math.log(400), 12);
    for (const rule of ['DRIVEN', 'DISSIPATIVE'] as const)
      expect(check(spread, gathered, { rule }).passed).toBe(true);
  });

  test('energy.conservation at least 99.99 % fidelity and no failure on 100 steps of heat flow', () => {
    const random = createRandom(9);
    let cells: Float64Array = Float64Array.from({ length: 1024 }, () => random.exponential());
    for (let step = 0; step < 100; step++) {
      const next = heatStep(cells, 0.2);
      const verdict = check(Float32Array.from(cells), Float32Array.from(next));
      expect(verdict.fidelity).toBeGreaterThan(0.9999);
      expect(verdict.passed).toBe(true);
      cells = next;
    }
  });

  test.each([
    ['heat', 0.1, [0, 0]],
    ['advection', 0, [0.7, -1.3]],
    ['advection and diffusion', 0.02, [0.7, -1.3]],
  ] as const)(
    'energy.conservation at least 99.99 %% fidelity and 99.9 %% passes on 100 steps of %s',
    (_name, diffusivity, shift) => {
      const n = 64;
      const box = { rows: n, cols: n, lengths: [n, n] as const };
      const diffused = createDiffusion(n, diffusivity);
      let passed = 0;
      let steps = 0;
      for (let seed = 1; seed <= 3; seed++) {
        let cells = hills(n, seed);
        for (let step = 0; step < 100; step++, steps++) {
          const next = carried(diffused(cells), box, shift);
          const verdict = check(Float32Array.from(cells), Float32Array.from(next));
          expect(verdict.fidelity).toBeGreaterThanOrEqual(0.9999);
          if (verdict.passed) passed++;
          cells = next;
        }
      }
      expect(passed / steps).toBeGreaterThanOrEqual(0.999);
    },
  );

  test('energy.entropy at least 99.9 % of the steps of a closed, mixing system pass', () => {
    const random = createRandom(10);
    let passed = 0;
    const steps = 1000;
    let cells = Float64Array.from({ length: 256 }, () => random.exponential());
    for (let step = 0; step < steps; step++) {
      // Energy hops between two cells: the total is kept, the arrangement fluctuates.
      const next = cells.slice();
      const [from, to] = [random.below(256), random.below(256)];
      const amount = next[from]! * random.uniform() * 0.5;
      next[from] = next[from]! - amount;
      next[to] = next[to]! + amount;
      if (check(cells, next).passed) passed++;
      cells = next;
    }
    expect(passed / steps).toBeGreaterThanOrEqual(0.999);
  });
});
