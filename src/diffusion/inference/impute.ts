/**
 * Filling in missing cells: the density of a map given some of its cells. Exact draws by Matheron's rule: a draw of the
 * prior, corrected everywhere by what is wrong with it where cells were observed, which takes one linear system of
 * the size of the observations each. Guided draws come down the levels of a schedule. Under a mixture each draw is one of
 * a component, chosen by what the observations say of it.
 */
import type { CgOutcome } from '../../numeric/conjugate-gradients.ts';
import { chosenShare, type ModeMixture, uniformAt } from '../prior/mixture.ts';
import type { SpectralGrid } from '../prior/modes.ts';
import { drawAt, type ModeGaussian } from '../prior/prior.ts';
import { createConditioning } from './conditioning.ts';
import { responsibilities } from './evidence.ts';
import { createGuidedDraws } from './guided-draw.ts';

export interface Imputed {
  readonly mean: Float64Array;
  readonly samples: readonly Float64Array[];
  /** Greatest relative residual of the systems solved, and most iterations of one. */
  readonly residual: number;
  readonly iterations: number;
  /** False where a system was not solved to the tolerance. */
  readonly converged: boolean;
  /** Chance of each component given the observations. */
  readonly responsibilities: Float64Array;
}

export interface ImputeOptions {
  /** A byte a cell, 1 observed; at least one. */
  readonly observed: Uint8Array;
  /** Deviation of the noise of an observation, at least 0. */
  readonly noise: number;
  readonly samples: number;
  readonly seed: bigint;
  /** Steps of guided draws; undefined for exact ones. */
  readonly guidedSteps: number | undefined;
}

/** What was observed: values of some cells, and the deviation of their noise. */
export interface Observations {
  /** Places of the cells, row-major, rising. */
  readonly places: readonly number[];
  readonly values: Float64Array;
  readonly noise: number;
}

/** Steps of the noise: of the draw of the prior, of its observations, and of the choice of a component. */
const STEP = { draw: 0, observation: 1, component: 2 };

/** How the systems of one request were solved. */
interface Tally {
  residual: number;
  iterations: number;
  converged: boolean;
}

/**
 * Fills in cells. Two transform pairs an iteration, and as many solutions as components and samples, those guided times
 * their steps. Of several components a matrix of the observations is factored for each, O(observations^3).
 */
export function impute(
  grid: SpectralGrid,
  mixture: ModeMixture,
  cells: ArrayLike<number>,
  { observed, noise, samples, seed, guidedSteps }: ImputeOptions,
): Imputed {
  const places: number[] = [];
  for (const [at, bit] of observed.entries()) if (bit === 1) places.push(at);
  const seen = { places, values: Float64Array.from(places, (at) => cells[at]!), noise };
  const tally: Tally = { residual: 0, iterations: 0, converged: true };
  const shares = responsibilities(grid, mixture, seen);
  if (shares === undefined)
    return {
      mean: new Float64Array(grid.cells),
      samples: [],
      ...tally,
      converged: false,
      responsibilities: new Float64Array(0),
    };
  const count = (outcome: CgOutcome) => {
    tally.residual = Math.max(tally.residual, outcome.residual);
    tally.iterations = Math.max(tally.iterations, outcome.iterations);
    tally.converged &&= outcome.converged;
  };
  const parts = mixture.components.map((gaussian) => {
    const exact = createExactDraws(grid, gaussian, seen, count);
    return {
      mean: exact.mean(),
      draw: guidedSteps ? createGuidedDraws(grid, gaussian, seen, guidedSteps, count) : exact.draw,
    };
  });
  const mean = new Float64Array(grid.cells);
  for (const [j, part] of parts.entries())
    for (let i = 0; i < mean.length; i++) mean[i] = mean[i]! + shares[j]! * part.mean[i]!;
  const drawn: Float64Array[] = [];
  for (let sample = 0; sample < samples && tally.converged; sample++) {
    const j = chosenShare(shares, uniformAt(grid, seed, sample, STEP.component));
    drawn.push(parts[j]!.draw(seed, sample));
  }
  return { mean, samples: drawn, ...tally, responsibilities: shares };
}

/** The mean given the observations, and exact draws. */
function createExactDraws(
  grid: SpectralGrid,
  gaussian: ModeGaussian,
  { places, values, noise }: Observations,
  count: (outcome: CgOutcome) => void,
) {
  const conditioning = createConditioning(grid, gaussian.power, places, noise * noise);
  const modes = grid.newModes();
  /** Corrects a map, in place, towards observations of it which differ from the given ones. */
  const correct = (map: Float64Array, noises?: Float64Array) => {
    const error = Float64Array.from(
      places,
      (at, i) => values[i]! - map[at]! - (noises ? noise * noises[at]! : 0),
    );
    const { outcome, correction } = conditioning.solve(error);
    count(outcome);
    for (let i = 0; i < map.length; i++) map[i] = map[i]! + correction[i]!;
    return map;
  };
  return {
    mean() {
      const prior = new Float64Array(grid.cells);
      grid.back(gaussian.mean, prior);
      return correct(prior);
    },
    draw(seed: bigint, sample: number) {
      const map = new Float64Array(grid.cells);
      grid.noise(seed, sample, STEP.draw, modes);
      drawAt(gaussian, 1, modes);
      grid.back(modes, map);
      const noises = new Float64Array(grid.cells);
      if (noise > 0) {
        grid.noise(seed, sample, STEP.observation, modes);
        grid.back(modes, noises);
      }
      return correct(map, noises);
    },
  };
}
