/** Denoise, Impute and Score: requests read and checked, computed on a worker, and answered. */
import type { FieldViolation } from '../../errors.ts';
import {
  type DiffusionService,
  ImputeMethod,
} from '../../gen/homeostat/diffusion/v1/diffusion_service_pb.ts';
import { type GivenGrid, readGrid } from '../../numeric/given-grid.ts';
import type { Handlers } from '../../rpc/handler.ts';
import { diffusionError } from '../errors.ts';
import { gridToProto } from '../grid-message.ts';
import {
  refuseLargeReply,
  refuseLargeWork,
  refuseShape,
  refuseViolations,
  retriable,
  type Shape,
} from '../limits.ts';
import type { Place } from '../sampling/worker.ts';
import { namedPrior, type PriorStore } from '../store.ts';
import type { Workers } from '../worker.ts';
import { EVIDENCE_CELLS_MAX } from './evidence.ts';
import type { Imputed } from './impute.ts';
import { readMap } from './map-input.ts';

export interface InferenceDeps {
  readonly priors: Pick<PriorStore, 'load'>;
  readonly workers: Pick<Workers, 'denoise' | 'impute' | 'score'>;
  /** Largest reply, bytes. */
  readonly sendBytesMax: number;
}

type InferenceMethods = 'denoise' | 'impute' | 'score';

/** Iterations of a solution that its work is reckoned by, which is what most take. */
const ITERATIONS = 50;
const SAMPLES = 1;
const GUIDED_STEPS = 50;

export function createInferenceHandlers(
  deps: InferenceDeps,
): Pick<Handlers<typeof DiffusionService>, InferenceMethods> {
  const { workers, sendBytesMax } = deps;
  return {
    async denoise({ map: input, priorId, sigma, samples, seed }, { signal }) {
      const violations: FieldViolation[] = [];
      const map = readMap(input, 'map', violations);
      if (map?.observed.includes(0))
        violations.push({ field: 'map.observed', description: 'must be all cells' });
      refuseViolations(violations);
      const { cells, factor } = map!;
      const place = await placeOf(deps, priorId, map!);
      refuseLargeReply(place, 1 + samples, sendBytesMax);
      const options = { sigma: sigma && sigma * factor, samples, seed };
      const found = await retriable(workers.denoise(place, cells, options, signal));
      const toProto = writerOf(map!, 'map');
      return {
        ...found,
        mean: toProto(found.mean),
        samples: found.samples.map(toProto),
        responsibilities: [...found.responsibilities],
      };
    },

    async impute(request, { signal }) {
      const violations: FieldViolation[] = [];
      const map = readMap(request.map, 'map', violations);
      if (map && !map.observed.includes(1))
        violations.push({ field: 'map.observed', description: 'must hold at least one observed cell' });
      refuseViolations(violations);
      const { cells, observed, factor } = map!;
      const place = await placeOf(deps, request.priorId, map!);
      const samples = request.samples ?? SAMPLES;
      const guidedSteps =
        request.method === ImputeMethod.GUIDED ? (request.numInferenceSteps ?? GUIDED_STEPS) : undefined;
      refuseLargeImputation(place, observed, samples * (guidedSteps ?? 1));
      refuseLargeReply(place, 2 + samples, sendBytesMax);
      const { noise, seed = 0n } = request;
      const options = { observed, noise: noise * factor, samples, seed, guidedSteps };
      const found = await retriable(workers.impute(place, cells, options, signal));
      const { iterations, residual } = found;
      if (!found.converged) throw diffusionError('NOT_CONVERGED', { iterations, residual });
      const toProto = writerOf(map!, 'map');
      return {
        mean: toProto(found.mean),
        ...(samples > 1 && { sd: toProto(spreadOf(found)) }),
        samples: found.samples.map(toProto),
        residual,
        iterations,
        responsibilities: [...found.responsibilities],
      };
    },

    async score({ maps, priorId }, { signal }) {
      const violations: FieldViolation[] = [];
      const grids = maps.map((map, at) => readGrid(map, `maps[${at}]`, violations)!);
      refuseViolations(violations);
      const [first] = grids;
      for (const grid of grids) refuseShape(first!, grid);
      const place = await placeOf(deps, priorId, first!);
      refuseLargeReply(place, grids.length, sendBytesMax);
      const scores = await retriable(
        workers.score(
          place,
          grids.map(({ cells }) => cells),
          signal,
        ),
      );
      return {
        scores: scores.map((score, at) => ({
          ...score,
          logLikelihoodPerCell: score.logLikelihood / (place.rows * place.cols),
          leaveOneOutZ: writerOf(grids[at]!, `maps[${at}]`)(score.leaveOneOutZ),
          topShells: [...score.topShells],
          responsibilities: [...score.responsibilities],
        })),
      };
    },
  };
}

/** Throws GAUSSIAN_NEEDED or WORK_TOO_LARGE. */
function refuseLargeImputation({ rows, cols, prior }: Place, observed: Uint8Array, solutions: number): void {
  const components = prior?.components.length ?? 1;
  const count = observed.reduce((sum, bit) => sum + bit, 0);
  if (components > 1 && count > EVIDENCE_CELLS_MAX)
    throw diffusionError('GAUSSIAN_NEEDED', { what: `weighing ${count} observed cells` });
  const factors = components > 1 ? (components * count ** 3) / 3 : 0;
  refuseLargeWork(rows * cols * (components + solutions) * ITERATIONS + factors);
}

/** Writes grids of a given one's shape, as it came. */
function writerOf(given: Pick<GivenGrid, 'rows' | 'cols' | 'encoding'>, origin: string) {
  return (cells: Float64Array) => gridToProto(cells, given, given.encoding, origin);
}

/** Throws PRIOR_NOT_FOUND, or SHAPE_MISMATCH for a prior of other maps. */
async function placeOf({ priors }: InferenceDeps, priorId: string, shape: Shape): Promise<Place> {
  const stored = await namedPrior(priors, priorId);
  if (stored) refuseShape(stored.prior, shape);
  return { rows: shape.rows, cols: shape.cols, prior: stored?.prior };
}

/** Root mean square distance of the samples from the mean, each cell. */
function spreadOf({ mean, samples }: Imputed): Float64Array {
  return mean.map((center, at) => {
    const squares = samples.reduce((sum, sample) => sum + (sample[at]! - center) ** 2, 0);
    return Math.sqrt(squares / samples.length);
  });
}
