/** Fitting: what is found of maps whose law is known, and what is stored of it. */
import { describe, expect, test } from '@jest/globals';
import { fitPrior, shellPowers } from '../../../src/diffusion/prior/fit.ts';
import {
  createSpectralGrid,
  packedOf,
  type SpectralGrid,
  stiffness,
} from '../../../src/diffusion/prior/modes.ts';
import {
  type Component,
  drawAt,
  logLikelihood,
  priorBytes,
  priorFromBytes,
  siteVariance,
} from '../../../src/diffusion/prior/prior.ts';

const ONE = { components: 1, seed: 0n };

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

describe('the free field of mass 0.5 on 32 x 32', () => {
  const grid = createSpectralGrid(32, 32);
  const bending = stiffness(grid);
  const power = bending.map((value) => 1 / (value + 0.5));

  test('diffusion.golden free field: has the site variance, slope and free energy of its sums over modes', () => {
    expect(siteVariance(grid, power)).toBeCloseTo(0.316235097, 9);
    const slope = siteVariance(
      grid,
      power.map((value, k) => (value * bending[k]!) / 2),
    );
    expect(slope).toBeCloseTo(0.420941226, 9);
    const gaussian = { mean: grid.newModes(), power };
    // At its mean the density is one over the partition function.
    expect(-logLikelihood(grid, gaussian, grid.newModes()) / grid.cells).toBeCloseTo(0.235364145, 9);
  });

  test('diffusion.golden free field: its draws have an action of one half a site', () => {
    const gaussian = { mean: grid.newModes(), power };
    const x = grid.newModes();
    const MAPS = 400;
    let action = 0;
    for (let sample = 0; sample < MAPS; sample++) {
      grid.noise(8n, sample, 0, x);
      drawAt(gaussian, 1, x);
      let sum = 0;
      for (let k = 0; k < grid.size; k++)
        sum += (grid.shares[k]! * (bending[k]! + 0.5) * (x.re[k]! ** 2 + x.im[k]! ** 2)) / (2 * grid.cells);
      action += sum / (MAPS * grid.cells);
    }
    expect(Math.abs(action - 0.5)).toBeLessThan(4 * Math.sqrt(0.5 / (MAPS * grid.cells)));
  });
});

describe('a fit', () => {
  const grid = createSpectralGrid(16, 12);
  const maps = freeField(grid, 1000, 2);
  const truth = packedOf(
    grid,
    stiffness(grid).map((value) => 1 / (value + 0.5)),
  );

  test('finds the mean and the powers of periodic maps', () => {
    const { prior: whole, ...card } = fitPrior({
      rows: 16,
      cols: 12,
      maps,
      mean: 'CLIMATOLOGY',
      periodic: true,
      ...ONE,
    });
    const [prior] = whole.components as [Component];
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
    const periodic = fitPrior({ rows: 16, cols: 12, maps, mean: 'CLIMATOLOGY', periodic: true, ...ONE });
    const tapered = fitPrior({ rows: 16, cols: 12, maps, mean: 'CLIMATOLOGY', periodic: false, ...ONE });
    expect(tapered.siteVariance / periodic.siteVariance).toBeCloseTo(1, 1);
  });

  test('with few maps leans on the shells, and is positive even for maps that are all the same', () => {
    const few = fitPrior({
      rows: 16,
      cols: 12,
      maps: maps.slice(0, 8),
      mean: 'CLIMATOLOGY',
      periodic: true,
      ...ONE,
    });
    expect(few.shrinkage).toBe(0.5);
    const constant = Array.from({ length: 8 }, () => new Float32Array(192).fill(3));
    const { prior } = fitPrior({
      rows: 16,
      cols: 12,
      maps: constant,
      mean: 'CLIMATOLOGY',
      periodic: false,
      ...ONE,
    });
    const [only] = prior.components as [Component];
    expect(only.power.every((power) => power > 0)).toBe(true);
    expect(only.mean.every((cell) => cell === 3)).toBe(true);
  });

  test('takes a mean of zero, or a given one, as it is', () => {
    const zero = fitPrior({ rows: 16, cols: 12, maps, mean: 'ZERO', periodic: true, ...ONE });
    expect(zero.prior.components[0]!.mean.every((cell) => cell === 0)).toBe(true);
    expect(zero.prior.components[0]!.power[0]! / 192).toBeGreaterThan(3.5);
    const given = new Float64Array(192).fill(2);
    expect(
      fitPrior({ rows: 16, cols: 12, maps, mean: { given }, periodic: true, ...ONE }).prior.components[0]!
        .mean,
    ).toEqual(given);
  });

  test('goes to bytes and back', () => {
    const { prior } = fitPrior({ rows: 16, cols: 12, maps, mean: 'CLIMATOLOGY', periodic: true, ...ONE });
    expect(priorFromBytes(16, 12, priorBytes(prior))).toEqual(prior);
    expect(() => priorFromBytes(12, 16, priorBytes(prior).subarray(8))).toThrow(RangeError);
    const [only] = prior.components as [Component];
    expect(shellPowers(16, 12, only.power)[0]).toBe(only.power[0]);
  });
});
