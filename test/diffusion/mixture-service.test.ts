/** DiffusionService with a mixture for a prior, random searches, guided imputation, its models and its metrics. */
import { beforeAll, describe, expect, test } from '@jest/globals';
import {
  ImputeMethod,
  OptimizeMethod,
  type OptimizeResult,
  SamplerKind,
} from '../../src/gen/homeostat/diffusion/v1/diffusion_service_pb.ts';
import { Boundary } from '../../src/gen/homeostat/type/v1/grid_pb.ts';
import { createRandom } from '../../src/random.ts';
import { useDiffusionSuite } from './diffusion-suite.ts';
import { reasonOf } from './diffusion-world.ts';

const suite = useDiffusionSuite();
let priorId: string;

const random = createRandom(8);
/** Maps about +4 and, half as many, about -4. */
const map = (center: number) => ({
  rows: 6,
  cols: 6,
  values: Array.from({ length: 36 }, () => Math.fround(center + random.normal())),
});
const MAPS = Array.from({ length: 240 }, (_, n) => map(n % 3 === 0 ? -4 : 4));

beforeAll(async () => {
  const request = { idempotencyKey: 'm', maps: MAPS, boundary: Boundary.PERIODIC, components: 3 };
  priorId = (await suite.world.call('fitPrior', request)).prior!.priorId;
});

describe('a mixture', () => {
  test('tells its components, heaviest first, and is found again with them', async () => {
    const { card } = (await suite.world.call('getPrior', { priorId })).prior!;
    expect(card!.components.map(({ weight }) => weight)).toEqual([
      expect.closeTo(2 / 3, 6),
      expect.closeTo(1 / 3, 6),
    ]);
    expect(card!.components[0]!.meanTotal / 36).toBeCloseTo(4, 0);
    expect(card!.components[1]!.meanTotal / 36).toBeCloseTo(-4, 0);
    expect(card!.siteVariance).toBeGreaterThan(10);
    expect(card!.components[0]!.siteVariance).toBeLessThan(2);
  });

  test('is sampled from both wells, to the same bits from Sample and SampleStream', async () => {
    const spec = { priorId, samples: 12, numInferenceSteps: 30, seed: 4n };
    const found = await suite.world.call('sample', { spec });
    const signs = found.samples.map(({ totalEnergy }) => Math.sign(totalEnergy));
    expect(new Set(signs)).toEqual(new Set([1, -1]));
    for (const { totalEnergy, logLikelihood } of found.samples) {
      expect(Math.abs(Math.abs(totalEnergy) / 36 - 4)).toBeLessThan(1.5);
      expect(logLikelihood).toBeLessThan(0);
    }
    for await (const { event } of suite.world.stream('sampleStream', { spec, every: 11 }))
      if (event.case === 'result') expect(event.value).toEqual(found);
  });

  test('guided by a target goes to the well that is near it', async () => {
    const value = { stiffness: 1, target: map(-3) };
    const guidance = [{ functional: { case: 'quadratic' as const, value } }];
    const { samples } = await suite.world.call('sample', {
      spec: { priorId, samples: 8, guidance, seed: 4n },
    });
    for (const { totalEnergy } of samples) expect(totalEnergy).toBeLessThan(0);
  });

  test('heated is sampled by particles', async () => {
    const spec = { priorId, samples: 4, temperature: 2, numInferenceSteps: 10, seed: 4n };
    const { particles, samples } = await suite.world.call('sample', { spec });
    expect(particles!.finalEffective).toBeGreaterThan(16);
    expect(samples).toHaveLength(4);
  });

  test('has no exact flow, and too many observed cells cannot be weighed', async () => {
    const spec = { priorId, sampler: SamplerKind.EXACT_FLOW, seed: 1n };
    expect(await reasonOf(suite.world.call('sample', { spec }))).toBe('GAUSSIAN_NEEDED');
    const pattern = Array.from({ length: 33 * 32 }, () => 4 * random.normal());
    const maps = Array.from({ length: 24 }, (_, n) => ({
      rows: 33,
      cols: 32,
      values: pattern.map((cell) => (n % 2 === 0 ? cell : -cell) + random.normal()),
    }));
    const request = { idempotencyKey: 'large', maps, boundary: Boundary.PERIODIC, components: 2 };
    const large = (await suite.world.call('fitPrior', request)).prior!;
    expect(large.card!.components).toHaveLength(2);
    const asked = { map: { grid: maps[0]! }, priorId: large.priorId, seed: 1n };
    expect(await reasonOf(suite.world.call('impute', asked))).toBe('GAUSSIAN_NEEDED');
  });

  test('is not fitted to more than fits in memory', async () => {
    const large = { rows: 1024, cols: 512, rawValues: new Uint8Array(4 * 1024 * 512) };
    const maps = Array.from({ length: 9 }, () => large);
    const asked = suite.world.call('fitPrior', { idempotencyKey: 'huge', maps, components: 2 });
    expect(await reasonOf(asked)).toBe('WORK_TOO_LARGE');
  });

  test('says which component is behind a map, noisy, in part, or as it is', async () => {
    const grid = map(-4);
    const denoised = await suite.world.call('denoise', { map: { grid }, priorId, sigma: 0.5, samples: 1 });
    expect(denoised.responsibilities).toEqual([expect.closeTo(0, 6), expect.closeTo(1, 6)]);
    const observed = Uint8Array.of(3, 0, 0, 0, 0);
    const imputed = await suite.world.call('impute', { map: { grid, observed }, priorId, seed: 1n });
    expect(imputed.responsibilities[1]).toBeGreaterThan(0.99);
    const { scores } = await suite.world.call('score', { maps: [grid, map(4)], priorId });
    expect(scores.map(({ responsibilities }) => responsibilities[0]! > 0.5)).toEqual([false, true]);
  });
});

