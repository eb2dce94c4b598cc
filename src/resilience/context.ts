/**
 * The door of the resilience context: how near the fleet is to trouble, and the level of defense it is at. Consumes
 * closed windows of telemetry; publishes changes of level and the health of the fleet.
 *
 * Needs SQL and the bus. Memory is what the last commit left: a restart goes on exactly where it stood.
 */
import type { Bus, Subscription } from '../bus/bus.ts';
import { topics } from '../bus/topics.ts';
import type { Clock } from '../clock.ts';
import type { Logger, Metrics, Sample } from '../observability.ts';
import type { ServiceBinding } from '../rpc/handler.ts';
import type { Store } from '../store/store.ts';
import { type Job, startJob } from './cadence.ts';
import { utilizationCeiling } from './capacity/ceiling.ts';
import type { LookRules } from './cells/cell.ts';
import { createHealthBoard, type HealthBoard } from './health.ts';
import { createWindowIngest, type WindowIngest } from './ingest.ts';
import { type HealthFeed, startHealthFeed } from './publish.ts';
import { createResilienceService } from './service.ts';
import { createResilienceStore } from './store.ts';

export { resilienceMigrations } from './store.ts';

/** Every number that can be tuned. */
export interface ResilienceConfig {
  /** Metric of telemetry that tells a node's utilization; a gauge of unit 1 or %. Default `cpu`. */
  readonly utilizationMetric: string;
  /** Event time over which utilization is averaged, ms. Default 60,000. */
  readonly utilizationSpanMs: number;
  /** Event time after which a silent node is forgotten and silence of a stream ends its calm, ms. Default 600,000. */
  readonly evidenceMs: number;
  /** Ceiling of utilization where no promise about waiting is known, (0, 1]. Default 0.8. */
  readonly utilizationWithoutPromise: number;
  /** Event time of calm before a level falls by one, ms. Default 1,800,000. */
  readonly holdMs: number;
  /** How far under a threshold counts as calm, [0, 1). Default 0.02. */
  readonly margin: number;
  /** Consecutive looks with utilization or the served share unknown that force level 2. Default 3. */
  readonly unknownLooksMax: number;
  /** Least wall time between two announcements of the fleet's health, ms. Default 100. */
  readonly healthIntervalMs: number;
  /** Wall time the log of level changes is kept, ms. Default 7,776,000,000 (90 d). */
  readonly logRetentionMs: number;
  /** Wall time between prunings of the log, ms. Default 3,600,000. */
  readonly pruneIntervalMs: number;
}

/** What the server provides. */
export interface ResilienceDeps {
  readonly config: ResilienceConfig;
  readonly clock: Clock;
  readonly store: Store;
  readonly bus: Bus;
  readonly logger: Logger;
  readonly metrics: Metrics;
}

/** What the server gets. */
export interface Resilience {
  readonly services: readonly ServiceBinding[];
  /** Recovers, then takes windows in. */
  start(): Promise<void>;
  /** Takes no more in, and leaves no timer. */
  stop(): Promise<void>;
}

/** Width classes of the time one batch takes, seconds. */
const UPDATE_BUCKETS = [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1];

/** Applies no migrations: `resilienceMigrations` must have been. */
export function createResilience(deps: ResilienceDeps): Resilience {
  const { config, clock, store, bus, logger, metrics } = deps;
  const rules: LookRules = { ...config, ceiling: utilizationCeiling(config) };
  const table = createResilienceStore(store);
  const board = createHealthBoard(rules);
  const ingest = createWindowIngest({
    rules,
    metric: config.utilizationMetric,
    clock,
    store,
    table,
    bus,
    board,
  });
  let running: { windows: Subscription; feed: HealthFeed; prune: Job } | undefined;
  const updateSeconds = metrics.histogram(
    'homeostat_resilience_update_seconds',
    'Time to fold and commit one batch of closed windows.',
    UPDATE_BUCKETS,
  );
  exportMetrics(metrics, board, ingest, () => (running ? [running.prune] : []));

  return {
    services: [createResilienceService({ board, table, clock, running: () => running !== undefined })],
    async start() {
      await ingest.recover();
      const windows = await bus.consume({
        topic: topics.windowClosed,
        durable: 'resilience-window-closed',
        async handle(events) {
          const begunMs = clock.monotonicMs();
          await ingest.take(events);
          updateSeconds.observe((clock.monotonicMs() - begunMs) / 1000);
        },
      });
      const feed = startHealthFeed(bus, clock, board, config.healthIntervalMs);
      const prune = startJob({
        name: 'prune',
        intervalMs: config.pruneIntervalMs,
        clock,
        logger,
        run: async () => {
          await table.pruneLog(clock.nowMs() - config.logRetentionMs);
        },
      });
      running = { windows, feed, prune };
    },
    async stop() {
      if (!running) return;
      const { windows, feed, prune } = running;
      running = undefined;
      await prune.stop();
      await windows.stop();
      feed.stop();
    },
  };
}

function exportMetrics(
  metrics: Metrics,
  board: HealthBoard,
  ingest: WindowIngest,
  jobs: () => readonly Job[],
): void {
  const only = (value: number | undefined): Sample[] => (value === undefined ? [] : [{ value }]);
  metrics.gauge('homeostat_resilience_defense_level', 'Level of defense of the fleet, 1..5.', [], () =>
    only(board.fleet().defense.level),
  );
  metrics.gauge(
    'homeostat_resilience_utilization_ratio',
    'Mean utilization of the cells; absent while unknown.',
    [],
    () => only(board.fleet().utilization.value),
  );
  metrics.gauge('homeostat_resilience_ceiling_ratio', 'Utilization to stay under.', [], () =>
    only(board.fleet().ceiling.value),
  );
  metrics.counter(
    'homeostat_resilience_samples_total',
    'Looks at utilization by what they found, and windows that were duplicates or lacked parts.',
    ['outcome'],
    () =>
      [...ingest.outcomes].map(([outcome, value]) => ({ value, labels: { outcome: outcome.toLowerCase() } })),
  );
  metrics.gauge(
    'homeostat_resilience_job_last_success_seconds',
    'When a job last succeeded, seconds since 1970.',
    ['job'],
    () =>
      jobs().flatMap((job) =>
        only(job.lastSuccessMs()).map(({ value }) => ({ value: value / 1000, labels: { job: job.name } })),
      ),
  );
  metrics.counter(
    'homeostat_resilience_job_missed_total',
    'Runs of a job that fell due while the one before was going.',
    ['job'],
    () => jobs().map((job) => ({ value: job.missed(), labels: { job: job.name } })),
  );
}
