/**
 * Whether two maps of the same cells keep an energy budget. Energies in joules, powers in watts, time in seconds,
 * entropies in nats.
 */
import type { FieldViolation } from '../../errors.ts';
import { BudgetMode } from '../../gen/homeostat/energy/v1/energy_service_pb.ts';
import type { Totals } from './state.ts';

/**
 * CONSERVATIVE: nothing comes or goes, and entropy does not fall by more than three standard errors. DISSIPATIVE:
 * energy may leave. DRIVEN: declared powers; entropy is only reported.
 */
export type BudgetRule = 'CONSERVATIVE' | 'DISSIPATIVE' | 'DRIVEN';

const RULES: Readonly<Record<BudgetMode, BudgetRule>> = {
  [BudgetMode.UNSPECIFIED]: 'CONSERVATIVE',
  [BudgetMode.CONSERVATIVE]: 'CONSERVATIVE',
  [BudgetMode.DISSIPATIVE]: 'DISSIPATIVE',
  [BudgetMode.DRIVEN]: 'DRIVEN',
};

/** The rule a contract's mode stands for. */
export function budgetRule(mode: BudgetMode): BudgetRule {
  return RULES[mode] ?? 'CONSERVATIVE';
}

/** Powers, in watts by their fields, that a budget of this rule cannot have. */
export function powerViolations(
  rule: BudgetRule,
  powers: Readonly<Record<string, number>>,
): FieldViolation[] {
  if (rule !== 'CONSERVATIVE') return [];
  return Object.entries(powers)
    .filter(([, watts]) => watts !== 0)
    .map(([field]) => ({ field, description: 'must be 0 in a conservative budget' }));
}

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

/** Rounding of an entropy, which is no fall, nats. */
export const ENTROPY_ROUNDING = 1e-9;

/**
 * By how much entropy fell, beyond rounding and at least 0, and the standard error of that, the larger of the two maps' (an
 * even map has none of its own), nats; undefined where a map has no entropy.
 */
export function entropyFall(before: Totals, after: Totals): { fall: number; error: number } | undefined {
  if (before.spatialEntropy === undefined || after.spatialEntropy === undefined) return undefined;
  return {
    fall: Math.max(0, before.spatialEntropy - after.spatialEntropy - ENTROPY_ROUNDING),
    error: Math.sqrt(Math.max(before.spatialEntropyVariance, after.spatialEntropyVariance)),
  };
}

/** r = net_after - net_before - netPower dt against atol + rtol max(absolute); entropy against three standard errors. */
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
  const fallen = budget.rule === 'CONSERVATIVE' ? entropyFall(before, after) : undefined;
  if (fallen && fallen.fall > 3 * fallen.error)
    reasons.push(
      `entropy fell by ${fallen.fall} nats, which is over three standard errors of ${fallen.error}`,
    );
  return { passed: reasons.length === 0, residual, tolerance, fidelity, entropyChange, reasons };
}
