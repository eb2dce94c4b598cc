/** DiffusionService on a store and worker threads: every RPC but those that infer from a map, what it gives and what it refuses. */
import { describe, expect, test } from '@jest/globals';
import {
  MeanSource,
  type SampleResponse,
  SamplerKind,
  type SampleStreamResponse,
} from '../../src/gen/homeostat/diffusion/v1/diffusion_service_pb.ts';
import { Boundary } from '../../src/gen/homeostat/type/v1/grid_pb.ts';
import { createWorkerPool } from '../../src/numeric/worker-pool.ts';
import { createRandom } from '../../src/random.ts';
import { useDiffusionSuite } from './diffusion-suite.ts';
import { createDiffusionWorld, type DiffusionWorld, reasonOf } from './diffusion-world.ts';

const suite = useDiffusionSuite();

const random = createRandom(1);
const noiseMap = (rows: number, cols: number) => ({
  rows,
  cols,
  values: Array.from({ length: rows * cols }, () => Math.fround(random.normal())),
});
const MAPS = Array.from({ length: 12 }, () => noiseMap(6, 5));
const fitted = (idempotencyKey: string, change = {}) =>
  suite.world.call('fitPrior', { idempotencyKey, maps: MAPS, boundary: Boundary.PERIODIC, ...change });
/** First cells of the first map; they may change only with a change that says so. */
const PINNED = [0.33066627383232117, 0.22466498613357544, -0.6343212723731995];
const ABSENT = '00000000-0000-7000-8000-000000000000';

/** The request diffusion is judged by: 16 x 16, 10 steps, guidance 1, temperature 1, seed 42. */
const SPEC = {
  rows: 16,
  cols: 16,
  samples: 4,
  numInferenceSteps: 10,
  sampler: SamplerKind.DDPM,
  guidance: [{ weight: 1, functional: { case: 'quadratic' as const, value: { stiffness: 1 } } }],
  temperature: 1,
  seed: 42n,
};

async function read(answers: AsyncIterable<SampleStreamResponse>) {
  const progress = [];
  let result: SampleResponse | undefined;
  for await (const { event } of answers) {
    if (event.case === 'progress') progress.push(event.value);
    else if (event.case === 'result') result = event.value;
  }
  return { progress, result };
}

test('samples of a prior far from mean 0 and deviation 1 have its mean and deviation, from its own start', async () => {
  const joules = MAPS.map((map) => ({ ...map, values: map.values.map((value) => 3000 + 1000 * value) }));
  const { prior } = await fitted('joules', { maps: joules });
  for (const sampler of [SamplerKind.EXACT_FLOW, SamplerKind.DDPM]) {
    const spec = { priorId: prior!.priorId, samples: 64, numInferenceSteps: 200, seed: 7n, sampler };
    const { samples } = await suite.world.call('sample', { spec });
    const cells = samples.flatMap(({ grid }) => grid!.values);
    const mean = cells.reduce((sum, cell) => sum + cell / cells.length, 0);
    const variance = cells.reduce((sum, cell) => sum + (cell - mean) ** 2 / cells.length, 0);
    expect(Math.abs(mean - prior!.card!.meanTotal / 30)).toBeLessThan(100);
    expect(variance / prior!.card!.siteVariance).toBeGreaterThan(0.85);
    expect(variance / prior!.card!.siteVariance).toBeLessThan(1.15);
  }
});

