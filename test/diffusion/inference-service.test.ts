/** Denoise, Impute and Score on a store and worker threads: what they give, and how they read a map. */
import { describe, expect, test } from '@jest/globals';
import { Boundary, NegativePolicy } from '../../src/gen/homeostat/type/v1/grid_pb.ts';
import { createRandom } from '../../src/random.ts';
import { useDiffusionSuite } from './diffusion-suite.ts';
import { reasonOf, refusalOf } from './diffusion-world.ts';

const suite = useDiffusionSuite();

const random = createRandom(1);
const noiseMap = (rows: number, cols: number, scale = 1) => ({
  rows,
  cols,
  values: Array.from({ length: rows * cols }, () => Math.fround(scale * random.normal())),
});
const MAPS = Array.from({ length: 12 }, () => noiseMap(6, 5));
const fitted = (idempotencyKey: string, maps = MAPS) =>
  suite.world.call('fitPrior', { idempotencyKey, maps, boundary: Boundary.PERIODIC });
const ABSENT = '00000000-0000-7000-8000-000000000000';

describe('Denoise, Impute and Score', () => {
  const map = { grid: noiseMap(6, 5) };
  const half = Uint8Array.from([0x55, 0x55, 0x55, 0x15]);

  test('Denoise gives the mean, its deviation, draws, and an estimate of the noise', async () => {
    const { priorId } = (await fitted('inference')).prior!;
    const found = await suite.world.call('denoise', { map, priorId, samples: 2, seed: 1n });
    expect(found.sigma).toBeGreaterThan(0);
    expect(found.posteriorSd).toBeGreaterThan(0);
    expect(found.samples).toHaveLength(2);
    expect(found.mean!.values).toHaveLength(30);
    const given = await suite.world.call('denoise', { map, sigma: 1e-9 });
    for (const [i, cell] of given.mean!.values.entries()) expect(cell).toBeCloseTo(map.grid.values[i]!, 5);
  });

  test('Impute fills in what is missing and keeps what is not', async () => {
    const request = { map: { ...map, observed: half }, samples: 3, seed: 5n };
    const found = await suite.world.call('impute', request);
    expect(found.samples).toHaveLength(3);
    expect(found.residual).toBeLessThanOrEqual(1e-8);
    for (const at of [0, 2, 4]) {
      expect(found.mean!.values[at]).toBeCloseTo(map.grid.values[at]!, 5);
      expect(found.sd!.values[at]).toBeLessThan(1e-5);
    }
    expect(found.sd!.values[1]).toBeGreaterThan(0);
    expect(await suite.world.call('impute', request)).toEqual(found);
  });

  test('Score tells a usual map from a strange one', async () => {
    const { priorId } = (await fitted('score')).prior!;
    const strange = { ...map.grid, values: map.grid.values.map((cell, i) => (i === 7 ? cell + 40 : cell)) };
    const { scores } = await suite.world.call('score', { maps: [map.grid, strange], priorId });
    expect(scores[1]!.pValue).toBeLessThan(scores[0]!.pValue);
    expect(scores[0]!.logLikelihoodPerCell).toBeCloseTo(scores[0]!.logLikelihood / 30, 12);
    const z = scores[1]!.leaveOneOutZ!.values;
    expect(z.indexOf(Math.max(...z))).toBe(7);
    expect(scores[1]!.topShells.length).toBeGreaterThan(0);
  });

  test('what cannot be computed is refused', async () => {
    const seed = 1n;
    for (const name of ['denoise', 'impute'] as const) {
      expect(await reasonOf(suite.world.call(name, { map, priorId: ABSENT, seed }))).toBe('PRIOR_NOT_FOUND');
    }
    const mixed = { maps: [noiseMap(2, 2), noiseMap(2, 3)] };
    expect(await reasonOf(suite.world.call('score', mixed))).toBe('SHAPE_MISMATCH');
    expect(await reasonOf(suite.world.call('score', { maps: [map.grid], priorId: ABSENT }))).toBe(
      'PRIOR_NOT_FOUND',
    );
    const { priorId } = (await fitted('other-shape')).prior!;
    const other = { grid: noiseMap(5, 6) };
    expect(await reasonOf(suite.world.call('denoise', { map: other, priorId }))).toBe('SHAPE_MISMATCH');
  });
});

