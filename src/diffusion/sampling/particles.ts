/**
 * Sequential Monte Carlo down the levels of a schedule, for densities that are Gaussians times e^-E: the twisted sampler
 * of L. Wu et al. ("Practical and asymptotically exact conditional sampling in diffusion models", NeurIPS 2023) with the
 * exact reverse kernel of the Gaussian, so that the number of steps costs efficiency, never correctness. A particle
 * belongs to one Gaussian all the way; how many of each arrive tells what it weighs. Noise is by counter (seed; particle,
 * step), so the same request gives the same bits anywhere.
 */
import { chosenShare, logSumExp, sharesOfLogs, uniformAt } from '../prior/mixture.ts';
import type { Modes, SpectralGrid } from '../prior/modes.ts';
import { drawAt, type ModeGaussian } from '../prior/prior.ts';
import type { Part, Target } from './residual.ts';

export interface ParticleRecipe {
  /** At least 1. */
  readonly particles: number;
  /** Levels each step starts from, noisiest first. */
  readonly levels: Float64Array;
  readonly seed: bigint;
}

export interface Swarm {
  readonly minEffective: number;
  readonly finalEffective: number;
  /** ln of the mean of e^-E under the plain Gaussian. */
  readonly logNormalizer: number;
  /** One of the particles, by weight; the choice depends on seed and sample alone. */
  pick(sample: number): Modes;
}

/** A particle with what is expected of where it ends. */
interface Particle {
  /** Which Gaussian it belongs to. */
  readonly part: number;
  readonly x: Modes;
  /** Modes of the slope of the expected energy in x0. */
  readonly slope: Modes;
  energy: number;
}

/** Stream of the noise that resampling and picking take their uniform numbers from, past every particle's own. */
const RESAMPLING = 0xffff0000;
const PICKING = 0xffff0001;
const DEALING = 0xffff0002;

/** Sends particles down. Steps times particles of O(modes) and a transform pair or two each. */
export function descend(grid: SpectralGrid, target: Target, recipe: ParticleRecipe): Swarm {
  const { levels, particles: count, seed } = recipe;
  const { parts } = target;
  const expectations = parts.map((part) => createExpectation(grid, part));
  const expect = (particle: Particle, level: number) => expectations[particle.part]!(particle, level);
  const z = grid.newModes();
  const weights = Float64Array.from(parts, ({ weight }) => weight);
  const dealt = uniformAt(grid, seed, DEALING, 0);
  let swarm: Particle[] = Array.from({ length: count }, (_, index) => {
    const part = chosenShare(weights, (index + dealt) / count);
    const particle = { part, x: grid.newModes(), slope: grid.newModes(), energy: 0 };
    grid.noise(seed, index, 0, particle.x);
    drawAt(parts[part]!.base, levels[0]!, particle.x);
    expect(particle, levels[0]!);
    return particle;
  });
  const logs = Float64Array.from(swarm, ({ energy }) => -energy);
  let logNormalizer = target.logFactor;
  let minEffective = count;
  for (const [step, level] of levels.entries()) {
    const next = levels[step + 1] ?? 1;
    minEffective = Math.min(minEffective, effective(logs));
    if (effective(logs) < count / 2) {
      logNormalizer += logMean(logs);
      const uniform = uniformAt(grid, seed, RESAMPLING, step);
      swarm = resampled(logs, uniform).map((from) => copied(swarm[from]!));
      logs.fill(0);
    }
    for (const [index, particle] of swarm.entries()) {
      grid.noise(seed, index, step + 1, z);
      const before = particle.energy;
      const ratio = move(grid, parts[particle.part]!.base, particle, level, next, z);
      expect(particle, next);
      logs[index] = logs[index]! + before - particle.energy + ratio;
    }
  }
  const finalEffective = effective(logs);
  return {
    minEffective: Math.min(minEffective, finalEffective),
    finalEffective,
    logNormalizer: logNormalizer + logMean(logs),
    pick: (sample) => swarm[chosenShare(sharesOfLogs(logs), uniformAt(grid, seed, PICKING, sample))]!.x,
  };
}

