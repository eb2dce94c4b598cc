/** What the suites of diffusion share: closed forms of samplers on one mode, and draws of a Gaussian. */
import type { Denoiser } from '../../src/diffusion/prior/denoiser.ts';
import { createGaussianDenoiser } from '../../src/diffusion/prior/denoiser.ts';
import type { ModeMixture } from '../../src/diffusion/prior/mixture.ts';
import { createSpectralGrid, type Modes, type SpectralGrid } from '../../src/diffusion/prior/modes.ts';
import { drawAt, type ModeGaussian } from '../../src/diffusion/prior/prior.ts';
import { createSampler, type Recipe, type Sampler } from '../../src/diffusion/sampling/sampler.ts';
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
  seed: 42n,
};

/** A Gaussian of zero mean and the same power in every mode. */
export function whiteGaussian(grid: SpectralGrid, power: number): ModeGaussian {
  const powers = new Float64Array(grid.size);
  for (let k = 0; k < grid.size; k++) powers[k] = grid.shares[k] === 0 ? 1 : power;
  return { mean: grid.newModes(), power: powers };
}

/** A Gaussian as a mixture of one. */
export function single(gaussian: ModeGaussian): ModeMixture {
  return { weights: Float64Array.of(1), components: [gaussian] };
}

/** Draws one sample to its end. */
export function draw(
  grid: SpectralGrid,
  denoiser: Denoiser,
  recipe: Recipe,
  sample = 0,
  start?: Parameters<Sampler['begin']>[1],
): Float64Array {
  const sampler = createSampler(grid, denoiser, recipe);
  const chain = sampler.begin(sample, start);
  sampler.advance(chain, sampler.steps);
  const cells = new Float64Array(grid.cells);
  grid.back(chain.x, cells);
  return cells;
}

/**
 * How far a sampler without noise of its own stretches its starting noise, in variance over that of the prior: every
 * such sampler is linear, so one cell tells.
 */
export function stretch(recipe: Recipe, power: number, isExactTerminal = false): number {
  const grid = createSpectralGrid(1, 1);
  const gaussian = whiteGaussian(grid, power);
  const noise = grid.newModes();
  grid.noise(recipe.seed, 0, 0, noise);
  const start = isExactTerminal ? (x: Modes) => drawAt(gaussian, recipe.levels[0]!, x) : undefined;
  const end = draw(grid, createGaussianDenoiser(gaussian), recipe, 0, start);
  return (end[0]! / noise.re[0]!) ** 2 / power;
}

/**
 * Variance of one cell that a sampler without memory leaves, from unit noise: the recursion its own steps perform, each
 * of them linear. What a step makes of 1 without noise, and of nothing with one of its noises at a time, tells all.
 */
export function ownVariance(denoiser: Denoiser, recipe: Recipe): number {
  let asked = 0;
  let loud = -1;
  const grid: SpectralGrid = {
    ...createSpectralGrid(1, 1),
    noise: (_seed, _sample, _step, out) => {
      out.re.fill(0);
      out.im.fill(0);
      if (asked++ === loud) out.re[0] = 1;
    },
  };
  const sampler = createSampler(grid, denoiser, recipe);
  const stepOf = (step: number, from: number, noise: number) => {
    [asked, loud] = [0, noise];
    const x = grid.newModes();
    x.re[0] = from;
    sampler.advance({ sample: 0, step, x, before: undefined }, 1);
    return x.re[0]!;
  };
  let variance = 1;
  for (let step = 0; step < sampler.steps; step++) {
    variance = stepOf(step, 1, -1) ** 2 * variance;
    const noises = asked;
    for (let noise = 0; noise < noises; noise++) variance += stepOf(step, 0, noise) ** 2;
  }
  return variance;
}

/** Mean square of the cells of some draws, which are many independent ones where the prior is white. */
export function drawnVariance(grid: SpectralGrid, denoiser: Denoiser, recipe: Recipe, draws: number): number {
  let squares = 0;
  for (let sample = 0; sample < draws; sample++)
    for (const cell of draw(grid, denoiser, recipe, sample)) squares += cell * cell;
  return squares / (draws * grid.cells);
}