describe('a map', () => {
  const cells = [3, -1, 4, -1, 5, -9, 2, 6, -5, 3, 5, 8, -9, 7, 9, -3];
  const gridOf = (values: number[]) => ({ rows: 2, cols: 8, values });
  const twelve = Uint8Array.of(0xff, 0x0f);

  /** What Denoise and Impute make of a map, whose last four cells are not observed for Impute. */
  const both = async (values: number[], change: object, { noise = 1, priorId = '' } = {}) => {
    const map = { grid: gridOf(values), ...change };
    const denoised = await suite.world.call('denoise', { map, sigma: noise, samples: 1, priorId });
    const holed = { ...map, observed: twelve };
    return { denoised, imputed: await suite.world.call('impute', { map: holed, noise, seed: 1n, priorId }) };
  };

  test.each([
    ['ABSOLUTE', NegativePolicy.ABSOLUTE, cells.map(Math.abs)],
    ['SHIFT_TO_MIN', NegativePolicy.SHIFT_TO_MIN, cells.map((cell) => cell + 9)],
  ])('has its negative policy %s applied before all else', async (_name, negativePolicy, wanted) => {
    expect(await both(cells, { negativePolicy })).toEqual(await both(wanted, {}));
  });

  test('is not refused by REJECT for a cell that was not observed', async () => {
    const hidden = cells.map((cell, at) => (at < 12 ? Math.abs(cell) : cell));
    const map = { grid: gridOf(hidden), observed: twelve, negativePolicy: NegativePolicy.REJECT };
    const { mean } = await suite.world.call('impute', { map, seed: 1n });
    expect(mean!.values[0]).toBeCloseTo(3, 5);
    const refusal = await refusalOf(
      suite.world.call('denoise', { map: { ...map, observed: new Uint8Array() } }),
    );
    expect(refusal.violations[0]).toEqual({
      field: 'map.grid',
      description: 'cell 12 is negative, which negative_policy REJECT refuses',
    });
  });

  test.each([
    ['kJ', 1e3],
    ['MJ', 1e6],
    ['Wh', 3600],
    ['kWh', 3.6e6],
    ['MWh', 3.6e9],
    ['1', 1],
  ])('in %s is read in joules, %d each, and so is its noise', async (unit, factor) => {
    const maps = Array.from({ length: 8 }, () => noiseMap(2, 8, 5 * factor));
    const { priorId } = (await fitted(`in-${unit}`, maps)).prior!;
    const given = await both(cells, { unit }, { priorId });
    const joules = cells.map((cell) => cell * factor);
    const wanted = await both(joules, {}, { priorId, noise: factor });
    expect(given.denoised.sigma).toBe(factor);
    for (const [one, other] of [
      [given.denoised.mean, wanted.denoised.mean],
      [given.denoised.samples[0], wanted.denoised.samples[0]],
      [given.imputed.mean, wanted.imputed.mean],
      [given.imputed.samples[0], wanted.imputed.samples[0]],
    ]) {
      expect(Math.max(...other!.values)).toBeGreaterThan(factor);
      for (const [at, cell] of one!.values.entries())
        expect(Math.abs(cell - other!.values[at]!)).toBeLessThan(1e-5 * factor);
    }
  });

  test('with a cell beyond single precision in joules is refused', async () => {
    const refusal = await refusalOf(both([3e38, ...cells.slice(1)], { unit: 'MWh' }));
    expect(refusal.violations.map(({ field }) => field)).toEqual(['map.grid']);
  });
});
