/**
 * Draws samples of a denoiser's density: from noise, step by step, to a grid. A chain is one sample under way; between
 * steps it is plain data, so that it may go on elsewhere. Noise is by counter (seed; sample, step), so a sample has the
 * same bits whatever else is drawn, wherever, and in how many goes.
 */
import { type Denoiser, type PredictionType, toSample } from '../prior/denoiser.ts';
import type { Modes, SpectralGrid } from '../prior/modes.ts';
import { drawAt, type ModeGaussian } from '../prior/prior.ts';
import { ancestralStep, heunCorrection, langevinStep, multistep, type StepFactors } from './steps.ts';

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
  readonly predictionType: PredictionType;
  /** Whether a chain starts from the noisy density itself instead of from white noise; needs the Gaussian. */
  readonly exactTerminal: boolean;
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
  begin(sample: number): Chain;
  /** Takes one step. One to eleven predictions of O(modes), and a transform for each noise. */
  advance(chain: Chain): void;
}

/** Noises a step may draw: one of its own and one for each correction. */
const NOISES_PER_STEP = 16;

/** RangeError for a recipe that needs the Gaussian of a denoiser without one. */
export function createSampler(grid: SpectralGrid, denoiser: Denoiser, recipe: Recipe): Sampler {
  const { levels, seed, predictionType } = recipe;
  const predicted = grid.newModes();
  const scratch = grid.newModes();
  const predict = (x: Modes, level: number) => {
    denoiser.predict(x, level, predictionType, predicted);
    toSample(x, level, predictionType, predicted);
  };
  /** Applies factors to a chain whose x0 is predicted; `turn` numbers the noises of a step. */
  const apply = (chain: Chain, factors: StepFactors, turn: number) => {
    if (factors.noise !== 0) grid.noise(seed, chain.sample, 1 + chain.step * NOISES_PER_STEP + turn, scratch);
    combine(chain.x, factors.keep, chain.x, factors.predicted, predicted, factors.noise, scratch);
  };
  const correct = (chain: Chain, level: number, times: number) => {
    for (let turn = 1; turn <= times; turn++) {
      predict(chain.x, level);
      apply(chain, langevinStep(level), turn);
    }
  };
  const ancestral = (chain: Chain, level: number, next: number, eta: number) => {
    predict(chain.x, level);
    apply(chain, ancestralStep(level, next, eta), 0);
  };
  const stepOf: Readonly<Record<SamplerKind, (chain: Chain, level: number, next: number) => void>> = {
    DDPM: (chain, level, next) => ancestral(chain, level, next, 1),
    DDIM: (chain, level, next) => ancestral(chain, level, next, recipe.eta),
    HEUN(chain, level, next) {
      // Where there is no noise left at one end, or no signal at the other, the slope is unknown there.
      if (next === 1 || level === 0) return ancestral(chain, level, next, 0);
      predict(chain.x, level);
      const { keep, predicted: share } = ancestralStep(level, next, 0);
      combine(scratch, keep, chain.x, share, predicted, 0, predicted);
      predict(scratch, next);
      const second = heunCorrection(level, next);
      combine(chain.x, second.start, chain.x, second.euler, scratch, second.predicted, predicted);
    },
    DPM_SOLVER_PP_2M(chain, level, next) {
      predict(chain.x, level);
      const earlier = chain.step === 0 ? undefined : levels[chain.step - 1]!;
      const factors = multistep(earlier, level, next);
      const before = chain.before ?? grid.newModes();
      combine(chain.x, factors.keep, chain.x, factors.predicted, predicted, factors.before, before);
      before.re.set(predicted.re);
      before.im.set(predicted.im);
      chain.before = before;
    },
    EXACT_FLOW: (chain, level, next) => flow(exactOf(denoiser), chain.x, level, next),
    LANGEVIN(chain, level, next) {
      correct(chain, level, Math.max(1, recipe.correctorSteps));
      ancestral(chain, level, next, next === 1 ? 0 : 1);
    },
    PREDICTOR_CORRECTOR(chain, level, next) {
      ancestral(chain, level, next, 1);
      if (next < 1) correct(chain, next, recipe.correctorSteps);
    },
  };
  return {
    steps: levels.length,
    begin(sample) {
      const x = grid.newModes();
      grid.noise(seed, sample, 0, x);
      if (recipe.exactTerminal) drawAt(exactOf(denoiser), levels[0]!, x);
      return { sample, step: 0, x, before: undefined };
    },
    advance(chain) {
      stepOf[recipe.sampler](chain, levels[chain.step]!, levels[chain.step + 1] ?? 1);
      chain.step++;
    },
  };
}

function exactOf({ gaussian }: Denoiser): ModeGaussian {
  if (gaussian === undefined) throw new RangeError('the sampler needs a Gaussian');
  return gaussian;
}

/** out = a x + b y + c z; out may be any of them. */
function combine(out: Modes, a: number, x: Modes, b: number, y: Modes, c: number, z: Modes): void {
  for (const part of ['re', 'im'] as const) {
    const [to, first, second, third] = [out[part], x[part], y[part], z[part]];
    if (c === 0) for (let k = 0; k < to.length; k++) to[k] = a * first[k]! + b * second[k]!;
    else for (let k = 0; k < to.length; k++) to[k] = a * first[k]! + b * second[k]! + c * third[k]!;
  }
}

/** Follows the probability flow of a Gaussian exactly: deviations from the mean scale as their standard deviation. */
function flow({ mean, power }: ModeGaussian, x: Modes, level: number, next: number): void {
  const [from, to] = [Math.sqrt(level), Math.sqrt(next)];
  for (let k = 0; k < power.length; k++) {
    const before = level * power[k]! + 1 - level;
    const scale = Math.sqrt((next * power[k]! + 1 - next) / before);
    x.re[k] = to * mean.re[k]! + (x.re[k]! - from * mean.re[k]!) * scale;
    x.im[k] = to * mean.im[k]! + (x.im[k]! - from * mean.im[k]!) * scale;
  }
}
