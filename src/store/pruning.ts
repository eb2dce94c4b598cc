/** Dropping what is past its retention, over and over. Retention follows wall time. */
import type { Clock } from '../clock.ts';
import { describeError } from '../errors.ts';
import type { Logger } from '../observability.ts';

export interface PruningOptions {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly intervalMs: number;
  /** One run; never two at a time. */
  readonly prune: (nowMs: number) => Promise<void>;
  /** What is logged when a run fails. */
  readonly failed: string;
}

export interface Pruning {
  /** Cancels the timer and waits for the run under way. */
  stop(): Promise<void>;
}

/** Prunes after each interval. A run that fails is logged, and tried again at the next. */
export function startPruning({ clock, logger, intervalMs, prune, failed }: PruningOptions): Pruning {
  let running: Promise<void> | undefined;
  const run = async () => {
    try {
      await prune(clock.nowMs());
    } catch (error) {
      logger.warn({ error: describeError(error) }, failed);
    }
    running = undefined;
  };
  const timer = clock.every(intervalMs, () => {
    running ??= run();
  });
  return {
    async stop() {
      timer.cancel();
      await running;
    },
  };
}
