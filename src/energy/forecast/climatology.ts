/**
 * The mean of each cell, older maps forgotten by the half every 12 h of event time; once maps of 7 days are held, the
 * mean of the target's hour of day (UTC) instead, forgotten by the half every 7 days. Nothing here reads a clock.
 */
import type { Moment, Predictor } from './predictor.ts';

const HOUR_MS = 3_600_000;
const HALF_LIFE_MS = 12 * HOUR_MS;
const DAYS_HELD_MS = 7 * 24 * HOUR_MS;
const HOURS = 24;

export interface ClimatologyState {
  /** End of the first map's window; undefined before it. */
  firstMs: number | undefined;
  /** Maps learned. */
  count: number;
  readonly mean: Float64Array;
  /** Mean of each hour, hour by hour. */
  readonly hours: Float32Array;
  /** End of the last window of each hour; NaN before the first. */
  readonly hourMs: Float64Array;
  readonly hourCounts: Float64Array;
}

export interface Climatology extends Predictor<ClimatologyState> {
  /** The forgotten mean, borrowed; zeros before the first map. */
  mean(): Float64Array;
}

/** Starts from a state, which it takes over, or from nothing. O(cells). */
export function createClimatology(cells: number, from?: ClimatologyState): Climatology {
  const state: ClimatologyState = from ?? {
    firstMs: undefined,
    count: 0,
    mean: new Float64Array(cells),
    hours: new Float32Array(cells * HOURS),
    hourMs: new Float64Array(HOURS).fill(Number.NaN),
    hourCounts: new Float64Array(HOURS),
  };
  const hourOf = (ms: number) => Math.floor((((ms / HOUR_MS) % HOURS) + HOURS) % HOURS);
  const meanOf = (hour: number) => state.hours.subarray(hour * cells, (hour + 1) * cells);

  function learnHour({ startMs, endMs, cells: values }: Moment): void {
    const hour = hourOf(startMs);
    const count = state.hourCounts[hour]!;
    const sinceMs = count > 0 ? endMs - state.hourMs[hour]! : 0;
    blend(meanOf(hour), values, Math.max(forgotten(sinceMs, DAYS_HELD_MS), 1 / (count + 1)));
    state.hourCounts[hour] = count + 1;
    state.hourMs[hour] = endMs;
  }

  return {
    *learn({ now, before }) {
      state.firstMs ??= now.endMs;
      const sinceMs = before === undefined ? now.endMs - now.startMs : now.endMs - before.endMs;
      blend(state.mean, now.cells, Math.max(forgotten(sinceMs, HALF_LIFE_MS), 1 / (state.count + 1)));
      state.count++;
      learnHour(now);
      yield;
    },
    *predict({ now }, horizons, out) {
      const widthMs = now.endMs - now.startMs;
      const isHourly = state.firstMs !== undefined && now.endMs - state.firstMs >= DAYS_HELD_MS;
      horizons.forEach((horizon, at) => {
        const hour = hourOf(now.startMs + horizon * widthMs);
        if (isHourly && state.hourCounts[hour]! > 0) out[at]!.set(meanOf(hour));
        else out[at]!.set(state.count > 0 ? state.mean : now.cells);
      });
      yield;
    },
    state: () => state,
    mean: () => state.mean,
  };
}

/** Share forgotten after a time. */
function forgotten(sinceMs: number, halfLifeMs: number): number {
  return -Math.expm1((-Math.LN2 * sinceMs) / halfLifeMs);
}

function blend(mean: Float64Array | Float32Array, values: Float64Array, share: number): void {
  for (let i = 0; i < mean.length; i++) mean[i] = mean[i]! + share * (values[i]! - mean[i]!);
}
