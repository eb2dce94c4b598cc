/**
 * Taking white noise out of a map: under a Gaussian prior each mode is drawn towards its mean by S / (S + sigma^2), which
 * is optimal (the Wiener filter). A deviation that is not given is the likeliest one.
 */
import type { Modes, SpectralGrid } from '../prior/modes.ts';
import { type ModeGaussian, siteVariance } from '../prior/prior.ts';

export interface Denoised {
  readonly mean: Float64Array;
  /** Deviation of a cell from the mean. */
  readonly posteriorSd: number;
  readonly samples: readonly Float64Array[];
  readonly sigma: number;
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
const REFINEMENTS = 40;
const GOLDEN = (Math.sqrt(5) - 1) / 2;

/** Denoises cells. Two transforms, two more a sample; about a hundred passes where sigma is not given. */
export function denoise(
  grid: SpectralGrid,
  gaussian: ModeGaussian,
  cells: ArrayLike<number>,
  { sigma: given, samples, seed }: DenoiseOptions,
): Denoised {
  const { mean, power } = gaussian;
  const x = grid.newModes();
  grid.forward(cells, x);
  const sigma = given ?? likeliestSigma(grid, gaussian, x);
  const noise = sigma * sigma;
  const remaining = power.map((variance) => (variance * noise) / (variance + noise));
  for (let k = 0; k < grid.size; k++) {
    const share = power[k]! / (power[k]! + noise);
    x.re[k] = mean.re[k]! + share * (x.re[k]! - mean.re[k]!);
    x.im[k] = mean.im[k]! + share * (x.im[k]! - mean.im[k]!);
  }
  const cellsOf = (modes: Modes) => {
    const out = new Float64Array(grid.cells);
    grid.back(modes, out);
    return out;
  };
  const z = grid.newModes();
  const draw = (sample: number) => {
    grid.noise(seed, sample, 0, z);
    for (let k = 0; k < grid.size; k++) {
      const deviation = Math.sqrt(remaining[k]!);
      z.re[k] = x.re[k]! + deviation * z.re[k]!;
      z.im[k] = x.im[k]! + deviation * z.im[k]!;
    }
    return cellsOf(z);
  };
  return {
    mean: cellsOf(x),
    posteriorSd: Math.sqrt(siteVariance(grid, remaining)),
    samples: Array.from({ length: samples }, (_, sample) => draw(sample)),
    sigma,
  };
}

/** Maximizes the likelihood of a map that is a draw of the prior and white noise. */
function likeliestSigma(grid: SpectralGrid, { mean, power }: ModeGaussian, x: Modes): number {
  const squares = power.map(
    (_, k) => ((x.re[k]! - mean.re[k]!) ** 2 + (x.im[k]! - mean.im[k]!) ** 2) / grid.cells,
  );
  const loss = (logSigma: number): number => {
    const noise = Math.exp(2 * logSigma);
    let sum = 0;
    for (let k = 0; k < grid.size; k++) {
      const variance = power[k]! + noise;
      sum += grid.shares[k]! * (Math.log(variance) + squares[k]! / variance);
    }
    return sum;
  };
  const center = 0.5 * Math.log(siteVariance(grid, power));
  const at = (step: number) => center + SEARCH * ((2 * step) / SEARCH_STEPS - 1);
  let best = 0;
  let least = loss(at(0));
  for (let step = 1; step <= SEARCH_STEPS; step++) {
    const value = loss(at(step));
    if (value < least) [best, least] = [step, value];
  }
  return Math.exp(leastBetween(loss, at(best - 1), at(best + 1)));
}

/** Golden-section search. */
function leastBetween(loss: (x: number) => number, from: number, to: number): number {
  let [low, high] = [from, to];
  let inner = [high - GOLDEN * (high - low), low + GOLDEN * (high - low)] as [number, number];
  let values = [loss(inner[0]), loss(inner[1])] as [number, number];
  for (let i = 0; i < REFINEMENTS; i++) {
    if (values[0] < values[1]) {
      high = inner[1];
      const next = high - GOLDEN * (high - low);
      inner = [next, inner[0]];
      values = [loss(next), values[0]];
    } else {
      low = inner[0];
      const next = low + GOLDEN * (high - low);
      inner = [inner[1], next];
      values = [values[1], loss(next)];
    }
  }
  return (low + high) / 2;
}
