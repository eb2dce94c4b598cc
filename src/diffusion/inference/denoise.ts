/**
 * Taking white noise out of a map: under a Gaussian prior each mode is drawn towards its mean by S / (S + sigma^2), which
 * is optimal (the Wiener filter); under a mixture so it is under each component, and the means are weighed by
 * responsibility. A deviation that is not given is the likeliest one.
 */
import { goldenSection } from '../../numeric/golden-section.ts';
import {
  chosenShare,
  logJoint,
  logSumExp,
  type ModeMixture,
  sharesOfLogs,
  uniformAt,
} from '../prior/mixture.ts';
import type { Modes, SpectralGrid } from '../prior/modes.ts';
import { type ModeGaussian, siteVariance } from '../prior/prior.ts';

export interface Denoised {
  readonly mean: Float64Array;
  /** Root mean square over cells of their deviation from the mean. */
  readonly posteriorSd: number;
  readonly samples: readonly Float64Array[];
  readonly sigma: number;
  /** Chance of each component to be behind the map. */
  readonly responsibilities: Float64Array;
}

export interface DenoiseOptions {
  /** Deviation of the noise, over 0; undefined for the likeliest. */
  readonly sigma: number | undefined;
  readonly samples: number;
  readonly seed: bigint;
}

/** Natural logarithm of the span searched for the deviation, either side of that of a cell. */
const SEARCH = Math.log(1e6);
const SEARCH_STEPS = 48;
/** Steps of the noise: of a draw, and of the choice of its component. */
const STEP = { draw: 0, component: 1 };
const REFINEMENTS = 40;

/** Denoises cells. Two transforms a component, one a sample; about a hundred passes where sigma is not given. */
export function denoise(
  grid: SpectralGrid,
  mixture: ModeMixture,
  cells: ArrayLike<number>,
  { sigma: given, samples, seed }: DenoiseOptions,
): Denoised {
  const x = grid.newModes();
  grid.forward(cells, x);
  const sigma = given ?? likeliestSigma(grid, mixture, x);
  const shares = sharesOfLogs(logJoint(grid, mixture, 1, sigma * sigma, x));
  const filtered = mixture.components.map((gaussian) => wiener(grid, gaussian, x, sigma * sigma));
  const mean = new Float64Array(grid.cells);
  for (const [j, { cells: of }] of filtered.entries())
    for (let i = 0; i < mean.length; i++) mean[i] = mean[i]! + shares[j]! * of[i]!;
  let variance = 0;
  for (const [j, { cells: of, remaining }] of filtered.entries()) {
    const squares = of.reduce((sum, cell, i) => sum + (cell - mean[i]!) ** 2, 0);
    variance += shares[j]! * (siteVariance(grid, remaining) + squares / grid.cells);
  }
  const z = grid.newModes();
  const draw = (sample: number) => {
    const uniform = uniformAt(grid, seed, sample, STEP.component);
    const { modes, remaining } = filtered[chosenShare(shares, uniform)]!;
    grid.noise(seed, sample, STEP.draw, z);
    for (let k = 0; k < grid.size; k++) {
      const deviation = Math.sqrt(remaining[k]!);
      z.re[k] = modes.re[k]! + deviation * z.re[k]!;
      z.im[k] = modes.im[k]! + deviation * z.im[k]!;
    }
    const out = new Float64Array(grid.cells);
    grid.back(z, out);
    return out;
  };
  return {
    mean,
    posteriorSd: Math.sqrt(variance),
    samples: Array.from({ length: samples }, (_, sample) => draw(sample)),
    sigma,
    responsibilities: shares,
  };
}

/** What a Gaussian says was behind the noise: its mean, in modes and cells, and what power remains unknown. */
function wiener(grid: SpectralGrid, { mean, power }: ModeGaussian, x: Modes, noise: number) {
  const modes = grid.newModes();
  for (let k = 0; k < grid.size; k++) {
    const share = power[k]! / (power[k]! + noise);
    modes.re[k] = mean.re[k]! + share * (x.re[k]! - mean.re[k]!);
    modes.im[k] = mean.im[k]! + share * (x.im[k]! - mean.im[k]!);
  }
  const cells = new Float64Array(grid.cells);
  grid.back(modes, cells);
  return { modes, cells, remaining: power.map((variance) => (variance * noise) / (variance + noise)) };
}

/** Maximizes the likelihood of a map that is a draw of the prior and white noise. */
function likeliestSigma(grid: SpectralGrid, { weights, components }: ModeMixture, x: Modes): number {
  const parts = components.map(({ mean, power }, j) => ({
    log: Math.log(weights[j]!),
    power,
    squares: power.map(
      (_, k) => ((x.re[k]! - mean.re[k]!) ** 2 + (x.im[k]! - mean.im[k]!) ** 2) / grid.cells,
    ),
  }));
  const loss = (logSigma: number): number => {
    const noise = Math.exp(2 * logSigma);
    const logs = parts.map(({ log, power, squares }) => {
      let sum = 0;
      for (let k = 0; k < grid.size; k++) {
        const variance = power[k]! + noise;
        sum += grid.shares[k]! * (Math.log(variance) + squares[k]! / variance);
      }
      return log - sum / 2;
    });
    return -logSumExp(Float64Array.from(logs));
  };
  const variances = parts.map(({ power }, j) => weights[j]! * siteVariance(grid, power));
  const center = 0.5 * Math.log(variances.reduce((a, b) => a + b, 0));
  const at = (step: number) => center + SEARCH * ((2 * step) / SEARCH_STEPS - 1);
  let best = 0;
  let least = loss(at(0));
  for (let step = 1; step <= SEARCH_STEPS; step++) {
    const value = loss(at(step));
    if (value < least) [best, least] = [step, value];
  }
  return Math.exp(goldenSection(loss, at(best - 1), at(best + 1), REFINEMENTS));
}
