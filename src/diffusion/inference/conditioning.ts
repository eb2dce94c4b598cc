/**
 * What observing some cells says of all: the linear system C_oo + noise, C being the covariance of a Gaussian whose modes
 * are independent, solved by conjugate gradients without ever writing the matrix down.
 */
import { type CgOutcome, createCgSolver, type LinearSystem } from '../../numeric/conjugate-gradients.ts';
import type { SpectralGrid } from '../prior/modes.ts';

const TOLERANCE = 1e-8;
const ITERATIONS_MAX = 500;

export interface Conditioning {
  /** What C_o (C_oo + noise)^-1 error adds to each cell (good until the next call), and how it was found. */
  solve(error: Float64Array): { readonly outcome: CgOutcome; readonly correction: Float64Array };
}

/** Of powers (a plane), places observed, and the variance of their noise. Two transform pairs an iteration. */
export function createConditioning(
  grid: SpectralGrid,
  power: Float64Array,
  places: readonly number[],
  noise: number,
): Conditioning {
  const modes = grid.newModes();
  const map = new Float64Array(grid.cells);
  const inverse = power.map((variance) => 1 / (variance + noise));
  const solver = createCgSolver(places.length);
  /** Scatters observations, scales every mode, and leaves the map. */
  const filter = (x: Float64Array, factors: Float64Array) => {
    map.fill(0);
    places.forEach((at, i) => {
      map[at] = x[i]!;
    });
    grid.forward(map, modes);
    for (let k = 0; k < grid.size; k++) {
      modes.re[k] = modes.re[k]! * factors[k]!;
      modes.im[k] = modes.im[k]! * factors[k]!;
    }
    grid.back(modes, map);
    return map;
  };
  const system: LinearSystem = {
    size: places.length,
    apply(x, out) {
      const filtered = filter(x, power);
      for (let i = 0; i < out.length; i++) out[i] = filtered[places[i]!]! + noise * x[i]!;
    },
    precondition(x, out) {
      const filtered = filter(x, inverse);
      for (let i = 0; i < out.length; i++) out[i] = filtered[places[i]!]!;
    },
  };
  return {
    solve(error) {
      const weights = new Float64Array(places.length);
      const options = { tolerance: TOLERANCE, iterationsMax: ITERATIONS_MAX };
      const outcome = solver.solve(system, error, weights, options);
      return { outcome, correction: filter(weights, power) };
    },
  };
}
