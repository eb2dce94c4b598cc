/** Guidance: the guided Gaussian in closed form, and that following a gradient naively would be something else. */
import { describe, expect, test } from '@jest/globals';
import { createSpectralGrid } from '../../../src/diffusion/prior/modes.ts';
import { type ModeGaussian, standardGaussian } from '../../../src/diffusion/prior/prior.ts';
import { type Guide, guided } from '../../../src/diffusion/sampling/guidance.ts';
import { ancestralStep } from '../../../src/diffusion/sampling/steps.ts';
import { levelsOf, whiteGaussian } from '../support.ts';

const quadratic: Guide = { functional: { kind: 'QUADRATIC', stiffness: 1 }, weight: 1 };

function expectGaussian(result: ReturnType<typeof guided>): ModeGaussian {
  if (typeof result === 'string') throw new Error(result);
  return result;
}

/** Variance DDPM leaves of a cell, the noise being predicted as `slope` times x. */
function ddpmVariance(slope: (level: number) => number): number {
  const levels = levelsOf({ kind: 'LINEAR' }, 1000);
  let variance = 1;
  levels.forEach((level, i) => {
    const { keep, predicted, noise } = ancestralStep(level, levels[i + 1] ?? 1, 1);
    const x0 = (1 - Math.sqrt(1 - level) * slope(level)) / Math.sqrt(level);
    variance = (keep + predicted * x0) ** 2 * variance + noise ** 2;
  });
  return variance;
}

describe('guidance', () => {
  const one = createSpectralGrid(1, 1);

  test('diffusion quality: a unit prior guided by half its square has half its variance', () => {
    const { power } = expectGaussian(guided(one, whiteGaussian(one, 1), [quadratic], 1));
    expect(power[0]).toBe(0.5);
  });

  test('diffusion quality: DDPM leaves 0.494222 of it; the gradient added naively would leave 0.327801', () => {
    const { power } = expectGaussian(guided(one, whiteGaussian(one, 1), [quadratic], 1));
    const exact = (level: number) => Math.sqrt(1 - level) / (level * power[0]! + 1 - level);
    expect(ddpmVariance(exact)).toBeCloseTo(0.494222, 6);
    const naive = (level: number) => Math.sqrt(1 - level) * 2;
    expect(ddpmVariance(naive)).toBeCloseTo(0.327801, 6);
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
