/**
 * Where maps are computed: this module asks for a thread and is what the thread loads. Every task is pure, and noise is
 * by counter, so neither the number of threads nor how samples are dealt out to them changes a bit of any result.
 */
import { setMaxListeners } from 'node:events';
import type { WorkerPool } from '../numeric/worker-pool.ts';
import { type Denoised, type DenoiseOptions, denoise } from './inference/denoise.ts';
import { type Imputed, type ImputeOptions, impute } from './inference/impute.ts';
import { type Constraint, createOptimizer, type Objective, type Search } from './inference/optimize.ts';
import { type MapScore, score } from './inference/score.ts';
import { createGaussianDenoiser } from './prior/denoiser.ts';
import { type Fit, type FitJob, fitPrior } from './prior/fit.ts';
import { createSpectralGrid, type SpectralGrid } from './prior/modes.ts';
import {
  drawAt,
  gaussianOf,
  logLikelihood,
  type ModeGaussian,
  type Prior,
  standardGaussian,
} from './prior/prior.ts';
import { type GuidanceFault, type Guide, guided } from './sampling/guidance.ts';
import { descend } from './sampling/particles.ts';
import { factored } from './sampling/residual.ts';
import { type Chain, createSampler, type Recipe, type Sampler } from './sampling/sampler.ts';
import type { ParticleJob } from './sampling/spec.ts';

/** The maps in question; without a prior the STANDARD one. */
export interface Place {
  readonly rows: number;
  readonly cols: number;
  readonly prior: Prior | undefined;
}

/** How maps are drawn. */
export interface SamplingJob extends Place {
  readonly guides: readonly Guide[];
  readonly temperature: number;
  readonly recipe: Recipe;
}

/** A map drawn. */
export interface Drawn {
  readonly cells: Float32Array;
  /** Sum of the cells. */
  readonly total: number;
  /** ln density it was drawn from, nats; undefined where a mode is pinned. */
  readonly logLikelihood: number | undefined;
}

/** A chain after some steps: where it goes on, its map as it stands, and the sample when it has ended. */
export interface Advanced {
  readonly chain: Chain;
  readonly cells: Float32Array;
  readonly drawn: Drawn | undefined;
}

/** What particles drew. */
export interface ParticleDraws {
  readonly drawn: readonly Drawn[];
  readonly minEffective: number;
  readonly finalEffective: number;
  readonly logNormalizer: number;
}

/** What is minimized, where, and from where; without a start, from a draw of the prior. */
export interface OptimizeJob extends Place {
  readonly objective: Objective;
  readonly constraint: Constraint;
  readonly tolerance: number;
  readonly start: Float32Array | undefined;
  readonly seed: bigint;
}

/** A density that there is not. */
export interface Faulted {
  readonly fault: GuidanceFault;
}

export interface Workers {
  /** Draws samples 0 .. count - 1, dealt out to all threads. */
  sample(job: SamplingJob, count: number, signal: AbortSignal): Promise<readonly Drawn[] | Faulted>;
  /** Draws samples 0 .. count - 1 of what only particles can follow, on one thread. */
  follow(
    job: SamplingJob,
    particles: ParticleJob,
    count: number,
    signal: AbortSignal,
  ): Promise<ParticleDraws | Faulted>;
  /** Takes a chain, or sample number `from`, at most `steps` steps on. A chain's arrays are lost to the caller. */
  advance(
    job: SamplingJob,
    from: Chain | number,
    steps: number,
    signal: AbortSignal,
  ): Promise<Advanced | Faulted>;
  /** Takes a search, or a new one, at most `iterations` on. A search's cells are lost to the caller. */
  optimize(
    job: OptimizeJob,
    from: Search | undefined,
    iterations: number,
    signal: AbortSignal,
  ): Promise<Search>;
  fit(job: FitJob, signal: AbortSignal): Promise<Fit>;
  denoise(place: Place, cells: Float32Array, options: DenoiseOptions, signal: AbortSignal): Promise<Denoised>;
  impute(place: Place, cells: Float32Array, options: ImputeOptions, signal: AbortSignal): Promise<Imputed>;
  score(place: Place, maps: readonly Float32Array[], signal: AbortSignal): Promise<readonly MapScore[]>;
}

/** What `Workers` does, on a pool. Rejects as `WorkerPool.run` does. */
export function createWorkers(pool: WorkerPool): Workers {
  const module = new URL(import.meta.url);
  const run = <Payload, Result>(
    task: (payload: Payload) => Result,
    payload: Payload,
    signal: AbortSignal,
    transfer: readonly Float64Array[] = [],
  ) =>
    pool.run<Awaited<Result>>(module, task.name, payload, {
      signal,
      transfer: transfer.map(({ buffer }) => buffer as ArrayBuffer),
    });
  return {
    async sample(job, count, signal) {
      const parts = Math.min(pool.threads, count);
      const failed = new AbortController();
      const either = AbortSignal.any([signal, failed.signal]);
      setMaxListeners(0, either);
      const bound = (part: number) => Math.floor((part * count) / parts);
      const running = Array.from({ length: parts }, (_, part) =>
        run(runSamples, { job, from: bound(part), until: bound(part + 1) }, either),
      );
      try {
        const drawn: Drawn[] = [];
        for (const result of await Promise.all(running)) {
          if ('fault' in result) return result;
          drawn.push(...result);
        }
        return drawn;
      } finally {
        failed.abort();
      }
    },
    follow: (job, particles, count, signal) => run(runParticles, { job, particles, count }, signal),
    advance(job, from, steps, signal) {
      const planes =
        typeof from === 'number'
          ? []
          : [from.x, ...(from.before ? [from.before] : [])].flatMap(({ re, im }) => [re, im]);
      return run(runChain, { job, from, steps }, signal, planes);
    },
    optimize: (job, from, iterations, signal) =>
      run(runOptimize, { job, from, iterations }, signal, from ? [from.cells] : []),
    fit: (job, signal) => run(runFit, job, signal),
    denoise: (place, cells, options, signal) => run(runDenoise, { place, cells, options }, signal),
    impute: (place, cells, options, signal) => run(runImpute, { place, cells, options }, signal),
    score: (place, maps, signal) => run(runScore, { place, maps }, signal),
  };
}

