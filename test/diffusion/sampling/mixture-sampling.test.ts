/** Samplers and guidance of mixtures, against integrals done numerically. */
import { describe, expect, test } from '@jest/globals';
import { createDenoiser } from '../../../src/diffusion/prior/denoiser.ts';
import { type ModeMixture, mixtureOf } from '../../../src/diffusion/prior/mixture.ts';
import { createSpectralGrid } from '../../../src/diffusion/prior/modes.ts';
import { type Guide, guidedMixture } from '../../../src/diffusion/sampling/guidance.ts';
import { descend } from '../../../src/diffusion/sampling/particles.ts';
import { targetOf } from '../../../src/diffusion/sampling/residual.ts';
import { createSampler } from '../../../src/diffusion/sampling/sampler.ts';
import { draw, levelsOf, RECIPE } from '../support.ts';

const one = createSpectralGrid(1, 1);
const PARTS = [
  { weight: 0.7, mean: -1.5, power: 0.4 },
  { weight: 0.3, mean: 2, power: 0.15 },
] as const;

const mixture: ModeMixture = mixtureOf(one, {
  rows: 1,
  cols: 1,
  components: PARTS.map(({ weight, mean, power }) => ({
    weight,
    mean: Float64Array.of(mean),
    power: Float64Array.of(power),
  })),
});

/** Moments of p^(1/T) e^(-E/T), with the integral itself. */
function integrate(temperature: number, energy: (x: number) => number) {
  let [whole, first, second] = [0, 0, 0];
  for (let x = -15; x <= 15; x += 0.01) {
    const density = PARTS.reduce(
      (sum, { weight, mean, power }) =>
        sum + (weight * Math.exp(-((x - mean) ** 2) / (2 * power))) / Math.sqrt(2 * Math.PI * power),
      0,
    );
    const value = density ** (1 / temperature) * Math.exp(-energy(x) / temperature) * 0.01;
    whole += value;
    first += value * x;
    second += value * x * x;
  }
  return { whole, mean: first / whole, square: second / whole };
}

const DRAWS = 1024;
function moments(drawn: (sample: number) => number) {
  let [mean, square] = [0, 0];
  for (let sample = 0; sample < DRAWS; sample++) {
    const x = drawn(sample);
    mean += x / DRAWS;
    square += (x * x) / DRAWS;
  }
  return { mean, square };
}

describe('a sampler of a mixture', () => {
  const denoiser = createDenoiser(one, mixture);
  test.each([
    ['DPM_SOLVER_PP_2M', 60],
    ['HEUN', 40],
    ['DDIM', 100],
    ['DDPM', 100],
    ['LANGEVIN', 60],
    ['PREDICTOR_CORRECTOR', 60],
  ] as const)('diffusion quality: %s draws its mean and its square in %d steps', (sampler, steps) => {
    const wanted = integrate(1, () => 0);
    const recipe = { ...RECIPE, sampler, levels: levelsOf({ kind: 'LINEAR' }, steps) };
    const found = moments((sample) => draw(one, denoiser, recipe, sample)[0]!);
    const error = Math.sqrt((wanted.square - wanted.mean ** 2) / DRAWS);
    expect(Math.abs(found.mean - wanted.mean)).toBeLessThan(4 * error);
    expect(Math.abs(found.square / wanted.square - 1)).toBeLessThan(0.1);
  });

  test('the exact flow is not for it', () => {
    expect(() => createSampler(one, denoiser, RECIPE)).toThrow(RangeError);
  });
});

describe('guidance of a mixture', () => {
  test('by what is quadratic is exact at temperature 1: weights shift to where the energy is low', () => {
    const target = Float64Array.of(1);
    const guides: Guide[] = [{ functional: { kind: 'QUADRATIC', stiffness: 0.8, target }, weight: 2 }];
    const found = guidedMixture(one, mixture, guides, 1);
    if (typeof found === 'string') throw new Error(found);
    const wanted = integrate(1, (x) => 0.8 * (x - 1) ** 2);
    const mean = found.components.reduce((sum, { mean: m }, j) => sum + found.weights[j]! * m.re[0]!, 0);
    const square = found.components.reduce(
      (sum, { mean: m, power }, j) => sum + found.weights[j]! * (m.re[0]! ** 2 + power[0]!),
      0,
    );
    expect(mean).toBeCloseTo(wanted.mean, 8);
    expect(square).toBeCloseTo(wanted.square, 8);
  });

  test('by a total that is held exactly weighs components by their density there', () => {
    const guides: Guide[] = [
      { functional: { kind: 'TOTAL_ENERGY', stiffness: undefined, total: 0.5, cellArea: 1 }, weight: 1 },
    ];
    const found = guidedMixture(one, mixture, guides, 1);
    if (typeof found === 'string') throw new Error(found);
    const densities = PARTS.map(
      ({ weight, mean, power }) => (weight * Math.exp(-((0.5 - mean) ** 2) / (2 * power))) / Math.sqrt(power),
    );
    expect(found.weights[0]).toBeCloseTo(densities[0]! / (densities[0]! + densities[1]!), 10);
    expect(found.components.map(({ mean }) => mean.re[0])).toEqual([0.5, 0.5]);
  });

  /** Moments of picks from many swarms, and the mean of their normalizers. */
  function swarms(temperature: number, quartic: { mass: number; quartic: number } | undefined) {
    const target = targetOf(one, mixture, [], temperature, quartic, []);
    if (typeof target === 'string') throw new Error(target);
    let normalizer = 0;
    let effective = Number.POSITIVE_INFINITY;
    const SEEDS = 32;
    const picks: number[] = [];
    for (let seed = 0; seed < SEEDS; seed++) {
      const recipe = { particles: 128, levels: levelsOf({ kind: 'LINEAR' }, 12), seed: BigInt(seed) };
      const swarm = descend(one, target, recipe);
      normalizer += Math.exp(swarm.logNormalizer) / SEEDS;
      effective = Math.min(effective, swarm.finalEffective);
      for (let sample = 0; sample < DRAWS / SEEDS; sample++) picks.push(swarm.pick(sample).re[0]!);
    }
    return { ...moments((sample) => picks[sample]!), normalizer, effective };
  }

  test.each([0.5, 1, 3])('diffusion quality: by particles at temperature %d', (temperature) => {
    const found = swarms(temperature, undefined);
    const wanted = integrate(temperature, () => 0);
    expect(Math.abs(found.mean - wanted.mean)).toBeLessThan(0.15);
    expect(Math.abs(found.square / wanted.square - 1)).toBeLessThan(0.06);
    expect(found.effective).toBeGreaterThan(64);
  });

  test('diffusion quality: by a quartic, with the normalizer of the integral', () => {
    const found = swarms(1, { mass: -1, quartic: 0.5 });
    const wanted = integrate(1, (x) => -(x * x) / 2 + x ** 4 / 8);
    expect(Math.abs(found.mean - wanted.mean)).toBeLessThan(0.15);
    expect(Math.abs(found.square / wanted.square - 1)).toBeLessThan(0.06);
    expect(Math.abs(found.normalizer / wanted.whole - 1)).toBeLessThan(0.03);
  });
});