describe('Sample', () => {
  test('diffuse request: the same bits on repeat, from Sample and SampleStream, on 1 or 8 workers', async () => {
    const first = await suite.world.call('sample', { spec: SPEC });
    expect(first.samples).toHaveLength(4);
    expect(first.samples[0]!.grid!.values.slice(0, 3)).toEqual(PINNED);
    expect(await suite.world.call('sample', { spec: SPEC })).toEqual(first);
    const eight = createWorkerPool({ threads: 8, queueMax: 8 });
    try {
      expect(await createDiffusionWorld(suite.store, eight).call('sample', { spec: SPEC })).toEqual(first);
    } finally {
      await eight.close();
    }
    for (const every of [3, 1000]) {
      const { result } = await read(suite.world.stream('sampleStream', { spec: SPEC, every }));
      expect(result).toEqual(first);
    }
    const one = await suite.world.call('sample', { spec: { ...SPEC, samples: 1 } });
    expect(one.samples).toEqual(first.samples.slice(0, 1));
  });

  test('says of each map its total and its density', async () => {
    const { samples, priorVersion } = await suite.world.call('sample', { spec: SPEC });
    expect(priorVersion).toBe(0n);
    for (const { grid, totalEnergy, logLikelihood } of samples) {
      const sum = grid!.values.reduce((total, cell) => total + cell, 0);
      expect(sum).toBeCloseTo(totalEnergy, 3);
      expect(logLikelihood).toBeLessThan(0);
    }
  });

  test('holds a total exactly, and then has no density', async () => {
    const guidance = [{ functional: { case: 'totalEnergy' as const, value: { total: 7, cellArea: 0.5 } } }];
    const { samples } = await suite.world.call('sample', { spec: { ...SPEC, guidance } });
    for (const { totalEnergy, logLikelihood } of samples) {
      expect(totalEnergy).toBeCloseTo(14, 9);
      expect(logLikelihood).toBeUndefined();
    }
  });

  test('comes closer to a target the more it weighs, and travels as the target did', async () => {
    const target = new Float32Array(256).fill(5);
    const off = async (weight: number) => {
      const value = { target: { rows: 16, cols: 16, rawValues: new Uint8Array(target.buffer) } };
      const guidance = [{ weight, functional: { case: 'quadratic' as const, value } }];
      const { samples } = await suite.world.call('sample', { spec: { ...SPEC, guidance } });
      const cells = new Float32Array(samples[0]!.grid!.rawValues.slice().buffer);
      return cells.reduce((sum, cell) => sum + (cell - 5) ** 2, 0);
    };
    expect(await off(100)).toBeLessThan((await off(1)) / 4);
  });

  test.each([
    [
      'a total beyond single precision',
      { ...SPEC, guidance: [{ functional: { case: 'totalEnergy' as const, value: { total: 1e300 } } }] },
      'FIELD_INVALID',
    ],
    ['an unknown prior', { ...SPEC, priorId: ABSENT }, 'PRIOR_NOT_FOUND'],
    [
      'a target of another shape',
      {
        ...SPEC,
        guidance: [{ functional: { case: 'quadratic' as const, value: { target: noiseMap(2, 2) } } }],
      },
      'SHAPE_MISMATCH',
    ],
    [
      'an energy that outgrows the prior',
      {
        ...SPEC,
        guidance: [{ functional: { case: 'ginzburgLandau' as const, value: { tension: 0, mass: -100 } } }],
      },
      'GUIDANCE_UNBOUNDED',
    ],
    [
      'too much work',
      { rows: 1024, cols: 1024, samples: 3, numInferenceSteps: 1000, seed: 1n },
      'WORK_TOO_LARGE',
    ],
    [
      'too large a reply',
      { rows: 1024, cols: 1024, samples: 64, numInferenceSteps: 1, seed: 1n },
      'WORK_TOO_LARGE',
    ],
  ])('is refused with %s', async (_what, spec, reason) => {
    expect(await reasonOf(suite.world.call('sample', { spec }))).toBe(reason);
    expect(await reasonOf(read(suite.world.stream('sampleStream', { spec, every: 1 })))).toBe(reason);
  });
});

describe('particles', () => {
  const quartic = (value: number, weight = 1) => [
    {
      weight,
      functional: { case: 'ginzburgLandau' as const, value: { tension: 1, mass: -2, quartic: value } },
    },
  ];

  test('follow a quartic, the same from Sample and SampleStream, and say how they fared', async () => {
    const spec = { ...SPEC, rows: 6, cols: 6, guidance: quartic(1) };
    const found = await suite.world.call('sample', { spec });
    expect(found.particles!.finalEffective).toBeGreaterThanOrEqual(4);
    expect(found.particles!.minEffective).toBeLessThanOrEqual(found.particles!.finalEffective);
    expect(Number.isFinite(found.particles!.logNormalizer)).toBe(true);
    expect(found.samples).toHaveLength(4);
    expect(found.samples[0]!.logLikelihood).toBeUndefined();
    const { progress, result } = await read(suite.world.stream('sampleStream', { spec, every: 1 }));
    expect(result).toEqual(found);
    expect(progress).toEqual([]);
  });

  test('follow a spectrum', async () => {
    const value = { stiffness: 5, powers: [1, 1, 1] };
    const guidance = [{ functional: { case: 'targetSpectrum' as const, value } }];
    const { samples } = await suite.world.call('sample', { spec: { ...SPEC, guidance } });
    expect(samples).toHaveLength(4);
  });

  test('that are lost on the way are told, not answered with', async () => {
    const value = { stiffness: 1e6, powers: [0, 1e-3, 50, 1e-3, 50] };
    const guidance = [{ weight: 100, functional: { case: 'targetSpectrum' as const, value } }];
    const spec = { ...SPEC, numInferenceSteps: 2, particles: 8, guidance };
    expect(await reasonOf(suite.world.call('sample', { spec }))).toBe('GUIDANCE_DEGENERATE');
  });

  test('have a bound on their cells', async () => {
    const spec = {
      ...SPEC,
      rows: 512,
      cols: 512,
      numInferenceSteps: 1,
      particles: 1024,
      guidance: quartic(1),
    };
    expect(await reasonOf(suite.world.call('sample', { spec }))).toBe('WORK_TOO_LARGE');
  });
});

