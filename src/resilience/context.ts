/**
 * The door of the resilience context: how near the fleet is to trouble, and the level of defense it is at. Consumes
 * closed windows of telemetry and energy maps; publishes changes of level, early warnings and the health of the fleet.
 *
 * Needs SQL, the bus and the worker pool. Memory is what the last commit left: a restart goes on exactly where it stood.
 */
import type { Bus, Subscription } from '../bus/bus.ts';
import { topics } from '../bus/topics.ts';
import type { Clock } from '../clock.ts';
import type { WorkerPool } from '../numeric/worker-pool.ts';
import type { Logger, Metrics, Sample } from '../observability.ts';
import type { ServiceBinding } from '../rpc/handler.ts';
import type { Store } from '../store/store.ts';
import { type Job, startJob } from './cadence.ts';
import { utilizationCeiling } from './capacity/ceiling.ts';
import type { LookRules } from './cells/cell.ts';
import { severityRank } from './early-warning/severity.ts';
import { createMetricRunner } from './early-warning/worker.ts';
import { createHealthBoard, type HealthBoard } from './health.ts';
import { createWindowIngest, type Outcomes } from './ingest.ts';
import { createDetectors } from './phase-risk/detectors.ts';
import { createRiskLooks, type RiskLooks } from './phase-risk/looks.ts';
import { createMapIngest, type MapIngest } from './phase-risk/map-ingest.ts';
import { createRiskStore } from './phase-risk/store.ts';
import { type HealthFeed, startHealthFeed } from './publish.ts';
import { createResilienceService } from './service.ts';
import { createResilienceStore } from './store.ts';
import { createThermodynamicsService } from './thermodynamics/service.ts';

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
  /** Wall time the log of level changes and the looks for early warnings are kept, ms. Default 7,776,000,000 (90 d). */
  readonly logRetentionMs: number;
  /** Wall time between prunings of the log, ms. Default 3,600,000. */
  readonly pruneIntervalMs: number;
  /** Event time one value of a watched series stands for, ms. Default 60,000. */
  readonly gridMs: number;
  /** Event time between two looks for early warnings, ms. Default 900,000. */
  readonly lookMs: number;
  /** The same from level 2 on, ms. Default 300,000. */
  readonly denseLookMs: number;
  /** Surrogates each metric starts with, 99..19,999. Default 199. */
  readonly surrogates: number;
  /** Chance of a false alarm over all tests of a look, (0, 0.2]. Default 0.05. */
  readonly alpha: number;
  /** Bandwidth of detrending as a share of a series, (0, 1]. Default 0.2. */
  readonly bandwidth: number;
  /** Rolling window as a share of a series, [0.1, 0.9]. Default 0.5. */
  readonly rolling: number;
  /** Wall time without any map after which looks no longer wait for them, ms. Default 10,000. */
  readonly mapGraceMs: number;
  /** Whether IMMINENT phase risk alone makes an emergency. Default false. */
  readonly phaseMayDeclareEmergency: boolean;
}

/** What the server provides. */
export interface ResilienceDeps {
  readonly config: ResilienceConfig;
  readonly clock: Clock;
  readonly store: Store;
  readonly bus: Bus;
  readonly workers: WorkerPool;
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
  const riskTable = createRiskStore(store);
  const board = createHealthBoard(rules);
  const run = createMetricRunner(deps.workers);
  const detectors = createDetectors(clock, config.gridMs);
  const options = { ...config, detrend: 'GAUSSIAN', ceiling: rules.ceiling } as const;
  const outcomes: Outcomes = new Map();
  const createIngests = () => {
    const looks = createRiskLooks({ options, detectors, run, clock, logger });
    const maps = createMapIngest({ detectors, table: riskTable, store, clock });
    const metric = config.utilizationMetric;
    const shared = { rules, metric, outcomes, clock, store, table, riskTable, detectors, looks, bus, board };
    return { looks, maps, windows: createWindowIngest(shared) };
  };
  let running: Running | undefined;
  const updateSeconds = metrics.histogram(
    'homeostat_resilience_update_seconds',
    'Time to fold and commit one batch of closed windows.',
    UPDATE_BUCKETS,
  );
  exportMetrics(metrics, board, outcomes, () => (running ? [running.prune] : []));
  const serving = () => running !== undefined;

  return {
    services: [
      createResilienceService({ board, table, clock, running: serving }),
      createThermodynamicsService({ board, table: riskTable, clock, run, running: serving }),
    ],
    async start() {
      const ingests = createIngests();
      await ingests.maps.recover();
      await ingests.windows.recover();
      const maps = await bus.consume({
        topic: topics.energyMapUpdated,
        durable: 'resilience-energy-map-updated',
        handle: (events) => ingests.maps.take(events.map(({ message }) => message)),
      });
      const windows = await bus.consume({
        topic: topics.windowClosed,
        durable: 'resilience-window-closed',
        async handle(events) {
          const begunMs = clock.monotonicMs();
          await ingests.windows.take(events);
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
          const beforeMs = clock.nowMs() - config.logRetentionMs;
          await table.pruneLog(beforeMs);
          await riskTable.pruneLooks(beforeMs);
        },
      });
      running = { ...ingests, subscriptions: [windows, maps], feed, prune };
    },
    async stop() {
      if (!running) return;
      const { looks, maps, subscriptions, feed, prune } = running;
      running = undefined;
      // Told first, so that a batch whose wait is ended is not tried again.
      const stopped = subscriptions.map((subscription) => subscription.stop());
      looks.stop();
      maps.stop();
      await Promise.all([...stopped, prune.stop()]);
      feed.stop();
    },
  };
}

/** What runs between a start and a stop. */
interface Running {
  readonly looks: RiskLooks;
  readonly maps: MapIngest;
  readonly subscriptions: readonly Subscription[];
  readonly feed: HealthFeed;
  readonly prune: Job;
}

function exportMetrics(
  metrics: Metrics,
  board: HealthBoard,
  outcomes: Outcomes,
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
  const known = () => board.fleet().phaseRisk.severity !== 'UNKNOWN';
  metrics.gauge(
    'resilience_phase_transition_risk',
    'How near a critical transition the fleet is, 0 NORMAL to 4 IMMINENT; absent while unknown.',
    [],
    () => only(known() ? severityRank(board.fleet().phaseRisk.severity) : undefined),
  );
  metrics.gauge('homeostat_resilience_phase_risk_known', 'Whether phase risk is known, 0 or 1.', [], () =>
    only(known() ? 1 : 0),
  );
  metrics.gauge(
    'resilience_critical_signals_count',
    'Metrics of all cells by the severity that holds, from ELEVATED on.',
    ['severity'],
    () =>
      (['ELEVATED', 'HIGH', 'CRITICAL', 'IMMINENT'] as const).map((severity) => ({
        value: board.fleet().phaseRisk.signals[severity] ?? 0,
        labels: { severity: severity.toLowerCase() },
      })),
  );
  metrics.counter(
    'homeostat_resilience_samples_total',
    'Looks at utilization by what they found, and windows that were duplicates or lacked parts.',
    ['outcome'],
    () => [...outcomes].map(([outcome, value]) => ({ value, labels: { outcome: outcome.toLowerCase() } })),
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
