/**
 * How often somebody may try a password. Failures of a name count until 15 minutes pass without one; from the fifth on
 * the next attempt waits 1 s, 2 s, 4 s ... at most 15 min after the last. So 14 attempts fit into 15 minutes, whenever
 * they begin. Addresses, and all of them together, are held to a number of attempts in a sliding window. Pure; names
 * follow wall time, windows monotonic time, both in milliseconds.
 */

/** Failures of one name. */
export interface Failures {
  readonly count: number;
  readonly lastMs: number;
}

/** Failures this far apart have nothing to do with each other; also the longest wait. */
export const QUIET_MS = 15 * 60_000;

const FREE_FAILURES = 5;
const FIRST_WAIT_MS = 1_000;

/** How long until the name may be tried again; 0 for now. */
export function waitOf(failures: Failures | undefined, nowMs: number): number {
  if (!failures || isForgotten(failures, nowMs) || failures.count < FREE_FAILURES) return 0;
  const waitMs = Math.min(FIRST_WAIT_MS * 2 ** (failures.count - FREE_FAILURES), QUIET_MS);
  return Math.min(Math.max(failures.lastMs + waitMs - nowMs, 0), QUIET_MS);
}

/** The failures after one more. */
export function oneMore(failures: Failures | undefined, nowMs: number): Failures {
  const before = failures && !isForgotten(failures, nowMs) ? failures.count : 0;
  return { count: before + 1, lastMs: nowMs };
}

function isForgotten(failures: Failures, nowMs: number): boolean {
  return nowMs - failures.lastMs >= QUIET_MS;
}

/** At most `limit` attempts within any `windowMs`. */
export class SlidingLimit {
  readonly #windowMs: number;
  /** Times of the last attempts, the oldest at `#next`. */
  readonly #times: Float64Array;
  #next = 0;

  constructor(limit: number, windowMs: number) {
    this.#windowMs = windowMs;
    this.#times = new Float64Array(limit).fill(Number.NEGATIVE_INFINITY);
  }

  /** How long until the next attempt may be made; 0 for now. */
  waitOf(nowMs: number): number {
    return Math.max(this.#times[this.#next]! + this.#windowMs - nowMs, 0);
  }

  /** Counts an attempt. */
  take(nowMs: number): void {
    this.#times[this.#next] = nowMs;
    this.#next = (this.#next + 1) % this.#times.length;
  }
}
