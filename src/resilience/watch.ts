/**
 * Watching health: the newest report whenever it differs from the one sent last, a heartbeat after silence. A watcher
 * only ever needs the newest report, so nothing is queued: while it is slow, reports it has not seen are replaced.
 * Heartbeats follow wall time.
 */
import type { Clock } from '../clock.ts';
import type { CellName } from './cells/cell.ts';
import type { Health, HealthBoard } from './health.ts';

/** A report, or a heartbeat without one; `token` names what the watcher has seen after it. */
export interface WatchedHealth {
  readonly health?: Health;
  readonly token: string;
}

/** What is watched, and until when. */
export interface WatchOptions {
  /** Absent for the fleet; otherwise a cell that exists. */
  readonly scope: CellName | undefined;
  /** Token of the last report seen; empty to get the first one in any case. */
  readonly seenToken: string;
  readonly heartbeatMs: number;
  readonly signal: AbortSignal;
}

/** Ends when the signal aborts, and leaves no timer and no listener behind. */
export async function* watchHealth(
  board: HealthBoard,
  clock: Clock,
  options: WatchOptions,
): AsyncGenerator<WatchedHealth> {
  const { scope, signal } = options;
  let seen = options.seenToken;
  while (!signal.aborted) {
    const token = board.token(scope) ?? seen;
    const health = token === seen ? undefined : board.health(scope);
    if (health) {
      seen = token;
      yield { health, token };
    } else if ((await nextNews(board, clock, options, seen)) === 'silence') yield { token: seen };
  }
}

/** Waits until the health differs from what was seen, the heartbeat is due, or the watch ends. */
function nextNews(
  board: HealthBoard,
  clock: Clock,
  options: WatchOptions,
  seen: string,
): Promise<'news' | 'silence'> {
  return new Promise((resolve) => {
    const finish = (outcome: 'news' | 'silence') => {
      heartbeat.cancel();
      stopListening();
      options.signal.removeEventListener('abort', onAbort);
      resolve(outcome);
    };
    const onAbort = () => finish('news');
    const heartbeat = clock.after(options.heartbeatMs, () => finish('silence'), true);
    const stopListening = board.onShow(() => {
      if (board.token(options.scope) !== seen) finish('news');
    });
    options.signal.addEventListener('abort', onAbort);
  });
}
