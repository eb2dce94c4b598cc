/**
 * How a forecast that was kept did, told the map as it really was: over observed cells, the VRMSE of forecasts and the
 * share of cells inside the interval.
 */
import type { ForecastCells } from '../forecast/kept-forecast-store.ts';
import { squaredErrors } from '../forecast/score.ts';

export interface Outcome {
  readonly vrmse: number;
  /** Share of observed cells inside, 0 to 1. */
  readonly covered: number;
}

/** Undefined where nothing was observed. All arrays are of one length and borrowed. O(cells). */
export function outcomeOf(
  forecast: ForecastCells,
  cells: Float64Array,
  observed: Uint8Array,
): Outcome | undefined {
  const errors = squaredErrors(forecast.prediction, { cells, observed });
  if (errors === undefined) return undefined;
  let count = 0;
  let inside = 0;
  for (let at = 0; at < cells.length; at++) {
    if (observed[at] === 0) continue;
    count++;
    if (cells[at]! >= forecast.lower[at]! && cells[at]! <= forecast.upper[at]!) inside++;
  }
  return { vrmse: Math.sqrt(errors.relative), covered: inside / count };
}
