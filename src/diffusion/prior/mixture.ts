/**
 * Priors in the modes of a grid: weighted Gaussians. What is asked of a mixture is asked of each component, and the
 * answers are weighed by responsibility, the chance of each to be behind what was seen.
 */
import { normalCdf } from '../../numeric/quantile.ts';
import type { Modes, SpectralGrid } from './modes.ts';
import {
  drawAt,
  gaussianOf,
  type ModeGaussian,
  noisyLikelihood,
  noisyScale,
  type Prior,
  standardGaussian,
} from './prior.ts';

export interface ModeMixture {
  /** Of each component, over 0; they sum to 1. */
  readonly weights: Float64Array;
  /** At least one. */
  readonly components: readonly ModeGaussian[];
}

/** A prior in the modes of a grid of its shape; none means STANDARD. One transform a component. */
export function mixtureOf(grid: SpectralGrid, prior: Prior | undefined): ModeMixture {
  if (prior === undefined) return { weights: Float64Array.of(1), components: [standardGaussian(grid)] };
  return {
    weights: Float64Array.from(prior.components, ({ weight }) => weight),
    components: prior.components.map((component) => gaussianOf(grid, component)),
  };
}

/** The one component of a mixture that has but one. */
export function onlyComponent({ components }: ModeMixture): ModeGaussian | undefined {
  return components.length === 1 ? components[0] : undefined;
}

/**
 * Of each component ln of its weight times its density at `x`, which is `signal` times a map of it and white noise of
 * variance `noise`; nats. O(components modes).
 */
export function logJoint(
  grid: SpectralGrid,
  { weights, components }: ModeMixture,
  signal: number,
  noise: number,
  x: Modes,
): Float64Array {
  return Float64Array.from(
    components,
    (component, j) => Math.log(weights[j]!) + noisyLikelihood(grid, component, signal, noise, x),
  );
}

/** The part of `logJoint` that is the same for every `x`. */
export function logScales(
  grid: SpectralGrid,
  { weights, components }: ModeMixture,
  signal: number,
  noise: number,
): Float64Array {
  return Float64Array.from(
    components,
    (component, j) => Math.log(weights[j]!) + noisyScale(grid, component, signal, noise),
  );
}

/** ln of the sum of e^log; -Infinity where all are. */
export function logSumExp(logs: ArrayLike<number>): number {
  let most = Number.NEGATIVE_INFINITY;
  for (let j = 0; j < logs.length; j++) most = Math.max(most, logs[j]!);
  if (!Number.isFinite(most)) return most;
  let sum = 0;
  for (let j = 0; j < logs.length; j++) sum += Math.exp(logs[j]! - most);
  return most + Math.log(sum);
}

/** e^logs over their sum. */
export function sharesOfLogs(logs: Float64Array): Float64Array {
  const whole = logSumExp(logs);
  return logs.map((log) => Math.exp(log - whole));
}

/** Which of several shares that sum to 1 a uniform number, 0..1, falls to. */
export function chosenShare(shares: Float64Array, uniform: number): number {
  let reached = 0;
  const at = shares.findIndex((share) => {
    reached += share;
    return reached >= uniform;
  });
  return at < 0 ? shares.length - 1 : at;
}

/** A uniform number by counter, as noise is. */
export function uniformAt(grid: SpectralGrid, seed: bigint, sample: number, step: number): number {
  return normalCdf(grid.normal(seed, sample, step));
}

/** Step of the noise that components are chosen by, past every step of a sampler. */
const CHOICE = 0xffffffff;

/** Turns white noise into a draw of the mixture as it is at a level of signal, 0..1, in place; by seed and sample alone. */
export function drawMixtureAt(
  grid: SpectralGrid,
  { weights, components }: ModeMixture,
  level: number,
  seed: bigint,
  sample: number,
  noise: Modes,
): void {
  const j = components.length === 1 ? 0 : chosenShare(weights, uniformAt(grid, seed, sample, CHOICE));
  drawAt(components[j]!, level, noise);
}
