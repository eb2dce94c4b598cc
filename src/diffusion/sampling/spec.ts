/**
 * A request's SamplingSpec as the samplers want it: defaults filled in, and the rules that reach across its fields, the
 * violations of which are collected with their paths.
 */
import type { FieldViolation } from '../../errors.ts';
import {
  NoiseSchedule,
  PredictionType as PredictionTypeProto,
  SamplerKind as SamplerKindProto,
  type SamplingSpec,
  StepSpacing,
} from '../../gen/homeostat/diffusion/v1/diffusion_service_pb.ts';
import type { GivenGrid, GridEncoding } from '../../numeric/given-grid.ts';
import type { PredictionType } from '../prior/denoiser.ts';
import { readEnergies } from './energies.ts';
import type { Guide } from './guidance.ts';
import type { Quartic, TargetSpectrum } from './residual.ts';
import type { Recipe, SamplerKind } from './sampler.ts';
import {
  type Schedule,
  type Spacing,
  scheduleLevels,
  visitedLevels,
  withoutFinalSignal,
} from './schedule.ts';

export interface ParsedSpec {
  readonly samples: number;
  /** Without the sampler, which depends on the prior where none is named. */
  readonly recipe: Omit<Recipe, 'sampler'>;
  readonly sampler: SamplerKind | undefined;
  /** Whether chains start from the prior as it is at the noisiest level instead of from white noise. */
  readonly exactTerminal: boolean;
  readonly temperature: number;
  readonly guides: readonly Guide[];
  /** Energies that only particles can follow, none where the exact methods can, and how many particles there would be. */
  readonly particles: ParticleJob;
  /** Maps given as targets, whose shape must be that of the maps drawn. */
  readonly targets: readonly GivenGrid[];
  /** How the maps travel: as the targets do. */
  readonly encoding: GridEncoding;
  /** Predictions one sample takes. */
  readonly predictions: number;
}

/** Energies that are not quadratic, weights included, and how many particles follow them. */
export interface ParticleJob {
  readonly count: number;
  readonly quartic: Quartic | undefined;
  readonly spectra: readonly TargetSpectrum[];
}

const STEPS = 50;
const PARTICLES = 64;
const TRAIN_STEPS = 1000;
const SCHEDULE_TEMPERATURE = 10;

const SPACINGS: Readonly<Record<StepSpacing, Spacing>> = {
  [StepSpacing.UNSPECIFIED]: 'TRAILING',
  [StepSpacing.TRAILING]: 'TRAILING',
  [StepSpacing.LEADING]: 'LEADING',
  [StepSpacing.LINSPACE]: 'LINSPACE',
};

const PREDICTIONS: Readonly<Record<PredictionTypeProto, PredictionType>> = {
  [PredictionTypeProto.UNSPECIFIED]: 'EPSILON',
  [PredictionTypeProto.EPSILON]: 'EPSILON',
  [PredictionTypeProto.SAMPLE]: 'SAMPLE',
  [PredictionTypeProto.V]: 'V',
};

const SAMPLERS: Readonly<Record<SamplerKindProto, SamplerKind | undefined>> = {
  [SamplerKindProto.UNSPECIFIED]: undefined,
  [SamplerKindProto.DDPM]: 'DDPM',
  [SamplerKindProto.DDIM]: 'DDIM',
  [SamplerKindProto.HEUN]: 'HEUN',
  [SamplerKindProto.DPM_SOLVER_PP_2M]: 'DPM_SOLVER_PP_2M',
  [SamplerKindProto.EXACT_FLOW]: 'EXACT_FLOW',
  [SamplerKindProto.LANGEVIN]: 'LANGEVIN',
  [SamplerKindProto.PREDICTOR_CORRECTOR]: 'PREDICTOR_CORRECTOR',
};

/** Reads a spec; what cannot be read adds violations below `path`, and the result is then not to be used. */
export function parseSpec(spec: SamplingSpec, path: string, violations: FieldViolation[]): ParsedSpec {
  const steps = spec.numInferenceSteps ?? STEPS;
  const trainSteps = spec.trainSteps ?? TRAIN_STEPS;
  const refuse = (field: string, description: string) =>
    violations.push({ field: `${path}.${field}`, description });
  if (steps > trainSteps) refuse('num_inference_steps', `must be at most train_steps, ${trainSteps}`);
  const predictionType = PREDICTIONS[spec.predictionType] ?? 'EPSILON';
  if (spec.zeroTerminalSnr && predictionType === 'EPSILON')
    refuse('prediction_type', 'must be SAMPLE or V on a schedule that ends without signal');
  const { guides, targets, quartic, spectra } = readEnergies(spec.guidance, `${path}.guidance`, violations);
  const all = scheduleLevels(scheduleOf(spec), trainSteps);
  const levels = spec.zeroTerminalSnr ? withoutFinalSignal(all) : all;
  const sampler = SAMPLERS[spec.sampler];
  const correctorSteps = spec.correctorSteps ?? 1;
  return {
    samples: spec.samples ?? 1,
    sampler,
    exactTerminal: spec.exactTerminal ?? spec.priorId !== '',
    recipe: {
      levels: visitedLevels(levels, SPACINGS[spec.spacing] ?? 'TRAILING', Math.min(steps, trainSteps)),
      eta: spec.eta,
      correctorSteps,
      predictionType,
      seed: spec.seed ?? 0n,
    },
    temperature: spec.temperature ?? 1,
    guides,
    particles: { count: spec.particles ?? PARTICLES, quartic, spectra },
    targets,
    encoding: targets[0]?.encoding ?? 'VALUES',
    predictions: steps * predictionsOf(sampler, correctorSteps),
  };
}

/** Predictions in one step. */
function predictionsOf(sampler: SamplerKind | undefined, correctorSteps: number): number {
  if (sampler === 'HEUN') return 2;
  if (sampler === 'LANGEVIN') return 1 + Math.max(1, correctorSteps);
  return sampler === 'PREDICTOR_CORRECTOR' ? 1 + correctorSteps : 1;
}

function scheduleOf(spec: SamplingSpec): Schedule {
  switch (spec.schedule) {
    case NoiseSchedule.SCALED_LINEAR:
      return { kind: 'SCALED_LINEAR' };
    case NoiseSchedule.COSINE:
      return { kind: 'COSINE' };
    case NoiseSchedule.SIGMOID:
      return { kind: 'SIGMOID' };
    case NoiseSchedule.BOLTZMANN:
      return { kind: 'BOLTZMANN', temperature: spec.scheduleTemperature ?? SCHEDULE_TEMPERATURE };
    case NoiseSchedule.KARRAS:
      return { kind: 'KARRAS' };
    default:
      return { kind: 'LINEAR' };
  }
}
