/**
 * The table of defense: what level each named input asks for. Pure functions of one measurement. An input also says
 * what it would ask for if its measurement were worse by a margin, which is what lowering a level goes by.
 *
 * Levels: 1 PREVENTION, 2 DETECTION, 3 PROTECTION, 4 MITIGATION, 5 EMERGENCY. Ratios have unit 1.
 */
import type { Status } from '../../gen/homeostat/resilience/v1/resilience_service_pb.ts';

/** 1 asks for nothing, 5 for everything. */
export type DefenseLevel = 1 | 2 | 3 | 4 | 5;

/** The rows of the table. */
export type InputName =
  | 'utilization'
  | 'served_share'
  | 'contingency'
  | 'homeostasis'
  | 'node_load'
  | 'phase_risk';

/** A status of the contract, by its name. */
export type StatusName = Exclude<keyof typeof Status, 'UNSPECIFIED'>;

/** Half-open span of event time, milliseconds. */
export interface Span {
  readonly startMs: number;
  readonly endMs: number;
}

/** One input as a look found it. */
export interface DefenseInput {
  readonly name: InputName;
  readonly status: StatusName;
  /** Level asked for; 0 when it takes no part. */
  readonly level: DefenseLevel | 0;
  /** Level asked for if the measurement were worse by the margin; at least `level`. */
  readonly cautiousLevel: DefenseLevel | 0;
  readonly statistic?: number;
  /** The threshold passed, or the next one above. */
  readonly threshold?: number;
  /** What the measurement stands on. */
  readonly window?: Span;
}

/** What a measurement asks for. */
export interface Reading {
  readonly level: DefenseLevel;
  /** The threshold passed, or the next one above. */
  readonly threshold: number;
}

/** Thresholds of utilization for levels 2..5; with a ceiling of .80: .70, .80, .85, .95. */
export function utilizationThresholds(ceiling: number): readonly number[] {
  const room = 1 - ceiling;
  return [0.875 * ceiling, ceiling, ceiling + 0.25 * room, ceiling + 0.75 * room];
}

/** Thresholds of the served share for levels 2..5, each passed from above. */
const SERVED_SHARE_THRESHOLDS = [0.95, 0.9, 0.8, 0.7];

/** Thresholds of the share of nodes whose load is LOAD or worse, for levels 2 and 3. */
const NODE_LOAD_THRESHOLDS = [0.3, 0.5];

/** The level of utilization (at least 0) against a ceiling in [0, 1]. */
export function utilizationLevel(utilization: number, ceiling: number): Reading {
  return readAbove(utilization, utilizationThresholds(ceiling));
}

/** The level of the served share, in [0, 1]. */
export function servedShareLevel(share: number): Reading {
  const { level, threshold } = readAbove(
    -share,
    SERVED_SHARE_THRESHOLDS.map((limit) => -limit),
  );
  return { level, threshold: -threshold };
}

/** The level of the share of nodes, in [0, 1], whose load is LOAD or worse. */
export function nodeLoadLevel(overloadedShare: number): Reading {
  return readAbove(overloadedShare, NODE_LOAD_THRESHOLDS);
}

/** What losing nothing (P0) and losing any one node (N-1) leaves unserved, and whether rank 1 is among it. */
export interface ContingencyFinding {
  readonly unservedNow: 'NOTHING' | 'SOME' | 'RANK_1';
  readonly unservedAfterLoss: 'NOTHING' | 'SOME' | 'RANK_1';
}

/** The level of what is unserved now, or would be after any one loss. */
export function contingencyLevel(finding: ContingencyFinding): DefenseLevel {
  const now = { NOTHING: 1, SOME: 4, RANK_1: 5 } as const;
  const afterLoss = { NOTHING: 1, SOME: 2, RANK_1: 3 } as const;
  return maxLevel(now[finding.unservedNow], afterLoss[finding.unservedAfterLoss]);
}

/** The level of homeostasis: a limit that is near in time, or passed. */
export function homeostasisLevel(finding: {
  readonly pastLimit: boolean;
  /** Least time until a limit is reached, where a trend leads to one. */
  readonly etaMs?: number;
  readonly responseTimeMs: number;
}): DefenseLevel {
  if (finding.pastLimit) return 3;
  return finding.etaMs !== undefined && finding.etaMs <= finding.responseTimeMs ? 2 : 1;
}

/** How near a critical transition is. */
export type PhaseSeverity = 'NORMAL' | 'ELEVATED' | 'HIGH' | 'CRITICAL' | 'IMMINENT';

/**
 * The level of phase risk. IMMINENT makes an emergency only with another input at 3 or above (`corroborated`), or
 * where phase risk alone may declare one.
 */
export function phaseRiskLevel(
  severity: PhaseSeverity,
  emergency: { readonly corroborated: boolean; readonly mayDeclareAlone: boolean },
): DefenseLevel {
  if (severity === 'IMMINENT') return emergency.corroborated || emergency.mayDeclareAlone ? 5 : 4;
  return ({ NORMAL: 1, ELEVATED: 1, HIGH: 2, CRITICAL: 4 } as const)[severity];
}

/** A figure with its status, as inputs are made from: only a status that can carry a value has one. */
export interface Figure {
  readonly status: StatusName;
  readonly value?: number;
  /** Why there is no value, in words. */
  readonly why?: string;
}

/** The utilization input of a look. A figure without a value asks for nothing. */
export function utilizationInput(
  utilization: Figure,
  ceiling: number,
  margin: number,
  window: Span,
): DefenseInput {
  const { status, value } = utilization;
  if (value === undefined) return { ...absentInput('utilization', status), window };
  const { level, threshold } = utilizationLevel(value, ceiling);
  const cautiousLevel = utilizationLevel(value + margin, ceiling).level;
  return { name: 'utilization', status, level, cautiousLevel, statistic: value, threshold, window };
}

/** An input that takes no part, and why. */
export function absentInput(name: InputName, status: StatusName): DefenseInput {
  return { name, status, level: 0, cautiousLevel: 0 };
}

/** The greatest of some levels, at least 1. */
export function maxLevel(...levels: readonly (DefenseLevel | 0)[]): DefenseLevel {
  return Math.max(1, ...levels) as DefenseLevel;
}

/** Level 1 plus the number of ascending thresholds the value lies above; at a threshold it is not passed yet. */
function readAbove(value: number, thresholds: readonly number[]): Reading {
  const passed = thresholds.filter((threshold) => value > threshold).length;
  return { level: (1 + passed) as DefenseLevel, threshold: thresholds[Math.max(0, passed - 1)]! };
}
