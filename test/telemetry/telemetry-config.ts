/** The configuration telemetry is tested with: the defaults, with commits that come sooner. */
import type { TelemetryConfig } from '../../src/telemetry/context.ts';

export const CONFIG: TelemetryConfig = {
  windowMs: 10_000,
  latenessMs: 2_000,
  seriesMax: 100_000,
  streamsMax: 1_000,
  memoryMs: 86_400_000,
  silenceMs: 30_000,
  commitIntervalMs: 200,
  summaryRetentionMs: 86_400_000,
  pruneIntervalMs: 60_000,
};
