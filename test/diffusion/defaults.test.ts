/**
 * Every option of every RPC that computes: left out it is its default, and given as something else it changes the answer.
 */
import { beforeAll, describe, expect, test } from '@jest/globals';
import {
  ImputeMethod,
  MeanSource,
  NoiseSchedule,
  OptimizeMethod,
  PredictionType,
  SamplerKind,
  StepSpacing,
} from '../../src/gen/homeostat/diffusion/v1/diffusion_service_pb.ts';
import { Boundary, NegativePolicy } from '../../src/gen/homeostat/type/v1/grid_pb.ts';
import { createRandom } from '../../src/random.ts';
import { useDiffusionSuite } from './diffusion-suite.ts';

const suite = useDiffusionSuite();

const random = createRandom(3);
const noisy = (center: number) => ({
  rows: 4,
  cols: 4,
  values: Array.from({ length: 16 }, () => Math.fround(center + random.normal())),
});
/** Maps about +4 and, half as many, about -4. */
const MAPS = Array.from({ length: 240 }, (_, n) => noisy(n % 3 === 0 ? -4 : 4));

type Name = 'sample' | 'sampleStream' | 'denoise' | 'impute' | 'optimize' | 'fitPrior';
let fits = 0;

/** Bits of an answer: everything in it but what names a prior. */
async function bitsOf(name: Name, request: object): Promise<string> {
  const key = name === 'fitPrior' ? { idempotencyKey: `fit-${fits++}` } : {};
  return JSON.stringify(await suite.world.ask(name, { ...request, ...key }), (field, value) => {
    if (field === 'priorId' || field === 'fittedAt') return undefined;
    return typeof value === 'bigint' ? String(value) : value;
  });
}

/** A field, a request without it in which it counts, the change that writes its default out, and changes to others. */
type Row = readonly [field: string, base: object, written: object, ...others: object[]];

/** The rows are asked of `name`, each in what `wrap` makes of it. */
function eachOption(name: Name, rows: readonly Row[], wrap: (fields: object) => object = (fields) => fields) {
  test.each(rows)(`${name} %s`, async (_field, base, written, ...others) => {
    const ask = (change: object) => bitsOf(name, wrap({ ...base, ...change }));
    const unset = await ask({});
    expect(await ask(written)).toBe(unset);
    const answers = new Set([unset]);
    for (const other of others) answers.add(await ask(other));
    expect(answers.size).toBe(1 + others.length);
  });
}

const guided = (functional: object, rest: object = {}) => ({ guidance: [{ functional, ...rest }] });
const quadratic = (value: object = {}) => ({ case: 'quadratic', value });
const wells = (value: object = {}) => ({
  case: 'ginzburgLandau',
  value: { tension: 1, mass: -1, quartic: 1, ...value },
});
const total = (value: object = {}) => ({ case: 'totalEnergy', value: { total: 3, ...value } });
const spectrum = (value: object = {}) => ({ case: 'targetSpectrum', value: { powers: [1, 1, 2], ...value } });
const ones = { rows: 4, cols: 4, values: Array(16).fill(1) };
const zeros = { rows: 4, cols: 4, values: Array(16).fill(0) };

