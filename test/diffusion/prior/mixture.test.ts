/** Mixtures: their answers against the same written down for one cell, and their fit to maps whose law is known. */
import { describe, expect, test } from '@jest/globals';
import { createDenoiser, toSample } from '../../../src/diffusion/prior/denoiser.ts';
import { fitPrior } from '../../../src/diffusion/prior/fit.ts';
import {
  chosenShare,
  drawMixtureAt,
  logJoint,
  logSumExp,
  type ModeMixture,
  mixtureOf,
  sharesOfLogs,
} from '../../../src/diffusion/prior/mixture.ts';
import { createSpectralGrid, type SpectralGrid, stiffness } from '../../../src/diffusion/prior/modes.ts';
import { priorBytes, priorFromBytes } from '../../../src/diffusion/prior/prior.ts';

const one = createSpectralGrid(1, 1);
/** Of one cell: two thirds about -2, a third about 3. */
const PAIR = [
  { weight: 2 / 3, mean: -2, power: 0.5 },
  { weight: 1 / 3, mean: 3, power: 0.2 },
] as const;

function mixtureOfCell(parts: readonly { weight: number; mean: number; power: number }[]): ModeMixture {
  const components = parts.map(({ mean, power }) => ({
    mean: { re: Float64Array.of(mean, 0, 0, 0), im: new Float64Array(4) },
    power: Float64Array.of(power, 1, 1, 1),
  }));
  return { weights: Float64Array.from(parts, ({ weight }) => weight), components };
}

const normal = (x: number, mean: number, variance: number) =>
  Math.exp(-((x - mean) ** 2) / (2 * variance)) / Math.sqrt(2 * Math.PI * variance);

describe('a mixture', () => {
  test('has the density of its parts, with any noise on it', () => {
    const mixture = mixtureOfCell(PAIR);
    for (const x of [-3, 0, 2.5])
      for (const [signal, noise] of [
        [1, 0],
        [0.6, 0.64],
      ] as const) {
        const modes = one.newModes();
        modes.re[0] = x;
        const wanted = PAIR.reduce(
          (sum, { weight, mean, power }) =>
            sum + weight * normal(x, signal * mean, signal ** 2 * power + noise),
          0,
        );
        expect(logSumExp(logJoint(one, mixture, signal, noise, modes))).toBeCloseTo(Math.log(wanted), 12);
      }
  });

  test.each(['EPSILON', 'SAMPLE', 'V'] as const)('predicts %s as the integral over maps does', (type) => {
    const denoiser = createDenoiser(one, mixtureOfCell(PAIR));
    for (const level of [0, 0.05, 0.5, 0.99])
      for (const x of [-1.5, 0.2, 2]) {
        if (type === 'EPSILON' && level === 0) continue;
        const signal = Math.sqrt(level);
        let [whole, first] = [0, 0];
        for (let x0 = -8; x0 <= 8; x0 += 0.01) {
          const prior = PAIR.reduce(
            (sum, { weight, mean, power }) => sum + weight * normal(x0, mean, power),
            0,
          );
          const density = prior * normal(x, signal * x0, 1 - level);
          whole += density;
          first += density * x0;
        }
        const [at, out] = [one.newModes(), one.newModes()];
        at.re[0] = x;
        denoiser.predict(at, level, type, out);
        toSample(at, level, type, out);
        expect(out.re[0]).toBeCloseTo(first / whole, 8);
      }
  });

  test('is drawn from in proportion to its weights', () => {
    const mixture = mixtureOfCell(PAIR);
    let [sum, squares] = [0, 0];
    const DRAWS = 2000;
    for (let sample = 0; sample < DRAWS; sample++) {
      const x = one.newModes();
      one.noise(5n, sample, 0, x);
      drawMixtureAt(one, mixture, 1, 5n, sample, x);
      sum += x.re[0]! / DRAWS;
      squares += x.re[0]! ** 2 / DRAWS;
    }
    const mean = PAIR.reduce((total, part) => total + part.weight * part.mean, 0);
    const variance =
      PAIR.reduce((total, part) => total + part.weight * (part.power + part.mean ** 2), 0) - mean ** 2;
    expect(Math.abs(sum - mean)).toBeLessThan(4 * Math.sqrt(variance / DRAWS));
    expect(Math.abs((squares - sum ** 2) / variance - 1)).toBeLessThan(0.08);
  });
});

