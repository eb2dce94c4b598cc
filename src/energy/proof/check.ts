/**
 * What a proof checks: a value of each kind against the largest that passes. Values have no unit, are at least 0 and at
 * most 1e9; one that cannot be computed is that, so that nothing passes by overflow. Pure.
 */

export type CheckKind =
  | 'ENERGY_BUDGET'
  | 'ENTROPY_PRODUCTION'
  | 'SPECTRUM'
  | 'POINTWISE'
  | 'INTERVAL'
  | 'BOUNDS'
  | 'SMOOTHNESS'
  | 'BOUNDARY_FLUX'
  | 'REGIME'
  | 'PROVENANCE';

export type CheckOutcome = 'PASS' | 'FAIL' | 'NOT_APPLICABLE';

export interface Check {
  readonly kind: CheckKind;
  /** 0 where not applicable. */
  readonly value: number;
  readonly threshold: number;
  readonly weight: number;
  readonly outcome: CheckOutcome;
  /** What was at fault; empty unless it failed. */
  readonly detail: string;
}

/** What is measured: a value, and what is at fault should it be too large. */
export interface Measure {
  readonly value: number;
  readonly detail: string;
}

/** POINTWISE passes up to the stream's own threshold, held to this range; where there is none, to its end. */
export const POINTWISE_RANGE = { least: 0.05, greatest: 0.5 } as const;

const RULES: Readonly<Record<CheckKind, { readonly threshold: number; readonly weight: number }>> = {
  ENERGY_BUDGET: { threshold: 1e-3, weight: 3 },
  ENTROPY_PRODUCTION: { threshold: 3, weight: 1 },
  SPECTRUM: { threshold: 0.5, weight: 2 },
  POINTWISE: { threshold: POINTWISE_RANGE.greatest, weight: 3 },
  INTERVAL: { threshold: 0.1, weight: 1 },
  BOUNDS: { threshold: 0, weight: 1 },
  SMOOTHNESS: { threshold: Math.log(4), weight: 1 },
  BOUNDARY_FLUX: { threshold: 0.01, weight: 1 },
  REGIME: { threshold: 0.5, weight: 3 },
  PROVENANCE: { threshold: 0, weight: 1 },
};

const VALUE_MAX = 1e9;

/** Judges a measure; undefined means that there is nothing to check. */
export function judged(
  kind: CheckKind,
  measure: Measure | undefined,
  threshold: number = RULES[kind].threshold,
): Check {
  const { weight } = RULES[kind];
  if (measure === undefined)
    return { kind, value: 0, threshold, weight, outcome: 'NOT_APPLICABLE', detail: '' };
  const value = measure.value <= VALUE_MAX ? Math.max(0, measure.value) : VALUE_MAX;
  if (value <= threshold) return { kind, value, threshold, weight, outcome: 'PASS', detail: '' };
  return { kind, value, threshold, weight, outcome: 'FAIL', detail: measure.detail };
}

/** size / scale, 0 for a size of 0. */
export function ratioOf(size: number, scale: number): number {
  return size === 0 ? 0 : size / scale;
}
