/** Denoising, filling in and scoring, against the same computed with the whole covariance matrix written down. */
import { describe, expect, test } from '@jest/globals';
import { denoise } from '../../../src/diffusion/inference/denoise.ts';
import { impute } from '../../../src/diffusion/inference/impute.ts';
import { score } from '../../../src/diffusion/inference/score.ts';
import { createSpectralGrid } from '../../../src/diffusion/prior/modes.ts';
import { drawAt, standardGaussian } from '../../../src/diffusion/prior/prior.ts';
import { cholesky, solveCholesky } from '../../../src/numeric/cholesky.ts';
import { createRandom } from '../../../src/random.ts';
import { single } from '../support.ts';

const ROWS = 5;
const COLS = 6;
const N = ROWS * COLS;
const grid = createSpectralGrid(ROWS, COLS);
const gaussian = standardGaussian(grid);
grid.forward(
  Float64Array.from({ length: N }, (_, i) => Math.cos(i)),
  gaussian.mean,
);
const mean = new Float64Array(N);
grid.back(gaussian.mean, mean);

/** Covariance of two cells: what a unit impulse becomes when every mode is scaled by its power. */
function covarianceMatrix(): Float64Array {
  const matrix = new Float64Array(N * N);
  const modes = grid.newModes();
  const column = new Float64Array(N);
  for (let i = 0; i < N; i++) {
    grid.forward(
      Float64Array.from({ length: N }, (_, at) => (at === i ? 1 : 0)),
      modes,
    );
    for (let k = 0; k < grid.size; k++) {
      modes.re[k]! *= gaussian.power[k]!;
      modes.im[k]! *= gaussian.power[k]!;
    }
    grid.back(modes, column);
    matrix.set(column, i * N);
  }
  return matrix;
}
const covariance = covarianceMatrix();

/** A x = b with A the covariance of these cells and noise on them. */
function solve(places: readonly number[], noise: number, b: Float64Array): Float64Array {
  const n = places.length;
  const matrix = new Float64Array(n * n);
  for (let i = 0; i < n; i++)
    for (let j = 0; j < n; j++)
      matrix[i * n + j] = covariance[places[i]! * N + places[j]!]! + (i === j ? noise : 0);
  expect(cholesky(matrix, n, matrix)).toBe(true);
  const x = new Float64Array(n);
  solveCholesky(matrix, n, b, x);
  return x;
}

const every = Array.from({ length: N }, (_, i) => i);
const random = createRandom(5);
const map = Float64Array.from(mean, (center) => center + random.normal());

function expectClose(given: ArrayLike<number>, wanted: ArrayLike<number>, tolerance: number): void {
  expect(given.length).toBe(wanted.length);
  for (let i = 0; i < given.length; i++) expect(Math.abs(given[i]! - wanted[i]!)).toBeLessThan(tolerance);
}