test('shares survive logarithms that no exponential would, and a uniform number finds its share', () => {
  expect([...sharesOfLogs(Float64Array.of(-1e6, -1e6 + Math.log(3)))]).toEqual([
    expect.closeTo(0.25, 9),
    expect.closeTo(0.75, 9),
  ]);
  expect(logSumExp([Number.NEGATIVE_INFINITY, Number.NEGATIVE_INFINITY])).toBe(Number.NEGATIVE_INFINITY);
  const shares = Float64Array.of(0.25, 0.5, 0.25);
  expect([0, 0.25, 0.26, 0.75, 0.9, 1].map((uniform) => chosenShare(shares, uniform))).toEqual([
    0, 0, 1, 1, 2, 2,
  ]);
});

describe('a fit of several components', () => {
  const grid = createSpectralGrid(8, 8);

  /** Draws of a field of a mass, times a scale, about a mean that waves. */
  function field(of: SpectralGrid, count: number, seed: bigint, mass: number, scale: number, wave: number) {
    const power = stiffness(of).map((value) => scale ** 2 / (value + mass));
    const z = of.newModes();
    const cells = new Float64Array(of.cells);
    return Array.from({ length: count }, (_, sample) => {
      of.noise(seed, sample, 0, z);
      for (let k = 0; k < of.size; k++) {
        z.re[k]! *= Math.sqrt(power[k]!);
        z.im[k]! *= Math.sqrt(power[k]!);
      }
      of.back(z, cells);
      return Float32Array.from(cells, (cell, i) => cell + wave * Math.sin(i));
    });
  }
  const job = { rows: 8, cols: 8, mean: 'CLIMATOLOGY' as const, periodic: true, components: 4, seed: 7n };

  test('finds groups that differ in their mean, as many as there are', () => {
    const maps = [...field(grid, 240, 1n, 0.5, 1, 1), ...field(grid, 120, 2n, 0.5, 1, -2)];
    const { prior, components, ...whole } = fitPrior({ ...job, maps });
    expect(prior.components).toHaveLength(2);
    expect(components.map(({ weight }) => weight)).toEqual([
      expect.closeTo(2 / 3, 2),
      expect.closeTo(1 / 3, 2),
    ]);
    for (const [j, wave] of [1, -2].entries())
      for (const [i, cell] of prior.components[j]!.mean.entries())
        expect(Math.abs(cell - wave * Math.sin(i))).toBeLessThan(0.35);
    const alone = fitPrior({ ...job, maps, components: 1 });
    expect(whole.siteVariance).toBeCloseTo(alone.siteVariance, 1);
    expect(whole.logLikelihoodPerCell).toBeGreaterThan(alone.logLikelihoodPerCell);
  });

  test('finds groups that differ in their spectrum alone', () => {
    const maps = [...field(grid, 200, 3n, 0.1, 0.5, 0), ...field(grid, 200, 4n, 8, 6, 0)];
    const { prior, components } = fitPrior({ ...job, maps });
    expect(prior.components).toHaveLength(2);
    const rough = components
      .map(({ shellPowers }) => shellPowers[4]! / shellPowers[1]!)
      .sort((a, b) => a - b);
    expect(rough[1]! / rough[0]!).toBeGreaterThan(3);
  });

  test('keeps one component where there is one, however many it may find', () => {
    const { prior, components } = fitPrior({ ...job, maps: field(grid, 300, 5n, 0.5, 1, 1) });
    expect(prior.components).toHaveLength(1);
    expect(components).toEqual([]);
  });

  test('gives every component at least eight maps, and the same ones on every run', () => {
    const maps = field(grid, 20, 6n, 0.5, 1, 1);
    const first = fitPrior({ ...job, maps, components: 8 });
    for (const { weight } of first.prior.components) expect(weight * 20).toBeGreaterThanOrEqual(8);
    expect(fitPrior({ ...job, maps, components: 8 })).toEqual(first);
  });

  test('goes to bytes and back', () => {
    const maps = [...field(grid, 60, 1n, 0.5, 1, 3), ...field(grid, 40, 2n, 0.5, 1, -3)];
    const { prior } = fitPrior({ ...job, maps, periodic: false });
    expect(prior.components.length).toBeGreaterThan(1);
    expect(priorFromBytes(8, 8, priorBytes(prior))).toEqual(prior);
    const mixture = mixtureOf(grid, prior);
    expect(mixture.weights.reduce((a, b) => a + b, 0)).toBeCloseTo(1, 12);
  });
});
