/** Fitting as a worker thread runs it. */
import { type Fit, type FitJob, fitPrior } from './fit.ts';

/** What a thread loads for the tasks of fitting. */
export const priorModule = new URL(import.meta.url);

/** The task: a prior of maps. */
export function runFit(job: FitJob): Fit {
  return fitPrior(job);
}
