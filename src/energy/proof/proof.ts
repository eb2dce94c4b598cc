/** What checks amount to: a quality from 0 to 1, and a verdict. Pure. */
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
/** A claim less probable than this is refuted, one up to a half doubtful. */
const PROBABILITY_MIN = 0.1;

/**
 * VERIFIED: what is mandatory applies, all that applies passes, and the quality is at least 0.6. REFUTED: a mandatory
 * check or ENERGY_BUDGET fails, unless it is REGIME alone and the claim is more probable than 0.1. Else INCONCLUSIVE.
 */
export function conclude(mode: ProofMode, checks: readonly Check[]): Conclusion {
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
  const isVerified = failed.length === 0 && mandatory.every(applies) && quality >= QUALITY_MIN;
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
