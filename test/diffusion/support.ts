/** What the suites of diffusion share: closed forms of samplers on one mode, and draws of a Gaussian. */
import type { Denoiser } from '../../src/diffusion/prior/denoiser.ts';
import { createGaussianDenoiser } from '../../src/diffusion/prior/denoiser.ts';
import { createSpectralGrid, type SpectralGrid } from '../../src/diffusion/prior/modes.ts';
import type { ModeGaussian } from '../../src/diffusion/prior/prior.ts';
import { createSampler, type Recipe } from '../../src/diffusion/sampling/sampler.ts';
import {
  type Schedule,
  type Spacing,
  scheduleLevels,
  visitedLevels,
} from '../../src/diffusion/sampling/schedule.ts';

/** Levels of a schedule of 1,000 steps, of which `steps` are visited. */
export function levelsOf(schedule: Schedule, steps: number, spacing: Spacing = 'TRAILING'): Float64Array {
  return visitedLevels(scheduleLevels(schedule, 1000), spacing, steps);
}

export const RECIPE: Recipe = {
  sampler: 'EXACT_FLOW',
  levels: levelsOf({ kind: 'LINEAR' }, 10),
  eta: 0,
  correctorSteps: 1,
  predictionType: 'SAMPLE',
  exactTerminal: false,
  seed: 42n,
};

/** A Gaussian of zero mean and the same power in every mode. */
export function whiteGaussian(grid: SpectralGrid, power: number): ModeGaussian {
  const powers = new Float64Array(grid.size);
  for (let k = 0; k < grid.size; k++) powers[k] = grid.shares[k] === 0 ? 1 : power;
  return { mean: grid.newModes(), power: powers };
}

/** Draws one sample to its end. */
export function draw(grid: SpectralGrid, denoiser: Denoiser, recipe: Recipe, sample = 0): Float64Array {
  const sampler = createSampler(grid, denoiser, recipe);
  const chain = sampler.begin(sample);
  while (chain.step < sampler.steps) sampler.advance(chain);
  const cells = new Float64Array(grid.cells);
  grid.back(chain.x, cells);
  return cells;
}

/**
 * How far a sampler without noise of its own stretches its starting noise, in variance over that of the prior: every
 * such sampler is linear, so one cell tells.
 */
export function stretch(recipe: Recipe, power: number): number {
  const grid = createSpectralGrid(1, 1);
  const denoiser = createGaussianDenoiser(whiteGaussian(grid, power));
  const start = grid.newModes();
  grid.noise(recipe.seed, 0, 0, start);
  return (draw(grid, denoiser, recipe)[0]! / start.re[0]!) ** 2 / power;
}