/** Sets what is expected of a particle at a level: of its x0, the mean is linear in x and the rest has a power. */
function createExpectation(grid: SpectralGrid, { base, energies }: Part) {
  const { mean, power } = base;
  const expected = grid.newModes();
  const remaining = new Float64Array(grid.size);
  return (particle: Particle, level: number) => {
    const signal = Math.sqrt(level);
    for (let k = 0; k < grid.size; k++) {
      const variance = level * power[k]! + 1 - level;
      const gain = variance > 0 ? (signal * power[k]!) / variance : 0;
      remaining[k] = variance > 0 ? (power[k]! * (1 - level)) / variance : 0;
      expected.re[k] = mean.re[k]! + gain * (particle.x.re[k]! - signal * mean.re[k]!);
      expected.im[k] = mean.im[k]! + gain * (particle.x.im[k]! - signal * mean.im[k]!);
    }
    particle.slope.re.fill(0);
    particle.slope.im.fill(0);
    particle.energy = energies.reduce((sum, energy) => sum + energy(expected, remaining, particle.slope), 0);
  };
}

/**
 * Moves a particle to the next level by the reverse kernel of the Gaussian, shifted down the slope of its energy; gives
 * ln of the kernel's density there over that of the shifted one.
 */
function move(
  grid: SpectralGrid,
  { mean, power }: ModeGaussian,
  { x, slope }: Particle,
  level: number,
  next: number,
  z: Modes,
): number {
  const [from, to] = [Math.sqrt(level), Math.sqrt(next)];
  const ratio = level / next;
  let log = 0;
  for (let k = 0; k < grid.size; k++) {
    const before = level * power[k]! + 1 - level;
    const after = next * power[k]! + 1 - next;
    const gain = (Math.sqrt(ratio) * after) / before;
    const variance = (after * (1 - ratio)) / before;
    const deviation = Math.sqrt(variance);
    const pull = (-variance * from * power[k]!) / before;
    const [shiftRe, shiftIm] = [pull * slope.re[k]!, pull * slope.im[k]!];
    const [noiseRe, noiseIm] = [deviation * z.re[k]!, deviation * z.im[k]!];
    x.re[k] = to * mean.re[k]! + gain * (x.re[k]! - from * mean.re[k]!) + shiftRe + noiseRe;
    x.im[k] = to * mean.im[k]! + gain * (x.im[k]! - from * mean.im[k]!) + shiftIm + noiseIm;
    if (variance === 0) continue;
    const cross = shiftRe * (shiftRe + 2 * noiseRe) + shiftIm * (shiftIm + 2 * noiseIm);
    log -= (grid.shares[k]! * cross) / (2 * grid.cells * variance);
  }
  return log;
}

function copied({ part, x, slope, energy }: Particle): Particle {
  const copy = ({ re, im }: Modes) => ({ re: re.slice(), im: im.slice() });
  return { part, x: copy(x), slope: copy(slope), energy };
}

/** 1 / sum of squared weights: how many particles of equal weight they are worth. */
function effective(logs: Float64Array): number {
  return 1 / sharesOfLogs(logs).reduce((sum, weight) => sum + weight * weight, 0);
}

function logMean(logs: Float64Array): number {
  return logSumExp(logs) - Math.log(logs.length);
}

/** Systematic resampling: which particle each takes the place of. */
function resampled(logs: Float64Array, uniform: number): number[] {
  const weights = sharesOfLogs(logs);
  let at = 0;
  let reached = weights[0]!;
  return Array.from(weights, (_, index) => {
    const wanted = (index + uniform) / weights.length;
    while (reached < wanted && at < weights.length - 1) reached += weights[++at]!;
    return at;
  });
}
