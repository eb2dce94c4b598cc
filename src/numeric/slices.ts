/**
 * Long computations that let go of the event loop. A computation is written once, as a generator that yields at least
 * every few milliseconds of work; it runs through at once, or in slices between which the event loop turns. What it
 * computes never depends on where it was cut.
 */
import type { Clock } from '../clock.ts';

/** A computation that can be paused at each yield. */
export type Steps<Result> = Generator<void, Result, void>;

export interface SliceOptions {
  readonly clock: Pick<Clock, 'monotonicMs'>;
  /** Work between two turns of the event loop, ms; exceeded by at most one step. */
  readonly sliceMs: number;
  /** Ends the computation between two slices: the promise rejects with the signal's reason. */
  readonly signal?: AbortSignal;
}

/** Runs a computation through without a pause. */
export function runThrough<Result>(steps: Steps<Result>): Result {
  for (;;) {
    const step = steps.next();
    if (step.done) return step.value;
  }
}

/** Runs a computation in slices. It begins at once, so one shorter than a slice costs no turn of the loop. */
export async function runInSlices<Result>(steps: Steps<Result>, options: SliceOptions): Promise<Result> {
  const { clock, sliceMs, signal } = options;
  let untilMs = clock.monotonicMs() + sliceMs;
  for (;;) {
    const step = steps.next();
    if (step.done) return step.value;
    if (clock.monotonicMs() < untilMs) continue;
    await new Promise<void>((resolve) => setImmediate(resolve));
    signal?.throwIfAborted();
    untilMs = clock.monotonicMs() + sliceMs;
  }
}
