/** What DiffusionService refuses: every fault of a field with its path, and what no request may cost. */
import { describe, expect, test } from '@jest/globals';
import { createSpectralGrid, stiffness } from '../../src/diffusion/prior/modes.ts';
import { SamplerKind } from '../../src/gen/homeostat/diffusion/v1/diffusion_service_pb.ts';
import { Boundary, NegativePolicy } from '../../src/gen/homeostat/type/v1/grid_pb.ts';
import { createWorkerPool } from '../../src/numeric/worker-pool.ts';
import { useDiffusionSuite } from './diffusion-suite.ts';
import { createDiffusionWorld, type DiffusionHandlers, refusalOf } from './diffusion-world.ts';

const suite = useDiffusionSuite();

type Name = Exclude<keyof DiffusionHandlers, 'getPrior' | 'listPriors' | 'deletePrior'>;
const GRID = { rows: 2, cols: 3, values: [1, 2, 3, 4, 5, 6] };
const OBJECTIVE = [{ functional: { case: 'quadratic', value: {} } }];
const MAPS = Array.from({ length: 8 }, () => GRID);

/** A request of each RPC that is answered. */
const GOOD: Readonly<Record<Name, object>> = {
  sample: { spec: { rows: 2, cols: 3, seed: 1n } },
  sampleStream: { spec: { rows: 2, cols: 3, seed: 1n } },
  denoise: { map: { grid: GRID } },
  impute: { map: { grid: GRID }, noise: 1, seed: 1n },
  score: { maps: [GRID] },
  optimize: { start: GRID, objective: OBJECTIVE },
  fitPrior: { idempotencyKey: 'good', maps: MAPS },
};
const NAMES = Object.keys(GOOD) as Name[];

async function pathsOf(name: Name, change: object): Promise<string[]> {
  const refusal = await refusalOf(suite.world.ask(name, { ...GOOD[name], ...change }));
  expect([refusal.kind, refusal.reason]).toEqual(['INVALID_ARGUMENT', 'FIELD_INVALID']);
  return refusal.violations.map(({ field }) => field);
}

test.each(NAMES)('the request of %s that the faults below are put into is a good one', async (name) => {
  expect(await suite.world.ask(name, GOOD[name])).not.toHaveLength(0);
});

describe('a faulty grid is refused with its path,', () => {
  const bytes = (...cells: number[]) => new Uint8Array(Float32Array.from(cells).buffer);
  const FAULTS: ReadonlyArray<readonly [what: string, grid: object, path: string]> = [
    ['NaN', { ...GRID, values: [1, NaN, 3, 4, 5, 6] }, '.values[1]'],
    ['Infinity', { ...GRID, values: [1, 2, 3, 4, 5, Infinity] }, '.values[5]'],
    ['-Infinity', { ...GRID, values: [-Infinity, 2, 3, 4, 5, 6] }, '.values[0]'],
    ['raw NaN', { ...GRID, values: [], rawValues: bytes(1, 2, NaN, 4, 5, 6) }, '.raw_values'],
    ['raw Infinity', { ...GRID, values: [], rawValues: bytes(1, 2, 3, 4, 5, -Infinity) }, '.raw_values'],
    ['too few cells', { ...GRID, values: [1, 2, 3, 4, 5] }, '.values'],
    ['too many cells', { ...GRID, values: [1, 2, 3, 4, 5, 6, 7] }, '.values'],
    ['too few bytes', { ...GRID, values: [], rawValues: bytes(1, 2, 3, 4, 5) }, '.raw_values'],
    ['half a cell', { ...GRID, values: [], rawValues: new Uint8Array(23) }, '.raw_values'],
    ['cells twice', { ...GRID, rawValues: bytes(1, 2, 3, 4, 5, 6) }, ''],
    ['no cells', { ...GRID, values: [] }, ''],
    ['no rows', { ...GRID, rows: 0 }, '.rows'],
    ['no columns', { ...GRID, cols: 0 }, '.cols'],
    ['1,025 rows', { ...GRID, rows: 1025 }, '.rows'],
    ['1,025 columns', { ...GRID, cols: 1025 }, '.cols'],
  ];
  const guided = (target: object) => [{ functional: { case: 'quadratic', value: { target } } }];
  const guidedSpec = (target: object) => ({ spec: { rows: 2, cols: 3, seed: 1n, guidance: guided(target) } });
  const PLACES: ReadonlyArray<readonly [Name, path: string, put: (grid: object) => object]> = [
    ['sample', 'spec.guidance[0].quadratic.target', guidedSpec],
    ['sampleStream', 'spec.guidance[0].quadratic.target', guidedSpec],
    ['denoise', 'map.grid', (grid) => ({ map: { grid } })],
    ['impute', 'map.grid', (grid) => ({ map: { grid } })],
    ['score', 'maps[1]', (grid) => ({ maps: [GRID, grid] })],
    ['optimize', 'start', (start) => ({ start })],
    ['optimize', 'objective[0].quadratic.target', (grid) => ({ objective: guided(grid) })],
    ['fitPrior', 'maps[8]', (grid) => ({ maps: [...MAPS, grid] })],
    ['fitPrior', 'mean', (mean) => ({ mean, meanSource: 3 })],
  ];
  test.each(PLACES)('of %s at %s', async (name, path, put) => {
    for (const [what, grid, below] of FAULTS)
      expect({ what, paths: await pathsOf(name, put(grid)) }).toEqual({ what, paths: [path + below] });
  });
});