describe('a guided imputation', () => {
  test('keeps what was observed without noise, and is refused where there is too much to do', async () => {
    const grid = map(0);
    const observed = Uint8Array.of(0x55, 0x55, 0x55, 0x55, 0x05);
    const request = { map: { grid, observed }, method: ImputeMethod.GUIDED, samples: 3, seed: 5n };
    const found = await suite.world.call('impute', request);
    for (const sample of found.samples) expect(sample.values[0]).toBeCloseTo(grid.values[0]!, 4);
    expect(found.sd!.values[1]).toBeGreaterThan(0);
    expect(await suite.world.call('impute', request)).toEqual(found);
    const large = { rows: 512, cols: 512, rawValues: new Uint8Array(4 * 512 * 512) };
    const much = suite.world.call('impute', { ...request, map: { grid: large }, numInferenceSteps: 1000 });
    expect(await reasonOf(much)).toBe('WORK_TOO_LARGE');
  });
});

describe('a random search', () => {
  const objective = [
    { functional: { case: 'ginzburgLandau' as const, value: { tension: 0.5, mass: -4, quartic: 4 } } },
    {
      weight: 0.3,
      functional: { case: 'quadratic' as const, value: { target: { ...map(0), values: Array(36).fill(1) } } },
    },
  ];
  const start = { rows: 6, cols: 6, values: Array(36).fill(-1) };
  const search = async (change: object) => {
    const progress = [];
    let result: OptimizeResult | undefined;
    for await (const { event } of suite.world.stream('optimize', { start, objective, seed: 3n, ...change })) {
      if (event.case === 'result') result = event.value;
      if (event.case === 'progress') progress.push(event.value);
    }
    if (result) return { progress, result };
    throw new Error('ended without a result');
  };

  test.each([OptimizeMethod.ANNEALING, OptimizeMethod.BOLTZMANN])(
    '%d ends lower than descent, and the same again',
    async (method) => {
      const descent = await search({ tolerance: 1e-5 });
      const { progress, result } = await search({ method, iterations: 100, tolerance: 1e-5 });
      expect(result.energy).toBeLessThan(descent.result.energy - 5);
      expect(result.converged).toBe(true);
      expect(progress[0]).toMatchObject({ iteration: 10, slope: 0 });
      expect(progress[0]!.acceptance).toBeGreaterThan(0);
      const heats = progress.flatMap(({ temperature }) => temperature ?? []);
      expect(heats).toEqual([...heats].sort((a, b) => b - a));
      expect(progress.at(-1)!.temperature).toBeUndefined();
      expect((await search({ method, iterations: 100, tolerance: 1e-5 })).result).toEqual(result);
    },
  );

  test('of one iteration is one sweep; under a mixture its density counts', async () => {
    const { result } = await search({ method: OptimizeMethod.ANNEALING, iterations: 1 });
    expect(result.iterations).toBe(1);
    const value = { stiffness: 1e-6 };
    const almost = [{ functional: { case: 'quadratic' as const, value } }];
    const near = await search({ objective: almost, priorId, priorWeight: 1, tolerance: 1e-6 });
    expect(Math.abs(near.result.grid!.values.reduce((a, b) => a + b, 0) / 36 + 4)).toBeLessThan(1);
  });

  test('is refused where its moves are too much work, and canceled frees its worker', async () => {
    const rows = 512;
    const work = search({
      start: undefined,
      rows,
      cols: rows,
      objective: [objective[0]],
      priorWeight: 1,
      method: 1,
    });
    expect(await reasonOf(work)).toBe('WORK_TOO_LARGE');
    const canceled = new AbortController();
    const request = { start, objective, iterations: 1000, method: OptimizeMethod.BOLTZMANN };
    const answers = suite.world.stream('optimize', request, canceled.signal);
    await answers.next();
    const reason = new Error('gone');
    canceled.abort(reason);
    const rest = async () => {
      while (!(await answers.next()).done); // What was told before may still come.
    };
    await expect(rest()).rejects.toBe(reason);
    expect((await suite.world.call('score', { maps: [start] })).scores).toHaveLength(1);
  });
});

