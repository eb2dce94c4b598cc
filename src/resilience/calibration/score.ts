/**
 * How trials are scored: shares with the interval that the number of trials leaves, and how well a score tells two
 * groups apart. Shares and probabilities have unit 1.
 */
import { normalQuantile } from '../../numeric/quantile.ts';
import type { RiskSeverity } from '../early-warning/assessment.ts';
import type { MetricFinding } from '../early-warning/metric-assessment.ts';
import { severityRank } from '../early-warning/severity.ts';

/** A share of trials with its 95 % interval. */
export interface Share {
  readonly count: number;
  readonly trials: number;
  readonly share: number;
  readonly low: number;
  readonly high: number;
}

/** The 95 % score interval of a share (E. Wilson, JASA 22, 1927); `trials` over 0. */
export function wilson(count: number, trials: number): Share {
  const z = normalQuantile(0.975);
  const share = count / trials;
  const center = (count + (z * z) / 2) / (trials + z * z);
  const half = (z * Math.sqrt(trials * share * (1 - share) + (z * z) / 4)) / (trials + z * z);
  return { count, trials, share, low: Math.max(0, center - half), high: Math.min(1, center + half) };
}

/** Severities that rates are given for. */
export const SCORED = ['ELEVATED', 'HIGH', 'CRITICAL'] as const;

/** Share of looks at least as severe as each of `SCORED`. */
export type AlarmRates = Readonly<Record<(typeof SCORED)[number], Share>>;

/** Rates over the severities of some looks, at least one. */
export function alarmRates(severities: readonly RiskSeverity[]): AlarmRates {
  const atLeast = (least: RiskSeverity) =>
    severities.filter((severity) => severityRank(severity) >= severityRank(least)).length;
  const shares = SCORED.map((least) => [least, wilson(atLeast(least), severities.length)] as const);
  return Object.fromEntries(shares) as AlarmRates;
}

/** Greatest rates of false alarms, at the upper end of their intervals, that a look may have. */
export const FALSE_ALARMS_MAX = { ELEVATED: 0.1, CRITICAL: 0.05 } as const;

/** Whether false alarms are as rare as they must be. */
export function alarmsAreRare(rates: AlarmRates): boolean {
  return rates.ELEVATED.high <= FALSE_ALARMS_MAX.ELEVATED && rates.CRITICAL.high <= FALSE_ALARMS_MAX.CRITICAL;
}

/** One number for one metric: the greater of its families' p-values as normal deviates. */
export function deviateOf({ tests }: MetricFinding): number {
  return Math.max(...tests.map(({ p }) => -normalQuantile(p)));
}

/**
 * Chance that a positive scores above a negative, ties counting half: the area under the ROC curve. O(n log n) in all
 * scores; both groups hold at least one.
 */
export function areaUnderCurve(positives: readonly number[], negatives: readonly number[]): number {
  const ranked = [
    ...positives.map((score) => ({ score, positive: true })),
    ...negatives.map((score) => ({ score, positive: false })),
  ].sort((a, b) => a.score - b.score);
  let rankSum = 0;
  for (let from = 0; from < ranked.length; ) {
    let to = from;
    while (to < ranked.length && ranked[to]!.score === ranked[from]!.score) to++;
    const middleRank = (from + 1 + to) / 2;
    for (let at = from; at < to; at++) if (ranked[at]!.positive) rankSum += middleRank;
    from = to;
  }
  const least = (positives.length * (positives.length + 1)) / 2;
  return (rankSum - least) / (positives.length * negatives.length);
}
