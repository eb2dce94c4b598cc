/** Log entries for tests, named by their place. */
import type { LogEntry } from '../../src/resilience/store.ts';

/** An entry of the fleet, or of a cell of the domain `fleet`. */
export function logEntry(place: number, recordedAtMs: number, cluster?: string): LogEntry {
  return {
    id: `entry-${place}`,
    place,
    recordedAtMs,
    ...(cluster !== undefined && { scope: { domain: 'fleet', cluster } }),
    fromLevel: 1,
    toLevel: 2,
    atMs: 60_000,
    inputs: [
      { name: 'utilization', status: 'OK', level: 2, cautiousLevel: 2, statistic: 0.75, threshold: 0.7 },
    ],
    cause: 'utilization',
  };
}
