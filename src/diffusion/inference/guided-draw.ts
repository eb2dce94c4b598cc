/**
 * Guided draws of a map some cells of which were observed: a sampler comes down the levels of a schedule, and what it is
 * told of the map behind the noise is the mean given the noisy map and the observations together. Both are Gaussian in
 * the map, so this twist is exact at every level; the number of steps is what is left to err.
 */
import type { CgOutcome } from '../../numeric/conjugate-gradients.ts';
import { createGaussianDenoiser, type Denoiser, type PredictionType } from '../prior/denoiser.ts';
import type { Modes, SpectralGrid } from '../prior/modes.ts';
import { drawAt, type ModeGaussian, siteVariance } from '../prior/prior.ts';
import { createSampler } from '../sampling/sampler.ts';
import { scheduleLevels, visitedLevels } from '../sampling/schedule.ts';
import { createConditioning } from './conditioning.ts';
import type { Observations } from './impute.ts';

const TRAIN_STEPS = 1000;

/**
 * Draws by seed and sample, in `steps` steps of DPM-Solver++ down the levels of KARRAS. `count` is told how each system
 * was solved. One solution of the size of the observations a step.
 */
export function createGuidedDraws(
  grid: SpectralGrid,
  gaussian: ModeGaussian,
  { places, values, noise }: Observations,
  steps: number,
  count: (outcome: CgOutcome) => void,
): (seed: bigint, sample: number) => Float64Array {
  // Levels are made for maps of unit variance.
  const scale = Math.sqrt(siteVariance(grid, gaussian.power));
  const unit: ModeGaussian = {
    mean: { re: gaussian.mean.re.map((x) => x / scale), im: gaussian.mean.im.map((x) => x / scale) },
    power: gaussian.power.map((power) => power / scale ** 2),
  };
  const seen = { places, values: values.map((value) => value / scale), noise: noise / scale };
  const levels = visitedLevels(scheduleLevels({ kind: 'KARRAS' }, TRAIN_STEPS), 'LINSPACE', steps);
  const denoiser = createGuidedDenoiser(grid, unit, seen, count);
  const draw = {
    sampler: 'DPM_SOLVER_PP_2M',
    levels,
    eta: 0,
    correctorSteps: 0,
    predictionType: 'SAMPLE',
  } as const;
  return (seed, sample) => {
    const sampler = createSampler(grid, denoiser, { ...draw, seed });
    const chain = sampler.begin(sample, (start) => drawAt(unit, levels[0]!, start));
    sampler.advance(chain, steps);
    const map = new Float64Array(grid.cells);
    grid.back(chain.x, map);
    return map.map((cell) => cell * scale);
  };
}

/** Tells x0 given a noisy map and the observations; of SAMPLE alone. */
function createGuidedDenoiser(
  grid: SpectralGrid,
  gaussian: ModeGaussian,
  { places, values, noise }: Observations,
  count: (outcome: CgOutcome) => void,
): Denoiser {
  const prior = createGaussianDenoiser(gaussian);
  const map = new Float64Array(grid.cells);
  return {
    predict(x: Modes, level: number, type: PredictionType, out: Modes) {
      prior.predict(x, level, type, out);
      grid.back(out, map);
      const error = Float64Array.from(places, (at, i) => values[i]! - map[at]!);
      const left = gaussian.power.map((power) => (power * (1 - level)) / (level * power + 1 - level));
      const { outcome, correction } = createConditioning(grid, left, places, noise * noise).solve(error);
      count(outcome);
      for (let i = 0; i < map.length; i++) map[i] = map[i]! + correction[i]!;
      grid.forward(map, out);
    },
  };
}
