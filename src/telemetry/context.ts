/**
 * The door of telemetry: takes batches in, accounts for every sample, closes event-time windows. Consumes the
 * TELEMETRY stream and `StreamConfigured`; publishes `WindowClosed` and `SequenceGapDetected`.
 *
 * Needs SQL and the bus. Memory runs ahead of the last commit, but nothing is published or acknowledged before it: a
 * restart goes on from the last commit and decides everything after it as before.
 */
import { durationMs } from '@bufbuild/protobuf/wkt';
import type { Bus, BusEvent, Subscription } from '../bus/bus.ts';
import { topics } from '../bus/topics.ts';
import type { Clock, Timer } from '../clock.ts';
import { describeError } from '../errors.ts';
import type { StreamConfigured } from '../gen/homeostat/energy/v1/energy_events_pb.ts';
import type { HttpRoute } from '../http/route.ts';
import type { Logger, Metrics, Sample } from '../observability.ts';
import type { ServiceBinding } from '../rpc/handler.ts';
import type { Store } from '../store/store.ts';
import { ACCEPTED, DUPLICATE, LATE, REJECT_REASONS, reasonName, rejectedFor } from './fold/counts.ts';
import { Ingest } from './ingest.ts';
import { createOtlp, type Otlp } from './otlp/service.ts';
import { createTelemetryService } from './service.ts';
import { type SilenceWatch, startSilenceWatch } from './silence.ts';
import { createTelemetryStore } from './store.ts';

export { telemetryMigrations } from './store.ts';

export interface TelemetryConfig {
  /** Width of a window where nobody configured the stream, ms of event time. Default 10,000. */
  readonly windowMs: number;
  /** Allowed lateness where nobody configured the stream, ms of event time. Default 2,000. */
  readonly latenessMs: number;
  /** Most series of one stream. Default 100,000. */
  readonly seriesMax: number;
  /** Most streams of this server; messages of further ones are rejected. Default 4,096. */
  readonly streamsMax: number;
  /** Event time after which a silent series or source is forgotten, ms. Default 86,400,000 (24 h). */
  readonly memoryMs: number;
  /** Wall time without a message after which event time is moved on while windows are open, ms. Default 30,000. */
  readonly silenceMs: number;
  /** Longest wall time between two commits of the fold, ms. Default 1,000. */
  readonly commitIntervalMs: number;
  /** Wall time closed windows are kept, ms. Default 86,400,000 (24 h). */
  readonly summaryRetentionMs: number;
  /** Wall time between two prunings of closed windows, ms. Default 60,000. */
  readonly pruneIntervalMs: number;
}

export interface TelemetryDeps {
  readonly config: TelemetryConfig;
  readonly clock: Clock;
  readonly store: Store;
  readonly bus: Bus;
  readonly logger: Logger;
  readonly metrics: Metrics;
}

export interface Telemetry {
  readonly services: readonly ServiceBinding[];
  /** What is also taken by POST: OpenTelemetry metrics. */
  readonly routes: readonly HttpRoute[];
  /** Restores the fold and begins to consume. */
  start(): Promise<void>;
  /** Commits what was folded and stops; leaves no timer. Harmless when not started. */
  stop(): Promise<void>;
  /** Resolves once everything handed over by the broker so far is committed. */
  settled(): Promise<void>;
}

/** Applies no migrations: `telemetryMigrations` must have been. */
export function createTelemetry(deps: TelemetryDeps): Telemetry {
  const { config, clock, store, bus, logger, metrics } = deps;
  if (new Uint8Array(new Uint16Array([1]).buffer)[0] !== 1)
    throw new Error('telemetry is read and stored as little-endian numbers; this platform is big-endian');
  const table = createTelemetryStore(store, bus, clock.nowMs);
  const { windowMs, latenessMs, seriesMax, memoryMs, streamsMax, commitIntervalMs, silenceMs } = config;
  const settings = { windowMs, latenessMs, seriesMax, memoryMs };
  const ingest = new Ingest({ settings, streamsMax, commitIntervalMs, clock, logger, bus, table });
  let running: { configured: Subscription; silence: SilenceWatch; prune: Timer } | undefined;
  let silenceMessages = 0;
  exportMetrics(metrics, ingest, () => silenceMessages + (running?.silence.published() ?? 0));
  const otlp = createOtlp({ bus, clock, unavailable: () => ingest.unavailable() });
  exportOtlpMetrics(metrics, otlp);

  return {
    services: [createTelemetryService({ bus, clock, table, ingest }), otlp.binding],
    routes: [otlp.route],
    async start() {
      await ingest.start();
      const configured = await bus.consume({
        topic: topics.streamConfigured,
        durable: 'telemetry-stream-configured',
        handle: (events) => takeConfigurations(ingest, config, events),
      });
      const silence = startSilenceWatch({
        bus,
        clock,
        logger,
        silenceMs,
        streams: () => ingest.caughtUp(),
      });
      const prune = clock.every(config.pruneIntervalMs, () => {
        table.pruneSummaries(clock.nowMs() - config.summaryRetentionMs).catch((error: unknown) => {
          logger.warn({ error: describeError(error) }, 'old windows cannot be removed yet');
        });
      });
      running = { configured, silence, prune };
    },
    async stop() {
      const parts = running;
      running = undefined;
      parts?.prune.cancel();
      parts?.silence.stop();
      silenceMessages += parts?.silence.published() ?? 0;
      await Promise.all([parts?.configured.stop(), ingest.stop()]);
    },
    settled: () => ingest.settled(),
  };
}

