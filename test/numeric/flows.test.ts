/** Flows whose solutions are known, solved on the kernels: heat, Taylor-Green vortices, Burgers' shock. */
import { describe, expect, test } from '@jest/globals';
import { createArena } from '../../src/numeric/kernels/arena.ts';
import { createGridPlan } from '../../src/numeric/kernels/grid-plan.ts';
import { solveBurgers, solveVortices } from './support/spectral-flow.ts';

describe('energy.golden heat', () => {
  test('a wave of k = 2 pi keeps 0.673825451 by t = 1 at diffusivity 0.01, its total all along, and its entropy rises', () => {
    const [n, diffusivity] = [64, 0.01];
    const arena = createArena(2);
    const plan = createGridPlan(arena, n, n);
    let [from, to] = [arena.float64(n * n), arena.float64(n * n)];
    for (let at = 0; at < n * n; at++) from[at] = 1 + 0.5 * Math.cos((2 * Math.PI * (at % n)) / n);
    // Steps of about a sixth of spacing^2 / diffusivity cancel the second-order errors of time and space along one axis.
    const steps = Math.ceil(6 * diffusivity * n * n);
    const number = (diffusivity * n * n) / steps;
    const total = from.reduce((sum, value) => sum + value, 0);
    let entropy = entropyOf(from);
    for (let step = 0; step < steps; step++) {
      plan.heatStep(from, { boundary: 'PERIODIC', number }, to);
      [from, to] = [to, from];
      expect(Math.abs(from.reduce((sum, value) => sum + value, 0) / total - 1)).toBeLessThan(1e-9);
      const next = entropyOf(from);
      expect(next).toBeGreaterThan(entropy);
      entropy = next;
    }
    const kept = (from[0]! - 1) / 0.5;
    expect(kept).toBeCloseTo((1 - 2 * number * (1 - Math.cos((2 * Math.PI) / n))) ** steps, 12);
    expect(Math.abs(kept / 0.673825451 - 1)).toBeLessThan(1e-6);
    expect(Math.exp(-diffusivity * (2 * Math.PI) ** 2)).toBeCloseTo(0.673825451, 9);
  });
});

/** -sum p ln p of positive cells, p their shares of the total. */
function entropyOf(cells: Float64Array): number {
  const total = cells.reduce((sum, value) => sum + value, 0);
  return cells.reduce((sum, value) => sum - (value / total) * Math.log(value / total), 0);
}

describe('Taylor-Green vortices', () => {
  const n = 32;
  const turn = (2 * Math.PI) / n;
  const box = { rows: n, cols: n, lengths: [2 * Math.PI, 2 * Math.PI] as const };
  const vortices = (shift: number) => {
    const at = (f: (x: number, y: number) => number) =>
      Float64Array.from({ length: n * n }, (_, k) => f((k % n) * turn - shift, Math.floor(k / n) * turn));
    return {
      u: at((x, y) => Math.cos(x) * Math.sin(y)),
      v: at((x, y) => -Math.sin(x) * Math.cos(y)),
    };
  };
  const kinetic = ({ u, v }: { u: Float64Array; v: Float64Array }) =>
    u.reduce((sum, value, k) => sum + 0.5 * (value * value + v[k]! * v[k]!), 0);

  test('energy.golden Taylor-Green vortices keep 0.670320046 of their kinetic energy by t = 10 at viscosity 0.01, and drift with the wind', () => {
    const start = vortices(0);
    const options = { viscosity: 0.01, drift: 0.3, time: 10, steps: 200 };
    const end = solveVortices(start, box, options);
    expect(kinetic(end) / kinetic(start)).toBeCloseTo(0.670320046, 8);
    const exact = vortices(0.3 * 10);
    const decay = Math.exp(-2 * 0.01 * 10);
    end.u.forEach((value, k) => {
      expect(value).toBeCloseTo(decay * exact.u[k]!, 6);
    });
  });
});

describe("Burgers' equation", () => {
  const n = 2048;
  const start = Float64Array.from({ length: n }, (_, j) => -Math.sin(Math.PI * (-1 + (2 * j) / n)));
  test.each([
    [0.1 / Math.PI, [-0.799110998, -0.57422773, -0.295319796]],
    [0.01 / Math.PI, [-0.847354524, -0.592769534, -0.302842708]],
  ])(
    'energy.golden Burgers of viscosity %d has its values beside the shock at t = 0.5',
    (viscosity, expected) => {
      const end = solveBurgers(start, { length: 2, viscosity, time: 0.5, steps: 1000 });
      [0.25, 0.5, 0.75].forEach((x, at) => {
        expect(end[((x + 1) / 2) * n]! / expected[at]!).toBeCloseTo(1, 6);
      });
    },
  );
});
