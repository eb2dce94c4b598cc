/**
 * The door of the energy context: closed windows of telemetry become energy maps, which are kept, explained, watched,
 * forecast, classified and announced; maps handed in are analyzed, forecast and classified; reports of what became of
 * them are learned from, and what is said of maps is proven. Consumes WindowClosed; publishes EnergyMapUpdated,
 * RegimeChanged, ForecastScored, ModelStageChanged, ProofIssued and StreamConfigured.
 *
 * Needs SQL and the bus. Everything in memory can be read back from the last commit, bit for bit, so a stream is opened
 * when its first window comes.
 */
import type { Bus, Subscription } from '../bus/bus.ts';
import { topics } from '../bus/topics.ts';
import type { Clock } from '../clock.ts';
import type { NewId } from '../ids.ts';
import { runInSlices, type Steps } from '../numeric/slices.ts';
import type { Model } from '../numeric/tensor.ts';
import type { Logger, Metrics } from '../observability.ts';
import type { ServiceBinding } from '../rpc/handler.ts';
import { type Pruning, startPruning } from '../store/pruning.ts';
import type { Migration, Store } from '../store/store.ts';
import { createFeedbackService } from './feedback/feedback-service.ts';
import { energyFeedbackMigration } from './feedback/feedback-tables-store.ts';
import { energyForecastMigration } from './feedback/forecast-store.ts';
import { pruneLogits } from './feedback/label-store.ts';
import { highVrmseOf } from './forecast/forecast-service.ts';
import type { Forecaster } from './forecast/forecaster.ts';
import { findForecast, pruneForecasts } from './forecast/kept-forecast-store.ts';
import { createMapIngest, type MapIngest } from './ingest.ts';
import { createMapStore, energyMapMigration, type MapStore } from './map-store.ts';
import { listModels } from './models.ts';
import type { ProofLedger } from './proof/issue-service.ts';
import { createProofService } from './proof/proof-service.ts';
import { energyProofMigration } from './proof/proof-store.ts';
import { createJudge } from './regime/judge-service.ts';
import { energyRegimeMigration } from './regime/regime-store.ts';
import { createEnergyService, requireStream } from './service.ts';
import { createStreamStore, energyStreamMigration } from './store.ts';
import type { StreamName } from './stream/stream-name.ts';
import { createMapFeed, type MapFeed } from './watch.ts';

export { gridDigest } from './map/digest.ts';
export { readMapInput } from './map/map-input.ts';
export type { ProofLedger } from './proof/issue-service.ts';
export { observationSteps } from './proof/observation.ts';
export { idText, parseReceipt } from './proof/receipt.ts';

export const energyMigrations: readonly Migration[] = [
  energyStreamMigration,
  energyMapMigration,
  energyForecastMigration,
  energyRegimeMigration,
  energyFeedbackMigration,
  energyProofMigration,
];

export interface EnergyConfig {
  /** Width of a window where a stream sets none, ms; telemetry's own default. Default 10,000. */
  readonly windowMs: number;
  /** Allowed lateness where a stream sets none, ms; telemetry's own default. Default 2,000. */
  readonly latenessMs: number;
  /** Half-life of what is learned where a stream sets none, ms of event time. Default 345,600,000 (4 d). */
  readonly halfLifeMs: number;
  /** Wall time maps are kept, ms. Default 2,592,000,000 (30 d). */
  readonly mapRetentionMs: number;
  /** Wall time explanations of maps are kept, ms; 32 bytes per node and metric. Default 86,400,000 (24 h). */
  readonly explanationRetentionMs: number;
  /** Wall time between two prunings, ms. Default 3,600,000. */
  readonly pruneIntervalMs: number;
  /** Windows between two snapshots of what was learned. Default 60. */
  readonly snapshotWindows: number;
  /** Maps a watcher may have waiting in memory before it is served from SQL. Default 256. */
  readonly watchQueueMax: number;
  /** Silence after which a watcher gets a heartbeat, ms. Default 15,000. */
  readonly heartbeatMs: number;
  /** Longest time one computation holds the event loop, ms. Default 4. */
  readonly sliceMs: number;
  /** Largest reply, bytes: the edge's send limit. Default 67,108,864. */
  readonly sendBytesMax: number;
}

export interface EnergyDeps {
  readonly config: EnergyConfig;
  readonly clock: Clock;
  readonly store: Store;
  readonly bus: Bus;
  readonly logger: Logger;
  readonly metrics: Metrics;
  readonly newId: NewId;
  readonly ledger: ProofLedger;
}

export interface Energy {
  readonly services: readonly ServiceBinding[];
  /** The models that need no stream. */
  models(): readonly Model[];
  /** The forecast of a stream's next map, row-major; undefined while nothing of it is learned. */
  forecast(stream: StreamName): Promise<ForecastCells | undefined>;
  /** Takes windows in from where the last commit left off. */
  start(): Promise<void>;
  /** Takes no more in, finishes the batch under way, and leaves no timer. */
  stop(): Promise<void>;
}

