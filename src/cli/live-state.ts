/** What the live view of a demo shows: plain data, filled by `fleet-watch.ts`, drawn by `live-view.ts`. */
import { PhaseSeverity, PhaseSeveritySchema } from '../gen/homeostat/resilience/v1/resilience_service_pb.ts';
import type { Account } from './stream-account.ts';

/** The latest energy map. */
export interface MapView {
  readonly rows: number;
  readonly cols: number;
  /** Energy per cell, row by row. */
  readonly values: ArrayLike<number>;
  /** Node per cell; empty for a spare cell. */
  readonly nodes: readonly string[];
  readonly observed: readonly boolean[];
}

/** One named series, newest last. */
export interface Series {
  readonly name: string;
  /** Whether it spans orders of magnitude and is drawn by its logarithm; its values are at least 0 then. */
  readonly logarithmic?: boolean;
  readonly values: readonly number[];
}

/** How near a critical transition is. */
export interface RiskView {
  /** The severity that holds; UNSPECIFIED before the first look. */
  readonly severity: PhaseSeverity;
  /** Event time of the look since which it holds, milliseconds. */
  readonly sinceMs: number | undefined;
  /** Event time of the last look, milliseconds. */
  readonly lookMs: number | undefined;
  /** What held after each look, newest last. */
  readonly looks: readonly PhaseSeverity[];
}

export interface LiveState {
  readonly title: string;
  /** The part that is shown and how fast it goes. */
  readonly part: string;
  /** Share of the part that is over, 0..1. */
  readonly progress: number;
  /** Event time, milliseconds. */
  readonly eventTimeMs: number;
  /** Level of defense, 1..5. */
  readonly level: number;
  readonly utilization: number | undefined;
  readonly ceiling: number | undefined;
  /** Event time before which the level is not lowered. */
  readonly heldUntilMs: number | undefined;
  readonly risk: RiskView;
  readonly map: MapView | undefined;
  readonly mapCount: number;
  readonly series: readonly Series[];
  readonly sessions: {
    readonly created: number;
    readonly live: number;
    readonly refused: number;
    /** Refusals by level of defense. */
    readonly refusedByLevel: Readonly<Record<string, number>>;
  };
  readonly telemetry: Account;
  /** What happened, oldest first. */
  readonly log: readonly string[];
}

export const LEVEL_NAMES = ['', 'PREVENTION', 'DETECTION', 'PROTECTION', 'MITIGATION', 'EMERGENCY'] as const;

/** Nothing was looked at yet. */
export const NO_RISK: RiskView = {
  severity: PhaseSeverity.UNSPECIFIED,
  sinceMs: undefined,
  lookMs: undefined,
  looks: [],
};

/** Name of a severity as the contract has it, without prefix. */
export function riskName(severity: PhaseSeverity): string {
  return PhaseSeveritySchema.value[severity]?.localName ?? String(severity);
}
