/**
 * What checks amount to: a quality from 0 to 1, and a verdict. Pure.
 *
 * What a verdict does not say: that the cells of a claim stand where they were measured. A claim is judged by its regime,
 * which follows statistics of the map, and by its total, and cells put in another order keep that: of shuffled 16x16 maps
 * of closed streams 98 to 99 % are VERIFIED as to their regime. What speaks for the arrangement is a submitter's signature.
 * SMOOTHNESS does not: Sobel's differences smooth a shuffle, whose steepest slopes are mostly within a fifth of the map's.
 * SPECTRUM would: between a shuffle and the map before it is over 2, between neighboring maps of these streams under 0.35
 * at 64x64 and under 1 at 16x16 (99 % of them). It would need the map before, which a server holds of its streams, and on
 * small maps a threshold above the 0.5 of predictions; it is for predictions only.
 */
import type { Check, CheckKind } from './check.ts';

export type ProofMode = 'CLAIM' | 'PREDICTION';
export type Verdict = 'VERIFIED' | 'REFUTED' | 'INCONCLUSIVE';

export interface Conclusion {
  readonly verdict: Verdict;
  /** 0..1. */
  readonly quality: number;
}

/** Checks that must apply and pass. */
const MANDATORY: Readonly<Record<ProofMode, readonly CheckKind[]>> = {
  CLAIM: ['PROVENANCE', 'REGIME'],
  PREDICTION: ['PROVENANCE', 'POINTWISE'],
};
const QUALITY_MIN = 0.6;
/** Share of the cells that must have been observed: whoever hides more of a map says little of it. */
const OBSERVED_MIN = 0.5;
/** A claim less probable than this is refuted, one up to a half doubtful. */
const PROBABILITY_MIN = 0.1;

/**
 * VERIFIED: what is mandatory applies, all that applies passes, the quality is at least 0.6, and at least half of the cells
 * were observed (cells that were not are never judged). REFUTED: a mandatory check or ENERGY_BUDGET fails, unless it is
 * REGIME alone and the claim is more probable than 0.1. Else INCONCLUSIVE. `observedShare` is 0..1, 1 unless given.
 */
export function conclude(mode: ProofMode, checks: readonly Check[], observedShare = 1): Conclusion {
  const quality = qualityOf(checks);
  const mandatory = MANDATORY[mode];
  const failed = checks.filter(({ outcome }) => outcome === 'FAIL');
  const refuting = failed.filter(
    ({ kind, value }) =>
      (kind === 'ENERGY_BUDGET' || mandatory.includes(kind)) &&
      !(kind === 'REGIME' && value < 1 - PROBABILITY_MIN),
  );
  if (refuting.length > 0) return { verdict: 'REFUTED', quality };
  const applies = (kind: CheckKind) =>
    checks.some((check) => check.kind === kind && check.outcome !== 'NOT_APPLICABLE');
  const isVerified =
    failed.length === 0 &&
    mandatory.every(applies) &&
    quality >= QUALITY_MIN &&
    observedShare >= OBSERVED_MIN;
  return { verdict: isVerified ? 'VERIFIED' : 'INCONCLUSIVE', quality };
}

/** exp(sum of w ln s / sum of w) over the checks that apply; 0 of none. One score of 0 makes it 0. */
export function qualityOf(checks: readonly Check[]): number {
  let weights = 0;
  let sum = 0;
  for (const check of checks) {
    if (check.outcome === 'NOT_APPLICABLE') continue;
    weights += check.weight;
    sum += check.weight * Math.log(scoreOf(check));
  }
  return weights > 0 ? Math.exp(sum / weights) : 0;
}

/** s = max(0, 1 - (value / threshold)^2 / 2): 1 without fault, a half at the threshold; 1 or 0 for a threshold of 0. */
function scoreOf({ value, threshold }: Check): number {
  if (threshold === 0) return value === 0 ? 1 : 0;
  return Math.max(0, 1 - 0.5 * (value / threshold) ** 2);
}
