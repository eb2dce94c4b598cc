/** Denoising, filling in and scoring under a mixture, against the same with whole covariance matrices written down. */
import { describe, expect, test } from '@jest/globals';
import { denoise } from '../../../src/diffusion/inference/denoise.ts';
import { type Imputed, impute } from '../../../src/diffusion/inference/impute.ts';
import { score } from '../../../src/diffusion/inference/score.ts';
import { type ModeMixture, sharesOfLogs } from '../../../src/diffusion/prior/mixture.ts';
import { createSpectralGrid, stiffness } from '../../../src/diffusion/prior/modes.ts';
import {
  drawAt,
  type ModeGaussian,
  siteVariance,
  standardGaussian,
} from '../../../src/diffusion/prior/prior.ts';
import { cholesky, logDeterminant, solveCholesky } from '../../../src/numeric/cholesky.ts';
import { createRandom } from '../../../src/random.ts';
import { single } from '../support.ts';

const ROWS = 4;
const COLS = 5;
const N = ROWS * COLS;
const grid = createSpectralGrid(ROWS, COLS);

function component(mean: (i: number) => number, mass: number, scale: number): ModeGaussian {
  const modes = grid.newModes();
  grid.forward(
    Float64Array.from({ length: N }, (_, i) => mean(i)),
    modes,
  );
  const power = stiffness(grid).map((value, k) => (grid.shares[k] === 0 ? 1 : scale / (value + mass)));
  return { mean: modes, power };
}
const mixture: ModeMixture = {
  weights: Float64Array.of(0.6, 0.4),
  components: [component((i) => Math.cos(i), 0.3, 1), component((i) => -Math.cos(i) / 2, 2, 3)],
};

/** Means and covariances of the components, cell by cell. */
const dense = mixture.components.map((gaussian) => {
  const mean = new Float64Array(N);
  grid.back(gaussian.mean, mean);
  const matrix = new Float64Array(N * N);
  const modes = grid.newModes();
  for (let i = 0; i < N; i++) {
    const column = new Float64Array(N);
    column[i] = 1;
    grid.forward(column, modes);
    for (let k = 0; k < grid.size; k++) {
      modes.re[k]! *= gaussian.power[k]!;
      modes.im[k]! *= gaussian.power[k]!;
    }
    grid.back(modes, column);
    matrix.set(column, i * N);
  }
  return { mean, matrix };
});

/** Posterior of all cells, of each component, given some, with ln of weight times evidence. */
function posterior(values: ArrayLike<number>, places: readonly number[], noise: number) {
  const n = places.length;
  return dense.map(({ mean, matrix }, j) => {
    const of = new Float64Array(n * n);
    for (let a = 0; a < n; a++)
      for (let b = 0; b < n; b++)
        of[a * n + b] = matrix[places[a]! * N + places[b]!]! + (a === b ? noise ** 2 : 0);
    const factor = new Float64Array(n * n);
    expect(cholesky(of, n, factor)).toBe(true);
    const off = Float64Array.from(places, (at) => values[at]! - mean[at]!);
    const solved = new Float64Array(n);
    solveCholesky(factor, n, off, solved);
    const distance = off.reduce((sum, value, a) => sum + value * solved[a]!, 0);
    const log = -(n * Math.log(2 * Math.PI) + logDeterminant(factor, n) + distance) / 2;
    const row = (i: number) => Float64Array.from(places, (at) => matrix[i * N + at]!);
    return {
      log: Math.log(mixture.weights[j]!) + log,
      mean: Float64Array.from(mean, (center, i) =>
        row(i).reduce((sum, c, a) => sum + c * solved[a]!, center),
      ),
      variance: Float64Array.from(mean, (_, i) => {
        const column = row(i);
        const reduced = new Float64Array(n);
        solveCholesky(factor, n, column, reduced);
        return matrix[i * N + i]! - column.reduce((sum, c, a) => sum + c * reduced[a]!, 0);
      }),
    };
  });
}

/** Mean and variance of each cell over components. */
function mixed(parts: ReturnType<typeof posterior>) {
  const shares = sharesOfLogs(Float64Array.from(parts, ({ log }) => log));
  const each = (of: (part: (typeof parts)[number], i: number) => number) =>
    Float64Array.from({ length: N }, (_, i) =>
      parts.reduce((sum, part, j) => sum + shares[j]! * of(part, i), 0),
    );
  const mean = each((part, i) => part.mean[i]!);
  const square = each((part, i) => part.variance[i]! + part.mean[i]! ** 2);
  return { shares, mean, variance: square.map((value, i) => value - mean[i]! ** 2) };
}

const random = createRandom(11);
const every = Array.from({ length: N }, (_, i) => i);
const map = Float64Array.from({ length: N }, (_, i) => 0.4 * Math.cos(i) + random.normal());

function expectClose(given: ArrayLike<number>, wanted: ArrayLike<number>, tolerance: number): void {
  expect(given.length).toBe(wanted.length);
  for (let i = 0; i < given.length; i++) expect(Math.abs(given[i]! - wanted[i]!)).toBeLessThan(tolerance);
}