describe('SampleStream', () => {
  test('shows each map as it forms', async () => {
    const { progress } = await read(
      suite.world.stream('sampleStream', { spec: { ...SPEC, samples: 2 }, every: 4 }),
    );
    expect(progress.map(({ sample, step }) => [sample, step])).toEqual([
      [0, 4],
      [0, 8],
      [0, 10],
      [1, 4],
      [1, 8],
      [1, 10],
    ]);
    expect(progress.map(({ fraction }) => fraction)).toEqual([0.2, 0.4, 0.5, 0.7, 0.9, 1]);
    expect(progress[2]!.level).toBe(1);
    expect(progress[0]!.level).toBeLessThan(progress[1]!.level);
  });

  test('a reader that leaves ends it', async () => {
    for await (const { event } of suite.world.stream('sampleStream', { spec: SPEC, every: 1 })) {
      expect(event.case).toBe('progress');
      break;
    }
  });
});

describe('Optimize', () => {
  const doubleWell = [
    { functional: { case: 'ginzburgLandau' as const, value: { tension: 1, mass: -1, quartic: 1 } } },
  ];
  const search = async (request: Parameters<DiffusionWorld['stream']>[1]) => {
    const progress = [];
    for await (const { event } of suite.world.stream('optimize', request as { seed?: bigint })) {
      if (event.case === 'result') return { progress, result: event.value };
      if (event.case === 'progress') progress.push(event.value);
    }
    throw new Error('ended without a result');
  };

  test('finds a map of least energy, falling all the way, and the same one again', async () => {
    const request = { rows: 6, cols: 7, objective: doubleWell, tolerance: 1e-6, seed: 3n };
    const { progress, result } = await search(request);
    expect(result.converged).toBe(true);
    expect(result.energy).toBeCloseTo(-42 / 4, 6);
    for (const cell of result.grid!.values) expect(Math.abs(cell)).toBeCloseTo(1, 4);
    const energies = progress.map(({ energy }) => energy);
    expect(energies).toEqual([...energies].sort((a, b) => b - a));
    expect(result.trace).toEqual(energies);
    expect(progress.at(-1)!.iteration).toBe(result.iterations);
    expect((await search(request)).result).toEqual(result);
  });

  test('ends where it may iterate no more, starts where it is told, and travels as it came', async () => {
    const cells = new Float32Array(6).fill(0.5);
    const start = { rows: 2, cols: 3, rawValues: new Uint8Array(cells.buffer) };
    const { result } = await search({ start, objective: doubleWell, iterations: 1, tolerance: 1e-12 });
    expect(result).toMatchObject({ converged: false, iterations: 1 });
    expect(result.grid!.rawValues).toHaveLength(24);
  });

  test('what cannot be is refused', async () => {
    const refused = (change: object) =>
      reasonOf(search({ rows: 2, cols: 2, objective: doubleWell, ...change }));
    expect(await refused({ priorId: ABSENT })).toBe('PRIOR_NOT_FOUND');
    expect(await refused({ start: noiseMap(3, 3) })).toBe('SHAPE_MISMATCH');
    expect(await refused({ rows: 1024, cols: 1024, iterations: 1000 })).toBe('WORK_TOO_LARGE');
  });
});

