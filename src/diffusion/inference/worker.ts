/** Inference and searches as a worker thread runs them: pure, the same bits on any thread. */
import { createRandom } from '../../random.ts';
import { createDenoiser } from '../prior/denoiser.ts';
import { drawMixtureAt, type ModeMixture, mixtureOf } from '../prior/mixture.ts';
import { createSpectralGrid, type SpectralGrid } from '../prior/modes.ts';
import { siteVariance } from '../prior/prior.ts';
import type { Place } from '../sampling/worker.ts';
import { type Denoised, type DenoiseOptions, denoise } from './denoise.ts';
import { type Imputed, type ImputeOptions, impute } from './impute.ts';
import { createLandscape } from './landscape.ts';
import { type Constraint, createOptimizer, type Objective, type Search } from './optimize.ts';
import { type MapScore, score } from './score.ts';
import { beginWalk, goOn, type Walk, type WalkMethod, type WalkPlan } from './walk.ts';

/** What a thread loads for the tasks of inference. */
export const inferenceModule = new URL(import.meta.url);

/** What is minimized, where, how, and from where; without a start, from a draw of the prior. */
export interface OptimizeJob extends Place {
  readonly objective: Objective;
  readonly constraint: Constraint;
  readonly tolerance: number;
  readonly start: Float32Array | undefined;
  readonly seed: bigint;
  /** Undefined for descent alone. */
  readonly method: WalkMethod | undefined;
  /** Sweeps of random moves before the descent; of descent alone 0. */
  readonly sweeps: number;
}

/** A search of either kind: random moves first where there are any, then descent. */
export type Sought = { readonly walk: Walk } | { readonly search: Search };

function open({ rows, cols, prior }: Place): { grid: SpectralGrid; mixture: ModeMixture } {
  const grid = createSpectralGrid(rows, cols);
  return { grid, mixture: mixtureOf(grid, prior) };
}

/** The task: some iterations of a search. */
export function runOptimize({
  job,
  from,
  iterations,
}: {
  job: OptimizeJob;
  from: Sought | undefined;
  iterations: number;
}): Sought {
  const { grid, mixture } = open(job);
  const { objective, constraint, tolerance, method, sweeps } = job;
  const optimizer = createOptimizer(grid, mixture, objective, constraint, tolerance);
  if (from && 'search' in from) return { search: optimizer.improve(from.search, iterations) };
  if (method === undefined)
    return { search: optimizer.improve(optimizer.begin(startOf(job, grid, mixture)), iterations) };
  const variances = mixture.components.map(({ power }, j) => mixture.weights[j]! * siteVariance(grid, power));
  const plan: WalkPlan = {
    method,
    sweeps,
    landscape: createLandscape(grid, mixture, objective),
    energyOf: optimizer.energyOf,
    constraint,
    randomOf: (stream) => createRandom(job.seed, stream),
    spread: Math.sqrt(variances.reduce((a, b) => a + b, 0)),
  };
  const walk = goOn(plan, from?.walk ?? beginWalk(plan, startOf(job, grid, mixture)), iterations);
  if (walk.sweeps < sweeps) return { walk };
  return { search: { ...optimizer.begin(walk.best.cells), iterations: sweeps } };
}

function startOf({ start, seed }: OptimizeJob, grid: SpectralGrid, mixture: ModeMixture): Float64Array {
  const cells = new Float64Array(grid.cells);
  if (start) cells.set(start);
  else {
    const x = grid.newModes();
    grid.noise(seed, 0, 0, x);
    drawMixtureAt(grid, mixture, 1, seed, 0, x);
    grid.back(x, cells);
  }
  return cells;
}

/** The task: one map denoised. */
export function runDenoise(job: { place: Place; cells: Float64Array; options: DenoiseOptions }): Denoised {
  const { grid, mixture } = open(job.place);
  return denoise(grid, mixture, job.cells, job.options);
}

/** The task: one map filled in. */
export function runImpute(job: { place: Place; cells: Float64Array; options: ImputeOptions }): Imputed {
  const { grid, mixture } = open(job.place);
  return impute(grid, mixture, job.cells, job.options);
}

/** The task: maps scored. */
export function runScore({ place, maps }: { place: Place; maps: readonly Float32Array[] }): MapScore[] {
  const { grid, mixture } = open(place);
  return maps.map((cells) => score(grid, mixture, cells));
}

/** The task: the noise in a map, at a share of signal over 0 and under 1. */
export function runPredict(job: { place: Place; cells: Float32Array; level: number }): Float32Array {
  const { grid, mixture } = open(job.place);
  const [x, out] = [grid.newModes(), grid.newModes()];
  grid.forward(job.cells, x);
  createDenoiser(grid, mixture).predict(x, job.level, 'EPSILON', out);
  const noise = new Float64Array(grid.cells);
  grid.back(out, noise);
  return new Float32Array(noise);
}