describe('an option left out is its default, and another value changes the bits:', () => {
  const spec = { rows: 4, cols: 4, seed: 1n, numInferenceSteps: 10, sampler: SamplerKind.DDPM };
  const { DDPM, DDIM, HEUN, DPM_SOLVER_PP_2M, EXACT_FLOW, LANGEVIN, PREDICTOR_CORRECTOR } = SamplerKind;
  const { LINEAR, SCALED_LINEAR, COSINE, SIGMOID, BOLTZMANN, KARRAS } = NoiseSchedule;
  const samplings: readonly Row[] = [
    ['seed', spec, { seed: 1n }, { seed: 2n }],
    ['samples', spec, { samples: 1 }, { samples: 2 }],
    [
      'num_inference_steps',
      { ...spec, numInferenceSteps: undefined },
      { numInferenceSteps: 50 },
      { numInferenceSteps: 49 },
    ],
    [
      'schedule',
      spec,
      { schedule: LINEAR },
      ...[SCALED_LINEAR, COSINE, SIGMOID, BOLTZMANN, KARRAS].map((schedule) => ({ schedule })),
    ],
    [
      'schedule_temperature',
      { ...spec, schedule: BOLTZMANN },
      { scheduleTemperature: 10 },
      { scheduleTemperature: 9 },
    ],
    ['train_steps', spec, { trainSteps: 1000 }, { trainSteps: 999 }],
    [
      'zero_terminal_snr',
      { ...spec, predictionType: PredictionType.V },
      { zeroTerminalSnr: false },
      { zeroTerminalSnr: true },
    ],
    [
      'spacing',
      spec,
      { spacing: StepSpacing.TRAILING },
      { spacing: StepSpacing.LEADING },
      { spacing: StepSpacing.LINSPACE },
    ],
    [
      'sampler',
      { ...spec, sampler: undefined },
      { sampler: EXACT_FLOW },
      ...[DDPM, DDIM, HEUN, DPM_SOLVER_PP_2M, LANGEVIN, PREDICTOR_CORRECTOR].map((sampler) => ({ sampler })),
    ],
    ['eta', { ...spec, sampler: DDIM }, { eta: 0 }, { eta: 0.5 }, { eta: 1 }],
    [
      'corrector_steps',
      { ...spec, sampler: PREDICTOR_CORRECTOR },
      { correctorSteps: 1 },
      { correctorSteps: 0 },
      { correctorSteps: 2 },
    ],
    ['corrector_steps', { ...spec, sampler: LANGEVIN }, { correctorSteps: 0 }, { correctorSteps: 2 }],
    ['temperature', spec, { temperature: 1 }, { temperature: 2 }],
    [
      'guidance',
      spec,
      { guidance: [] },
      guided(quadratic()),
      guided(total()),
      guided(wells({ quartic: 0, mass: 0 })),
    ],
    ['exact_terminal', spec, { exactTerminal: false }, { exactTerminal: true }],
    ['particles', { ...spec, ...guided(wells()) }, { particles: 64 }, { particles: 32 }],
    [
      'guidance.weight',
      { ...spec, ...guided(quadratic()) },
      guided(quadratic(), { weight: 1 }),
      guided(quadratic(), { weight: 2 }),
    ],
    [
      'guidance.quadratic',
      { ...spec, ...guided(quadratic()) },
      guided(quadratic({ stiffness: 1, target: zeros })),
      guided(quadratic({ stiffness: 2 })),
      guided(quadratic({ target: ones })),
    ],
    [
      'guidance.total_energy',
      { ...spec, ...guided(total()) },
      guided(total({ cellArea: 1 })),
      guided(total({ cellArea: 2 })),
      guided(total({ stiffness: 1 })),
    ],
    [
      'guidance.target_spectrum',
      { ...spec, ...guided(spectrum()) },
      guided(spectrum({ stiffness: 1 })),
      guided(spectrum({ stiffness: 2 })),
    ],
  ];
  eachOption('sample', samplings, (fields) => ({ spec: fields }));
  eachOption('sampleStream', [
    ['every', { spec: { ...spec, samples: 2 } }, { every: 1 }, { every: 2 }, { every: 1000 }],
  ]);

  const half = Uint8Array.of(0x55, 0xaa);
  const grid = noisy(0);
  const inMap = (change: object) => ({ map: { grid, ...change } });
  const maps = (request: object): readonly Row[] => [
    ['map.unit', request, inMap({ unit: 'J' }), inMap({ unit: 'kJ' })],
    ['map.cell_area', request, inMap({ cellArea: 1 })],
    ['map.spacing', request, inMap({ spacing: 1 })],
    ['map.boundary', request, inMap({ boundary: Boundary.PERIODIC })],
    [
      'map.negative_policy',
      request,
      inMap({ negativePolicy: NegativePolicy.SIGNED }),
      inMap({ negativePolicy: NegativePolicy.ABSOLUTE }),
      inMap({ negativePolicy: NegativePolicy.SHIFT_TO_MIN }),
    ],
  ];
  const denoising = inMap({});
  eachOption('denoise', [
    ...maps(denoising),
    ['map.observed', denoising, inMap({ observed: Uint8Array.of(0xff, 0xff) })],
    ['samples', denoising, { samples: 0 }, { samples: 1 }],
    ['seed', { ...denoising, samples: 1 }, { seed: 0n }, { seed: 1n }],
  ]);
  test('denoise sigma, which is the one estimated', async () => {
    const [unset] = await suite.world.ask('denoise', denoising);
    const { sigma } = unset as { sigma: number };
    expect(await suite.world.ask('denoise', { ...denoising, sigma })).toEqual([unset]);
    expect(await suite.world.ask('denoise', { ...denoising, sigma: 2 * sigma })).not.toEqual([unset]);
  });

  const imputing = { ...inMap({ observed: half }), seed: 1n };
  const noiseOn = { ...inMap({}), noise: 0.5, seed: 1n };
  eachOption('impute', [
    ...maps(noiseOn),
    ['map.observed', noiseOn, inMap({ observed: Uint8Array.of(0xff, 0xff) }), inMap({ observed: half })],
    ['seed', imputing, { seed: 1n }, { seed: 2n }],
    ['noise', imputing, { noise: 0 }, { noise: 0.5 }],
    ['samples', imputing, { samples: 1 }, { samples: 0 }, { samples: 2 }],
    ['method', imputing, { method: ImputeMethod.EXACT }, { method: ImputeMethod.GUIDED }],
    [
      'num_inference_steps',
      { ...imputing, method: ImputeMethod.GUIDED },
      { numInferenceSteps: 50 },
      { numInferenceSteps: 49 },
    ],
  ]);

  const search = { rows: 4, cols: 4, objective: [{ functional: wells() }] };
  const { ANNEALING, GRADIENT, BOLTZMANN: TEMPERING } = OptimizeMethod;
  eachOption('optimize', [
    ['method', search, { method: GRADIENT }, { method: ANNEALING }, { method: TEMPERING }],
    ['iterations', { ...search, method: ANNEALING }, { iterations: 200 }, { iterations: 150 }],
    ['tolerance', search, { tolerance: 0.01 }, { tolerance: 1e-4 }],
    ['prior_weight', search, { priorWeight: 0 }, { priorWeight: 1 }],
    ['seed', search, { seed: 0n }, { seed: 1n }],
    ['start', search, { start: undefined }, { start: ones }],
    ['bounds and total', search, {}, { lower: 0 }, { upper: 0.5 }, { total: 4 }],
    [
      'objective.weight',
      search,
      { objective: [{ functional: wells(), weight: 1 }] },
      { objective: [{ functional: wells(), weight: 2 }] },
    ],
  ]);

  const fit = { maps: MAPS };
  eachOption('fitPrior', [
    ['mean_source', fit, { meanSource: MeanSource.CLIMATOLOGY }, { meanSource: MeanSource.ZERO }],
    ['boundary', fit, { boundary: Boundary.NEUMANN }, { boundary: Boundary.PERIODIC }],
    ['components', fit, { components: 1 }, { components: 2 }],
    ['seed', { ...fit, components: 2 }, { seed: 0n }],
  ]);
});