describe('a field out of its range or not in its enum is refused with its path,', () => {
  const spec = (change: object) => ({ spec: { rows: 2, cols: 3, seed: 1n, ...change } });
  const energy = (name: string, value: object) => [{ functional: { case: name, value } }];
  const sampling: ReadonlyArray<readonly [path: string, ...changes: object[]]> = [
    ['spec', { spec: undefined }],
    ['spec.rows', spec({ rows: 0 }), spec({ rows: 1025 })],
    ['spec.cols', spec({ cols: 0 }), spec({ cols: 1025 })],
    ['spec.prior_id', spec({ priorId: 'x' })],
    ['spec.samples', spec({ samples: 0 }), spec({ samples: 65 })],
    [
      'spec.num_inference_steps',
      spec({ numInferenceSteps: 0 }),
      spec({ numInferenceSteps: 1001, trainSteps: 10_000 }),
      spec({ numInferenceSteps: 6, trainSteps: 5 }),
    ],
    ['spec.schedule', spec({ schedule: 7 }), spec({ schedule: -1 })],
    [
      'spec.schedule_temperature',
      ...[0, 9e-4, -1, NaN, Infinity].map((scheduleTemperature) => spec({ scheduleTemperature })),
    ],
    ['spec.train_steps', spec({ trainSteps: 1, numInferenceSteps: 1 }), spec({ trainSteps: 10_001 })],
    ['spec.spacing', spec({ spacing: 4 }), spec({ spacing: -1 })],
    ['spec.prediction_type', spec({ predictionType: 4 }), spec({ zeroTerminalSnr: true })],
    ['spec.sampler', spec({ sampler: 8 }), spec({ sampler: -1 })],
    ['spec.eta', ...[-0.1, 1.1, NaN, Infinity].map((eta) => spec({ eta }))],
    ['spec.corrector_steps', spec({ correctorSteps: 11 })],
    ['spec.temperature', ...[0, 1e-7, 1e7, NaN, Infinity].map((temperature) => spec({ temperature }))],
    ['spec.guidance', spec({ guidance: Array(9).fill(OBJECTIVE[0]) })],
    ['spec.guidance[0]', spec({ guidance: [{}] })],
    [
      'spec.guidance[0].weight',
      ...[-1, 101, NaN].map((weight) => spec({ guidance: [{ ...OBJECTIVE[0], weight }] })),
    ],
    [
      'spec.guidance[0].quadratic.stiffness',
      ...[-1, 1e13, NaN].map((stiffness) => spec({ guidance: energy('quadratic', { stiffness }) })),
    ],
    ['spec.guidance[0].total_energy.total', spec({ guidance: energy('totalEnergy', { total: NaN }) })],
    ['spec.guidance[0].total_energy.cell_area', spec({ guidance: energy('totalEnergy', { cellArea: 0 }) })],
    [
      'spec.guidance[0].ginzburg_landau.quartic',
      spec({ guidance: energy('ginzburgLandau', { quartic: -1 }) }),
    ],
    ['spec.guidance[0].target_spectrum.powers', spec({ guidance: energy('targetSpectrum', {}) })],
    [
      'spec.guidance[0].target_spectrum.powers[1]',
      spec({ guidance: energy('targetSpectrum', { powers: [1, -1] }) }),
    ],
    ['spec.seed', spec({ seed: undefined })],
    ['spec.particles', spec({ particles: 7 }), spec({ particles: 1025 })],
  ];
  const map = (change: object) => ({ map: { grid: GRID, ...change } });
  const observed = (...bits: number[]) => map({ observed: Uint8Array.from(bits) });
  const maps: typeof sampling = [
    ['map', { map: undefined }],
    [
      'map.grid',
      { map: {} },
      map({ grid: { ...GRID, values: [1, 2, -3, 4, 5, 6] }, negativePolicy: NegativePolicy.REJECT }),
    ],
    ['map.observed', observed(63, 0), observed(0)],
    ['map.unit', map({ unit: 'W' }), map({ unit: 'j' }), map({ unit: 'a unit that has no such name' })],
    ['map.cell_area', ...[0, -1, NaN, 2].map((cellArea) => map({ cellArea }))],
    ['map.spacing', ...[0, -1, Infinity, 0.5].map((spacing) => map({ spacing }))],
    ['map.boundary', ...[4, -1, Boundary.NEUMANN, Boundary.DIRICHLET].map((boundary) => map({ boundary }))],
    ['map.negative_policy', map({ negativePolicy: 5 }), map({ negativePolicy: -1 })],
    ['prior_id', { priorId: 'x' }],
  ];
  const ROWS: ReadonlyArray<readonly [Name, path: string, ...changes: object[]]> = [
    ...sampling.map((row) => ['sample', ...row] as const),
    ...sampling.map((row) => ['sampleStream', ...row] as const),
    ['sampleStream', 'every', { every: 1001 }],
    ...maps.map((row) => ['denoise', ...row] as const),
    ['denoise', 'map.observed', observed(31)],
    ['denoise', 'sigma', ...[0, 1e-13, -1, 1e13, NaN, Infinity].map((sigma) => ({ sigma }))],
    ['denoise', 'samples', { samples: 65 }],
    ...maps.map((row) => ['impute', ...row] as const),
    ['impute', 'noise', ...[-1, 1e13, NaN, Infinity].map((noise) => ({ noise }))],
    ['impute', 'samples', { samples: 65 }],
    ['impute', 'seed', { seed: undefined }],
    ['impute', 'method', { method: 3 }, { method: -1 }],
    ['impute', 'num_inference_steps', { numInferenceSteps: 0 }, { numInferenceSteps: 1001 }],
    ['score', 'maps', { maps: [] }, { maps: Array(65).fill(GRID) }],
    ['score', 'prior_id', { priorId: 'x' }],
    ['optimize', 'rows', { rows: 1025 }, { start: undefined, cols: 3 }],
    ['optimize', 'cols', { cols: 1025 }, { start: undefined, rows: 2 }],
    ['optimize', 'prior_id', { priorId: 'x' }],
    ['optimize', 'objective', { objective: [] }, { objective: Array(9).fill(OBJECTIVE[0]) }],
    ['optimize', 'objective[0].weight', { objective: [{ ...OBJECTIVE[0], weight: 101 }] }],
    ['optimize', 'objective[0].total_energy.stiffness', { objective: energy('totalEnergy', { total: 1 }) }],
    ['optimize', 'prior_weight', ...[-1, 1e7, NaN].map((priorWeight) => ({ priorWeight }))],
    ['optimize', 'lower', { lower: NaN }, { lower: -Infinity }],
    ['optimize', 'upper', { upper: NaN }, { lower: 1, upper: 0 }],
    ['optimize', 'total', { total: Infinity }, { lower: 0, upper: 1, total: 7 }],
    ['optimize', 'iterations', { iterations: 0 }, { iterations: 1001 }],
    ['optimize', 'tolerance', ...[0, -1, NaN].map((tolerance) => ({ tolerance }))],
    ['optimize', 'method', { method: 4 }, { method: -1 }],
    [
      'fitPrior',
      'idempotency_key',
      ...['', 'ü', 'x'.repeat(65)].map((idempotencyKey) => ({ idempotencyKey })),
    ],
    ['fitPrior', 'maps', { maps: Array(4097).fill(GRID) }],
    ['fitPrior', 'mean_source', { meanSource: 5 }, { meanSource: -1 }, { meanSource: 2, components: 2 }],
    ['fitPrior', 'mean', { meanSource: 3 }, { mean: GRID }],
    ['fitPrior', 'stream', { meanSource: 4 }],
    ['fitPrior', 'boundary', { boundary: 4 }, { boundary: -1 }],
    ['fitPrior', 'range', { range: {} }],
    ['fitPrior', 'components', { components: 0 }, { components: 9 }],
  ];
  test.each(ROWS)('of %s: %s', async (name, path, ...changes) => {
    for (const change of changes) expect(await pathsOf(name, change)).toEqual([path]);
  });
});

