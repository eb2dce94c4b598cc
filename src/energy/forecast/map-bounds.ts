/**
 * What every forecast is held to, whoever made it: finite, within reach of what was seen, and of a declared total. Cells
 * are row-major, in the unit of the map. Pure but for the arrays named as changed. O(cells).
 */
import type { Moment } from './predictor.ts';

const FLOAT32_MAX = 3.4028234663852886e38;

/** Least and greatest cell since the last new layout. */
export interface Range {
  readonly low: number;
  readonly high: number;
}

/** The range of no map. */
export const NO_RANGE: Range = { low: Number.POSITIVE_INFINITY, high: Number.NEGATIVE_INFINITY };

/** The convex mean of the maps. */
export function mix(maps: readonly Float32Array[], weights: readonly number[]): Float64Array {
  const out = new Float64Array(maps[0]!.length);
  for (const [at, map] of maps.entries()) addWeighted(out, map, weights[at]!);
  return out;
}

/** Adds a map times its weight to `out`. */
export function addWeighted(out: Float64Array, map: Float32Array | Float64Array, weight: number): void {
  if (weight === 0) return;
  for (let i = 0; i < out.length; i++) out[i] = out[i]! + weight * map[i]!;
}

/** The range with the cells of one more map. */
export function widened(range: Range, cells: Float64Array): Range {
  let { low, high } = range;
  for (let at = 0; at < cells.length; at++) {
    const value = cells[at]!;
    if (value < low) low = value;
    if (value > high) high = value;
  }
  return { low, high };
}

/** Keeps a forecast within the range of the maps seen, widened by itself on either side, and where it is not finite as the map is. */
export function restrain(cells: Float64Array, now: Float64Array, { low, high }: Range): void {
  const least = Math.max(-FLOAT32_MAX, low - (high - low));
  const greatest = Math.min(FLOAT32_MAX, high + (high - low));
  for (let i = 0; i < cells.length; i++) {
    const value = cells[i]!;
    if (value >= least && value <= greatest) continue; // As nearly all are, and writing takes longer than asking.
    cells[i] = Number.isFinite(value) ? Math.max(least, Math.min(greatest, value)) : now[i]!;
  }
}

/** Shifts every observed cell alike so that their total is that of the map. */
export function keepTotal(cells: Float64Array, { cells: now, observed }: Moment): void {
  let missing = 0;
  let count = 0;
  for (let i = 0; i < cells.length; i++) {
    if (observed[i] === 0) continue;
    missing += now[i]! - cells[i]!;
    count++;
  }
  if (count === 0) return;
  for (let i = 0; i < cells.length; i++) if (observed[i] === 1) cells[i] = cells[i]! + missing / count;
}
