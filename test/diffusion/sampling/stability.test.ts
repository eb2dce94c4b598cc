/** No sampler diverges: of any number of steps, on any schedule, spaced in any way, for powers of ten decades at once. */
import { describe, expect, test } from '@jest/globals';
import { createDenoiser, createGaussianDenoiser } from '../../../src/diffusion/prior/denoiser.ts';
import { type ModeMixture, mixtureOf } from '../../../src/diffusion/prior/mixture.ts';
import { createSpectralGrid } from '../../../src/diffusion/prior/modes.ts';
import { createSampler, type Recipe, type SamplerKind } from '../../../src/diffusion/sampling/sampler.ts';
import {
  type Schedule,
  type Spacing,
  scheduleLevels,
  visitedLevels,
  withoutFinalSignal,
} from '../../../src/diffusion/sampling/schedule.ts';
import { draw, RECIPE } from '../support.ts';

/** Lengths of a schedule, and in how many steps each is come down. After 10,000 next to no signal is left. */
const LENGTHS = [
  { trainSteps: 1000, steps: [1, 2, 3, 7, 10, 50, 333, 1000] },
  { trainSteps: 10_000, steps: [1, 2] },
];
const SPACINGS: readonly Spacing[] = ['TRAILING', 'LEADING', 'LINSPACE'];
const SCHEDULES: readonly Schedule[] = [
  ...(['LINEAR', 'SCALED_LINEAR', 'COSINE', 'SIGMOID', 'KARRAS'] as const).map((kind) => ({ kind })),
  ...[0.1, 10].map((temperature) => ({ kind: 'BOLTZMANN', temperature }) as const),
];
const of = (sampler: SamplerKind, eta = 0, correctorSteps = 1) => ({ sampler, eta, correctorSteps });
const SAMPLERS = [
  of('DDPM'),
  of('DDIM', 0),
  of('DDIM', 0.5),
  of('DDIM', 1),
  of('HEUN'),
  of('DPM_SOLVER_PP_2M'),
  of('LANGEVIN', 0, 1),
  of('LANGEVIN', 0, 10),
  of('PREDICTOR_CORRECTOR', 0, 0),
  of('PREDICTOR_CORRECTOR', 0, 1),
  of('PREDICTOR_CORRECTOR', 0, 10),
];

/** Every way of coming down a schedule as it is, and one rescaled to end without signal. */
function* recipes(schedule: Schedule, samplers: ReadonlyArray<ReturnType<typeof of>>): Generator<Recipe> {
  for (const { trainSteps, steps } of LENGTHS) {
    const plain = scheduleLevels(schedule, trainSteps);
    const ways = [
      ...SPACINGS.map((spacing) => ({ all: plain, spacing, predictionType: 'EPSILON' }) as const),
      { all: withoutFinalSignal(plain), spacing: 'TRAILING', predictionType: 'V' } as const,
    ];
    for (const { all, spacing, predictionType } of ways)
      for (const count of steps) {
        const levels = visitedLevels(all, spacing, count);
        for (const sampler of samplers) yield { ...RECIPE, ...sampler, levels, predictionType };
      }
  }
}

const nameOf = ({ sampler, eta, correctorSteps, levels }: Recipe) =>
  `${sampler} eta ${eta} corrected ${correctorSteps} in ${levels.length} from ${levels[0]}`;

describe.each(SCHEDULES)('on the schedule %o', (schedule) => {
  test('diffusion quality: no sampler of a Gaussian diverges', () => {
    const grid = createSpectralGrid(3, 4);
    const power = grid.shares.map((share, k) => (share === 0 ? 1 : [1e-6, 1e-2, 1, 1e4][k % 4]!));
    const denoiser = createGaussianDenoiser({ mean: grid.newModes(), power });
    for (const recipe of recipes(schedule, [...SAMPLERS, of('EXACT_FLOW')])) {
      const sampler = createSampler(grid, denoiser, recipe);
      const chain = sampler.begin(0);
      sampler.advance(chain, sampler.steps);
      let most = 0;
      for (let k = 0; k < grid.size; k++) {
        if (grid.shares[k] === 0) continue;
        const size = Math.hypot(chain.x.re[k]!, chain.x.im[k]!) / Math.sqrt(grid.cells);
        most = Math.max(most, size / (8 * Math.sqrt(power[k]!) + 1));
      }
      if (!(most < 1)) throw new Error(`${nameOf(recipe)}: ${most} of what a mode may have`);
    }
  });

  test('diffusion quality: no sampler of a mixture diverges', () => {
    const one = createSpectralGrid(1, 1);
    const parts = [
      { weight: 0.7, mean: -1.5, power: 0.4 },
      { weight: 0.3, mean: 2, power: 0.15 },
    ];
    const mixture: ModeMixture = mixtureOf(one, {
      rows: 1,
      cols: 1,
      components: parts.map(({ weight, mean, power }) => ({
        weight,
        mean: Float64Array.of(mean),
        power: Float64Array.of(power),
      })),
    });
    const denoiser = createDenoiser(one, mixture);
    for (const recipe of recipes(schedule, SAMPLERS)) {
      const [cell] = draw(one, denoiser, recipe);
      if (!(Math.abs(cell!) < 6)) throw new Error(`${nameOf(recipe)}: ${cell}`);
    }
    expect(denoiser.gaussian).toBeUndefined();
  });
});
