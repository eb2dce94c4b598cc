/** Thousands of maps of every sampler on every schedule whose figures are published: their variance, shell by shell. */
import { describe, expect, test } from '@jest/globals';
import { createGaussianDenoiser } from '../../../src/diffusion/prior/denoiser.ts';
import { createSpectralGrid, shellsOf } from '../../../src/diffusion/prior/modes.ts';
import { standardGaussian } from '../../../src/diffusion/prior/prior.ts';
import { createSampler, type SamplerKind } from '../../../src/diffusion/sampling/sampler.ts';
import type { Schedule } from '../../../src/diffusion/sampling/schedule.ts';
import { levelsOf, ownVariance, RECIPE, whiteGaussian } from '../support.ts';

const SCHEDULES: readonly Schedule[] = [
  { kind: 'LINEAR' },
  { kind: 'COSINE' },
  { kind: 'BOLTZMANN', temperature: 10 },
];
const STEPS = 6;

/** Of a mode of zero mean: what a sampler without noise of its own multiplies it by, in the form its authors gave. */
const amplitude: Readonly<
  Record<'DDIM' | 'HEUN' | 'DPM_SOLVER_PP_2M' | 'EXACT_FLOW', (levels: Float64Array, power: number) => number>
> = {
  DDIM(levels, power) {
    let x = 1;
    for (const [i, level] of levels.entries()) {
      const next = levels[i + 1] ?? 1;
      const noise = (Math.sqrt(1 - level) * x) / (level * power + 1 - level);
      const x0 = (x - Math.sqrt(1 - level) * noise) / Math.sqrt(level);
      x = Math.sqrt(next) * x0 + Math.sqrt(1 - next) * noise;
    }
    return x;
  },
  // S. Cox and P. Matthews, 2002, equation 22, in half the log-SNR.
  HEUN(levels, power) {
    const gain = (level: number) => (Math.sqrt(level) * power) / (level * power + 1 - level);
    let x = 1;
    for (const [i, level] of levels.entries()) {
      const next = levels[i + 1];
      const x0 = gain(level) * x;
      if (next === undefined) return x0;
      const h = 0.5 * (Math.log(next / (1 - next)) - Math.log(level / (1 - level)));
      const first = Math.exp(-h) * Math.sqrt(next / level) * x + Math.sqrt(next) * (1 - Math.exp(-h)) * x0;
      x = first + Math.sqrt(next) * ((Math.exp(-h) - 1 + h) / h) * (gain(next) * first - x0);
    }
    return x;
  },
  // C. Lu et al., "DPM-Solver++", 2022, algorithm 2, the last step of first order.
  DPM_SOLVER_PP_2M(levels, power) {
    const logs = [...levels].map((level) => 0.5 * Math.log(level / (1 - level)));
    let x = 1;
    let before = 0;
    for (const [i, level] of levels.entries()) {
      const x0 = (Math.sqrt(level) * power * x) / (level * power + 1 - level);
      const next = levels[i + 1];
      if (next === undefined) return x0;
      const h = logs[i + 1]! - logs[i]!;
      const r = i === 0 ? undefined : (logs[i]! - logs[i - 1]!) / h;
      const guess = r === undefined ? x0 : (1 + 1 / (2 * r)) * x0 - before / (2 * r);
      x = Math.sqrt((1 - next) / (1 - level)) * x - Math.sqrt(next) * Math.expm1(-h) * guess;
      before = x0;
    }
    return x;
  },
  EXACT_FLOW: (levels, power) => Math.sqrt(power / (levels[0]! * power + 1 - levels[0]!)),
};

/** The posterior between two levels (J. Ho et al., 2020, equation 7), of a mode whose x0 is predicted as S sqrt(a) x / V. */
function ancestral(variance: number, level: number, next: number, power: number): number {
  const alpha = level / next;
  const x0 = (Math.sqrt(level) * power) / (level * power + 1 - level);
  const mean = (Math.sqrt(alpha) * (1 - next) + Math.sqrt(next) * (1 - alpha) * x0) / (1 - level);
  return mean ** 2 * variance + ((1 - next) * (1 - alpha)) / (1 - level);
}