async function takeConfigurations(
  ingest: Ingest,
  defaults: TelemetryConfig,
  events: readonly BusEvent<StreamConfigured>[],
): Promise<void> {
  for (const { message } of events) {
    const { stream, config, version } = message;
    if (stream === undefined) continue;
    const windowMs = config?.width ? durationMs(config.width) : defaults.windowMs;
    const latenessMs = config?.lateness ? durationMs(config.lateness) : defaults.latenessMs;
    const { domain, cluster } = stream;
    await ingest.configure({ domain, cluster }, Number(version), { windowMs, latenessMs });
  }
}

function exportOtlpMetrics(metrics: Metrics, otlp: Otlp): void {
  metrics.counter(
    'homeostat_telemetry_otlp_points_total',
    'OpenTelemetry data points handed in, by what became of them before the broker.',
    ['outcome'],
    () => [
      { labels: { outcome: 'taken' }, value: otlp.taken() },
      ...[...otlp.refused].map(([reason, value]) => ({
        labels: { outcome: `refused_${reason.toLowerCase()}` },
        value,
      })),
    ],
  );
}

function exportMetrics(metrics: Metrics, ingest: Ingest, silenceMessages: () => number): void {
  const streams = () => [...(ingest.fold?.streams.values() ?? [])];
  const outcomes = (side: 'samples' | 'messages') => (): Sample[] => {
    const total = (place: number) => {
      let sum = 0;
      for (const stream of streams()) sum += stream[side][place]! + stream[`${side}Pending`][place]!;
      return sum;
    };
    return [
      { labels: { outcome: 'accepted' }, value: total(ACCEPTED) },
      { labels: { outcome: 'duplicate' }, value: total(DUPLICATE) },
      { labels: { outcome: 'late' }, value: total(LATE) },
      ...REJECT_REASONS.map((reason) => ({
        labels: { outcome: `rejected_${reasonName(reason).toLowerCase()}` },
        value: total(rejectedFor(reason)),
      })),
    ];
  };
  const outcome = ['outcome'];
  metrics.counter(
    'homeostat_telemetry_samples_total',
    'Samples offered, by what became of them.',
    outcome,
    outcomes('samples'),
  );
  metrics.counter(
    'homeostat_telemetry_messages_total',
    'Messages offered, each as its best sample.',
    outcome,
    outcomes('messages'),
  );
  metrics.counter('homeostat_telemetry_windows_closed_total', 'Windows closed.', [], () => [
    { value: streams().reduce((sum, stream) => sum + stream.head.windowsClosed, 0) },
  ]);
  metrics.counter(
    'homeostat_telemetry_silence_messages_total',
    'Messages published about silence.',
    [],
    () => [{ value: silenceMessages() }],
  );
  metrics.counter(
    'homeostat_telemetry_alarms_total',
    'Places in the broker that changed, and restarts of the fold, by kind.',
    ['kind'],
    () => [...ingest.alarms].map(([kind, value]) => ({ labels: { kind: kind.toLowerCase() }, value })),
  );
  metrics.counter('homeostat_telemetry_commit_failures_total', 'Attempts to commit that failed.', [], () => [
    { value: ingest.commitCounts().failures },
  ]);
  metrics.gauge('homeostat_telemetry_lag_messages', 'Messages in the broker not folded yet.', [], () => [
    { value: ingest.lag() },
  ]);
  metrics.gauge(
    'homeostat_telemetry_watermark_delay_seconds',
    'Greatest event time between the newest sample of a stream with open windows and its watermark.',
    [],
    () => {
      const delays = streams()
        .filter((stream) => stream.windows.length > 0)
        .map((stream) => (stream.head.newestHeardMs - stream.watermarkMs()) / 1000);
      return [{ value: Math.max(0, ...delays) }];
    },
  );
}
