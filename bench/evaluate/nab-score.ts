/**
 * The score of the Numenta Anomaly Benchmark, standard profile (Lavin and Ahmad, "Evaluating real-time anomaly detection
 * algorithms: the Numenta Anomaly Benchmark", ICMLA 2015). A detection inside a labeled window earns the more the
 * earlier it comes, and only the best one of a window counts; a missed window costs 1; a detection outside costs up to
 * 0.11, less just behind a window. One threshold holds for all series: the one that is best for them. 0 is a detector
 * that never detects, 100 one that detects at the first step of every window. Pure functions; arrays are only read.
 */
import type { Span } from './detection-metrics.ts';

const FALSE_ALARM_WEIGHT = 0.11;
/** Nothing is judged in this share of a series, at most that many steps. */
const PROBATION_SHARE = 0.15;
const PROBATION_STEPS_MAX = 750;

/** Scores of the steps of one series, higher the more anomalous, and its labeled windows, apart and in order. */
export interface ScoredSeries {
  readonly scores: Float64Array;
  readonly windows: readonly Span[];
}

export interface NabScore {
  /** 0 to 100; negative for one worse than none. */
  readonly score: number;
  /** Scores at or above it are detections. */
  readonly threshold: number;
  /** What each series adds, from -windows to +windows. */
  readonly perSeries: readonly number[];
  /** The score when the threshold of each series is the best for all the others. */
  readonly heldOut: number;
}

/** Judges a detector. NaN where no series has a window. O(thresholds x series). */
export function nabScore(series: readonly ScoredSeries[]): NabScore {
  const windows = series.reduce((sum, one) => sum + one.windows.length, 0);
  const steps = series.flatMap((one, at) => rises(one).map((rise) => ({ ...rise, at })));
  steps.sort((a, b) => b.threshold - a.threshold);
  const current = series.map((one) => -one.windows.length);
  const none: Choice = { value: -windows, threshold: Number.POSITIVE_INFINITY, perSeries: current.slice() };
  let best = none;
  const bestWithout = series.map((one): Choice => ({ ...none, value: none.value + one.windows.length }));
  let total = -windows;
  steps.forEach(({ threshold, change, at }, i) => {
    current[at] = current[at]! + change;
    total += change;
    if (steps[i + 1]?.threshold === threshold) return;
    if (total > best.value) best = { value: total, threshold, perSeries: current.slice() };
    bestWithout.forEach((before, without) => {
      const value = total - current[without]!;
      if (value > before.value) bestWithout[without] = { value, threshold, perSeries: current.slice() };
    });
  });
  const normalized = (raw: number) => (100 * (raw + windows)) / (2 * windows);
  return {
    score: normalized(best.value),
    threshold: best.threshold,
    perSeries: best.perSeries,
    heldOut: normalized(bestWithout.reduce((sum, { perSeries }, at) => sum + perSeries[at]!, 0)),
  };
}

/** What a threshold gives. */
interface Choice {
  readonly value: number;
  readonly threshold: number;
  readonly perSeries: readonly number[];
}

/** How the raw score of a series changes as the threshold falls to that of each of its detections. */
function rises({ scores, windows }: ScoredSeries): { threshold: number; change: number }[] {
  const worth = detectionWorths(scores.length, windows);
  const earned = windows.map(() => -1);
  const from = probationSteps(scores.length);
  const order = Array.from({ length: scores.length - from }, (_, i) => from + i).sort(
    (a, b) => scores[b]! - scores[a]!,
  );
  return order.map((step) => {
    const threshold = scores[step]!;
    const window = windows.findIndex((span) => span.from <= step && step < span.to);
    if (window < 0) return { threshold, change: worth[step]! };
    const change = Math.max(0, worth[step]! - earned[window]!);
    earned[window] = earned[window]! + change;
    return { threshold, change };
  });
}

export function probationSteps(steps: number): number {
  return Math.min(Math.floor(PROBATION_SHARE * steps), PROBATION_STEPS_MAX);
}

/** What a detection at each step is worth: over 0 to 1 inside a window, 0 down to -0.11 outside. */
export function detectionWorths(steps: number, windows: readonly Span[]): Float64Array {
  const worths = new Float64Array(steps).fill(-FALSE_ALARM_WEIGHT);
  windows.forEach(({ from, to }, at) => {
    const width = to - from;
    for (let step = from; step < to; step++) worths[step] = sigmoid(-(to - step) / width) / sigmoid(-1);
    const next = windows[at + 1]?.from ?? steps;
    for (let step = to; step < next; step++) {
      worths[step] = FALSE_ALARM_WEIGHT * sigmoid((step - to + 1) / (width - 1));
    }
  });
  return worths;
}

/** 1 far before the end of a window, 0 at it, -1 beyond three widths. */
function sigmoid(position: number): number {
  return position > 3 ? -1 : 2 / (1 + Math.exp(5 * position)) - 1;
}
