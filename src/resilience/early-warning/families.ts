/**
 * The two statistics that early warnings are judged by, each large when a system slows down: TREND asks whether
 * variance and memory rise through the series, LEVEL whether the memory of the present lies above that of a reference.
 * Both are free of unit. Their distribution without slowing down is found by surrogates, never by a formula.
 */
import { lagOne, type RollingPlan } from './indicators.ts';

export type Family = 'TREND' | 'LEVEL';

/** The statistics of residuals of one length; the plan holds the scratch, so calls allocate nothing. */
export interface FamilyPlan {
  /** Samples of a rolling window of TREND. */
  readonly window: number;
  /** Samples of the present, and of the reference inside the series: a quarter of its length. */
  readonly quarter: number;
  /** Kendall's tau-b against time of the rolling variance plus that of the rolling lag-1 autocorrelation; in [-2, 2]. */
  trend(residuals: Float64Array): number;
  /**
   * Fisher's z of the lag-1 autocorrelation in the last quarter minus that of `reference`, a known autocorrelation in
   * [-1, 1], or of the first quarter.
   */
  level(residuals: Float64Array, reference?: number): number;
}

export function createFamilies(rolling: RollingPlan): FamilyPlan {
  const { length } = rolling;
  const quarter = Math.floor(length / 4);
  const indicator = new Float64Array(rolling.count);
  return {
    window: rolling.window,
    quarter,
    trend(residuals) {
      rolling.variance(residuals, indicator);
      const variance = rolling.kendall(indicator);
      rolling.autocorrelation(residuals, 1, indicator);
      return variance + rolling.kendall(indicator);
    },
    level(residuals, reference = lagOne(residuals, 0, quarter)) {
      return fisherZ(lagOne(residuals, length - quarter, length)) - fisherZ(reference);
    },
  };
}

/** Beyond this an autocorrelation of a few dozen samples cannot be told from 1. */
const AUTOCORRELATION_MAX = 0.999;

/** Fisher's variance-stabilizing transform of a correlation, which is first cut to +-0.999. */
export function fisherZ(correlation: number): number {
  return Math.atanh(Math.max(-AUTOCORRELATION_MAX, Math.min(AUTOCORRELATION_MAX, correlation)));
}
