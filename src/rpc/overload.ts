/**
 * How overloaded the server is, from 0 to 1: the worst of four signals, each 0 up to where it is harmless and 1 where it
 * is not to be borne: calls in flight beside the limit of concurrency, lateness of the event loop, heap in use, time of
 * commits. The first is looked at with every call, the others are read every half second.
 */
import type { LoadSignals } from './load-signals.ts';

export type OverloadCause = 'CONCURRENCY' | 'LOOP_DELAY' | 'HEAP' | 'COMMIT';

export interface Overload {
  /** With so many calls in flight under a limit; 0..1. */
  ratio(inFlight: number, limit: number): number;
  /** The signal that is worst then. */
  cause(inFlight: number, limit: number): OverloadCause;
  /** Reads the slow signals. */
  refresh(nowMs: number): void;
  /** As last read, milliseconds. */
  readonly loopDelayMs: number;
}

/** Commits older than this say nothing about now: what was refused for slow ones must not stay refused. */
const COMMIT_AGE_MS = 10_000;

export function createOverload(signals: LoadSignals): Overload {
  const commits = recentCommits(signals.commitSeconds);
  /** The last two readings. One long pause, as of garbage collection, is in one of them only. */
  let delays: readonly [number, number] = [0, 0];
  let slow: { readonly ratio: number; readonly cause: OverloadCause } = { ratio: 0, cause: 'LOOP_DELAY' };

  return {
    get loopDelayMs() {
      return delays[0];
    },
    ratio: (inFlight, limit) => Math.max(slow.ratio, crowding(inFlight, limit)),
    cause: (inFlight, limit) => (crowding(inFlight, limit) >= slow.ratio ? 'CONCURRENCY' : slow.cause),
    refresh(nowMs) {
      delays = [signals.loopDelayMs(), delays[0]];
      const loop = unit((Math.min(...delays) - 20) / 80);
      const heap = unit((signals.heapShare() - 0.7) / 0.2);
      const commit = unit((commits.p99Ms(nowMs) - 50) / 450);
      const ratio = Math.max(loop, heap, commit);
      slow = { ratio, cause: ratio === loop ? 'LOOP_DELAY' : ratio === heap ? 'HEAP' : 'COMMIT' };
    },
  };
}

function crowding(inFlight: number, limit: number): number {
  return unit((inFlight / limit - 0.8) / 0.4);
}

/** Bounds to 0..1. */
function unit(value: number): number {
  return Math.min(1, Math.max(0, value));
}

/** Notices when commits happened, which the store's list does not tell. */
function recentCommits(list: () => readonly number[]) {
  /** Oldest first. */
  let kept: { readonly seconds: number; readonly seenMs: number }[] = [];
  let newest: number | undefined;
  return {
    /** 99th percentile of the commits of the last 10 s; among fewer than 100 the slowest one does not count. 0 for none. */
    p99Ms(nowMs: number): number {
      const all = list();
      const known = newest === undefined ? -1 : all.indexOf(newest);
      const fresh = known < 0 ? all : all.slice(0, known);
      newest = all[0];
      kept = kept.filter(({ seenMs }) => nowMs - seenMs < COMMIT_AGE_MS);
      kept.push(...fresh.map((seconds) => ({ seconds, seenMs: nowMs })));
      const sorted = kept.map(({ seconds }) => seconds).sort((a, b) => a - b);
      return 1000 * (sorted[Math.floor(0.99 * (sorted.length - 1))] ?? 0);
    },
  };
}
