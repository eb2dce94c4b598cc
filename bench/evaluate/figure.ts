/**
 * What an evaluation measures and how it is judged. A set of data gives figures; a figure with a target is met or
 * missed, one without is reported beside its baselines. A figure that is not a number is never met.
 */

import type { Progress } from '../../src/cli/progress.ts';

/** A range of values. */
export interface Interval {
  readonly low: number;
  readonly high: number;
}

/** One measured quantity. */
export interface Figure {
  readonly metric: string;
  readonly ours: number;
  /** 95 % interval of `ours`, where one is known. */
  readonly interval?: Interval;
  /** The same quantity of other methods on the same data, by their names. */
  readonly baselines: Readonly<Record<string, number>>;
  /** Undefined for a figure that is only reported. */
  readonly target: number | undefined;
  /** Which way is better: the target is the least, or the greatest, value that is accepted. */
  readonly better: 'HIGHER' | 'LOWER';
}

export type Verdict = 'MET' | 'MISSED' | 'REPORTED';

export function verdictOf({ ours, target, better }: Figure): Verdict {
  if (target === undefined) return 'REPORTED';
  const reached = better === 'HIGHER' ? ours >= target : ours <= target;
  return reached ? 'MET' : 'MISSED';
}

/** What a set may use beside its data. */
export interface EvaluationContext {
  /** Aborts when the user asks the program to end. */
  readonly signal: AbortSignal;
  readonly progress: Progress;
}

/** One named evaluation. Its data lies in the folder of its name. */
export interface EvaluationSet {
  readonly name: string;
  /** What it measures, in one line. */
  readonly measures: string;
  /**
   * Yields figures as they are known. Throws a DataError for data that is missing or not in its form, another
   * CliFailure when the evaluation cannot go on.
   */
  run(folder: string, context: EvaluationContext): AsyncIterable<Figure>;
}
