/** The search: exact minima of quadratic energies, within bounds and of a total. */
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { type Constraint, createOptimizer, project } from '../../../src/diffusion/inference/optimize.ts';
import { createSpectralGrid } from '../../../src/diffusion/prior/modes.ts';
import { standardGaussian } from '../../../src/diffusion/prior/prior.ts';
import { single } from '../support.ts';

const grid = createSpectralGrid(3, 4);
const gaussian = standardGaussian(grid);
const target = Float64Array.from({ length: 12 }, (_, i) => 3 * Math.sin(2 * i));
const objective = {
  guides: [{ functional: { kind: 'QUADRATIC' as const, stiffness: 2, target }, weight: 1 }],
  quartic: undefined,
  spectra: [],
  priorWeight: 0,
};
const FREE: Constraint = {
  lower: Number.NEGATIVE_INFINITY,
  upper: Number.POSITIVE_INFINITY,
  total: undefined,
};

function found(constraint: Constraint, changed: Partial<typeof objective> = {}) {
  const optimizer = createOptimizer(grid, single(gaussian), { ...objective, ...changed }, constraint, 1e-9);
  return optimizer.improve(optimizer.begin(new Float64Array(12)), 500);
}

describe('a search', () => {
  test('ends at the target, where the energy is zero', () => {
    const search = found(FREE);
    expect(search.converged).toBe(true);
    expect(search.energy).toBeCloseTo(0, 12);
    for (const [i, cell] of search.cells.entries()) expect(cell).toBeCloseTo(target[i]!, 8);
  });

  test('with the prior in it ends between target and mean, mode by mode', () => {
    const search = found(FREE, { priorWeight: 3 });
    const [x, aim] = [grid.newModes(), grid.newModes()];
    grid.forward(search.cells, x);
    grid.forward(target, aim);
    for (let k = 0; k < grid.size; k++)
      expect(x.re[k]).toBeCloseTo((2 * aim.re[k]!) / (2 + 3 / gaussian.power[k]!), 6);
  });

  test('stays within its bounds and at its total, at the nearest such map', () => {
    const bound = fc.double({ min: -4, max: 4, noNaN: true });
    fc.assert(
      fc.property(bound, bound, fc.double({ min: 0, max: 1, noNaN: true }), (a, b, share) => {
        const [lower, upper] = [Math.min(a, b), Math.max(a, b)];
        const total = 12 * (lower + share * (upper - lower));
        const { cells } = found({ lower, upper, total });
        const sum = cells.reduce((x, y) => x + y, 0);
        expect(Math.abs(sum - total)).toBeLessThan(1e-6);
        expect(cells.every((cell) => cell >= lower && cell <= upper)).toBe(true);
        // Of the nearest map, cells off their bounds are all as far from the target.
        const inner = [...cells.keys()].filter((i) => cells[i]! > lower + 1e-6 && cells[i]! < upper - 1e-6);
        const shifts = inner.map((i) => cells[i]! - target[i]!);
        if (shifts.length > 1) expect(Math.max(...shifts) - Math.min(...shifts)).toBeLessThan(1e-5);
      }),
      { numRuns: 60 },
    );
  });

  test('finds the shift of cells of any size to the rounding of their total', () => {
    const cell = fc.oneof(
      fc.double({ min: -4, max: 4, noNaN: true }),
      fc.double({ min: -1e9, max: 1e9, noNaN: true }),
      fc.double({ min: -1e-9, max: 1e-9, noNaN: true }),
    );
    const side = fc.double({ min: -10, max: 10, noNaN: true });
    const share = fc.constantFrom(0, 0.001, 0.3, 0.999, 1);
    fc.assert(
      fc.property(fc.array(cell, { minLength: 1, maxLength: 60 }), side, side, share, (given, a, b, of) => {
        const [lower, upper] = [Math.min(a, b), Math.max(a, b)];
        const total = given.length * (lower + of * (upper - lower));
        const cells = project(Float64Array.from(given), { lower, upper, total });
        const sum = cells.reduce((x, y) => x + y, 0);
        const size = given.reduce((x, y) => Math.max(x, Math.abs(y)), 10);
        expect(Math.abs(sum - total)).toBeLessThanOrEqual(1e-14 * given.length * size);
        expect(cells.every((value) => value >= lower && value <= upper)).toBe(true);
        // The order of cells stays, and so does the distance of two that are off their bounds.
        for (const [i, value] of cells.entries())
          for (const [j, other] of cells.entries()) {
            if (given[i]! < given[j]! && !(value <= other)) throw new Error(`cells ${i} and ${j}`);
            if (value <= lower || value >= upper || other <= lower || other >= upper) continue;
            expect(Math.abs(value - other - (given[i]! - given[j]!))).toBeLessThan(1e-15 * size * 8);
          }
      }),
      { numRuns: 200 },
    );
  });

  test('in goes takes the same way as at once', () => {
    const optimizer = createOptimizer(grid, single(gaussian), { ...objective, priorWeight: 1 }, FREE, 1e-9);
    const whole = optimizer.improve(optimizer.begin(new Float64Array(12)), 6);
    let search = optimizer.begin(new Float64Array(12));
    for (let i = 0; i < 6; i++) search = optimizer.improve(structuredClone(search), 1);
    expect(search).toEqual(whole);
  });
});