interface ForecastCells {
  readonly rows: number;
  readonly cols: number;
  readonly cells: Float64Array;
}

/** Name of the durable consumer of closed windows. */
const DURABLE = 'energy-window-closed';
/** Width classes of the time one batch takes, seconds. */
const FOLD_BUCKETS = [0.003, 0.01, 0.03, 0.1, 0.3, 1, 3];

/** Applies no migrations: `energyMigrations` must have been. */
export function createEnergy(deps: EnergyDeps): Energy {
  const { config, clock, store, bus, metrics } = deps;
  const shared = {
    clock,
    store,
    bus,
    streams: createStreamStore(store),
    maps: createMapStore(store),
    feed: createMapFeed(config.watchQueueMax),
    defaults: config,
    sliceMs: config.sliceMs,
  };
  const ingest = createMapIngest({ ...shared, snapshotWindows: config.snapshotWindows });
  const foldSeconds = metrics.histogram(
    'homeostat_energy_fold_seconds',
    'Time to fold and commit one batch of closed windows.',
    FOLD_BUCKETS,
  );
  exportMetrics(metrics, ingest, shared.feed);
  let running: { readonly windows: Subscription; readonly pruning: Pruning } | undefined;
  const unavailable = () => (running ? [] : ['STARTING']);

  return {
    services: [
      createEnergyService({
        ...shared,
        sendBytesMax: config.sendBytesMax,
        heartbeatMs: config.heartbeatMs,
        withStream: ingest.withStream,
        unavailable,
      }),
      createFeedbackService({
        ...shared,
        requireStream: (stream) => requireStream(shared.streams, stream),
        unavailable,
      }),
      createProofService({
        ...shared,
        newId: deps.newId,
        ledger: deps.ledger,
        durabilityClass: () => bus.durability,
        requireStream: (stream) => requireStream(shared.streams, stream),
        judge: createJudge({ ...shared, withStream: ingest.withStream }),
        forecastOf: (forecastId) => findForecast(store, forecastId),
        q95Of: (stream, horizon) => highVrmseOf(ingest, stream, horizon),
        unavailable,
      }),
    ],
    models: () => listModels(shared),
    async forecast(stream) {
      if ((await shared.streams.find(stream)) === undefined) return undefined;
      return ingest.withStream(stream, ({ forecaster }) =>
        runInSlices(nextMap(forecaster), { clock, sliceMs: config.sliceMs }),
      );
    },
    async start() {
      const windows = await bus.consume({
        topic: topics.windowClosed,
        durable: DURABLE,
        async handle(events) {
          const begunMs = clock.monotonicMs();
          await ingest.take(events.map(({ message }) => message));
          foldSeconds.observe((clock.monotonicMs() - begunMs) / 1000);
        },
      });
      running = { windows, pruning: startMapPruning(deps, shared.maps) };
    },
    async stop() {
      const stopping = running;
      running = undefined;
      await stopping?.windows.stop();
      await stopping?.pruning.stop();
    },
  };
}

function* nextMap(forecaster: Forecaster): Steps<ForecastCells | undefined> {
  const { latest } = forecaster;
  const forecast = yield* forecaster.predict({ steps: 1, coverage: 0.9 });
  return latest && forecast && { rows: latest.rows, cols: latest.cols, cells: forecast.path[0]! };
}

function startMapPruning({ config, clock, store, logger }: EnergyDeps, maps: MapStore): Pruning {
  return startPruning({
    clock,
    logger,
    intervalMs: config.pruneIntervalMs,
    async prune(nowMs) {
      await maps.prune(nowMs - config.mapRetentionMs, nowMs - config.explanationRetentionMs);
      await pruneLogits(store, nowMs - config.mapRetentionMs);
      await pruneForecasts(store, nowMs);
    },
    failed: 'energy maps could not be pruned',
  });
}

function exportMetrics(metrics: Metrics, ingest: MapIngest, feed: MapFeed): void {
  const counts = ['maps', 'parts', 'duplicates', 'incomplete'] as const;
  const help = {
    maps: 'Energy maps committed.',
    parts: 'Parts of closed windows taken in.',
    duplicates: 'Parts dropped because they were known.',
    incomplete: 'Windows folded with parts missing.',
  };
  for (const name of counts) {
    metrics.counter(`homeostat_energy_${name}_total`, help[name], [], () => [
      { value: ingest.counts()[name] },
    ]);
  }
  metrics.gauge('homeostat_energy_streams', 'Streams in memory.', [], () => [
    { value: ingest.counts().streams },
  ]);
  metrics.gauge('homeostat_energy_watchers', 'Calls watching maps.', [], () => [{ value: feed.listeners() }]);
}