describe('Denoise', () => {
  test('gives the mean and the deviation of the whole matrix', () => {
    const sigma = 0.7;
    const result = denoise(grid, single(gaussian), map, { sigma, samples: 0, seed: 1n });
    const weights = solve(
      every,
      sigma ** 2,
      map.map((cell, i) => cell - mean[i]!),
    );
    const wanted = every.map(
      (i) => mean[i]! + every.reduce((sum, j) => sum + covariance[i * N + j]! * weights[j]!, 0),
    );
    expectClose(result.mean, wanted, 1e-10);
    const first = covariance.slice(0, N);
    const reduction = solve(every, sigma ** 2, first).reduce((sum, weight, j) => sum + weight * first[j]!, 0);
    expect(result.posteriorSd).toBeCloseTo(Math.sqrt(covariance[0]! - reduction), 10);
  });

  test('diffusion quality: its error is within 2 % of the Bayes optimum, which its deviation states', () => {
    const big = createSpectralGrid(32, 32);
    const prior = standardGaussian(big);
    const truth = new Float64Array(big.cells);
    const noisy = new Float64Array(big.cells);
    const z = big.newModes();
    let squares = 0;
    let stated = 0;
    const MAPS = 100;
    for (let sample = 0; sample < MAPS; sample++) {
      big.noise(7n, sample, 0, z);
      for (let k = 0; k < big.size; k++) {
        z.re[k]! *= Math.sqrt(prior.power[k]!);
        z.im[k]! *= Math.sqrt(prior.power[k]!);
      }
      big.back(z, truth);
      const noise = createRandom(9, sample);
      for (let i = 0; i < big.cells; i++) noisy[i] = truth[i]! + 0.5 * noise.normal();
      const found = denoise(big, single(prior), noisy, { sigma: 0.5, samples: 0, seed: 1n });
      stated = found.posteriorSd ** 2;
      for (let i = 0; i < big.cells; i++) squares += (found.mean[i]! - truth[i]!) ** 2;
    }
    expect(Math.abs(squares / (MAPS * big.cells) / stated - 1)).toBeLessThan(0.02);
    const estimated = denoise(big, single(prior), noisy, { sigma: undefined, samples: 0, seed: 1n });
    expect(Math.abs(estimated.sigma / 0.5 - 1)).toBeLessThan(0.15);
  });

  test('draws scatter about the mean by the stated deviation', () => {
    const found = denoise(grid, single(gaussian), map, { sigma: 1, samples: 64, seed: 3n });
    let squares = 0;
    for (const sample of found.samples)
      sample.forEach((cell, i) => {
        squares += (cell - found.mean[i]!) ** 2;
      });
    expect(Math.abs(squares / (64 * N) / found.posteriorSd ** 2 - 1)).toBeLessThan(0.15);
  });
});

describe('Impute', () => {
  const observed = Uint8Array.from(every, (i) => (i % 3 === 0 ? 0 : 1));
  const places = every.filter((i) => observed[i] === 1);

  test.each([0, 0.4])('fills in the mean of the whole matrix, noise %d', (noise) => {
    const found = impute(grid, single(gaussian), map, {
      observed,
      noise,
      samples: 0,
      seed: 1n,
      guidedSteps: undefined,
    });
    const error = Float64Array.from(places, (at) => map[at]! - mean[at]!);
    const weights = solve(places, noise ** 2, error);
    const wanted = every.map(
      (i) => mean[i]! + places.reduce((sum, at, j) => sum + covariance[i * N + at]! * weights[j]!, 0),
    );
    expect(found).toMatchObject({ converged: true });
    expect(found.residual).toBeLessThanOrEqual(1e-8);
    expectClose(found.mean, wanted, 1e-6);
  });

  test('without noise the observed cells stay as they are, in the mean and in every draw', () => {
    const found = impute(grid, single(gaussian), map, {
      observed,
      noise: 0,
      samples: 3,
      seed: 1n,
      guidedSteps: undefined,
    });
    for (const filled of [found.mean, ...found.samples])
      expectClose(
        places.map((at) => filled[at]!),
        places.map((at) => map[at]!),
        1e-6,
      );
  });

  test('diffusion quality: its error is within 2 % of the Bayes optimum', () => {
    const noise = 0.3;
    const MAPS = 2500;
    const z = grid.newModes();
    const truth = new Float64Array(N);
    let squares = 0;
    for (let sample = 0; sample < MAPS; sample++) {
      grid.noise(21n, sample, 0, z);
      drawAt(gaussian, 1, z);
      grid.back(z, truth);
      const noises = createRandom(22, sample);
      const seen = truth.map((cell) => cell + noise * noises.normal());
      const options = { observed, noise, samples: 0, seed: 1n, guidedSteps: undefined };
      const found = impute(grid, single(gaussian), seen, options);
      for (let i = 0; i < N; i++) squares += (found.mean[i]! - truth[i]!) ** 2 / MAPS;
    }
    const optimum = every.reduce((sum, i) => {
      const row = Float64Array.from(places, (at) => covariance[i * N + at]!);
      const weights = solve(places, noise ** 2, row);
      return sum + covariance[i * N + i]! - weights.reduce((of, weight, j) => of + weight * row[j]!, 0);
    }, 0);
    expect(Math.abs(squares / optimum - 1)).toBeLessThan(0.02);
  });

  test('diffusion quality: draws of the missing cells have the variance of the whole matrix', () => {
    const SAMPLES = 3000;
    const noise = 0.4;
    const found = impute(grid, single(gaussian), map, {
      observed,
      noise,
      samples: SAMPLES,
      seed: 2n,
      guidedSteps: undefined,
    });
    const missing = 0;
    const row = Float64Array.from(places, (at) => covariance[missing * N + at]!);
    const reduction = solve(places, noise ** 2, row).reduce((sum, weight, j) => sum + weight * row[j]!, 0);
    const wanted = covariance[0]! - reduction;
    const squares = found.samples.reduce(
      (sum, sample) => sum + (sample[missing]! - found.mean[missing]!) ** 2,
      0,
    );
    expect(Math.abs(squares / SAMPLES / wanted - 1)).toBeLessThan(4 * Math.sqrt(2 / SAMPLES));
  });
});

