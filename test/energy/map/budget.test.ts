/** Energy budgets between two maps. */
import { describe, expect, test } from '@jest/globals';
import { type Budget, checkBudget } from '../../../src/energy/map/budget.ts';
import { totalsSteps } from '../../../src/energy/map/state.ts';
import { runThrough } from '../../../src/numeric/slices.ts';
import { createRandom } from '../../../src/random.ts';

const totals = (cells: ArrayLike<number>) =>
  runThrough(
    totalsSteps({
      rows: 1,
      cols: cells.length,
      cells: Float64Array.from(cells),
      observed: undefined,
      cellArea: 1,
      spacing: 1,
      boundary: 'NEUMANN',
    }),
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

describe('a budget', () => {
  test('doubling a map fails', () => {
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

  test('at least 99.99 % fidelity and no failure on 100 steps of heat flow', () => {
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

  test('at least 99.9 % of the steps of a closed, mixing system pass', () => {
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