describe('under a mixture', () => {
  let priorId: string;
  beforeAll(async () => {
    const request = { idempotencyKey: 'mixture', maps: MAPS, components: 2, boundary: Boundary.PERIODIC };
    const { prior } = await suite.world.call('fitPrior', request);
    expect(prior!.card!.components).toHaveLength(2);
    priorId = prior!.priorId;
  });

  test('the sampler left out is DPM_SOLVER_PP_2M', async () => {
    const ask = (sampler?: SamplerKind) => bitsOf('sample', { spec: { priorId, seed: 1n, sampler } });
    expect(await ask(SamplerKind.DPM_SOLVER_PP_2M)).toBe(await ask());
    expect(await ask(SamplerKind.HEUN)).not.toBe(await ask());
  });

  test('the prediction left out is EPSILON, and the maps of all three agree to 1e-5', async () => {
    const { DDPM, DDIM, HEUN, DPM_SOLVER_PP_2M, LANGEVIN, PREDICTOR_CORRECTOR } = SamplerKind;
    for (const sampler of [DDPM, DDIM, HEUN, DPM_SOLVER_PP_2M, LANGEVIN, PREDICTOR_CORRECTOR]) {
      const cells = async (predictionType?: PredictionType) => {
        const spec = { priorId, seed: 1n, sampler, samples: 4, predictionType };
        const { samples } = await suite.world.call('sample', { spec: spec as { seed: bigint } });
        return samples.flatMap(({ grid }) => grid!.values);
      };
      const unset = await cells();
      expect(await cells(PredictionType.EPSILON)).toEqual(unset);
      for (const type of [PredictionType.SAMPLE, PredictionType.V])
        for (const [at, cell] of (await cells(type)).entries())
          expect(Math.abs(cell - unset[at]!)).toBeLessThan(1e-5);
    }
  });
});
