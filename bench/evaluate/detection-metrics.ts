/**
 * How well a score tells labelled steps from others. Scores are higher the more anomalous; a step is labelled with 1.
 * Every step counts alone: nothing is adjusted for the incident it belongs to. Steps of equal score are taken
 * together, so no figure depends on their order. Pure functions; arrays are only read.
 */
import type { Interval } from './figure.ts';

/** Steps from `from` up to, not including, `to`. */
export interface Span {
  readonly from: number;
  readonly to: number;
}

/** Labelled and other steps of one score. */
interface Tie {
  readonly hits: number;
  readonly misses: number;
}

/**
 * Probability that a labelled step scores above another one, ties counting half (Mann and Whitney, 1947): the area
 * under the ROC curve. NaN when all labels are equal. O(n log n).
 */
export function areaUnderRoc(scores: Float64Array, labels: Uint8Array): number {
  let hits = 0;
  let misses = 0;
  let area = 0;
  for (const tie of tiesFromTop(scores, labels)) {
    area += tie.misses * (hits + tie.hits / 2);
    hits += tie.hits;
    misses += tie.misses;
  }
  return area / (hits * misses);
}

/**
 * Sum over thresholds of the precision times the gain in recall, without interpolation. NaN when nothing is labelled.
 * A score without information has the share of labelled steps. O(n log n).
 */
export function averagePrecision(scores: Float64Array, labels: Uint8Array): number {
  let hits = 0;
  let taken = 0;
  let sum = 0;
  for (const tie of tiesFromTop(scores, labels)) {
    hits += tie.hits;
    taken += tie.hits + tie.misses;
    sum += tie.hits * (hits / taken);
  }
  return sum / hits;
}

/** Steps by score, greatest first. Throws RangeError for a score that is not a number, which has no rank. */
function* tiesFromTop(scores: Float64Array, labels: Uint8Array): Generator<Tie, void, undefined> {
  if (scores.length !== labels.length) throw new RangeError('scores and labels differ in length');
  if (scores.some(Number.isNaN)) throw new RangeError('a score is not a number');
  const order = Uint32Array.from(scores.keys()).sort((a, b) => scores[b]! - scores[a]!);
  for (let at = 0; at < order.length; ) {
    const score = scores[order[at]!]!;
    let hits = 0;
    let misses = 0;
    for (; at < order.length && scores[order[at]!] === score; at++) {
      if (labels[order[at]!] === 1) hits++;
      else misses++;
    }
    yield { hits, misses };
  }
}

/** What alarms at a threshold found. */
export interface AlarmOutcome {
  /** Incidents with an alarm in at least one of their steps. */
  readonly incidentsHit: number;
  /** Runs of steps that are alarmed and outside every incident. */
  readonly falseAlarmEpisodes: number;
}

/** Judges the alarms of the steps that score above a threshold. `incidents` lie within the scores. */
export function judgeAlarms(
  scores: Float64Array,
  threshold: number,
  incidents: readonly Span[],
): AlarmOutcome {
  const inside = new Uint8Array(scores.length);
  let incidentsHit = 0;
  for (const { from, to } of incidents) {
    inside.fill(1, from, to);
    if (scores.subarray(from, to).some((score) => score > threshold)) incidentsHit++;
  }
  let falseAlarmEpisodes = 0;
  let before = false;
  scores.forEach((score, step) => {
    const isFalse = score > threshold && inside[step] === 0;
    if (isFalse && !before) falseAlarmEpisodes++;
    before = isFalse;
  });
  return { incidentsHit, falseAlarmEpisodes };
}

/**
 * Share of the affected metrics among the first floor(1.5 n) of a ranking, n their number (HitRate@150% of Su and
 * others, "Robust anomaly detection for multivariate time series", KDD 2019). Metrics of equal size rank by index.
 */
export function hitRate(sizes: Float64Array, affected: readonly number[]): number {
  const ranking = [...sizes.keys()].sort((a, b) => sizes[b]! - sizes[a]! || a - b);
  const first = new Set(ranking.slice(0, Math.floor(1.5 * affected.length)));
  return affected.filter((metric) => first.has(metric)).length / affected.length;
}

/**
 * The quantile that interpolates linearly between order statistics, at (n - 1) p from the smallest (type 7 of Hyndman
 * and Fan, 1996). NaN for no values.
 */
export function quantile(values: Float64Array, p: number): number {
  if (values.length === 0) return Number.NaN;
  const sorted = values.slice().sort();
  const place = (sorted.length - 1) * p;
  const low = sorted[Math.floor(place)]!;
  const high = sorted[Math.ceil(place)]!;
  return low + (high - low) * (place - Math.floor(place));
}

/** NaN for no values. */
export function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** 97.5 % quantile of the normal distribution. */
const NORMAL_975 = 1.959963984540054;

/**
 * 95 % interval of the probability behind `hits` successes of `trials` (Wilson, 1927). The whole of [0, 1] for no
 * trials.
 */
export function wilsonInterval(hits: number, trials: number): Interval {
  if (trials === 0) return { low: 0, high: 1 };
  const share = hits / trials;
  const z2 = NORMAL_975 ** 2 / trials;
  const center = share + z2 / 2;
  const half = NORMAL_975 * Math.sqrt((share * (1 - share)) / trials + z2 / (4 * trials));
  return { low: Math.max(0, (center - half) / (1 + z2)), high: Math.min(1, (center + half) / (1 + z2)) };
}