describe('a request is refused', () => {
  const large = { grid: { rows: 1024, cols: 1024, rawValues: new Uint8Array(4 * 1024 * 1024) } };

  test.each([
    ['denoise', { map: large, sigma: 1, samples: 16 }],
    ['impute', { map: large, noise: 1, samples: 16, seed: 1n }],
  ] as const)(
    'with WORK_TOO_LARGE where the reply of %s would be over the send limit',
    async (name, request) => {
      const refusal = await refusalOf(suite.world.ask(name, request));
      expect([refusal.kind, refusal.reason]).toEqual(['RESOURCE_EXHAUSTED', 'WORK_TOO_LARGE']);
      expect(refusal.metadata.limit).toBe(String(64 * 1024 * 1024));
      expect(refusal.retryAfterMs).toBe(-1);
    },
  );

  test('with WORK_TOO_LARGE for a search within bounds and at a total sooner than for one without', async () => {
    const search = { rows: 1024, cols: 1024, objective: OBJECTIVE, lower: 0, total: 1, iterations: 500 };
    const refusal = await refusalOf(suite.world.ask('optimize', search));
    expect(refusal.reason).toBe('WORK_TOO_LARGE');
    expect(refusal.metadata).toMatchObject({ limit: String(2 ** 31), asked: String(5 * 500 * 2 ** 20) });
    // Without bounds it is let through, as far as the total that nothing can have.
    const free = await refusalOf(suite.world.ask('optimize', { ...search, total: undefined, start: GRID }));
    expect(free.reason).toBe('SHAPE_MISMATCH');
  });

  test('with NOT_CONVERGED where every other cell is observed of maps too smooth for it', async () => {
    const grid = createSpectralGrid(32, 32);
    const [x, bending, cells] = [grid.newModes(), stiffness(grid), new Float64Array(grid.cells)];
    const maps = Array.from({ length: 16 }, (_, n) => {
      grid.noise(1n, n, 0, x);
      for (const part of [x.re, x.im])
        for (let k = 0; k < grid.size; k++) part[k] = part[k]! * Math.exp(-2 * bending[k]!);
      grid.back(x, cells);
      return { rows: 32, cols: 32, values: Array.from(cells, Math.fround) };
    });
    const fitted = await suite.world.call('fitPrior', {
      idempotencyKey: 'smooth',
      maps,
      boundary: Boundary.PERIODIC,
    });
    const { priorId } = fitted.prior!;
    const observed = Uint8Array.from({ length: 128 }, (_, at) =>
      Math.floor(at / 4) % 2 === 0 ? 0x55 : 0xaa,
    );
    const rough = { rows: 32, cols: 32, values: Array.from({ length: 1024 }, (_, at) => Math.sin(at * at)) };
    const request = { map: { grid: rough, observed }, priorId, seed: 1n };
    const refusal = await refusalOf(suite.world.call('impute', request));
    expect([refusal.kind, refusal.reason]).toEqual(['FAILED_PRECONDITION', 'NOT_CONVERGED']);
    expect(refusal.metadata.iterations).toBe('500');
    expect(Number(refusal.metadata.residual)).toBeGreaterThan(1e-8);
    // With noise on the observations there is nothing to reconcile.
    expect((await suite.world.call('impute', { ...request, noise: 0.1 })).residual).toBeLessThanOrEqual(1e-8);
  });

  test('with WORKERS_BUSY, and when to try again, by every RPC that computes', async () => {
    const narrow = createWorkerPool({ threads: 1, queueMax: 0 });
    try {
      const busy = createDiffusionWorld(suite.store, narrow);
      const canceled = new AbortController();
      const spec = { rows: 1024, cols: 1024, numInferenceSteps: 1000, sampler: SamplerKind.DDPM, seed: 1n };
      const long = busy.ask('sample', { spec }, canceled.signal);
      await new Promise(setImmediate); // By now it holds the only thread.
      for (const name of NAMES) {
        const { kind, reason, retryAfterMs } = await refusalOf(busy.ask(name, GOOD[name]));
        expect([name, kind, reason, retryAfterMs]).toEqual([
          name,
          'RESOURCE_EXHAUSTED',
          'WORKERS_BUSY',
          1000,
        ]);
      }
      canceled.abort(new Error('enough'));
      await expect(long).rejects.toThrow('enough');
    } finally {
      await narrow.close();
    }
  });
});
