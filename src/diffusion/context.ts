/**
 * The door of the diffusion context: priors of energy maps, and maps sampled, denoised, filled in and scored by them.
 * Publishes PriorFitted.
 *
 * Needs SQL, the bus and the worker pool. Holds nothing in memory between two calls and has no timer.
 */
import type { Bus } from '../bus/bus.ts';
import type { Clock } from '../clock.ts';
import type { NewId } from '../ids.ts';
import type { WorkerPool } from '../numeric/worker-pool.ts';
import type { ServiceBinding } from '../rpc/handler.ts';
import type { Store } from '../store/store.ts';
import { createDiffusionService } from './service.ts';
import { createPriorStore } from './store.ts';
import { createWorkers } from './worker.ts';

export { diffusionMigrations } from './store.ts';

export interface DiffusionConfig {
  /** Replies beyond this are refused before they are computed, bytes: the edge's send limit. Default 67,108,864. */
  readonly sendBytesMax: number;
}

export interface DiffusionDeps {
  readonly config: DiffusionConfig;
  readonly clock: Clock;
  readonly store: Store;
  readonly bus: Pick<Bus, 'record'>;
  readonly workers: WorkerPool;
  readonly newId: NewId;
}

export interface Diffusion {
  readonly services: readonly ServiceBinding[];
  /** Nothing is to be started or stopped: all it has is in SQL. */
  start(): Promise<void>;
  stop(): Promise<void>;
}

/** Applies no migrations: `diffusionMigrations` must have been. */
export function createDiffusion({ config, workers, ...deps }: DiffusionDeps): Diffusion {
  const service = createDiffusionService({
    ...deps,
    priors: createPriorStore(deps.store),
    workers: createWorkers(workers),
    sendBytesMax: config.sendBytesMax,
  });
  return { services: [service], start: async () => undefined, stop: async () => undefined };
}
