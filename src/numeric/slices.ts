/**
 * Long computations that let go of the event loop. A computation is written once, as a generator that yields at least
 * every few milliseconds of work; it runs through at once, or in slices between which the event loop turns. What it
 * computes never depends on where it was cut.
 */
import type { Clock } from '../clock.ts';

/** A computation that can be paused at each yield. */
export type Steps<Result> = Generator<void, Result, void>;

/** What a computation may be given up by: an AbortSignal, or the call it is for. */
export interface Abortable {
  /** Throws why it is to be given up, if it is. */
  throwIfAborted(): void;
}

export interface SliceOptions {
  readonly clock: Pick<Clock, 'monotonicMs'>;
  /** Work between two turns of the event loop, ms; exceeded by at most one step. */
  readonly sliceMs: number;
  /** Ends the computation before its first slice or between two: the promise rejects with what this throws. */
  readonly signal?: Abortable;
}

/** Runs a computation through without a pause. */
export function runThrough<Result>(steps: Steps<Result>): Result {
  for (;;) {
    const step = steps.next();
    if (step.done) return step.value;
  }
}

/** A computation under way: runs a slice of it; whether more is to come. */
interface Sliced {
  readonly options: SliceOptions;
  slice(): boolean;
}

/** The computations that wait for a turn of this thread's event loop, first come first served. */
const waiting: Sliced[] = [];
/** What computations have taken of the turn that is on, ms. */
let takenMs = 0;
let isTurnAwaited = false;

/**
 * Runs a computation in slices. All computations of a thread together hold one turn of its event loop for about one slice,
 * so that what comes in is seen in between, whether one of them is long or many are short; the others wait in line. One
 * that comes while the turn has time left begins at once.
 */
export function runInSlices<Result>(steps: Steps<Result>, options: SliceOptions): Promise<Result> {
  return new Promise<Result>((resolve, reject) => {
    const { clock, sliceMs, signal } = options;
    signal?.throwIfAborted();
    const slice = () => {
      try {
        signal?.throwIfAborted();
        const untilMs = clock.monotonicMs() + sliceMs;
        for (;;) {
          const step = steps.next();
          if (step.done) {
            resolve(step.value);
            return false;
          }
          if (clock.monotonicMs() >= untilMs) return true;
        }
      } catch (error) {
        reject(error);
        return false;
      }
    };
    const computation = { options, slice };
    const mustWait = waiting.length > 0 || takenMs >= sliceMs;
    if (mustWait || advance(computation)) waiting.push(computation);
    awaitTurn();
  });
}

/** Runs a slice; whether more is to come. */
function advance({ options, slice }: Sliced): boolean {
  const startMs = options.clock.monotonicMs();
  const goesOn = slice();
  takenMs += options.clock.monotonicMs() - startMs;
  return goesOn;
}

function awaitTurn(): void {
  if (isTurnAwaited) return;
  isTurnAwaited = true;
  setImmediate(takeTurn);
}

/** One turn: the first in line run until its time is taken; who is not done goes to the end of the line. */
function takeTurn(): void {
  isTurnAwaited = false;
  takenMs = 0;
  for (let first = waiting.shift(); first !== undefined; first = waiting.shift()) {
    if (advance(first)) waiting.push(first);
    if (takenMs >= first.options.sliceMs) break;
  }
  if (waiting.length > 0) awaitTurn();
}