describe('under a mixture', () => {
  test('Denoise weighs the mean of each component by what the noisy map says of it', () => {
    const found = denoise(grid, mixture, map, { sigma: 0.8, samples: 0, seed: 1n });
    const wanted = mixed(posterior(map, every, 0.8));
    expectClose(found.responsibilities, wanted.shares, 1e-10);
    expect(Math.min(...wanted.shares)).toBeGreaterThan(0.01);
    expectClose(found.mean, wanted.mean, 1e-10);
    const variance = wanted.variance.reduce((a, b) => a + b, 0) / N;
    expect(found.posteriorSd).toBeCloseTo(Math.sqrt(variance), 10);
  });

  test('draws of Denoise scatter by the stated deviation, those of either component', () => {
    const found = denoise(grid, mixture, map, { sigma: 0.8, samples: 2000, seed: 3n });
    const squares = found.samples.reduce(
      (sum, sample) => sum + sample.reduce((total, cell, i) => total + (cell - found.mean[i]!) ** 2, 0),
      0,
    );
    expect(Math.abs(squares / (2000 * N) / found.posteriorSd ** 2 - 1)).toBeLessThan(0.05);
  });

  test('Denoise estimates noise that is not given as likely as can be', () => {
    const found = denoise(grid, mixture, map, { sigma: undefined, samples: 0, seed: 1n });
    const likelihood = (sigma: number) => {
      const logs = posterior(map, every, sigma).map(({ log }) => log);
      return Math.log(logs.reduce((sum, log) => sum + Math.exp(log), 0));
    };
    for (const by of [0.9, 1.1])
      expect(likelihood(found.sigma)).toBeGreaterThan(likelihood(by * found.sigma));
  });

  const observed = Uint8Array.from(every, (i) => (i % 3 === 0 ? 1 : 0));
  const places = every.filter((i) => observed[i] === 1);
  test.each([0, 0.5])('Impute weighs components by the evidence of the observed cells, noise %d', (noise) => {
    const options = { observed, noise, samples: 3000, seed: 2n, guidedSteps: undefined };
    const found = impute(grid, mixture, map, options);
    const wanted = mixed(posterior(map, places, noise));
    expectClose(found.responsibilities, wanted.shares, 1e-9);
    expect(Math.min(...wanted.shares)).toBeGreaterThan(0.01);
    expectClose(found.mean, wanted.mean, 1e-6);
    const at = 1;
    const squares = found.samples.reduce((sum, sample) => sum + (sample[at]! - wanted.mean[at]!) ** 2, 0);
    expect(Math.abs(squares / 3000 / wanted.variance[at]! - 1)).toBeLessThan(0.12);
  });

  test('Score knows the density, and judges a cell by all the others', () => {
    const found = score(grid, mixture, map);
    const parts = posterior(map, every, 0);
    const log = Math.log(parts.reduce((sum, part) => sum + Math.exp(part.log), 0));
    expect(found.logLikelihood).toBeCloseTo(log, 8);
    expectClose(found.responsibilities, sharesOfLogs(Float64Array.from(parts, (part) => part.log)), 1e-9);
    for (const at of [0, 7, 13]) {
      const { mean, variance } = mixed(
        posterior(
          map,
          every.filter((i) => i !== at),
          0,
        ),
      );
      expect(found.leaveOneOutZ[at]).toBeCloseTo((map[at]! - mean[at]!) / Math.sqrt(variance[at]!), 7);
    }
    expect(found.pValue).toBeGreaterThan(0);
    expect(found.pValue).toBeLessThan(1);
  });
});

describe('a guided imputation', () => {
  const big = createSpectralGrid(8, 8);
  const prior = standardGaussian(big);
  const values = new Float64Array(big.cells);
  const start = big.newModes();
  big.noise(4n, 0, 0, start);
  drawAt(prior, 1, start);
  big.back(start, values);
  const observed = Uint8Array.from(values, (_, i) => (i % 2 === 0 ? 1 : 0));
  const fill = (noise: number, guidedSteps: number | undefined, samples: number) =>
    impute(big, single(prior), values, { observed, noise, samples, seed: 9n, guidedSteps });

  /** Mean squared distance of draws from a mean over cells that were, or were not, observed. */
  function scatter({ samples }: Imputed, mean: Float64Array, bit: number) {
    let [sum, count] = [0, 0];
    for (const sample of samples)
      for (let i = 0; i < mean.length; i++)
        if (observed[i] === bit) {
          sum += (sample[i]! - mean[i]!) ** 2;
          count++;
        }
    return sum / count;
  }

  test('has the mean of the exact one', () => {
    expect(fill(0.3, 5, 0).mean).toEqual(fill(0.3, undefined, 0).mean);
  });

  test.each([1, 0.1, 0])('diffusion quality: scatters as the exact one does, noise %d', (noise) => {
    const SAMPLES = 200;
    const exact = fill(noise, undefined, SAMPLES);
    const guided = fill(noise, 40, SAMPLES);
    expect(guided.converged).toBe(true);
    for (const bit of [0, 1]) {
      const wanted = scatter(exact, exact.mean, bit);
      const found = scatter(guided, exact.mean, bit);
      if (noise === 0 && bit === 1) expect(found).toBeLessThan(1e-10);
      else expect(Math.abs(found / wanted - 1)).toBeLessThan(0.1);
    }
  });

  test('comes closer with more steps, from the mean itself in one', () => {
    const off = (steps: number) => {
      const exact = fill(0.3, undefined, 200);
      return Math.abs(scatter(fill(0.3, steps, 200), exact.mean, 0) / scatter(exact, exact.mean, 0) - 1);
    };
    expect(off(1)).toBeGreaterThan(0.9);
    expect(off(40)).toBeLessThan(off(4));
  });

  test('does not mind the unit of the map', () => {
    const scaled = { mean: prior.mean, power: prior.power.map((power) => power * 1e12) };
    const options = { observed, noise: 3e5, samples: 1, seed: 9n, guidedSteps: 20 };
    const found = impute(
      big,
      single(scaled),
      values.map((value) => value * 1e6),
      options,
    );
    const [unit] = fill(0.3, 20, 1).samples;
    for (const [i, cell] of found.samples[0]!.entries()) expect(cell / 1e6).toBeCloseTo(unit![i]!, 6);
    expect(siteVariance(big, scaled.power)).toBeCloseTo(1e12, -3);
  });
});