/** x + e score + sqrt(2 e) z (Y. Song et al., 2021, algorithm 5): the score is -x / V, and e = 2 (0.16 |z| / |score|)^2. */
function corrected(variance: number, level: number, power: number): number {
  const e = 2 * 0.16 ** 2 * (1 - level);
  return (1 - e / (level * power + 1 - level)) ** 2 * variance + 2 * e;
}

/** Variance over that of the prior which a sampler leaves, from unit noise. */
function varianceRatio(kind: SamplerKind, levels: Float64Array, power: number, corrections = 1): number {
  if (kind in amplitude) return amplitude[kind as keyof typeof amplitude](levels, power) ** 2 / power;
  let variance = 1;
  const correct = (level: number) => {
    for (let i = 0; i < corrections; i++) variance = corrected(variance, level, power);
  };
  for (const [i, level] of levels.entries()) {
    const next = levels[i + 1] ?? 1;
    if (kind === 'LANGEVIN') correct(level);
    variance = ancestral(variance, level, next, power);
    if (kind === 'PREDICTOR_CORRECTOR' && next < 1) correct(next);
  }
  return variance / power;
}

const KINDS: readonly SamplerKind[] = [
  'DDPM',
  'DDIM',
  'HEUN',
  'DPM_SOLVER_PP_2M',
  'EXACT_FLOW',
  'LANGEVIN',
  'PREDICTOR_CORRECTOR',
];

describe.each(SCHEDULES)('on the $kind schedule', (schedule) => {
  const grid = createSpectralGrid(8, 8);
  const gaussian = standardGaussian(grid);
  const shells = shellsOf(8, 8);
  const DRAWS = 4096;

  /** Sum over a shell's modes, each as often as it stands in the whole spectrum, of a value. */
  function inShells(value: (k: number) => number): Float64Array {
    const sums = new Float64Array(8);
    for (const [at, shell] of shells.entries()) {
      const k = Math.floor(at / grid.kept) * grid.stride + (at % grid.kept);
      sums[shell]! += grid.shares[k]! * value(k);
    }
    return sums;
  }

  test.each(KINDS)(
    'diffusion quality: 4,096 maps of %s have the closed-form variance in every shell',
    (sampler) => {
      const levels = levelsOf(schedule, STEPS);
      const machine = createSampler(grid, createGaussianDenoiser(gaussian), { ...RECIPE, sampler, levels });
      const found = new Float64Array(8);
      for (let sample = 0; sample < DRAWS; sample++) {
        const chain = machine.begin(sample);
        machine.advance(chain, machine.steps);
        const { re, im } = chain.x;
        const powers = inShells((k) => (re[k]! ** 2 + im[k]! ** 2) / (grid.cells * gaussian.power[k]!));
        for (const [shell, power] of powers.entries()) found[shell]! += power;
      }
      const ratios = gaussian.power.map((power) => varianceRatio(sampler, levels, power));
      const wanted = inShells((k) => ratios[k]!);
      const squares = inShells((k) => ratios[k]! ** 2);
      for (const [shell, sum] of wanted.entries()) {
        if (sum === 0) continue;
        const error = Math.sqrt((2 * squares[shell]!) / DRAWS);
        expect(Math.abs(found[shell]! / DRAWS - sum)).toBeLessThan(4 * error);
      }
    },
  );

  test.each(['DDPM', 'LANGEVIN', 'PREDICTOR_CORRECTOR'] as const)(
    'diffusion quality: the steps of %s leave the closed-form variance',
    (sampler) => {
      const one = createSpectralGrid(1, 1);
      for (const steps of [1, 2, 50, 1000])
        for (const correctorSteps of [1, 3])
          for (const power of [1e-3, 0.25, 1, 1e4]) {
            const levels = levelsOf(schedule, steps);
            const denoiser = createGaussianDenoiser(whiteGaussian(one, power));
            const found = ownVariance(denoiser, { ...RECIPE, sampler, levels, correctorSteps }) / power;
            expect(found / varianceRatio(sampler, levels, power, correctorSteps)).toBeCloseTo(1, 9);
          }
    },
  );
});
