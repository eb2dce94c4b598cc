/** Samplers: the variance each leaves, against published closed forms; their noise; their stability. */
import { describe, expect, test } from '@jest/globals';
import { createGaussianDenoiser, toSample } from '../../../src/diffusion/prior/denoiser.ts';
import { createSpectralGrid } from '../../../src/diffusion/prior/modes.ts';
import { siteVariance, standardGaussian } from '../../../src/diffusion/prior/prior.ts';
import { createSampler, type SamplerKind } from '../../../src/diffusion/sampling/sampler.ts';
import {
  scheduleLevels,
  visitedLevels,
  withoutFinalSignal,
} from '../../../src/diffusion/sampling/schedule.ts';
import { draw, drawnVariance, levelsOf, ownVariance, RECIPE, stretch, whiteGaussian } from '../support.ts';

const LINEAR = { kind: 'LINEAR' } as const;
const ALL: readonly SamplerKind[] = [
  'DDPM',
  'DDIM',
  'HEUN',
  'DPM_SOLVER_PP_2M',
  'EXACT_FLOW',
  'LANGEVIN',
  'PREDICTOR_CORRECTOR',
];

describe('variance against the closed form', () => {
  test.each([
    [1, 10, 0.687853],
    [1, 50, 0.92843],
    [1, 1000, 0.996252],
    [0.25, 10, 0.547466],
    [0.25, 50, 0.888882],
    [0.25, 1000, 0.99399],
  ])(
    'diffusion.golden sampler variance: DDIM leaves S = %d after %d steps with %d of its variance',
    (power, steps, ratio) => {
      const recipe = { ...RECIPE, sampler: 'DDIM', levels: levelsOf(LINEAR, steps) } as const;
      expect(stretch(recipe, power)).toBeCloseTo(ratio, 6);
    },
  );

  test.each([
    [{ kind: 'COSINE' } as const, 0.951739],
    [{ kind: 'BOLTZMANN', temperature: 10 } as const, 0.896366],
  ])('diffusion.golden sampler variance: DDIM on other schedules', (schedule, ratio) => {
    const recipe = { ...RECIPE, sampler: 'DDIM', levels: levelsOf(schedule, 50) } as const;
    expect(stretch(recipe, 1)).toBeCloseTo(ratio, 6);
  });

  test.each([
    [10, 0.548329],
    [50, 0.857414],
    [1000, 0.991067],
  ])('diffusion.golden sampler variance: DDPM leaves S = 1 after %d steps with %d of it', (steps, ratio) => {
    const one = createGaussianDenoiser(whiteGaussian(createSpectralGrid(1, 1), 1));
    const recipe = { ...RECIPE, sampler: 'DDPM', levels: levelsOf(LINEAR, steps) } as const;
    expect(ownVariance(one, recipe)).toBeCloseTo(ratio, 6);
  });

  test('diffusion.golden sampler variance: maps drawn by DDPM and DDIM have it', () => {
    const grid = createSpectralGrid(64, 64);
    const DRAWS = 32;
    for (const [sampler, power, ratio] of [
      ['DDPM', 1, 0.548329],
      ['DDIM', 1, 0.687853],
      ['DDIM', 0.25, 0.547466],
    ] as const) {
      const denoiser = createGaussianDenoiser(whiteGaussian(grid, power));
      const found = drawnVariance(grid, denoiser, { ...RECIPE, sampler }, DRAWS) / power;
      expect(Math.abs(found / ratio - 1)).toBeLessThan(4 * Math.sqrt(2 / (DRAWS * grid.cells)));
    }
  });

  test.each([1, 2, 10, 1000])('diffusion.golden exact flow: is exact in %d steps', (steps) => {
    const recipe = { ...RECIPE, levels: levelsOf(LINEAR, steps) };
    expect(stretch(recipe, 1)).toBeCloseTo(1, 12);
    expect(stretch(recipe, 0.25)).toBeCloseTo(1.0000303, 7);
    expect(stretch(recipe, 0.25, true)).toBeCloseTo(1, 12);
  });

  test('second order: Heun and the multistep solver come closer than DDIM, and closer still with more steps', () => {
    const off = (sampler: SamplerKind, steps: number) =>
      Math.abs(stretch({ ...RECIPE, sampler, levels: levelsOf(LINEAR, steps) }, 0.25) - 1.0000303);
    for (const sampler of ['HEUN', 'DPM_SOLVER_PP_2M'] as const) {
      expect(off(sampler, 50)).toBeLessThan(off('DDIM', 50));
      expect(off(sampler, 400)).toBeLessThan(off(sampler, 50));
    }
  });
});

