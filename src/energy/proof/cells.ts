/**
 * Measures that look at the observed cells of a map one by one: against a prediction, an interval, bounds, and what
 * passes through each. At least one cell is observed. In slices; O(cells); arrays are borrowed, never written.
 */
import type { Steps } from '../../numeric/slices.ts';
import type { MapField } from '../map/state.ts';
import { type Measure, ratioOf } from './check.ts';

/** Lower and upper end of every cell; infinite, or the ends of float32, where nothing is known. */
export interface Interval {
  readonly lower: ArrayLike<number>;
  readonly upper: ArrayLike<number>;
  /** Share of cells it is said to hold, 0..1. */
  readonly coverage: number;
}

export interface Bounds {
  readonly least: number;
  readonly greatest: number;
}

/** Power into and out of each cell, at least 0. */
export interface Flows {
  readonly inflow: Float64Array;
  readonly outflow: Float64Array;
}

/** Cells looked at between two yields: well under a millisecond. */
const STEP_CELLS = 32_768;
const FLOAT32_MAX = 3.4028234663852886e38;
const VARIANCE_MIN = 1e-7;
/** Flows below this share of the greatest are nothing to measure a cell by. */
const FLOW_MIN = 1e-9;
/** Half the distance of neighboring float32 numbers, relative: what rounding a cell may hide. */
const CELL_ROUNDING = 2 ** -24;

/** Calls with the place of every observed cell. */
function* eachObserved({ cells, observed }: MapField, visit: (at: number) => void): Steps<void> {
  for (let from = 0; from < cells.length; from += STEP_CELLS) {
    const to = Math.min(cells.length, from + STEP_CELLS);
    for (let at = from; at < to; at++) if (observed?.[at] !== 0) visit(at);
    if (to < cells.length) yield;
  }
}

/** The map, with another's values where it was not observed. */
export function* completedBy(field: MapField, other: Float64Array): Steps<Float64Array> {
  if (field.observed === undefined) return field.cells;
  const completed = other.slice();
  yield* eachObserved(field, (at) => {
    completed[at] = field.cells[at]!;
  });
  return completed;
}

/**
 * VRMSE = sqrt(mean |u - v|^2 / (var u + 1e-7 min(1, mean u^2))), u the observation. In units of about 1 that is the
 * VRMSE forecasts are scored by; in smaller ones the second term would hide any error.
 */
export function* pointwise(field: MapField, told: Float64Array): Steps<Measure> {
  const { cells } = field;
  let count = 0;
  let mean = 0;
  yield* eachObserved(field, (at) => {
    mean += (cells[at]! - mean) / ++count;
  });
  let error = 0;
  let variance = 0;
  yield* eachObserved(field, (at) => {
    error += (cells[at]! - told[at]!) ** 2 / count;
    variance += (cells[at]! - mean) ** 2 / count;
  });
  const scale = variance + VARIANCE_MIN * Math.min(1, variance + mean * mean);
  return { value: Math.sqrt(ratioOf(error, scale)), detail: 'cells are not as they were predicted' };
}

/** How far the share of cells inside is from the one stated; undefined where nothing is known of a cell. */
export function* intervalMiss(
  field: MapField,
  { lower, upper, coverage }: Interval,
): Steps<Measure | undefined> {
  let count = 0;
  let inside = 0;
  let isKnown = true;
  yield* eachObserved(field, (at) => {
    const [low, high, cell] = [lower[at]!, upper[at]!, field.cells[at]!];
    if (!(high - low < FLOAT32_MAX)) isKnown = false;
    count++;
    if (cell >= low && cell <= high) inside++;
  });
  const share = inside / count;
  const detail = `the interval holds ${share} of the cells, not ${coverage}`;
  return isKnown ? { value: Math.abs(share - coverage), detail } : undefined;
}

/** Share of cells that are beyond the bounds. */
export function* outside(field: MapField, { least, greatest }: Bounds): Steps<Measure> {
  let count = 0;
  let beyond = 0;
  yield* eachObserved(field, (at) => {
    count++;
    if (!(field.cells[at]! >= least && field.cells[at]! <= greatest)) beyond++;
  });
  return { value: beyond / count, detail: `${beyond} of ${count} cells are beyond the bounds` };
}

/**
 * The greatest |after - before - (in - out) dt| of a cell by what passes, (in + out) dt or 1e-9 of the greatest of
 * these, beyond what rounding may hide; 0 where nothing passes anywhere.
 */
export function* localImbalance(
  field: MapField,
  { before, dt, flows }: { readonly before: Float64Array; readonly dt: number; readonly flows: Flows },
): Steps<Measure> {
  const { cells, cellArea } = field;
  const passed = (at: number) => (flows.inflow[at]! + flows.outflow[at]!) * dt;
  let greatest = 0;
  yield* eachObserved(field, (at) => {
    greatest = Math.max(greatest, passed(at));
  });
  // What cannot be computed is off by any measure.
  let value = greatest < Number.POSITIVE_INFINITY ? 0 : greatest;
  let worst = 0;
  yield* eachObserved(field, (at) => {
    const change = (cells[at]! - before[at]!) * cellArea;
    const rounding = CELL_ROUNDING * (Math.abs(cells[at]!) + Math.abs(before[at]!)) * cellArea;
    const residual = Math.abs(change - (flows.inflow[at]! - flows.outflow[at]!) * dt) - rounding;
    const share = Math.max(0, residual) / Math.max(passed(at), FLOW_MIN * greatest);
    if (share <= value) return;
    value = Number.isNaN(share) ? Number.POSITIVE_INFINITY : share;
    worst = at;
  });
  const detail = `cell ${worst} changed by other than what is said to have passed into and out of it`;
  return { value: greatest > 0 ? value : 0, detail };
}
