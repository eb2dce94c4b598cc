/**
 * How busy the process says it is. The one door to the event loop's histogram and to the heap's figures; tests give
 * their own. Asking costs microseconds and is done twice a second.
 */
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { getHeapStatistics } from 'node:v8';

export interface LoadSignals {
  /** By how much timers were late since it was last asked, 99th percentile, milliseconds. */
  loopDelayMs(): number;
  /** Used heap, as a share of what it may grow to. */
  heapShare(): number;
  /** Seconds per commit, most recent first. */
  commitSeconds(): readonly number[];
  /** Nobody asks any more. */
  stop(): void;
}

/** The histogram's timer fires this often, and what it measures includes that time. */
const RESOLUTION_MS = 10;
const NANOSECONDS_PER_MS = 1e6;

/** Begins to watch the loop; `commitSeconds` is the store's. */
export function watchLoad(commitSeconds: () => readonly number[]): LoadSignals {
  const histogram = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  histogram.enable();
  return {
    loopDelayMs() {
      if (histogram.count === 0) return 0;
      const intervalMs = histogram.percentile(99) / NANOSECONDS_PER_MS;
      histogram.reset();
      return Math.max(0, intervalMs - RESOLUTION_MS);
    },
    heapShare() {
      const { used_heap_size: used, heap_size_limit: limit } = getHeapStatistics();
      return used / limit;
    },
    commitSeconds,
    stop: () => void histogram.disable(),
  };
}

/** A process that is never busy, for servers that share theirs with what keeps it busy on purpose. */
export const UNLOADED: LoadSignals = {
  loopDelayMs: () => 0,
  heapShare: () => 0,
  commitSeconds: () => [],
  stop: () => undefined,
};
