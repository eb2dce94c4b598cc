/** Random searches: what a move changes, where they end, and that they are the same in any number of goes. */
import { describe, expect, test } from '@jest/globals';
import { createLandscape } from '../../../src/diffusion/inference/landscape.ts';
import {
  type Constraint,
  createOptimizer,
  type Objective,
} from '../../../src/diffusion/inference/optimize.ts';
import {
  beginWalk,
  goOn,
  RUNGS,
  type WalkMethod,
  type WalkPlan,
} from '../../../src/diffusion/inference/walk.ts';
import type { ModeMixture } from '../../../src/diffusion/prior/mixture.ts';
import { createSpectralGrid, type SpectralGrid } from '../../../src/diffusion/prior/modes.ts';
import { standardGaussian } from '../../../src/diffusion/prior/prior.ts';
import { createRandom } from '../../../src/random.ts';
import { single } from '../support.ts';

const FREE: Constraint = {
  lower: Number.NEGATIVE_INFINITY,
  upper: Number.POSITIVE_INFINITY,
  total: undefined,
};
const NOTHING: Objective = { guides: [], quartic: undefined, spectra: [], priorWeight: 0 };

/** Two components of a shape, far enough apart to matter. */
function twoOf(grid: SpectralGrid): ModeMixture {
  const standard = standardGaussian(grid);
  const mean = grid.newModes();
  grid.forward(
    Float64Array.from({ length: grid.cells }, (_, i) => Math.cos(i)),
    mean,
  );
  const power = standard.power.map((value) => 2 * value);
  return { weights: Float64Array.of(0.7, 0.3), components: [standard, { mean, power }] };
}

describe('a landscape', () => {
  const target = (cells: number) => Float64Array.from({ length: cells }, (_, i) => Math.sin(2 * i));
  const objectives: readonly [string, (cells: number) => Objective][] = [
    [
      'targets and totals',
      (cells) => ({
        ...NOTHING,
        guides: [
          { functional: { kind: 'QUADRATIC', stiffness: 2, target: target(cells) }, weight: 0.7 },
          { functional: { kind: 'TOTAL_ENERGY', stiffness: 0.3, total: 5, cellArea: 0.5 }, weight: 2 },
        ],
      }),
    ],
    [
      'tension and quartics',
      () => ({
        ...NOTHING,
        guides: [{ functional: { kind: 'GRADIENT', tension: 1.5, mass: 0.2 }, weight: 0.9 }],
        quartic: { mass: -1, quartic: 0.8 },
      }),
    ],
    ['a prior', () => ({ ...NOTHING, priorWeight: 1.7 })],
    ['spectra', () => ({ ...NOTHING, spectra: [{ stiffness: 2, powers: [1, 0.5, 0, 2] }] })],
  ];

  test.each(objectives)('of %s changes with each move as the whole energy does', (_what, objectiveOf) => {
    for (const [rows, cols] of [
      [1, 1],
      [2, 1],
      [1, 6],
      [2, 3],
      [5, 4],
    ] as const) {
      const grid = createSpectralGrid(rows, cols);
      const objective = objectiveOf(grid.cells);
      for (const prior of [single(standardGaussian(grid)), twoOf(grid)]) {
        const { energyOf } = createOptimizer(grid, prior, objective, FREE, 1);
        const landscape = createLandscape(grid, prior, objective);
        const random = createRandom(3);
        const cells = Float64Array.from({ length: grid.cells }, () => random.normal());
        landscape.place(cells);
        for (let turn = 0; turn < 20; turn++) {
          const at = random.below(grid.cells);
          const by = random.normal();
          const before = energyOf(cells);
          const change = landscape.change(at, by);
          landscape.move(at, by);
          const measured = energyOf(cells) - before;
          expect(Math.abs(change - measured)).toBeLessThan(1e-8 * (1 + Math.abs(measured)));
        }
      }
    }
  });
});

