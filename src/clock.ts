/**
 * Wall time, monotonic time and timers. The only door to them: tests drive a fake one. Wall time drives leases,
 * deadlines, retention and health; everything about a telemetry stream follows that stream's event time instead.
 */

export interface Timer {
  /** Cancels the timer; nothing happens when it has fired already. */
  cancel(): void;
}

export interface Clock {
  /** Wall time, milliseconds since 1970. */
  nowMs(): number;
  /** Monotonic time in milliseconds, from an arbitrary origin. */
  monotonicMs(): number;
  /** Calls back once after a delay. A timer keeps the process alive unless `background`. */
  after(delayMs: number, callback: () => void, background?: boolean): Timer;
  /** Calls back repeatedly, the first time after one interval. Never keeps the process alive. */
  every(intervalMs: number, callback: () => void): Timer;
}

export const systemClock: Clock = {
  nowMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  after(delayMs, callback, background = false) {
    const timer = setTimeout(callback, delayMs);
    if (background) timer.unref();
    return { cancel: () => clearTimeout(timer) };
  },
  every(intervalMs, callback) {
    const timer = setInterval(callback, intervalMs);
    timer.unref();
    return { cancel: () => clearInterval(timer) };
  },
};

/** Resolves after a delay, or at once when the signal aborts (it never rejects). */
export function delay(clock: Clock, delayMs: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted) return resolve();
    const done = () => {
      timer.cancel();
      signal?.removeEventListener('abort', done);
      resolve();
    };
    const timer = clock.after(delayMs, done);
    signal?.addEventListener('abort', done);
  });
}