describe('priors', () => {
  test('a fitted one is announced, found, listed and drawn from', async () => {
    const { prior } = await fitted('first');
    expect(prior).toMatchObject({ rows: 6, cols: 5, version: 1n });
    expect(prior!.card).toMatchObject({
      mapCount: 12,
      meanSource: MeanSource.CLIMATOLOGY,
      boundary: Boundary.PERIODIC,
      shrinkage: 0.4,
    });
    expect(prior!.card!.siteVariance).toBeGreaterThan(0.7);
    expect(prior!.card!.siteVariance).toBeLessThan(1.3);
    expect(suite.world.announced.at(-1)!.prior).toEqual(prior);
    const { priorId } = prior!;
    expect((await suite.world.call('getPrior', { priorId })).prior).toEqual(prior);
    const spec = { priorId, seed: 3n };
    const { samples, priorVersion } = await suite.world.call('sample', { spec });
    expect(samples[0]!.grid).toMatchObject({ rows: 6, cols: 5 });
    expect(priorVersion).toBe(1n);
    const wrong = suite.world.call('sample', { spec: { ...spec, rows: 5 } });
    expect(await reasonOf(wrong)).toBe('SHAPE_MISMATCH');
  });

  test('the same command again gives the same prior, announced once; another under its key is refused', async () => {
    const before = suite.world.announced.length;
    const [first, second] = [await fitted('again'), await fitted('again')];
    expect(second).toEqual(first);
    expect(suite.world.announced).toHaveLength(before + 1);
    const other = fitted('again', { boundary: Boundary.NEUMANN });
    expect(await reasonOf(other)).toBe('IDEMPOTENCY_KEY_REUSED');
  });

  test('takes its mean from where it is told', async () => {
    const mean = { rows: 6, cols: 5, values: Array(30).fill(2) };
    const given = await fitted('given', { meanSource: MeanSource.GIVEN, mean });
    expect(given.prior!.card!.meanTotal).toBe(60);
    expect(await reasonOf(fitted('unused', { mean }))).toBe('FIELD_INVALID');
    expect(await reasonOf(fitted('missing', { meanSource: MeanSource.GIVEN }))).toBe('FIELD_INVALID');
  });

  test('too few maps, or maps of two shapes, are refused', async () => {
    expect(await reasonOf(fitted('few', { maps: MAPS.slice(0, 7) }))).toBe('TOO_FEW_MAPS');
    const mixed = [...MAPS.slice(0, 8), noiseMap(5, 6)];
    expect(await reasonOf(fitted('mixed', { maps: mixed }))).toBe('SHAPE_MISMATCH');
    const broken = [...MAPS, { rows: 6, cols: 5, values: [1] }];
    expect(await reasonOf(fitted('broken', { maps: broken }))).toBe('FIELD_INVALID');
  });

  test('are listed newest first, page by page', async () => {
    await fitted('listed-1');
    await fitted('listed-2');
    const all = (await suite.world.call('listPriors', {})).priors.map(({ priorId }) => priorId);
    expect(all).toEqual([...all].sort().reverse());
    const first = await suite.world.call('listPriors', { page: { pageSize: 2 } });
    const rest = await suite.world.call('listPriors', {
      page: { pageSize: 500, pageToken: first.nextPageToken },
    });
    expect([...first.priors, ...rest.priors].map(({ priorId }) => priorId)).toEqual(all);
    expect(rest.nextPageToken).toBe('');
    expect(await reasonOf(suite.world.call('listPriors', { page: { pageToken: 'x' } }))).toBe(
      'FIELD_INVALID',
    );
  });

  test('are deleted at their version, once', async () => {
    const { priorId } = (await fitted('doomed')).prior!;
    const remove = (version: bigint, idempotencyKey = '') =>
      suite.world.call('deletePrior', { priorId, version, idempotencyKey });
    expect(await reasonOf(remove(2n))).toBe('VERSION_CONFLICT');
    await remove(1n, 'delete');
    await remove(1n, 'delete');
    const other = (await fitted('spared')).prior!.priorId;
    const reused = suite.world.call('deletePrior', { priorId: other, version: 1n, idempotencyKey: 'delete' });
    expect(await reasonOf(reused)).toBe('IDEMPOTENCY_KEY_REUSED');
    expect((await suite.world.call('getPrior', { priorId: other })).prior!.priorId).toBe(other);
    expect(await reasonOf(remove(1n))).toBe('PRIOR_NOT_FOUND');
    expect(await reasonOf(suite.world.call('getPrior', { priorId }))).toBe('PRIOR_NOT_FOUND');
  });

  test('fitting and deleting are audited with the prior they were about', async () => {
    const audited: string[] = [];
    const audit = async (_tx: unknown, resource: string) => {
      audited.push(resource);
    };
    const { prior } = await suite.world.call(
      'fitPrior',
      { idempotencyKey: 'audited', maps: MAPS },
      { audit },
    );
    const { priorId } = prior!;
    await suite.world.call('deletePrior', { priorId, version: 1n }, { audit });
    expect(audited).toEqual([priorId, priorId]);
  });
});
