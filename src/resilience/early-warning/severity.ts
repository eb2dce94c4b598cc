/**
 * From p-values to severities. Every (metric, family) test of a look counts in one Holm correction, so the chance of
 * any false warning in a look is at most alpha however many metrics there are.
 */
import type { PhaseSeverity } from '../defense/level.ts';
import type { RiskSeverity } from './assessment.ts';
import type { MetricReference } from './metric-assessment.ts';

/** Adjusted p that counts as strong evidence. */
export const STRONG_P = 0.01;
/** Shares by which the recovery rates must have fallen for CRITICAL. */
const RECOVERY_LOST = 0.5;
const RECOVERY_SECOND_ORDER_LOST = 0.25;
/** Margin to the limit, as a share of it, below which a critical metric is about to reach it. */
const MARGIN_MIN = 0.1;

const ORDER: readonly RiskSeverity[] = ['UNKNOWN', 'NORMAL', 'ELEVATED', 'HIGH', 'CRITICAL', 'IMMINENT'];

/** Order of severities: -1 for UNKNOWN, 0 for NORMAL, up to 4 for IMMINENT. */
export function severityRank(severity: RiskSeverity): number {
  return ORDER.indexOf(severity) - 1;
}

/** The worst of some severities; UNKNOWN when none is known. */
export function worstSeverity(severities: readonly RiskSeverity[]): RiskSeverity {
  return severities.reduce<RiskSeverity>(
    (worst, one) => (severityRank(one) > severityRank(worst) ? one : worst),
    'UNKNOWN',
  );
}

/**
 * Adjusted p-values, in the order given (S. Holm, "A simple sequentially rejective multiple test procedure", 1979):
 * the k-th smallest of m is multiplied by m - k + 1, never falls below a smaller one's and never exceeds 1.
 */
export function holm(pValues: readonly number[]): number[] {
  const ascending = pValues.map((p, index) => ({ p, index })).sort((a, b) => a.p - b.p);
  const adjusted = new Array<number>(pValues.length).fill(1);
  let greatest = 0;
  ascending.forEach(({ p, index }, rank) => {
    greatest = Math.max(greatest, Math.min(1, p * (pValues.length - rank)));
    adjusted[index] = greatest;
  });
  return adjusted;
}

/** What the severity of one metric stands on. */
export interface MetricEvidence {
  /** Adjusted p of each family. */
  readonly pAdjusted: readonly number[];
  /** The last quarter and what it is compared with. */
  readonly present: MetricReference;
  readonly reference: MetricReference;
  /** Share of the limit's size that is left, 0 once past; absent without a limit. */
  readonly limitMargin?: number;
}

/** Severity of one metric: the highest that holds. */
export function metricSeverity(evidence: MetricEvidence, alpha: number): PhaseSeverity {
  const { pAdjusted, limitMargin } = evidence;
  const found = pAdjusted.filter((p) => p <= alpha).length;
  const strong = pAdjusted.some((p) => isStrong(p, alpha));
  if (found === 0) return 'NORMAL';
  if (!strong) return found >= 2 ? 'HIGH' : 'ELEVATED';
  if (!recoveryIsLost(evidence)) return 'HIGH';
  return limitMargin !== undefined && limitMargin < MARGIN_MIN ? 'IMMINENT' : 'CRITICAL';
}

/** Severity of one test alone: strong evidence carries the whole metric's. */
export function signalSeverity(pAdjusted: number, metric: PhaseSeverity, alpha: number): PhaseSeverity {
  if (pAdjusted > alpha) return 'NORMAL';
  return isStrong(pAdjusted, alpha) ? metric : 'ELEVATED';
}

function isStrong(pAdjusted: number, alpha: number): boolean {
  return pAdjusted <= Math.min(STRONG_P, alpha);
}

/** Whether both recovery rates have fallen by their shares. A rate that was not positive cannot fall. */
function recoveryIsLost({ present, reference }: MetricEvidence): boolean {
  const lost = (now: number, before: number, share: number) => before > 0 && now <= (1 - share) * before;
  return (
    lost(present.recoveryRate, reference.recoveryRate, RECOVERY_LOST) &&
    lost(present.recoveryRate2, reference.recoveryRate2, RECOVERY_SECOND_ORDER_LOST)
  );
}
