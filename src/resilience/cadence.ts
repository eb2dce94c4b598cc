/**
 * Jobs that run by wall time. A run that falls due while the one before is still going is counted as missed, never
 * stacked; a run that fails is logged and tried again at the next time.
 */
import type { Clock } from '../clock.ts';
import { describeError } from '../errors.ts';
import type { Logger } from '../observability.ts';

/** A job under way. */
export interface Job {
  readonly name: string;
  /** Wall time of the end of the last run that succeeded; undefined before the first. */
  lastSuccessMs(): number | undefined;
  /** Runs that fell due and did not take place. */
  missed(): number;
  /** Resolves once no run is going and none will begin. */
  stop(): Promise<void>;
}

/** What is run, and how often in wall time. */
export interface JobOptions {
  readonly name: string;
  readonly intervalMs: number;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly run: () => Promise<void>;
}

/** Starts a job; the first run begins now. */
export function startJob(options: JobOptions): Job {
  const { name, clock, logger } = options;
  let lastSuccessMs: number | undefined;
  let missed = 0;
  let running: Promise<void> | undefined;

  const run = async () => {
    try {
      await options.run();
      lastSuccessMs = clock.nowMs();
    } catch (error) {
      logger.warn({ job: name, error: describeError(error) }, 'a job failed and will be tried again');
    }
    running = undefined;
  };
  const due = () => {
    if (running) missed += 1;
    else running = run();
  };
  const timer = clock.every(options.intervalMs, due);
  due();
  return {
    name,
    lastSuccessMs: () => lastSuccessMs,
    missed: () => missed,
    async stop() {
      timer.cancel();
      await running;
    },
  };
}