describe('the models', () => {
  test('are the noise predictors of the standard prior and of every other', async () => {
    const [standard, ...others] = await suite.world.diffusion.models();
    expect(standard).toMatchObject({
      name: 'diffusion.standard',
      version: '1',
      inputs: [
        { name: 'x', datatype: 'FP32', shape: [-1, -1] },
        { name: 'level', datatype: 'FP64', shape: [1] },
      ],
      outputs: [{ name: 'epsilon', datatype: 'FP32', shape: [-1, -1] }],
    });
    const model = others.find(({ name }) => name === `diffusion.prior.${priorId}`)!;
    const signal = new AbortController().signal;
    const x = { name: 'x', datatype: 'FP32', shape: [6, 6], data: new Float32Array(36).fill(4) } as const;
    const level = { name: 'level', datatype: 'FP64', shape: [1], data: Float64Array.of(0.999) } as const;
    const [epsilon] = await model.infer([x, level], signal);
    expect(epsilon).toMatchObject({ name: 'epsilon', shape: [6, 6] });
    // A map like those it was fitted to has little noise in it, one between them has.
    const size = (data: ArrayLike<number>) => Array.from(data).reduce((sum, value) => sum + value * value, 0);
    const [between] = await model.infer([{ ...x, data: new Float32Array(36) }, level], signal);
    expect(size(epsilon!.data)).toBeLessThan(size(between!.data) / 2);
    for (const faulty of [
      [x],
      [{ ...x, shape: [4, 9] }, level],
      [{ ...x, data: new Float32Array(35) }, level],
      [x, { ...level, data: Float64Array.of(1) }],
    ])
      await expect(model.infer(faulty, signal)).rejects.toThrow(RangeError);
  });
});

test('calls are counted by method, refusals by reason', async () => {
  const exposition = await suite.world.metrics.exposition();
  expect(exposition).toMatch(/homeostat_diffusion_calls_total\{method="sample"\} [1-9]/);
  expect(exposition).toMatch(/homeostat_diffusion_calls_total\{method="optimize"\} [1-9]/);
  expect(exposition).toContain('homeostat_diffusion_refused_total{reason="GAUSSIAN_NEEDED"} 2');
  expect(exposition).toContain('homeostat_diffusion_refused_total{reason="CANCELED"} 1');
  expect(exposition).toMatch(/homeostat_diffusion_call_seconds_count [1-9]/);
});
