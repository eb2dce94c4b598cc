/**
 * What a predictor is: it learns from each map as it comes and answers what the map will be a number of windows ahead.
 * Cells are row-major doubles in the unit of the map; unobserved cells hold their filler. Everything a predictor
 * learned is in its state, plain data, so that a restored one goes on bit for bit. One that knows nothing yet answers
 * with the map as it is.
 */
import type { Steps } from '../../numeric/slices.ts';
import type { BoundaryRule } from '../../numeric/stencil.ts';

/** The predictors, in the order of weights and errors. */
export const PREDICTORS = ['PERSISTENCE', 'CLIMATOLOGY', 'SPECTRAL', 'DMD', 'STENCIL'] as const;
export type PredictorKind = (typeof PREDICTORS)[number];

/** Shape of the maps of a stream; another shape starts the predictors anew. */
export interface MapShape {
  readonly rows: number;
  readonly cols: number;
  readonly boundary: BoundaryRule;
}

/** HOUR_OF_DAY: each hour of the day (UTC) may have a mean of its own. */
export type Seasonality = 'HOUR_OF_DAY' | 'NONE';

/** One map in time. Arrays are borrowed, never written. */
export interface Moment {
  readonly startMs: number;
  readonly endMs: number;
  readonly cells: Float64Array;
  /** One byte a cell, 1 observed. */
  readonly observed: Uint8Array;
  /** The season that forecasts from it look for; HOUR_OF_DAY when absent. */
  readonly seasonality?: Seasonality;
}

/** A map and those right before it: of consecutive windows, the newest first. */
export interface Past {
  readonly now: Moment;
  readonly before: Moment | undefined;
  /** Only with `before`. */
  readonly earlier: Moment | undefined;
}

export interface Predictor<State> {
  /** Learns the newest map. O(cells) up to a factor each predictor states. */
  learn(past: Past): Steps<void>;
  /** Writes the map of `horizons[i]` windows ahead to `out[i]`; horizons are rising and at least 1. */
  predict(past: Past, horizons: readonly number[], out: readonly Float64Array[]): Steps<void>;
  /** Borrowed until the next `learn`. */
  state(): State;
}

/** The map stays as it is. */
export function createPersistence(): Predictor<undefined> {
  return {
    *learn() {},
    *predict({ now }, _horizons, out) {
      for (const cells of out) cells.set(now.cells);
      yield;
    },
    state: () => undefined,
  };
}