describe('a walk', () => {
  const grid = createSpectralGrid(4, 4);
  const prior = single(standardGaussian(grid));
  /** Two wells a cell, of which the right one, at +1, is a little deeper, and neighbors that want to be alike. */
  const wells: Objective = {
    ...NOTHING,
    guides: [
      { functional: { kind: 'GRADIENT', tension: 0.5, mass: 0 }, weight: 1 },
      { functional: { kind: 'QUADRATIC', stiffness: 0.3, target: new Float64Array(16).fill(1) }, weight: 1 },
    ],
    quartic: { mass: -4, quartic: 4 },
  };
  const wrong = new Float64Array(16).fill(-1);

  function planOf(method: WalkMethod, change: Partial<WalkPlan> = {}, objective = wells): WalkPlan {
    const constraint = change.constraint ?? FREE;
    const { energyOf } = createOptimizer(grid, prior, objective, constraint, 1e-6);
    return {
      method,
      sweeps: 150,
      landscape: createLandscape(grid, prior, objective),
      energyOf,
      constraint,
      randomOf: (stream) => createRandom(5n, stream),
      spread: 1,
      ...change,
    };
  }

  test.each(['ANNEALING', 'BOLTZMANN'] as const)('%s leaves the well that descent is caught in', (method) => {
    const optimizer = createOptimizer(grid, prior, wells, FREE, 1e-6);
    const caught = optimizer.improve(optimizer.begin(wrong), 500);
    expect(caught.converged).toBe(true);
    const plan = planOf(method);
    const walk = goOn(plan, beginWalk(plan, wrong), 150);
    const found = optimizer.improve(optimizer.begin(walk.best.cells), 500);
    expect(found.energy).toBeLessThan(caught.energy - 1);
    for (const cell of found.cells) expect(cell).toBeGreaterThan(0.5);
    expect(walk.best.energy).toBeCloseTo(plan.energyOf(walk.best.cells), 9);
  });

  test('cools geometrically, and moves less often the colder it is', () => {
    const plan = planOf('ANNEALING');
    const first = goOn(plan, beginWalk(plan, wrong), 1);
    expect(first.temperature).toBe(first.hottest);
    const half = goOn(plan, first, 75);
    const last = goOn(plan, half, 74);
    expect(last.sweeps).toBe(150);
    expect(last.temperature / last.hottest).toBeCloseTo(1e-5, 12);
    expect(half.temperature / half.hottest).toBeCloseTo(1e-5 ** (75 / 149), 9);
    expect(last.walkers[0]!.stride).toBeLessThan(half.walkers[0]!.stride);
    expect(goOn(plan, last, 10)).toBe(last);
  });

  test('at eight temperatures has their energies in order', () => {
    const plan = planOf('BOLTZMANN');
    const walk = goOn(plan, beginWalk(plan, wrong), 60);
    expect(walk.walkers).toHaveLength(RUNGS);
    expect(walk.walkers[0]!.energy).toBeLessThan(walk.walkers[RUNGS - 1]!.energy);
    expect(walk.walkers[0]!.stride).toBeLessThan(walk.walkers[RUNGS - 1]!.stride);
  });

  test('at one temperature samples its Boltzmann density', () => {
    // Of independent cells with E = x^2 / 2 the mean energy is half the temperature each.
    const bowl: Objective = {
      ...NOTHING,
      guides: [{ functional: { kind: 'QUADRATIC', stiffness: 1 }, weight: 1 }],
    };
    const plan = planOf('BOLTZMANN', { sweeps: 1000 }, bowl);
    let walk = goOn(plan, beginWalk(plan, new Float64Array(16)), 100);
    let sum = 0;
    for (let i = 0; i < 900; i++) {
      walk = goOn(plan, walk, 1);
      sum += walk.walkers[RUNGS - 1]!.energy / 900;
    }
    expect(Math.abs(sum / (8 * walk.hottest) - 1)).toBeLessThan(0.1);
  });

  test.each(['ANNEALING', 'BOLTZMANN'] as const)('%s in goes takes the same way as at once', (method) => {
    const plan = planOf(method);
    const whole = goOn(plan, beginWalk(plan, wrong), 12);
    let walk = beginWalk(planOf(method), wrong);
    for (let i = 0; i < 12; i++) walk = goOn(planOf(method), structuredClone(walk), 1);
    expect({ ...walk, acceptance: 0 }).toEqual({ ...whole, acceptance: 0 });
  });

  test('stays within its bounds and keeps its total', () => {
    const constraint = { lower: -0.5, upper: 0.8, total: 3 };
    const plan = planOf('ANNEALING', { constraint });
    const { best } = goOn(plan, beginWalk(plan, wrong), 40);
    expect(best.cells.reduce((a, b) => a + b, 0)).toBeCloseTo(3, 9);
    for (const cell of best.cells) {
      expect(cell).toBeGreaterThanOrEqual(-0.5 - 1e-12);
      expect(cell).toBeLessThanOrEqual(0.8 + 1e-12);
    }
  });
});
