/**
 * How many calls may be in flight: a limit that follows latency. Each call's latency is divided by the median its method
 * has had over the last minutes; where the calls of half a second took much longer than that, the limit falls, else it
 * grows, but only while it is made use of. Medians are learned only from calm times, so that overload never becomes the
 * measure of itself. Cost: two array stores per call, two sorts of at most 512 numbers every half second.
 */

/** Latency of one method. Made and read by `createConcurrencyLimit` only. */
export interface LatencyHistory {
  /** The most recent latencies since the last update, milliseconds. */
  readonly recent: Float64Array;
  /** Latencies since the last update; those beyond `recent` were overwritten. */
  count: number;
  /** Long-run median, milliseconds; 0 while nothing was learned. */
  medianMs: number;
  /** Updates it was learned from. */
  updates: number;
}

export interface ConcurrencyLimit {
  /** Calls that may be in flight; 20..1,000, from 100. */
  readonly value: number;
  /** A call that was carried out took so long. */
  observe(history: LatencyHistory, durationMs: number): void;
  /**
   * Every `UPDATE_MS`. `peak` is the most calls that were in flight since the last one, `calm` whether there was no
   * overload at all.
   */
  update(peak: number, calm: boolean): void;
}

/** Time between two updates of the limit. */
export const UPDATE_MS = 500;
/** Half-life of what a method's long-run median remembers. */
const HALF_LIFE_MS = 600_000;
const FORGOTTEN = 1 - 2 ** (-UPDATE_MS / HALF_LIFE_MS);

const INITIAL = 100;
const MIN = 20;
const MAX = 1_000;
const SAMPLES = 64;
const RATIOS = 512;

export function newLatencyHistory(): LatencyHistory {
  return { recent: new Float64Array(SAMPLES), count: 0, medianMs: 0, updates: 0 };
}

export function createConcurrencyLimit(): ConcurrencyLimit {
  const ratios = new Float64Array(RATIOS);
  let ratioCount = 0;
  let called: LatencyHistory[] = [];
  let value = INITIAL;

  return {
    get value() {
      return value;
    },
    observe(history, durationMs) {
      if (history.count === 0) called.push(history);
      history.recent[history.count++ % SAMPLES] = durationMs;
      if (history.medianMs > 0) ratios[ratioCount++ % RATIOS] = durationMs / history.medianMs;
    },
    update(peak, calm) {
      const slowness = median(ratios, ratioCount);
      const gradient = slowness > 0 ? Math.min(1, Math.max(0.5, 1.5 / slowness)) : 1;
      const next = 0.8 * value + 0.2 * (gradient * value + Math.sqrt(value));
      if (next < value || peak > value / 2) value = Math.min(MAX, Math.max(MIN, next));
      ratioCount = 0;
      for (const history of called) {
        if (calm) learn(history);
        history.count = 0;
      }
      called = [];
    },
  };
}

/** The mean of the medians at first, so that the first one does not weigh for minutes; then a decaying one. */
function learn(history: LatencyHistory): void {
  const weight = Math.max(FORGOTTEN, 1 / ++history.updates);
  history.medianMs += weight * (median(history.recent, history.count) - history.medianMs);
}

/** Middle of the values a ring holds of `count` that were put in; 0 for none. */
function median(ring: Float64Array, count: number): number {
  const sorted = ring.slice(0, Math.min(count, ring.length)).sort();
  return sorted[sorted.length >> 1] ?? 0;
}
