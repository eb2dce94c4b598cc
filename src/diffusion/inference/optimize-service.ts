/** Optimize: a search on the workers, some iterations at a time, told about as it goes. */
import { type FieldViolation, fieldError } from '../../errors.ts';
import {
  type DiffusionService,
  OptimizeMethod,
  type OptimizeRequest,
} from '../../gen/homeostat/diffusion/v1/diffusion_service_pb.ts';
import { type GridEncoding, readGrid } from '../../numeric/given-grid.ts';
import type { Handlers } from '../../rpc/handler.ts';
import { diffusionError } from '../errors.ts';
import { gridToProto } from '../grid-message.ts';
import { refuseLargeReply, refuseLargeWork, refuseShape, refuseViolations, retriable } from '../limits.ts';
import { keptColumns } from '../prior/modes.ts';
import { readEnergies } from '../sampling/energies.ts';
import { namedPrior, type PriorStore } from '../store.ts';
import type { Workers } from '../worker.ts';
import type { Constraint } from './optimize.ts';
import { RUNGS, type WalkMethod } from './walk.ts';
import type { OptimizeJob, Sought } from './worker.ts';

export interface OptimizeDeps {
  readonly priors: Pick<PriorStore, 'load'>;
  readonly workers: Pick<Workers, 'optimize'>;
  /** Largest reply, bytes. */
  readonly sendBytesMax: number;
}

const ITERATIONS = 200;
const TOLERANCE = 0.01;
/** Iterations between two messages. */
const EVERY = 10;
/** Steps that an iteration counts as: an evaluation, a projection and the passes between. */
const STEPS = 3;
/** And those of its two projections where there are bounds and a total, which take some fifteen passes each. */
const BOUNDED_TOTAL_STEPS = 2;

/** Share of the iterations that are descent after random moves. */
const DESCENT = 0.2;

const METHODS: Readonly<Record<OptimizeMethod, WalkMethod | undefined>> = {
  [OptimizeMethod.UNSPECIFIED]: undefined,
  [OptimizeMethod.GRADIENT]: undefined,
  [OptimizeMethod.ANNEALING]: 'ANNEALING',
  [OptimizeMethod.BOLTZMANN]: 'BOLTZMANN',
};

export function createOptimizeHandlers(
  deps: OptimizeDeps,
): Pick<Handlers<typeof DiffusionService>, 'optimize'> {
  return {
    async *optimize(request, { signal }) {
      const { job, encoding } = await prepare(deps, request);
      const most = request.iterations ?? ITERATIONS;
      let sought: Sought | undefined;
      const trace: number[] = [];
      let done = 0;
      do {
        sought = await retriable(deps.workers.optimize(job, sought, Math.min(EVERY, most - done), signal));
        const progress = progressOf(sought);
        if (!Number.isFinite(progress.energy)) throw tooSteep();
        done = progress.iteration;
        trace.push(progress.energy);
        yield { event: { case: 'progress', value: progress } };
      } while ('walk' in sought || !(sought.search.converged || sought.search.stuck || done >= most));
      const { search } = sought;
      const { cells, energy, converged, iterations, slope } = search;
      const grid = gridToProto(cells, job, encoding, 'objective');
      yield { event: { case: 'result', value: { grid, energy, converged, iterations, slope, trace } } };
    },
  };
}

function progressOf(sought: Sought) {
  if ('search' in sought) {
    const { iterations: iteration, energy, slope } = sought.search;
    return { iteration, energy, slope };
  }
  const { sweeps: iteration, best, temperature, acceptance } = sought.walk;
  return { iteration, energy: best.energy, temperature, acceptance };
}

function tooSteep() {
  const description = 'its energy is not finite at the start of the search';
  return fieldError(diffusionError.domain, [{ field: 'objective', description }]);
}

/** A request as a search wants it. Throws FIELD_INVALID, PRIOR_NOT_FOUND, SHAPE_MISMATCH or WORK_TOO_LARGE. */
async function prepare(
  { priors, sendBytesMax }: OptimizeDeps,
  request: OptimizeRequest,
): Promise<{ job: OptimizeJob; encoding: GridEncoding }> {
  const violations: FieldViolation[] = [];
  const { targets, guides, quartic, spectra } = readEnergies(request.objective, 'objective', violations);
  for (const [index, { functional }] of request.objective.entries())
    if (functional.case === 'totalEnergy' && functional.value.stiffness === undefined)
      violations.push({ field: `objective[${index}].total_energy.stiffness`, description: 'is required' });
  const start = request.start && readGrid(request.start, 'start', violations);
  if (request.start === undefined && request.priorId === '')
    for (const side of ['rows', 'cols'] as const)
      if (request[side] === 0)
        violations.push({ field: side, description: 'is required without a start or prior_id' });
  refuseViolations(violations);
  const stored = await namedPrior(priors, request.priorId);
  const shape = stored?.prior ?? start ?? request;
  refuseShape(shape, { rows: request.rows || shape.rows, cols: request.cols || shape.cols });
  for (const map of start ? [start, ...targets] : targets) refuseShape(shape, map);
  const { rows, cols } = shape;
  const iterations = request.iterations ?? ITERATIONS;
  const method = METHODS[request.method];
  // Of random moves as many as there are iterations less those of the descent, and at least one.
  const sweeps = method ? Math.max(1, iterations - Math.floor(iterations * DESCENT)) : 0;
  const components = stored?.prior.components.length ?? 1;
  const cells = rows * cols;
  const isBounded = request.lower !== undefined || request.upper !== undefined;
  const projecting = isBounded && request.total !== undefined ? BOUNDED_TOTAL_STEPS : 0;
  refuseLargeWork(cells * (iterations - sweeps) * (STEPS * components + projecting));
  // What a move touches: its neighbors, every cell for the prior, every mode for a spectrum.
  const touched =
    4 + (request.priorWeight > 0 ? cells * components : 0) + spectra.length * rows * keptColumns(cols);
  refuseLargeWork(cells * sweeps * touched * (method === 'BOLTZMANN' ? RUNGS : 1));
  refuseLargeReply(shape, 1, sendBytesMax);
  const job = {
    rows,
    cols,
    prior: stored?.prior,
    objective: { guides, quartic, spectra, priorWeight: request.priorWeight },
    constraint: constraintOf(request, rows * cols),
    tolerance: request.tolerance ?? TOLERANCE,
    start: start?.cells,
    seed: request.seed,
    method,
    sweeps,
  };
  return { job, encoding: (start ?? targets[0])?.encoding ?? 'VALUES' };
}

/** Throws FIELD_INVALID where no map of so many cells can be within the bounds and of the total. */
function constraintOf(request: OptimizeRequest, cells: number): Constraint {
  const { total, lower = Number.NEGATIVE_INFINITY, upper = Number.POSITIVE_INFINITY } = request;
  if (lower > upper) refuseViolations([{ field: 'upper', description: `must be at least lower, ${lower}` }]);
  if (total !== undefined && !(total >= lower * cells && total <= upper * cells))
    refuseViolations([
      { field: 'total', description: `must be what ${cells} cells within the bounds can have` },
    ]);
  return { lower, upper, total };
}
