/**
 * How a metric recovers while nothing is wrong: the figures of its unalarmed quarters of the last seven days, which
 * later looks are compared with. Quarters do not overlap, so that twenty of them are twenty observations; until there
 * are as many, a look is compared with the first quarter of its own series. Immutable; event time, milliseconds.
 */

import { medianOf } from '../../numeric/selection.ts';
import type { Assessment, RiskSeverity } from '../early-warning/assessment.ts';
import type { MetricReference } from '../early-warning/metric-assessment.ts';

/** A quarter nothing was wrong in. */
export interface CalmQuarter extends MetricReference {
  /** The look it ended at. */
  readonly atMs: number;
}

/** Per metric, oldest first. */
export type CalmQuarters = Readonly<Record<string, readonly CalmQuarter[]>>;

const QUARTERS_MIN = 20;
const MEMORY_MS = 7 * 86_400_000;

/** What is remembered after a look; `held` are the severities that hold after it. */
export function rememberCalm(
  calm: CalmQuarters,
  look: { readonly atMs: number; readonly intervalMs: number },
  assessment: Assessment,
  held: Readonly<Record<string, RiskSeverity>>,
): CalmQuarters {
  const after: Record<string, readonly CalmQuarter[]> = {};
  for (const [metric, quarters] of Object.entries(calm)) {
    const kept = quarters.filter(({ atMs }) => look.atMs - atMs <= MEMORY_MS);
    if (kept.length > 0) after[metric] = kept;
  }
  for (const { finding, severity } of assessment.metrics) {
    if (!finding.present || severity !== 'NORMAL' || held[finding.name] !== 'NORMAL') continue;
    const quarterMs = (finding.samples / 4) * look.intervalMs;
    const kept = after[finding.name] ?? [];
    const last = kept.at(-1);
    if (last && look.atMs - last.atMs < quarterMs) continue;
    after[finding.name] = [...kept, { atMs: look.atMs, ...finding.present }];
  }
  return after;
}

/** What looks are compared with, for the metrics of which enough is known. */
export function referencesOf(calm: CalmQuarters): ReadonlyMap<string, MetricReference> {
  const references = new Map<string, MetricReference>();
  for (const [metric, quarters] of Object.entries(calm)) {
    if (quarters.length < QUARTERS_MIN) continue;
    const usual = (figure: keyof MetricReference) =>
      medianOf(Float64Array.from(quarters, (quarter) => quarter[figure]));
    references.set(metric, {
      lagOne: usual('lagOne'),
      recoveryRate: usual('recoveryRate'),
      recoveryRate2: usual('recoveryRate2'),
    });
  }
  return references;
}