function open({ rows, cols, prior }: Place): { grid: SpectralGrid; gaussian: ModeGaussian } {
  const grid = createSpectralGrid(rows, cols);
  return { grid, gaussian: prior ? gaussianOf(grid, prior) : standardGaussian(grid) };
}

interface OpenSampler {
  readonly sampler: Sampler;
  readonly draw: (chain: Chain) => Drawn;
}

function openSampler(job: SamplingJob): OpenSampler | Faulted {
  const { grid, gaussian: prior } = open(job);
  const gaussian = guided(grid, prior, job.guides, job.temperature);
  if (typeof gaussian === 'string') return { fault: gaussian };
  const sampler = createSampler(grid, createGaussianDenoiser(gaussian), job.recipe);
  const cells = new Float64Array(grid.cells);
  const isPinned = gaussian.power.includes(0);
  const draw = ({ x }: Chain): Drawn => {
    grid.back(x, cells);
    return {
      cells: new Float32Array(cells),
      total: x.re[0]!,
      logLikelihood: isPinned ? undefined : logLikelihood(grid, gaussian, x),
    };
  };
  return { sampler, draw };
}

/** The task: samples `from` .. `until` - 1. */
export function runSamples({
  job,
  from,
  until,
}: {
  job: SamplingJob;
  from: number;
  until: number;
}): Drawn[] | Faulted {
  const opened = openSampler(job);
  if ('fault' in opened) return opened;
  const { sampler, draw } = opened;
  return Array.from({ length: until - from }, (_, index) => {
    const chain = sampler.begin(from + index);
    while (chain.step < sampler.steps) sampler.advance(chain);
    return draw(chain);
  });
}

/** The task: some steps of one chain. */
export function runChain({
  job,
  from,
  steps,
}: {
  job: SamplingJob;
  from: Chain | number;
  steps: number;
}): Advanced | Faulted {
  const opened = openSampler(job);
  if ('fault' in opened) return opened;
  const { sampler, draw } = opened;
  const chain = typeof from === 'number' ? sampler.begin(from) : from;
  const until = Math.min(sampler.steps, chain.step + steps);
  while (chain.step < until) sampler.advance(chain);
  const drawn = draw(chain);
  return { chain, cells: drawn.cells, drawn: chain.step === sampler.steps ? drawn : undefined };
}

/** The task: a swarm of particles, and samples picked from it. */
export function runParticles({
  job,
  particles,
  count,
}: {
  job: SamplingJob;
  particles: ParticleJob;
  count: number;
}): ParticleDraws | Faulted {
  const { grid, gaussian } = open(job);
  const { guides, temperature, recipe } = job;
  const target = factored(grid, gaussian, guides, temperature, particles.quartic, particles.spectra);
  if (typeof target === 'string') return { fault: target };
  const { pick, ...report } = descend(grid, target, { ...recipe, particles: particles.count });
  const cells = new Float64Array(grid.cells);
  const drawn = Array.from({ length: count }, (_, sample) => {
    const x = pick(sample);
    grid.back(x, cells);
    return { cells: new Float32Array(cells), total: x.re[0]!, logLikelihood: undefined };
  });
  return { ...report, drawn };
}

/** The task: some iterations of a search. */
export function runOptimize({
  job,
  from,
  iterations,
}: {
  job: OptimizeJob;
  from: Search | undefined;
  iterations: number;
}): Search {
  const { grid, gaussian } = open(job);
  const { objective, constraint, tolerance, start, seed } = job;
  const optimizer = createOptimizer(grid, gaussian, objective, constraint, tolerance);
  if (from) return optimizer.improve(from, iterations);
  const cells = new Float64Array(grid.cells);
  if (start) cells.set(start);
  else {
    const x = grid.newModes();
    grid.noise(seed, 0, 0, x);
    drawAt(gaussian, 1, x);
    grid.back(x, cells);
  }
  return optimizer.improve(optimizer.begin(cells), iterations);
}

/** The task: a prior of maps. */
export function runFit(job: FitJob): Fit {
  return fitPrior(job);
}

/** The task: one map denoised. */
export function runDenoise(job: { place: Place; cells: Float32Array; options: DenoiseOptions }): Denoised {
  const { grid, gaussian } = open(job.place);
  return denoise(grid, gaussian, job.cells, job.options);
}

/** The task: one map filled in. */
export function runImpute(job: { place: Place; cells: Float32Array; options: ImputeOptions }): Imputed {
  const { grid, gaussian } = open(job.place);
  return impute(grid, gaussian, job.cells, job.options);
}

/** The task: maps scored. */
export function runScore({ place, maps }: { place: Place; maps: readonly Float32Array[] }): MapScore[] {
  const { grid, gaussian } = open(place);
  return maps.map((cells) => score(grid, gaussian, cells));
}
