/**
 * Draws samples of a denoiser's density: from noise, step by step, to a grid. A chain is one sample under way; between
 * steps it is plain data, so that it may go on elsewhere. Noise is by counter (seed; sample, step), so a sample has the
 * same bits whatever else is drawn, wherever, and in how many goes.
 */
import { flowModes, type ModeStep, stepModes } from '../../numeric/kernels/gaussian.ts';
import { type Denoiser, type PredictionType, toSample } from '../prior/denoiser.ts';
import type { Modes, SpectralGrid, Workspace } from '../prior/modes.ts';
import type { ModeGaussian } from '../prior/prior.ts';
import { ancestralStep, heunStep, langevinStep, multistep, type StepFactors } from './steps.ts';

export type SamplerKind =
  | 'DDPM'
  | 'DDIM'
  | 'HEUN'
  | 'DPM_SOLVER_PP_2M'
  | 'EXACT_FLOW'
  | 'LANGEVIN'
  | 'PREDICTOR_CORRECTOR';

export interface Recipe {
  readonly sampler: SamplerKind;
  /** Levels each step starts from, noisiest first; the last step ends at level 1. */
  readonly levels: Float64Array;
  /** Share of noise in a DDIM step, 0..1. */
  readonly eta: number;
  /** Langevin steps at each level of LANGEVIN (where 0 counts as 1) and PREDICTOR_CORRECTOR, 0..10. */
  readonly correctorSteps: number;
  /** What is asked of a denoiser that is not exact; of one that is all predictions are one. */
  readonly predictionType: PredictionType;
  /** 64 bits. */
  readonly seed: bigint;
}

/** One sample under way. */
export interface Chain {
  readonly sample: number;
  /** Steps taken. */
  step: number;
  readonly x: Modes;
  /** What the step before predicted, for the sampler that looks back. */
  before: Modes | undefined;
}

export interface Sampler {
  readonly steps: number;
  /** Begins a sample, from white noise or, where it is given, from what `start` makes of it in place. */
  begin(sample: number, start?: (noise: Modes, sample: number) => void): Chain;
  /** Takes at most `steps` steps. One to twelve predictions of O(modes) each, and a transform for each noise. */
  advance(chain: Chain, steps: number): void;
}

/** Noises a step may draw: one of its own and one for each correction. */
const NOISES_PER_STEP = 16;

/** RangeError for EXACT_FLOW of a denoiser without a Gaussian. */
export function createSampler(grid: SpectralGrid, denoiser: Denoiser, recipe: Recipe): Sampler {
  const { levels, seed } = recipe;
  const { gaussian } = denoiser;
  if (recipe.sampler === 'EXACT_FLOW' && gaussian === undefined)
    throw new RangeError('the sampler needs a Gaussian');
  const space = grid.workspace();
  const { x, before, noise, scratch } = space;
  const take = gaussian
    ? (step: ModeStep, out: Modes) => stepModes(space.arena, space, step, out)
    : predictedStep(grid, denoiser, recipe.predictionType);
  /** Applies the factors of one step at `level`; `turn` numbers the noises of a step. */
  const apply = (chain: Chain, level: number, factors: StepFactors, turn: number) => {
    const w = factors.noise === 0 ? undefined : noise;
    if (w) grid.noise(seed, chain.sample, 1 + chain.step * NOISES_PER_STEP + turn, w);
    take({ level, at: x, a: factors.keep, x, b: factors.predicted, c: factors.noise, w }, x);
  };
  const correct = (chain: Chain, level: number, times: number) => {
    for (let turn = 1; turn <= times; turn++) apply(chain, level, langevinStep(level), turn);
  };
  const ancestral = (chain: Chain, level: number, next: number, eta: number) =>
    apply(chain, level, ancestralStep(level, next, eta), 0);
  const stepOf: Readonly<Record<SamplerKind, (chain: Chain, level: number, next: number) => void>> = {
    DDPM: (chain, level, next) => ancestral(chain, level, next, 1),
    DDIM: (chain, level, next) => ancestral(chain, level, next, recipe.eta),
    HEUN(chain, level, next) {
      // Where no noise is left nothing can be predicted any more.
      if (next === 1) return ancestral(chain, level, next, 0);
      const { keep, predicted } = ancestralStep(level, next, 0);
      take({ level, at: x, a: keep, x, b: predicted, c: 0, kept: before }, scratch);
      const { first, second } = heunStep(level, next);
      take({ level: next, at: scratch, a: keep, x, b: second, c: first, w: before }, x);
    },
    DPM_SOLVER_PP_2M(chain, level, next) {
      const earlier = chain.step === 0 ? undefined : levels[chain.step - 1]!;
      const factors = multistep(earlier, level, next);
      const w = factors.before === 0 ? undefined : before;
      take({ level, at: x, a: factors.keep, x, b: factors.predicted, c: factors.before, w, kept: before }, x);
    },
    EXACT_FLOW: (_chain, level, next) => flowModes(space.arena, space, x, level, next),
    LANGEVIN(chain, level, next) {
      correct(chain, level, Math.max(1, recipe.correctorSteps));
      ancestral(chain, level, next, next === 1 ? 0 : 1);
    },
    PREDICTOR_CORRECTOR(chain, level, next) {
      ancestral(chain, level, next, 1);
      if (next < 1) correct(chain, next, recipe.correctorSteps);
    },
  };
  const step = stepOf[recipe.sampler];
  const isLookingBack = recipe.sampler === 'DPM_SOLVER_PP_2M';
  return {
    steps: levels.length,
    begin(sample, start) {
      const modes = grid.newModes();
      grid.noise(seed, sample, 0, modes);
      start?.(modes, sample);
      return { sample, step: 0, x: modes, before: undefined };
    },
    advance(chain, steps) {
      if (gaussian) load(space, gaussian);
      copyModes(chain.x, x);
      if (chain.before) copyModes(chain.before, before);
      const until = Math.min(levels.length, chain.step + steps);
      for (; chain.step < until; chain.step++) step(chain, levels[chain.step]!, levels[chain.step + 1] ?? 1);
      copyModes(x, chain.x);
      if (!isLookingBack) return;
      chain.before ??= grid.newModes();
      copyModes(before, chain.before);
    },
  };
}

/** Steps by what a denoiser predicts; where it is exact by x0 itself, which loses nothing where little signal is left. */
function predictedStep(grid: SpectralGrid, denoiser: Denoiser, wanted: PredictionType) {
  const type = denoiser.exact ? 'SAMPLE' : wanted;
  const predicted = grid.newModes();
  return ({ level, at, a, x, b, c, w, kept }: ModeStep, out: Modes) => {
    denoiser.predict(at, level, type, predicted);
    toSample(at, level, type, predicted);
    combine(out, a, x, b, predicted, c, w ?? x);
    if (kept) copyModes(predicted, kept);
  };
}

function load(space: Workspace, { mean, power }: ModeGaussian): void {
  copyModes(mean, space.mean);
  space.power.set(power);
}

function copyModes(from: Modes, to: Modes): void {
  to.re.set(from.re);
  to.im.set(from.im);
}

/** out = a x + b y + c z; out may be any of them. */
function combine(out: Modes, a: number, x: Modes, b: number, y: Modes, c: number, z: Modes): void {
  for (const part of ['re', 'im'] as const) {
    const [to, first, second, third] = [out[part], x[part], y[part], z[part]];
    if (c === 0) for (let k = 0; k < to.length; k++) to[k] = a * first[k]! + b * second[k]!;
    else for (let k = 0; k < to.length; k++) to[k] = a * first[k]! + b * second[k]! + c * third[k]!;
  }
}
