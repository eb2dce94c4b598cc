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
import type { GivenGrid, GridEncoding } from '../grid-message.ts';
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
  readonly recipe: Recipe;
  readonly temperature: number;
  readonly guides: readonly Guide[];
  /** What only particles can follow; undefined where the exact methods do. */
  readonly particles: ParticleJob | undefined;
  /** Maps given as targets, whose shape must be that of the maps drawn. */
  readonly targets: readonly GivenGrid[];
  /** How the maps travel: as the targets do. */
  readonly encoding: GridEncoding;
  /** Predictions one sample, or one particle, takes. */
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

const SAMPLERS: Readonly<Record<SamplerKindProto, SamplerKind>> = {
  [SamplerKindProto.UNSPECIFIED]: 'EXACT_FLOW',
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
  const particles =
    quartic || spectra.length > 0 ? { count: spec.particles ?? PARTICLES, quartic, spectra } : undefined;
  const all = scheduleLevels(scheduleOf(spec), trainSteps);
  const levels = spec.zeroTerminalSnr ? withoutFinalSignal(all) : all;
  const sampler = SAMPLERS[spec.sampler] ?? 'EXACT_FLOW';
  const correctorSteps = spec.correctorSteps ?? 1;
  return {
    samples: spec.samples ?? 1,
    recipe: {
      sampler,
      levels: visitedLevels(levels, SPACINGS[spec.spacing] ?? 'TRAILING', Math.min(steps, trainSteps)),
      eta: spec.eta,
      correctorSteps,
      predictionType,
      exactTerminal: spec.exactTerminal,
      seed: spec.seed ?? 0n,
    },
    temperature: spec.temperature ?? 1,
    guides,
    particles,
    targets,
    encoding: targets[0]?.encoding ?? 'VALUES',
    predictions: steps * (particles ? 1 : predictionsOf(sampler, correctorSteps)),
  };
}

/** Predictions in one step. */
function predictionsOf(sampler: SamplerKind, correctorSteps: number): number {
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
