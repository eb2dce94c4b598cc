/**
 * Watching maps: what was missed first, then each map as it is committed, a heartbeat after silence. A watcher keeps at
 * most a bounded queue in memory; one that falls behind further is served from SQL until it has caught up, so nothing
 * is skipped and nothing grows. The resume token is the start of the last window seen, in ms. Heartbeats follow wall
 * time.
 */
import type { Clock } from '../clock.ts';
import type { EnergyMap } from '../gen/homeostat/energy/v1/energy_service_pb.ts';
import { type JudgedWindow, mapToProto } from './map/map-message.ts';
import { type StreamName, streamKey } from './stream/stream-name.ts';

/** A map of level 0 and the start of its window. */
export interface FeedItem {
  readonly startMs: number;
  readonly map: EnergyMap;
}

/** One listener's end of the feed. */
export interface FeedListener {
  /** The next map not yet taken. */
  take(): FeedItem | undefined;
  /** True, once, after maps were dropped because the queue was full. */
  overflowed(): boolean;
  /** Calls back once when there is something to take, or at once when there already is. */
  onNews(callback: () => void): void;
  close(): void;
}

/** Committed maps on their way to whoever watches right now. */
export interface MapFeed {
  publish(stream: StreamName, maps: readonly JudgedWindow[]): void;
  listen(stream: StreamName): FeedListener;
  listeners(): number;
}

/** `queueMax`: maps a listener may have waiting. */
export function createMapFeed(queueMax: number): MapFeed {
  const listening = new Map<string, Set<{ push(item: FeedItem): void }>>();
  return {
    publish(stream, maps) {
      const listeners = listening.get(streamKey(stream));
      if (listeners === undefined) return;
      for (const mapped of maps) {
        const item = { startMs: mapped.startMs, map: mapToProto(stream, mapped, 'VALUES') };
        for (const listener of listeners) listener.push(item);
      }
    },
    listen(stream) {
      const key = streamKey(stream);
      const listeners = listening.get(key) ?? new Set();
      listening.set(key, listeners);
      let queue: FeedItem[] = [];
      let dropped = false;
      let notify: (() => void) | undefined;
      const wake = () => {
        notify?.();
        notify = undefined;
      };
      const listener = {
        push(item: FeedItem) {
          if (queue.length >= queueMax) {
            queue = [];
            dropped = true;
          }
          if (!dropped) queue.push(item);
          wake();
        },
      };
      listeners.add(listener);
      return {
        take: () => queue.shift(),
        overflowed() {
          const was = dropped;
          dropped = false;
          return was;
        },
        onNews(callback) {
          notify = callback;
          if (dropped || queue.length > 0) wake();
        },
        close() {
          listeners.delete(listener);
          if (listeners.size === 0) listening.delete(key);
        },
      };
    },
    listeners: () => [...listening.values()].reduce((sum, set) => sum + set.size, 0),
  };
}

export interface WatchDeps {
  readonly clock: Clock;
  readonly feed: MapFeed;
  readonly heartbeatMs: number;
  /** Maps whose windows start after an instant, oldest first, at most a page; empty at the end. */
  readonly mapsAfter: (startMs: number) => Promise<readonly FeedItem[]>;
}

export interface WatchOptions {
  readonly stream: StreamName;
  /** Start of the last window seen; undefined means from now on, and `latestMs` says where that is. */
  readonly seenMs: number | undefined;
  readonly latestMs: () => Promise<number>;
  readonly signal: AbortSignal;
}

/** A map, or a heartbeat without one; `seenMs` is where to resume after it. */
export interface WatchedMap {
  readonly map?: EnergyMap;
  readonly seenMs: number;
}

/** Watches one stream until the signal aborts. Neither its listener nor its heartbeat outlives it. */
export async function* watchMaps(deps: WatchDeps, options: WatchOptions): AsyncGenerator<WatchedMap> {
  const { signal } = options;
  // Listening begins before SQL is read, so that no map falls between the two.
  const listener = deps.feed.listen(options.stream);
  try {
    let behind = options.seenMs !== undefined;
    let seenMs = options.seenMs ?? (await options.latestMs());
    while (!signal.aborted) {
      if (behind || listener.overflowed()) {
        const page = await deps.mapsAfter(seenMs);
        behind = page.length > 0;
        for (const { startMs, map } of page) {
          seenMs = startMs;
          yield { map, seenMs };
        }
        continue;
      }
      const item = listener.take();
      if (item !== undefined) {
        if (item.startMs <= seenMs) continue;
        seenMs = item.startMs;
        yield { map: item.map, seenMs };
      } else if ((await nextNews(listener, deps, signal)) === 'SILENCE') yield { seenMs };
    }
  } finally {
    listener.close();
  }
}

/** Waits for a map, for the heartbeat to fall due, or for the end of the watch. */
function nextNews(listener: FeedListener, deps: WatchDeps, signal: AbortSignal): Promise<'NEWS' | 'SILENCE'> {
  return new Promise((resolve) => {
    const finish = (outcome: 'NEWS' | 'SILENCE') => {
      heartbeat.cancel();
      signal.removeEventListener('abort', onAbort);
      resolve(outcome);
    };
    const onAbort = () => finish('NEWS');
    const heartbeat = deps.clock.after(deps.heartbeatMs, () => finish('SILENCE'), true);
    signal.addEventListener('abort', onAbort);
    listener.onNews(() => finish('NEWS'));
    if (signal.aborted) finish('NEWS');
  });
}