describe('Score', () => {
  const factor = new Float64Array(N * N);
  cholesky(covariance, N, factor);
  const deviation = map.map((cell, i) => cell - mean[i]!);

  test('the density is that of the whole matrix', () => {
    let logDeterminant = 0;
    for (let i = 0; i < N; i++) logDeterminant += 2 * Math.log(factor[i * N + i]!);
    const distance = solve(every, 0, deviation).reduce((sum, x, i) => sum + x * deviation[i]!, 0);
    const wanted = -0.5 * (N * Math.log(2 * Math.PI) + logDeterminant + distance);
    expect(score(grid, single(gaussian), map).logLikelihood).toBeCloseTo(wanted, 8);
  });

  test('a cell is judged by all the others', () => {
    const others = every.slice(1);
    const row = Float64Array.from(others, (at) => covariance[at]!);
    const weights = solve(others, 0, row);
    const expected = mean[0]! + others.reduce((sum, at, j) => sum + weights[j]! * deviation[at]!, 0);
    const variance = covariance[0]! - others.reduce((sum, _, j) => sum + weights[j]! * row[j]!, 0);
    const z = (map[0]! - expected) / Math.sqrt(variance);
    expect(score(grid, single(gaussian), map).leaveOneOutZ[0]).toBeCloseTo(z, 8);
  });

  test('p-values of draws are uniform, those of strange maps are small', () => {
    const p: number[] = [];
    const z = grid.newModes();
    const cells = new Float64Array(N);
    for (let sample = 0; sample < 500; sample++) {
      grid.noise(11n, sample, 0, z);
      for (let k = 0; k < grid.size; k++) {
        z.re[k] = gaussian.mean.re[k]! + Math.sqrt(gaussian.power[k]!) * z.re[k]!;
        z.im[k] = gaussian.mean.im[k]! + Math.sqrt(gaussian.power[k]!) * z.im[k]!;
      }
      grid.back(z, cells);
      p.push(score(grid, single(gaussian), cells).pValue);
    }
    p.sort((a, b) => a - b);
    const distance = Math.max(...p.map((value, i) => Math.abs(value - (i + 0.5) / p.length)));
    expect(distance).toBeLessThan(1.63 / Math.sqrt(p.length));
    expect(
      score(
        grid,
        single(gaussian),
        mean.map((cell) => cell + 3),
      ).pValue,
    ).toBeLessThan(1);
    const striped = mean.map((cell, i) => cell + (i % 2 === 0 ? 4 : -4));
    const strange = score(grid, single(gaussian), striped);
    expect(strange.pValue).toBeLessThan(1e-9);
    expect(strange.topShells[0]).toMatchObject({ waveNumber: 3 });
  });

  test('a large map has its p-value too', () => {
    const big = createSpectralGrid(256, 256);
    const prior = standardGaussian(big);
    const { pValue } = score(big, single(prior), new Float64Array(big.cells));
    expect(pValue).toBeCloseTo(1, 12);
  });
});
