/**
 * Filling in missing cells: the density of a map given some of its cells. Exact draws by Matheron's rule: a draw of the
 * prior, corrected everywhere by what is wrong with it where cells were observed, which takes one linear system of
 * the size of the observations each, solved by conjugate gradients without ever writing its matrix down.
 */
import { type CgSolver, createCgSolver, type LinearSystem } from '../../numeric/conjugate-gradients.ts';
import type { SpectralGrid } from '../prior/modes.ts';
import { drawAt, type ModeGaussian } from '../prior/prior.ts';

export interface Imputed {
  readonly mean: Float64Array;
  readonly samples: readonly Float64Array[];
  /** Greatest relative residual of the systems solved, and most iterations of one. */
  readonly residual: number;
  readonly iterations: number;
  /** False where a system was not solved to the tolerance. */
  readonly converged: boolean;
}

export interface ImputeOptions {
  /** A byte a cell, 1 observed; at least one. */
  readonly observed: Uint8Array;
  /** Deviation of the noise of an observation, at least 0. */
  readonly noise: number;
  readonly samples: number;
  readonly seed: bigint;
}

const TOLERANCE = 1e-8;
const ITERATIONS_MAX = 500;
/** Steps of the noise: of the draw of the prior and of its observations. */
const STEP = { draw: 0, observation: 1 };

/** Fills in cells. Two transform pairs an iteration, and as many solutions as samples and one. */
export function impute(
  grid: SpectralGrid,
  gaussian: ModeGaussian,
  cells: ArrayLike<number>,
  { observed, noise, samples, seed }: ImputeOptions,
): Imputed {
  const places: number[] = [];
  for (const [at, bit] of observed.entries()) if (bit === 1) places.push(at);
  const covariance = createCovariance(grid, gaussian, places, noise * noise);
  const solver = createCgSolver(places.length);
  const modes = grid.newModes();
  let residual = 0;
  let iterations = 0;
  let converged = true;
  /** Corrects a map, in place, towards observations of it which differ from the given ones by `error`. */
  const correct = (map: Float64Array, error: Float64Array) => {
    const outcome = covariance.solve(solver, error);
    residual = Math.max(residual, outcome.residual);
    iterations = Math.max(iterations, outcome.iterations);
    converged &&= outcome.converged;
    for (let i = 0; i < map.length; i++) map[i] = map[i]! + outcome.correction[i]!;
    return map;
  };
  const errorOf = (map: Float64Array, noises?: Float64Array) =>
    Float64Array.from(places, (at) => cells[at]! - map[at]! - (noises ? noise * noises[at]! : 0));

  const prior = new Float64Array(grid.cells);
  grid.back(gaussian.mean, prior);
  const mean = correct(prior.slice(), errorOf(prior));
  const drawn: Float64Array[] = [];
  for (let sample = 0; sample < samples && converged; sample++) {
    const map = new Float64Array(grid.cells);
    grid.noise(seed, sample, STEP.draw, modes);
    drawAt(gaussian, 1, modes);
    grid.back(modes, map);
    const noises = new Float64Array(grid.cells);
    if (noise > 0) {
      grid.noise(seed, sample, STEP.observation, modes);
      grid.back(modes, noises);
    }
    drawn.push(correct(map, errorOf(map, noises)));
  }
  return { mean, samples: drawn, residual, iterations, converged };
}

/** Products with the covariance of the prior, by transforms, and solutions for that of the observations. */
function createCovariance(
  grid: SpectralGrid,
  { power }: ModeGaussian,
  places: readonly number[],
  noise: number,
) {
  const modes = grid.newModes();
  const map = new Float64Array(grid.cells);
  const inverse = power.map((variance) => 1 / (variance + noise));
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
    /** What C_o (C_oo + noise)^-1 error adds to each cell; good until the next call. */
    solve(solver: CgSolver, error: Float64Array) {
      const weights = new Float64Array(places.length);
      const outcome = solver.solve(system, error, weights, {
        tolerance: TOLERANCE,
        iterationsMax: ITERATIONS_MAX,
      });
      return { ...outcome, correction: filter(weights, power) };
    },
  };
}
