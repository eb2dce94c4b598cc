/**
 * Watching checkpoints: those that were missed first, then each new one, a heartbeat after silence. They are read from SQL
 * a page at a time, so a watcher holds nothing in memory and skips nothing, however slow it is. Heartbeats follow wall
 * time.
 */
import type { Clock } from '../clock.ts';
import type { Checkpoint, Checkpoints } from './note/checkpoints.ts';

/** Checkpoints read at once for a watcher that is behind. */
const PAGE = 64;

export interface WatchOptions {
  readonly clock: Clock;
  readonly checkpoints: Pick<Checkpoints, 'latest' | 'after' | 'onLatest'>;
  readonly heartbeatMs: number;
  /** Only larger sizes are sent. */
  readonly seenSize: number;
  readonly signal: AbortSignal;
}

/** A checkpoint, or a heartbeat without one; `seenSize` is where to resume after it. */
export interface WatchedCheckpoint {
  readonly checkpoint?: Checkpoint;
  readonly seenSize: number;
}

/** Watches until the signal aborts; then neither its timer nor its listener is left. */
export async function* watchCheckpoints(options: WatchOptions): AsyncGenerator<WatchedCheckpoint> {
  const { checkpoints, signal } = options;
  let seenSize = options.seenSize;
  while (!signal.aborted) {
    const isBehind = (checkpoints.latest()?.size ?? -1) > seenSize;
    const page = isBehind ? await checkpoints.after(seenSize, PAGE) : [];
    for (const checkpoint of page) {
      seenSize = checkpoint.size;
      yield { checkpoint, seenSize };
    }
    if (page.length === 0 && (await nextNews(options, seenSize)) === 'SILENCE') yield { seenSize };
  }
}

/** Waits for a checkpoint, for the heartbeat to fall due, or for the end of the watch. */
function nextNews(options: WatchOptions, seenSize: number): Promise<'NEWS' | 'SILENCE'> {
  const { clock, checkpoints, heartbeatMs, signal } = options;
  return new Promise((resolve) => {
    const finish = (outcome: 'NEWS' | 'SILENCE') => {
      heartbeat.cancel();
      news.cancel();
      signal.removeEventListener('abort', onAbort);
      resolve(outcome);
    };
    const onAbort = () => finish('NEWS');
    const heartbeat = clock.after(heartbeatMs, () => finish('SILENCE'), true);
    const news = checkpoints.onLatest(() => {
      if (checkpoints.latest()!.size > seenSize) finish('NEWS');
    });
    signal.addEventListener('abort', onAbort);
    if (signal.aborted) finish('NEWS');
  });
}
