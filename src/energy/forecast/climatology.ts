/**
 * The mean of each cell, older maps forgotten by the half every 12 h of event time, or every 2, 8 or 32 maps: the memory
 * whose mean came closest to the next map of late answers (simple exponential smoothing; R. G. Brown, "Smoothing,
 * Forecasting and Prediction of Discrete Time Series", 1963). Once maps of 7 days are held, the mean of the target's hour
 * of day (UTC) instead, forgotten by the half every 7 days, unless the map has no season; the hours are learned all the
 * same, so that a season that is looked for again is known at once. Nothing here reads a clock.
 */
import type { Moment, Predictor } from './predictor.ts';
import { squaredErrors } from './score.ts';

const HOUR_MS = 3_600_000;
const HALF_LIFE_MS = 12 * HOUR_MS;
const DAYS_HELD_MS = 7 * 24 * HOUR_MS;
const HOURS = 24;
/** Half-lives of the short memories, maps. */
const SHORT_MAPS = [2, 8, 32] as const;
/** Share of a memory's error that each map makes up: about the last 64 count. */
const ERROR_SHARE = 1 / 64;

export interface ClimatologyState {
  /** End of the first map's window; undefined before it. */
  firstMs: number | undefined;
  /** Maps learned. */
  count: number;
  readonly mean: Float64Array;
  /** Means of the short memories. */
  readonly shortMeans: readonly Float64Array[];
  /** Recent mean squared error of the next map: of `mean`, then of each of `shortMeans`. */
  readonly errors: Float64Array;
  /** Mean of each hour, hour by hour. */
  readonly hours: Float32Array;
  /** End of the last window of each hour; NaN before the first. */
  readonly hourMs: Float64Array;
  readonly hourCounts: Float64Array;
}

export interface Climatology extends Predictor<ClimatologyState> {
  /** The mean of the memory that did best of late, borrowed; zeros before the first map. */
  mean(): Float64Array;
  /** How many maps that mean is of: what its noise is averaged over. */
  span(): number;
}

/** Starts from a state, which it takes over, or from nothing. O(cells). */
export function createClimatology(cells: number, from?: ClimatologyState): Climatology {
  const state: ClimatologyState = from ?? {
    firstMs: undefined,
    count: 0,
    mean: new Float64Array(cells),
    shortMeans: SHORT_MAPS.map(() => new Float64Array(cells)),
    errors: new Float64Array(1 + SHORT_MAPS.length),
    hours: new Float32Array(cells * HOURS),
    hourMs: new Float64Array(HOURS).fill(Number.NaN),
    hourCounts: new Float64Array(HOURS),
  };
  const hourOf = (ms: number) => Math.floor((((ms / HOUR_MS) % HOURS) + HOURS) % HOURS);
  const meanOf = (hour: number) => state.hours.subarray(hour * cells, (hour + 1) * cells);

  const best = () =>
    state.errors.reduce((least, error, at) => (error < state.errors[least]! ? at : least), 0);
  const bestMean = () => [state.mean, ...state.shortMeans][best()]!;

  function judge(now: Moment): void {
    for (const [at, mean] of [state.mean, ...state.shortMeans].entries()) {
      const error = squaredErrors(mean, now)?.mean;
      if (error !== undefined)
        state.errors[at] = state.errors[at]! + ERROR_SHARE * (error - state.errors[at]!);
    }
  }

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
      if (state.count > 0) judge(now);
      yield;
      state.firstMs ??= now.endMs;
      const sinceMs = before === undefined ? now.endMs - now.startMs : now.endMs - before.endMs;
      const least = 1 / (state.count + 1);
      blend(state.mean, now.cells, Math.max(forgotten(sinceMs, HALF_LIFE_MS), least));
      for (const [at, mean] of state.shortMeans.entries())
        blend(mean, now.cells, Math.max(forgotten(1, SHORT_MAPS[at]!), least));
      state.count++;
      learnHour(now);
      yield;
    },
    *predict({ now }, horizons, out) {
      const widthMs = now.endMs - now.startMs;
      const isHourly =
        now.seasonality !== 'NONE' &&
        state.firstMs !== undefined &&
        now.endMs - state.firstMs >= DAYS_HELD_MS;
      horizons.forEach((horizon, at) => {
        const hour = hourOf(now.startMs + horizon * widthMs);
        if (isHourly && state.hourCounts[hour]! > 0) out[at]!.set(meanOf(hour));
        else out[at]!.set(state.count > 0 ? bestMean() : now.cells);
      });
      yield;
    },
    state: () => state,
    mean: bestMean,
    // Weights that fall by the half every h maps average as 2 h / ln 2 even ones do.
    span: () => Math.min(state.count, best() === 0 ? state.count : (2 * SHORT_MAPS[best() - 1]!) / Math.LN2),
  };
}

/** Share forgotten after so long, half-life in the same unit. */
function forgotten(since: number, halfLife: number): number {
  return -Math.expm1((-Math.LN2 * since) / halfLife);
}

function blend(mean: Float64Array | Float32Array, values: Float64Array, share: number): void {
  for (let i = 0; i < mean.length; i++) mean[i] = mean[i]! + share * (values[i]! - mean[i]!);
}
