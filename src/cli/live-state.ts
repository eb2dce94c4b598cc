/** What the live view of a demo shows: plain data, filled by `fleet-watch.ts`, drawn by `live-view.ts`. */
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

export interface LiveState {
  readonly title: string;
  /** Share of the demo that is over, 0..1. */
  readonly progress: number;
  /** Event time, milliseconds. */
  readonly eventTimeMs: number;
  /** Seconds of event time per second. */
  readonly rate: number;
  /** Level of defense, 1..5. */
  readonly level: number;
  readonly utilization: number | undefined;
  readonly ceiling: number | undefined;
  /** Event time before which the level is not lowered. */
  readonly heldUntilMs: number | undefined;
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
