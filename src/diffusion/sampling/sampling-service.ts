/**
 * Sample and SampleStream. Both draw the same maps to the same bits: the one deals samples out to the workers, the other
 * takes one after the other a few steps at a time, and only when the caller has taken the last look.
 */
import type { FieldViolation } from '../../errors.ts';
import type {
  DiffusionService,
  SamplingSpec,
} from '../../gen/homeostat/diffusion/v1/diffusion_service_pb.ts';
import type { Handlers } from '../../rpc/handler.ts';
import { diffusionError } from '../errors.ts';
import { gridToProto } from '../grid-message.ts';
import { refuseLargeReply, refuseLargeWork, refuseShape, refuseViolations, retriable } from '../limits.ts';
import { namedPrior, type PriorStore } from '../store.ts';
import type { Workers } from '../worker.ts';
import type { Chain } from './sampler.ts';
import { type ParsedSpec, type ParticleJob, parseSpec } from './spec.ts';
import type { Advanced, Drawn, Faulted, SamplingJob } from './worker.ts';

export interface SamplingDeps {
  readonly priors: Pick<PriorStore, 'load'>;
  readonly workers: Pick<Workers, 'sample' | 'follow' | 'advance'>;
  /** Largest reply, bytes. */
  readonly sendBytesMax: number;
}

/** Steps between two looks. */
const EVERY = 1;
/** Particles that must count for something at the end. */
const EFFECTIVE_LEAST = 4;
/** Cells of all particles together, which are in memory at once. */
const PARTICLE_CELLS_MAX = 2 ** 22;

interface Order extends Pick<ParsedSpec, 'samples' | 'encoding'> {
  readonly job: SamplingJob;
  /** Undefined where chains can be drawn. */
  readonly particles: ParticleJob | undefined;
  readonly priorVersion: bigint;
}

export function createSamplingHandlers(
  deps: SamplingDeps,
): Pick<Handlers<typeof DiffusionService>, 'sample' | 'sampleStream'> {
  const { workers } = deps;
  const follow = async (order: Order, particles: ParticleJob, signal: AbortSignal) => {
    const { drawn, ...report } = bounded(
      await retriable(workers.follow(order.job, particles, order.samples, signal)),
    );
    if (!(report.finalEffective >= EFFECTIVE_LEAST))
      throw diffusionError('GUIDANCE_DEGENERATE', { effective: report.finalEffective.toFixed(2) });
    return { ...resultOf(order, drawn), particles: report };
  };
  return {
    async sample({ spec }, { signal }) {
      const order = await prepare(deps, spec!);
      if (order.particles) return follow(order, order.particles, signal);
      const drawn = bounded(await retriable(workers.sample(order.job, order.samples, signal)));
      return resultOf(order, drawn);
    },

    async *sampleStream({ spec, every }, { signal }) {
      const order = await prepare(deps, spec!);
      if (order.particles) {
        yield { event: { case: 'result', value: await follow(order, order.particles, signal) } };
        return;
      }
      const { job, samples, encoding } = order;
      const { levels } = job.recipe;
      const all: Drawn[] = [];
      while (all.length < samples) {
        const sample = all.length;
        let from: Chain | number = sample;
        while (all.length === sample) {
          const advanced: Advanced = bounded(
            await retriable(workers.advance(job, from, every || EVERY, signal)),
          );
          const { chain, cells, drawn } = advanced;
          const { step } = chain;
          const progress = {
            sample,
            step,
            level: levels[step] ?? 1,
            fraction: (sample + step / levels.length) / samples,
            grid: gridToProto(cells, job, encoding, 'spec'),
          };
          yield { event: { case: 'progress', value: progress } };
          if (drawn) all.push(drawn);
          from = chain;
        }
      }
      yield { event: { case: 'result', value: resultOf(order, all) } };
    },
  };
}

/** Throws FIELD_INVALID, PRIOR_NOT_FOUND, SHAPE_MISMATCH, GAUSSIAN_NEEDED or WORK_TOO_LARGE, looked at in this order. */
async function prepare({ priors, sendBytesMax }: SamplingDeps, spec: SamplingSpec): Promise<Order> {
  const violations: FieldViolation[] = [];
  const parsed = parseSpec(spec, 'spec', violations);
  if (spec.priorId === '')
    for (const side of ['rows', 'cols'] as const)
      if (spec[side] === 0)
        violations.push({ field: `spec.${side}`, description: 'is required without a prior_id' });
  refuseViolations(violations);
  const stored = await namedPrior(priors, spec.priorId);
  const shape = stored?.prior ?? spec;
  refuseShape(shape, { rows: spec.rows || shape.rows, cols: spec.cols || shape.cols });
  for (const target of parsed.targets) refuseShape(shape, target);
  const { rows, cols } = shape;
  const { samples, encoding, temperature, sampler, recipe, exactTerminal } = parsed;
  const components = stored?.prior.components.length ?? 1;
  const isMixture = components > 1;
  const { quartic, spectra, count } = parsed.particles;
  const isResidual = quartic !== undefined || spectra.length > 0 || (isMixture && temperature !== 1);
  const particles = isResidual ? parsed.particles : undefined;
  if (isMixture && sampler === 'EXACT_FLOW' && !particles)
    throw diffusionError('GAUSSIAN_NEEDED', { what: 'EXACT_FLOW' });
  if (particles) {
    refuseLargeWork(rows * cols * count * recipe.levels.length);
    refuseLargeWork(rows * cols * count, PARTICLE_CELLS_MAX);
  } else refuseLargeWork(rows * cols * samples * parsed.predictions * components);
  refuseLargeReply(shape, samples, sendBytesMax);
  return {
    samples,
    encoding,
    particles,
    job: {
      rows,
      cols,
      prior: stored?.prior,
      guides: parsed.guides,
      temperature,
      exactTerminal,
      recipe: { ...recipe, sampler: sampler ?? (isMixture ? 'DPM_SOLVER_PP_2M' : 'EXACT_FLOW') },
    },
    priorVersion: stored?.message.version ?? 0n,
  };
}

/** Throws GUIDANCE_UNBOUNDED. */
function bounded<Result extends object>(result: Result | Faulted): Result {
  if ('fault' in result) throw diffusionError('GUIDANCE_UNBOUNDED', { fault: result.fault });
  return result;
}

function resultOf({ job, encoding, priorVersion }: Order, drawn: readonly Drawn[]) {
  const samples = drawn.map(({ cells, total, logLikelihood }) => ({
    grid: gridToProto(cells, job, encoding, 'spec'),
    totalEnergy: total,
    ...(logLikelihood !== undefined && { logLikelihood }),
  }));
  return { samples, priorVersion };
}
