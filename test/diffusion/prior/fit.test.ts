/** Fitting: what is found of maps whose law is known, and what is stored of it. */
import { describe, expect, test } from '@jest/globals';
import { fitPrior, shellPowers } from '../../../src/diffusion/prior/fit.ts';
import {
  createSpectralGrid,
  packedOf,
  type SpectralGrid,
  stiffness,
} from '../../../src/diffusion/prior/modes.ts';
import { priorBytes, priorFromBytes, siteVariance } from '../../../src/diffusion/prior/prior.ts';

/** Draws of the Gaussian free field of mass^2 0.5, plus a mean. */
function freeField(grid: SpectralGrid, count: number, offset: number): Float32Array[] {
  const power = stiffness(grid).map((value) => 1 / (value + 0.5));
  const z = grid.newModes();
  const cells = new Float64Array(grid.cells);
  return Array.from({ length: count }, (_, sample) => {
    grid.noise(3n, sample, 0, z);
    for (let k = 0; k < grid.size; k++) {
      z.re[k]! *= Math.sqrt(power[k]!);
      z.im[k]! *= Math.sqrt(power[k]!);
    }
    grid.back(z, cells);
    return Float32Array.from(cells, (cell, i) => cell + offset + Math.sin(i));
  });
}

test('diffusion quality: the free field of mass 0.5 on 32 x 32 has a site variance of 0.316235097', () => {
  const grid = createSpectralGrid(32, 32);
  const power = stiffness(grid).map((value) => 1 / (value + 0.5));
  expect(siteVariance(grid, power)).toBeCloseTo(0.316235097, 9);
});

describe('a fit', () => {
  const grid = createSpectralGrid(16, 12);
  const maps = freeField(grid, 1000, 2);
  const truth = packedOf(
    grid,
    stiffness(grid).map((value) => 1 / (value + 0.5)),
  );

  test('finds the mean and the powers of periodic maps', () => {
    const { prior, ...card } = fitPrior({ rows: 16, cols: 12, maps, mean: 'CLIMATOLOGY', periodic: true });
    for (const [i, cell] of prior.mean.entries()) expect(Math.abs(cell - 2 - Math.sin(i))).toBeLessThan(0.09);
    let log = 0;
    for (const [k, power] of prior.power.entries()) {
      log += Math.log(power / truth[k]!);
      expect(Math.abs(Math.log(power / truth[k]!))).toBeLessThan(0.25);
    }
    expect(Math.abs(log / truth.length)).toBeLessThan(0.01);
    expect(card.shrinkage).toBeCloseTo(8 / 1008, 12);
    expect(card.siteVariance).toBeCloseTo(shellPowerMean(prior.power), 2);
  });

  function shellPowerMean(power: Float64Array): number {
    let sum = 0;
    for (let k = 0; k < power.length; k++) {
      const col = k % 7;
      sum += (col === 0 || col === 6 ? 1 : 2) * power[k]!;
    }
    return sum / (16 * 12);
  }

  test('tapered, keeps the variance of a cell', () => {
    const periodic = fitPrior({ rows: 16, cols: 12, maps, mean: 'CLIMATOLOGY', periodic: true });
    const tapered = fitPrior({ rows: 16, cols: 12, maps, mean: 'CLIMATOLOGY', periodic: false });
    expect(tapered.siteVariance / periodic.siteVariance).toBeCloseTo(1, 1);
  });

  test('with few maps leans on the shells, and is positive even for maps that are all the same', () => {
    const few = fitPrior({ rows: 16, cols: 12, maps: maps.slice(0, 8), mean: 'CLIMATOLOGY', periodic: true });
    expect(few.shrinkage).toBe(0.5);
    const constant = Array.from({ length: 8 }, () => new Float32Array(192).fill(3));
    const { prior } = fitPrior({ rows: 16, cols: 12, maps: constant, mean: 'CLIMATOLOGY', periodic: false });
    expect(prior.power.every((power) => power > 0)).toBe(true);
    expect(prior.mean.every((cell) => cell === 3)).toBe(true);
  });

  test('takes a mean of zero, or a given one, as it is', () => {
    const zero = fitPrior({ rows: 16, cols: 12, maps, mean: 'ZERO', periodic: true });
    expect(zero.prior.mean.every((cell) => cell === 0)).toBe(true);
    expect(zero.prior.power[0]! / 192).toBeGreaterThan(3.5);
    const given = new Float64Array(192).fill(2);
    expect(fitPrior({ rows: 16, cols: 12, maps, mean: { given }, periodic: true }).prior.mean).toEqual(given);
  });

  test('goes to bytes and back', () => {
    const { prior } = fitPrior({ rows: 16, cols: 12, maps, mean: 'CLIMATOLOGY', periodic: true });
    expect(priorFromBytes(16, 12, priorBytes(prior))).toEqual(prior);
    expect(() => priorFromBytes(12, 16, priorBytes(prior).subarray(8))).toThrow(RangeError);
    expect(shellPowers(prior)[0]).toBe(prior.power[0]);
  });
});
