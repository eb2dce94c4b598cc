/**
 * Whether two maps of the same cells keep an energy budget. Energies in joules, powers in watts, time in seconds,
 * entropies in nats.
 */
import type { Totals } from './state.ts';

/**
 * CONSERVATIVE: nothing comes or goes, and entropy does not fall by more than three standard errors. DISSIPATIVE:
 * energy may leave. DRIVEN: declared powers; entropy is only reported.
 */
export type BudgetRule = 'CONSERVATIVE' | 'DISSIPATIVE' | 'DRIVEN';

export interface Budget {
  readonly rule: BudgetRule;
  /** Time between the maps, s, over 0. */
  readonly dt: number;
  /** sources - sinks + boundary flux, W. */
  readonly netPower: number;
  /** J, at least 0. */
  readonly absoluteTolerance: number;
  /** 0..1. */
  readonly relativeTolerance: number;
}

export interface BudgetVerdict {
  readonly passed: boolean;
  /** J; positive when energy appeared. */
  readonly residual: number;
  readonly tolerance: number;
  /** 1 - |residual| / scale, held to 0..1. */
  readonly fidelity: number;
  readonly entropyChange: number | undefined;
  /** What failed, in words. */
  readonly reasons: readonly string[];
}

/** Rounding of an entropy, which is no fall. */
const ENTROPY_ROUNDING = 1e-9;

/**
 * r = net_after - net_before - netPower dt against atol + rtol max(absolute); entropy against three standard errors,
 * the larger of the two maps' (an even map has none of its own).
 */
export function checkBudget(before: Totals, after: Totals, budget: Budget): BudgetVerdict {
  const residual = after.net - before.net - budget.netPower * budget.dt;
  const scale = Math.max(before.absolute, after.absolute);
  const tolerance = budget.absoluteTolerance + budget.relativeTolerance * scale;
  const size = Math.abs(residual);
  const fidelity = size === 0 ? 1 : Math.max(0, Math.min(1, 1 - size / scale));
  const reasons: string[] = [];
  if (budget.rule === 'DISSIPATIVE' ? residual > tolerance : size > tolerance) {
    const direction = residual > 0 ? 'appeared' : 'vanished';
    reasons.push(`${size} J ${direction}, which is over the tolerance of ${tolerance} J`);
  }
  const entropyChange =
    before.spatialEntropy === undefined || after.spatialEntropy === undefined
      ? undefined
      : after.spatialEntropy - before.spatialEntropy;
  if (budget.rule === 'CONSERVATIVE' && entropyChange !== undefined) {
    const error = Math.sqrt(Math.max(before.spatialEntropyVariance, after.spatialEntropyVariance));
    if (entropyChange < -3 * error - ENTROPY_ROUNDING)
      reasons.push(`entropy fell by ${-entropyChange} nats, which is over three standard errors of ${error}`);
  }
  return { passed: reasons.length === 0, residual, tolerance, fidelity, entropyChange, reasons };
}
