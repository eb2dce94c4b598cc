/** A clock that tests move by hand. Timers fire in order of their time while it advances. */
import type { Clock, Timer } from '../../src/clock.ts';

export interface FakeClock extends Clock {
  /** Moves both times forward, firing what falls due, and lets pending promises settle after each timer. */
  advance(durationMs: number): Promise<void>;
  /** Timers not yet fired or cancelled; tests assert it is 0 at the end. */
  pending(): number;
}

interface Entry {
  dueMs: number;
  order: number;
  callback: () => void;
  intervalMs: number | undefined;
}

/** Lets every promise that can settle now settle. */
export async function settle(): Promise<void> {
  for (let i = 0; i < 10; i++) await new Promise<void>((resolve) => setImmediate(resolve));
}

export function createFakeClock(startMs = Date.UTC(2026, 0, 1)): FakeClock {
  let elapsedMs = 0;
  let order = 0;
  const entries = new Set<Entry>();

  const add = (delayMs: number, callback: () => void, intervalMs?: number): Timer => {
    const entry: Entry = { dueMs: elapsedMs + Math.max(0, delayMs), order: order++, callback, intervalMs };
    entries.add(entry);
    return { cancel: () => entries.delete(entry) };
  };
  const next = (untilMs: number): Entry | undefined => {
    let first: Entry | undefined;
    for (const entry of entries) {
      if (entry.dueMs > untilMs) continue;
      if (!first || entry.dueMs < first.dueMs || (entry.dueMs === first.dueMs && entry.order < first.order))
        first = entry;
    }
    return first;
  };
  return {
    nowMs: () => startMs + elapsedMs,
    monotonicMs: () => elapsedMs,
    after: (delayMs, callback) => add(delayMs, callback),
    every: (intervalMs, callback) => add(intervalMs, callback, intervalMs),
    async advance(durationMs) {
      const untilMs = elapsedMs + durationMs;
      for (let entry = next(untilMs); entry; entry = next(untilMs)) {
        elapsedMs = entry.dueMs;
        if (entry.intervalMs === undefined) entries.delete(entry);
        else {
          entry.dueMs += entry.intervalMs;
          entry.order = order++;
        }
        entry.callback();
        await settle();
      }
      elapsedMs = untilMs;
      await settle();
    },
    pending: () => entries.size,
  };
}
