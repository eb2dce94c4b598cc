/**
 * Whether a model's losses drift up from those of the model before it: the change points of the logarithm of their ratio,
 * of which the one where it rises counts. It cannot see a model that was worse from its first window on: that is what the
 * paired test is for.
 */
import { type ChangePointState, ChangePoints } from '../regime/change-point.ts';

/** Mean windows between two false alarms, either way; 512 windows on probation have one up in about 2 % of cases. */
const FALSE_ALARM_WINDOWS = 10_000;
/** Losses of forecasts that were exact have a ratio too. */
const LOSS_MIN = 1e-12;

export interface DriftState {
  readonly changes: ChangePointState;
  /** Log ratios so far, oldest first. */
  readonly ratios: readonly number[];
}

export interface Drift {
  /** Takes the next pair of losses in; whether they show that the ratio has risen. */
  add(own: number, other: number): boolean;
  /** Borrowed until the next pair. */
  state(): DriftState;
}

/** Goes on from a state, or starts anew. */
export function createDrift(from?: DriftState): Drift {
  const changes = new ChangePoints(1, FALSE_ALARM_WINDOWS, from?.changes);
  const ratios = [...(from?.ratios ?? [])];
  return {
    add(own, other) {
      const ratio = Math.log((own + LOSS_MIN) / (other + LOSS_MIN));
      ratios.push(ratio);
      changes.push([ratio]);
      if (changes.sinceAlarm !== 0) return false;
      const { onset } = changes.alarm!;
      return meanOf(ratios.slice(onset)) > meanOf(ratios.slice(0, onset));
    },
    state: () => ({ changes: changes.state(), ratios }),
  };
}

function meanOf(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