describe('draws', () => {
  const grid = createSpectralGrid(8, 8);
  const gaussian = standardGaussian(grid);
  const denoiser = createGaussianDenoiser(gaussian);

  test('the STANDARD prior has unit variance of a cell', () => {
    expect(siteVariance(grid, gaussian.power)).toBeCloseTo(1, 12);
  });

  test.each(ALL)('a chain of %s that is cut anywhere goes on to the same bits', (sampler) => {
    const recipe = { ...RECIPE, sampler, eta: 0.5 };
    const whole = draw(grid, denoiser, recipe, 3);
    const first = createSampler(grid, denoiser, recipe);
    let chain = first.begin(3);
    for (let i = 0; i < 10; i++) {
      chain = structuredClone(chain);
      createSampler(grid, denoiser, recipe).advance(chain, 1);
    }
    const cells = new Float64Array(grid.cells);
    grid.back(chain.x, cells);
    expect(cells).toEqual(whole);
  });

  test('samples differ, and so do seeds', () => {
    const one = draw(grid, denoiser, RECIPE, 0);
    expect(draw(grid, denoiser, RECIPE, 1)).not.toEqual(one);
    expect(draw(grid, denoiser, { ...RECIPE, seed: 43n }, 0)).not.toEqual(one);
    expect(draw(grid, denoiser, RECIPE, 0)).toEqual(one);
  });

  test.each(ALL)(
    '%s draws the same map whatever it has predicted, and with the Gaussian itself',
    (sampler) => {
      const base = draw(grid, denoiser, { ...RECIPE, sampler });
      const { predict } = denoiser;
      const others = (['SAMPLE', 'EPSILON', 'V'] as const).map((predictionType) =>
        sampler === 'EXACT_FLOW'
          ? draw(grid, denoiser, { ...RECIPE, sampler, predictionType })
          : draw(grid, { predict }, { ...RECIPE, sampler, predictionType }),
      );
      for (const other of others)
        for (const [at, cell] of other.entries()) expect(Math.abs(cell - base![at]!)).toBeLessThan(1e-11);
    },
  );

  test('a schedule that ends without signal is sampled by predictions of the signal', () => {
    const levels = visitedLevels(withoutFinalSignal(scheduleLevels(LINEAR, 1000)), 'TRAILING', 10);
    expect(levels[0]).toBe(0);
    for (const sampler of ALL)
      expect(draw(grid, denoiser, { ...RECIPE, sampler, levels }).every(Number.isFinite)).toBe(true);
  });
});

test('predictions of the noise, the signal and the velocity agree', () => {
  const grid = createSpectralGrid(4, 6);
  const gaussian = standardGaussian(grid);
  grid.forward(
    Float64Array.from({ length: 24 }, (_, i) => Math.sin(i)),
    gaussian.mean,
  );
  const denoiser = createGaussianDenoiser(gaussian);
  const x = grid.newModes();
  grid.noise(1n, 0, 0, x);
  for (const level of [0.01, 0.5, 0.999]) {
    const [sample, epsilon, velocity] = (['SAMPLE', 'EPSILON', 'V'] as const).map((type) => {
      const out = grid.newModes();
      denoiser.predict(x, level, type, out);
      toSample(x, level, type, out);
      return out;
    });
    for (const other of [epsilon!, velocity!])
      for (let k = 0; k < grid.size; k++)
        expect(Math.abs(other.re[k]! - sample!.re[k]!)).toBeLessThan(1e-12 * Math.max(1, Math.abs(x.re[k]!)));
  }
});

test('what needs the Gaussian itself is refused to a denoiser that has none', () => {
  const grid = createSpectralGrid(2, 2);
  const { predict } = createGaussianDenoiser(standardGaussian(grid));
  expect(() => draw(grid, { predict }, RECIPE)).toThrow(RangeError);
  expect(draw(grid, { predict }, { ...RECIPE, sampler: 'DDIM' })).toHaveLength(4);
});
