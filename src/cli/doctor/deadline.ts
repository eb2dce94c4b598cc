/** Bounds the time of one check, so that one that hangs costs the doctor no more than its deadline. */
import type { Clock } from '../../clock.ts';

/** How long a question over the network, or to another program, may take. */
export const DEADLINE_MS = 2_000;

/** What a check that ran out of time resolves with. */
export const LATE = Symbol('late');

/**
 * Resolves with what `work` resolves with, or with LATE once the deadline has passed. The signal aborts then, for work
 * that can be called off; whatever the rest of it comes to is dropped. An infinite deadline never passes.
 */
export async function withDeadline<Result>(
  clock: Clock,
  deadlineMs: number,
  work: (signal: AbortSignal) => Promise<Result>,
): Promise<Result | typeof LATE> {
  const giveUp = new AbortController();
  if (!Number.isFinite(deadlineMs)) return work(giveUp.signal);
  return await new Promise<Result | typeof LATE>((resolve, reject) => {
    const timer = clock.after(deadlineMs, () => {
      resolve(LATE);
      giveUp.abort();
    });
    work(giveUp.signal)
      .then(resolve, reject)
      .finally(() => timer.cancel());
  });
}
