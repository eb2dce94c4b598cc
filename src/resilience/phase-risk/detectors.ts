/**
 * The detectors of all cells, fed by two consumers: closed windows and maps. A look needs both feeds up to its
 * instant, so whoever needs one waits here for it to pass. Memory only; each feed's writer saves what it fed.
 */
import type { Clock } from '../../clock.ts';
import type { Span } from '../defense/level.ts';
import { Detector, type DetectorState } from './detector.ts';
import { gridInterval } from './held-risk.ts';
import type { Feed, StandingSample } from './standing-metrics.ts';

export interface Detectors {
  /** The detector of a cell's feed, once the feed brought anything. */
  find(feed: Feed, key: string): Detector | undefined;
  /** Takes what a span of a cell says; one of another width than the last begins a new grid. */
  take(feed: Feed, key: string, span: Span, samples: readonly StandingSample[]): void;
  /** Puts back all detectors of a feed, as they were saved. */
  restore(feed: Feed, saved: ReadonlyMap<string, DetectorState>): void;
  /**
   * Resolves true when any detector of a feed has taken something since the call, false after the given wall time
   * without. Rejects with the signal's reason when it aborts.
   */
  changed(feed: Feed, withinMs: number, signal: AbortSignal): Promise<boolean>;
}

/** `gridMs` is the width of a slot where windows are not wider. */
export function createDetectors(clock: Clock, gridMs: number): Detectors {
  const feeds: Record<Feed, Map<string, Detector>> = { windows: new Map(), maps: new Map() };
  const waiting: Record<Feed, Set<() => void>> = { windows: new Set(), maps: new Set() };
  return {
    find: (feed, key) => feeds[feed].get(key),
    take(feed, key, span, samples) {
      const intervalMs = gridInterval(gridMs, span.endMs - span.startMs);
      let detector = feeds[feed].get(key);
      if (detector && span.endMs <= detector.passedMs) return;
      if (detector?.intervalMs !== intervalMs) {
        detector = Detector.begin(feed, intervalMs, detector);
        feeds[feed].set(key, detector);
      }
      detector.take(span, samples);
      for (const wake of [...waiting[feed]]) wake();
    },
    restore(feed, saved) {
      feeds[feed].clear();
      for (const [key, state] of saved) feeds[feed].set(key, Detector.restore(feed, state));
    },
    changed(feed, withinMs, signal) {
      return new Promise((resolve, reject) => {
        const finish = (settle: () => void) => {
          waiting[feed].delete(wake);
          timer.cancel();
          signal.removeEventListener('abort', onAbort);
          settle();
        };
        const wake = () => finish(() => resolve(true));
        const onAbort = () => finish(() => reject(signal.reason));
        const timer = clock.after(withinMs, () => finish(() => resolve(false)));
        waiting[feed].add(wake);
        signal.addEventListener('abort', onAbort);
        if (signal.aborted) onAbort();
      });
    },
  };
}
