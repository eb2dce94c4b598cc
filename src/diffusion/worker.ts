/**
 * Where maps are computed: asks for threads, which load the tasks of each noun group. Neither the number of threads nor
 * how samples are dealt out to them changes a bit of any result.
 */
import { setMaxListeners } from 'node:events';
import type { WorkerPool } from '../numeric/worker-pool.ts';
import type { Denoised, DenoiseOptions } from './inference/denoise.ts';
import type { Imputed, ImputeOptions } from './inference/impute.ts';
import type { MapScore } from './inference/score.ts';
import {
  inferenceModule,
  type OptimizeJob,
  runDenoise,
  runImpute,
  runOptimize,
  runPredict,
  runScore,
  type Sought,
} from './inference/worker.ts';
import type { Fit, FitJob } from './prior/fit.ts';
import { priorModule, runFit } from './prior/worker.ts';
import type { Chain } from './sampling/sampler.ts';
import type { ParticleJob } from './sampling/spec.ts';
import {
  type Advanced,
  type Drawn,
  type Faulted,
  type ParticleDraws,
  type Place,
  runChain,
  runParticles,
  runSamples,
  type SamplingJob,
  samplingModule,
} from './sampling/worker.ts';

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
  /** Takes a search, or a new one, at most `iterations` on. */
  optimize(
    job: OptimizeJob,
    from: Sought | undefined,
    iterations: number,
    signal: AbortSignal,
  ): Promise<Sought>;
  fit(job: FitJob, signal: AbortSignal): Promise<Fit>;
  denoise(place: Place, cells: Float64Array, options: DenoiseOptions, signal: AbortSignal): Promise<Denoised>;
  impute(place: Place, cells: Float64Array, options: ImputeOptions, signal: AbortSignal): Promise<Imputed>;
  score(place: Place, maps: readonly Float32Array[], signal: AbortSignal): Promise<readonly MapScore[]>;
  /** The noise in a map, at a share of signal over 0 and under 1. */
  predict(place: Place, cells: Float32Array, level: number, signal: AbortSignal): Promise<Float32Array>;
}

/** What `Workers` does, on a pool. Rejects as `WorkerPool.run` does. */
export function createWorkers(pool: WorkerPool): Workers {
  const runner =
    (module: URL) =>
    <Payload, Result>(
      task: (payload: Payload) => Result,
      payload: Payload,
      signal: AbortSignal,
      transfer: readonly Float64Array[] = [],
    ) =>
      pool.run<Awaited<Result>>(module, task.name, payload, {
        signal,
        transfer: transfer.map(({ buffer }) => buffer as ArrayBuffer),
      });
  const [draw, infer, learn] = [runner(samplingModule), runner(inferenceModule), runner(priorModule)];
  return {
    async sample(job, count, signal) {
      const parts = Math.min(pool.threads, count);
      const failed = new AbortController();
      const either = AbortSignal.any([signal, failed.signal]);
      setMaxListeners(0, either);
      const bound = (part: number) => Math.floor((part * count) / parts);
      const running = Array.from({ length: parts }, (_, part) =>
        draw(runSamples, { job, from: bound(part), until: bound(part + 1) }, either),
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
    follow: (job, particles, count, signal) => draw(runParticles, { job, particles, count }, signal),
    advance(job, from, steps, signal) {
      const planes =
        typeof from === 'number'
          ? []
          : [from.x, ...(from.before ? [from.before] : [])].flatMap(({ re, im }) => [re, im]);
      return draw(runChain, { job, from, steps }, signal, planes);
    },
    optimize: (job, from, iterations, signal) => infer(runOptimize, { job, from, iterations }, signal),
    fit: (job, signal) => learn(runFit, job, signal),
    denoise: (place, cells, options, signal) => infer(runDenoise, { place, cells, options }, signal),
    impute: (place, cells, options, signal) => infer(runImpute, { place, cells, options }, signal),
    score: (place, maps, signal) => infer(runScore, { place, maps }, signal),
    predict: (place, cells, level, signal) => infer(runPredict, { place, cells, level }, signal),
  };
}
