/**
 * The door of the diffusion context: priors of energy maps, and maps sampled, denoised, filled in and scored by them.
 * Consumes EnergyMapUpdated into an index of its own; publishes PriorFitted.
 *
 * Needs SQL, the bus and the worker pool, and forecasts where priors are to be centered on them. All it knows is in SQL;
 * its one timer prunes the index.
 */
import type { Bus, Subscription } from '../bus/bus.ts';
import { topics } from '../bus/topics.ts';
import type { Clock } from '../clock.ts';
import type { NewId } from '../ids.ts';
import type { Model } from '../numeric/tensor.ts';
import type { WorkerPool } from '../numeric/worker-pool.ts';
import type { Logger, Metrics } from '../observability.ts';
import type { ServiceBinding } from '../rpc/handler.ts';
import { type Pruning, startPruning } from '../store/pruning.ts';
import type { Store } from '../store/store.ts';
import { createMapIngest, type MapIngest } from './ingest.ts';
import { listModels } from './models.ts';
import { createMapIndex, type MapIndex } from './prior/map-store.ts';
import type { Forecasts } from './prior/prior-service.ts';
import { type CallWatch, createDiffusionService } from './service.ts';
import { createPriorStore } from './store.ts';
import { createWorkers } from './worker.ts';

export type { ForecastMap, Forecasts } from './prior/prior-service.ts';
export { diffusionMigrations } from './store.ts';

export interface DiffusionConfig {
  /** Replies beyond this are refused before they are computed, bytes: the edge's send limit. Default 67,108,864. */
  readonly sendBytesMax: number;
}

export interface DiffusionDeps {
  readonly config: DiffusionConfig;
  readonly clock: Clock;
  readonly store: Store;
  readonly bus: Pick<Bus, 'record' | 'consume'>;
  readonly workers: WorkerPool;
  readonly newId: NewId;
  readonly logger: Logger;
  readonly metrics: Metrics;
  /** Absent where nobody forecasts: priors are then centered on anything else. */
  readonly forecasts?: Forecasts;
}

export interface Diffusion {
  readonly services: readonly ServiceBinding[];
  /** The models that can be asked for noise, as of now. */
  models(): Promise<readonly Model[]>;
  /** Takes maps in from where the last commit left off. */
  start(): Promise<void>;
  /** Finishes the batch under way; then neither consumer nor timer is left. */
  stop(): Promise<void>;
}

/** Name of the durable consumer of energy maps. */
const DURABLE = 'diffusion-energy-map-updated';
const DAY_MS = 86_400_000;
/** Wall time maps are kept in the index. */
const MAP_RETENTION_MS = 30 * DAY_MS;
const PRUNE_INTERVAL_MS = 3_600_000;
/** Bounds of the time a call takes, seconds. */
const CALL_BUCKETS = [0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30];

/** Applies no migrations: `diffusionMigrations` must have been. */
export function createDiffusion(deps: DiffusionDeps): Diffusion {
  const { config, clock, store, bus, metrics } = deps;
  const index = createMapIndex(store);
  const ingest = createMapIngest({ store, index, clock });
  const shared = {
    clock,
    store,
    bus,
    newId: deps.newId,
    priors: createPriorStore(store),
    maps: index,
    forecasts: deps.forecasts ?? { latest: async () => undefined },
    workers: createWorkers(deps.workers),
    sendBytesMax: config.sendBytesMax,
    watch: exportMetrics(metrics, ingest),
  };
  let running: { readonly maps: Subscription; readonly pruning: Pruning } | undefined;
  return {
    services: [createDiffusionService(shared)],
    models: () => listModels(shared),
    async start() {
      const maps = await bus.consume({
        topic: topics.energyMapUpdated,
        durable: DURABLE,
        handle: (events) => ingest.take(events.map(({ message }) => message)),
      });
      running = { maps, pruning: startMapPruning(deps, index) };
    },
    async stop() {
      const stopping = running;
      running = undefined;
      await stopping?.maps.stop();
      await stopping?.pruning.stop();
    },
  };
}

function startMapPruning({ clock, logger }: DiffusionDeps, index: Pick<MapIndex, 'prune'>): Pruning {
  return startPruning({
    clock,
    logger,
    intervalMs: PRUNE_INTERVAL_MS,
    prune: (nowMs) => index.prune(nowMs - MAP_RETENTION_MS),
    failed: 'maps of priors could not be pruned',
  });
}

/** Calls by method and outcome, their time, refusals by reason, and maps taken in. */
function exportMetrics(metrics: Metrics, ingest: MapIngest): CallWatch {
  const calls = new Map<string, number>();
  const refused = new Map<string, number>();
  const seconds = metrics.histogram(
    'homeostat_diffusion_call_seconds',
    'Time from the start of a call to its end.',
    CALL_BUCKETS,
  );
  metrics.counter('homeostat_diffusion_calls_total', 'Calls answered in full, by method.', ['method'], () =>
    [...calls].map(([method, value]) => ({ value, labels: { method } })),
  );
  metrics.counter(
    'homeostat_diffusion_refused_total',
    'Calls that were not, by reason; CANCELED by their callers, FAILED for no reason that is known.',
    ['reason'],
    () => [...refused].map(([reason, value]) => ({ value, labels: { reason } })),
  );
  metrics.counter(
    'homeostat_diffusion_maps_total',
    'Energy maps announced: kept, without a grid, or with less than half of their cells observed.',
    ['outcome'],
    () => {
      const { kept, withoutGrid, incomplete } = ingest.counts();
      return Object.entries({ kept, without_grid: withoutGrid, incomplete }).map(([outcome, value]) => ({
        value,
        labels: { outcome },
      }));
    },
  );
  const add = (to: Map<string, number>, name: string) => to.set(name, (to.get(name) ?? 0) + 1);
  return {
    ended(method, outcome, took) {
      seconds.observe(took);
      if (outcome === 'OK') add(calls, method);
      else add(refused, outcome);
    },
  };
}
