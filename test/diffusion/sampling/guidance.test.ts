/** Guidance: the guided Gaussian in closed form, and that following a gradient naively would be something else. */
import { describe, expect, test } from '@jest/globals';
import { createGaussianDenoiser, type Denoiser } from '../../../src/diffusion/prior/denoiser.ts';
import { createSpectralGrid } from '../../../src/diffusion/prior/modes.ts';
import { type ModeGaussian, standardGaussian } from '../../../src/diffusion/prior/prior.ts';
import { type Guide, guided } from '../../../src/diffusion/sampling/guidance.ts';
import { drawnVariance, levelsOf, ownVariance, RECIPE, whiteGaussian } from '../support.ts';

const quadratic: Guide = { functional: { kind: 'QUADRATIC', stiffness: 1 }, weight: 1 };

function expectGaussian(result: ReturnType<typeof guided>): ModeGaussian {
  if (typeof result === 'string') throw new Error(result);
  return result;
}

const DDPM = {
  ...RECIPE,
  sampler: 'DDPM',
  levels: levelsOf({ kind: 'LINEAR' }, 1000),
  predictionType: 'EPSILON',
} as const;

/** Predicts the noise of a unit prior and adds the slope of half the square, as if the map were already there. */
const naive: Denoiser = {
  predict(x, level, _type, out) {
    const noise = Math.sqrt(1 - level);
    for (let k = 0; k < x.re.length; k++) {
      out.re[k] = noise * (x.re[k]! + x.re[k]!);
      out.im[k] = noise * (x.im[k]! + x.im[k]!);
    }
  },
};

/** Variance DDPM leaves of a cell of unit noise (J. Ho et al., 2020, equation 7), x0 being predicted as a share of x. */
function ddpmVariance(share: (level: number) => number): number {
  const { levels } = DDPM;
  let variance = 1;
  for (const [i, level] of levels.entries()) {
    const next = levels[i + 1] ?? 1;
    const alpha = level / next;
    const ofX = (Math.sqrt(alpha) * (1 - next)) / (1 - level);
    const ofX0 = (Math.sqrt(next) * (1 - alpha)) / (1 - level);
    variance = (ofX + ofX0 * share(level)) ** 2 * variance + ((1 - next) / (1 - level)) * (1 - alpha);
  }
  return variance;
}

describe('guidance', () => {
  const one = createSpectralGrid(1, 1);

  test('diffusion.golden guidance: a unit prior guided by half its square has half its variance', () => {
    const { power } = expectGaussian(guided(one, whiteGaussian(one, 1), [quadratic], 1));
    expect(power[0]).toBe(0.5);
  });

  test('diffusion.golden guidance: DDPM leaves 0.494222 of it; the gradient added naively leaves 0.327801', () => {
    const gaussian = expectGaussian(guided(one, whiteGaussian(one, 1), [quadratic], 1));
    const { power } = gaussian;
    expect(ownVariance(createGaussianDenoiser(gaussian), DDPM)).toBeCloseTo(0.494222, 6);
    expect(
      ddpmVariance((level) => (Math.sqrt(level) * power[0]!) / (level * power[0]! + 1 - level)),
    ).toBeCloseTo(0.494222, 6);
    expect(ownVariance(naive, DDPM)).toBeCloseTo(0.327801, 6);
    // x = sqrt(level) x0 + sqrt(1 - level) noise, and the noise is said to be 2 sqrt(1 - level) x.
    expect(ddpmVariance((level) => (1 - 2 * (1 - level)) / Math.sqrt(level))).toBeCloseTo(0.327801, 6);
  });

  test('diffusion.golden guidance: maps drawn by DDPM have that variance, and naive ones the other', () => {
    const grid = createSpectralGrid(48, 48);
    const DRAWS = 2;
    const exact = createGaussianDenoiser(
      expectGaussian(guided(grid, whiteGaussian(grid, 1), [quadratic], 1)),
    );
    for (const [denoiser, variance] of [
      [exact, 0.494222],
      [naive, 0.327801],
    ] as const) {
      const found = drawnVariance(grid, denoiser, DDPM, DRAWS);
      expect(Math.abs(found / variance - 1)).toBeLessThan(4 * Math.sqrt(2 / (DRAWS * grid.cells)));
    }
  });

  test('a target pulls the mean by its share of the precision, temperature widens', () => {
    const target = Float64Array.of(6);
    const guide: Guide = { functional: { kind: 'QUADRATIC', stiffness: 2, target }, weight: 3 };
    const { mean, power } = expectGaussian(guided(one, whiteGaussian(one, 0.5), [guide], 4));
    expect(power[0]).toBeCloseTo(4 / (2 + 6), 12);
    expect(mean.re[0]).toBeCloseTo((6 * 6) / (2 + 6), 12);
  });

  test('energies add up as their precisions do', () => {
    const grid = createSpectralGrid(4, 5);
    const twice: Guide = { functional: { kind: 'QUADRATIC', stiffness: 2 }, weight: 1 };
    const both = expectGaussian(guided(grid, standardGaussian(grid), [quadratic, quadratic], 1));
    const single = expectGaussian(guided(grid, standardGaussian(grid), [twice], 1));
    for (const [k, power] of both.power.entries()) expect(power).toBeCloseTo(single.power[k]!, 12);
  });

  test('a gradient energy smooths: it adds precision where waves are short, and a mass everywhere', () => {
    const grid = createSpectralGrid(8, 8);
    const guide: Guide = { functional: { kind: 'GRADIENT', tension: 1, mass: 0.5 }, weight: 1 };
    const { power } = expectGaussian(guided(grid, whiteGaussian(grid, 1), [guide], 1));
    expect(power[0]).toBeCloseTo(1 / 1.5, 12);
    expect(power[4 * grid.stride + 4]).toBeCloseTo(1 / (1 + 8 + 0.5), 12);
  });

  test('an energy that falls faster than the prior holds is refused', () => {
    const guide: Guide = { functional: { kind: 'GRADIENT', tension: 0, mass: -1 }, weight: 1 };
    expect(guided(one, whiteGaussian(one, 1), [guide], 1)).toBe('UNBOUNDED');
    expect(guided(one, whiteGaussian(one, 0.5), [guide], 1)).not.toBe('UNBOUNDED');
  });

  test('a total is aimed at by its stiffness, or held exactly', () => {
    const grid = createSpectralGrid(2, 2);
    const total = (stiffness: number | undefined, aim: number): Guide => ({
      functional: { kind: 'TOTAL_ENERGY', stiffness, total: aim, cellArea: 0.5 },
      weight: 1,
    });
    const soft = expectGaussian(guided(grid, whiteGaussian(grid, 1), [total(3, 8)], 1));
    // The sum of four unit normals has variance 4; the total, at half of it, variance 1 and precision 1 + 3.
    expect(soft.mean.re[0]! * 0.5).toBeCloseTo((3 * 8) / 4, 12);
    expect(4 * soft.power[0]! * 0.25).toBeCloseTo(1 / 4, 12);
    const hard = expectGaussian(guided(grid, whiteGaussian(grid, 1), [total(undefined, 8)], 1));
    expect([hard.mean.re[0], hard.power[0]]).toEqual([16, 0]);
    const two = [total(undefined, 8), total(undefined, 9)];
    expect(guided(grid, whiteGaussian(grid, 1), two, 1)).toBe('CONFLICT');
  });
});
