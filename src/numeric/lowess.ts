/**
 * Robust locally weighted regression on a regular grid (W. Cleveland, JASA 74, 1979): around each sample a line is
 * fitted to its nearest neighbors with tricube weights, then three times again with bisquare weights that take
 * outliers out. As R and `statsmodels` do it when no point is skipped. Distances are in samples.
 */
import { medianOf } from './selection.ts';

/** Passes after the first, each with weights from the residuals of the one before. */
const ROBUST_PASSES = 3;
/** Weights are 1 below and 0 above these shares of the radius (or of six median residuals). */
const NEAR = 0.001;
const FAR = 0.999;
/** Six median residuals below this share of the mean one: most of the series is fitted exactly already. */
const EXACT = 1e-7;
/** Residuals below this share of the values are what rounding left and tell nothing of outliers. */
const ROUNDING = 1e-12;
/** Neighbors that spread over less than this share of the radius, squared, determine no line. */
const SPREAD_MIN = 1e-12;

/** Smooths series of one length with one span. */
export interface Lowess {
  readonly length: number;
  /** Samples each line is fitted to: floor(span * length + 1e-10), at least 2. */
  readonly neighbors: number;
  /** Writes the smoothed series to `out`, which may not alias `values`; allocates nothing. O(4 length neighbors). */
  smooth(values: Float64Array, out: Float64Array): void;
}

/** Tricube weights of the neighbors of one sample. */
interface Neighborhood {
  /** Distance of the first neighbor, 0 or less; NaN while nothing is tabled. */
  first: number;
  radius: number;
  readonly weights: Float64Array;
}

/** A plan for `length` samples, 2 or more, and a span in (0, 1]. */
export function createLowess(length: number, span: number): Lowess {
  if (!(length >= 2 && span > 0 && span <= 1)) throw new RangeError(`${length} samples, span ${span}`);
  const neighbors = Math.max(2, Math.min(length, Math.floor(span * length + 1e-10)));
  const robustness = new Float64Array(length);
  const heights = new Float64Array(length);
  const sizes = new Float64Array(length);
  const near: Neighborhood = {
    first: Number.NaN,
    radius: 0,
    weights: new Float64Array(neighbors),
  };

  const pass = (values: Float64Array, out: Float64Array): void => {
    // From the first value on, so that nothing large cancels.
    const origin = values[0]!;
    for (let t = 0; t < length; t++) heights[t] = robustness[t]! * (values[t]! - origin);
    let from = 0;
    for (let at = 0; at < length; at++) {
      while (from + neighbors < length && 2 * at > 2 * from + neighbors) from++;
      // All but the samples near the ends have their neighbors at the same distances.
      if (from - at !== near.first) tabulate(near, from - at);
      out[at] = origin + lineAt(near, robustness, heights, from, values[at]! - origin);
    }
  };

  return {
    length,
    neighbors,
    smooth(values, out) {
      robustness.fill(1);
      pass(values, out);
      for (let again = 0; again < ROBUST_PASSES; again++) {
        if (!weighResiduals(values, out, sizes, robustness)) return;
        pass(values, out);
      }
    },
  };
}

/** Fills the table for neighbors at distances first, first + 1, ... */
function tabulate(near: Neighborhood, first: number): void {
  const { weights } = near;
  const radius = Math.max(-first, first + weights.length - 1);
  const inverse = 1 / radius;
  for (let j = 0; j < weights.length; j++) {
    const u = Math.abs(first + j) * inverse;
    const rest = 1 - u * u * u;
    weights[j] = u < NEAR ? 1 : u > FAR ? 0 : rest * rest * rest;
  }
  near.first = first;
  near.radius = radius;
}

/** Height of the weighted line at distance 0; `own`, the sample's height, where outliers leave under two neighbors. */
function lineAt(
  near: Neighborhood,
  robustness: Float64Array,
  heights: Float64Array,
  from: number,
  own: number,
): number {
  const { weights, first } = near;
  let weight = 0;
  let distance = 0;
  let square = 0;
  let height = 0;
  let product = 0;
  for (let j = 0; j < weights.length; j++) {
    const away = first + j;
    const w = weights[j]! * robustness[from + j]!;
    const wh = weights[j]! * heights[from + j]!;
    weight += w;
    distance += w * away;
    square += w * away * away;
    height += wh;
    product += wh * away;
  }
  if (!(weight > 0)) return own;
  const center = distance / weight;
  const spread = square / weight - center * center;
  if (!(spread > SPREAD_MIN * near.radius * near.radius)) return own;
  const mean = height / weight;
  return mean - (center * (product / weight - center * mean)) / spread;
}

/** Bisquare weights (1 - (r / 6 median|r|)^2)^2 of the residuals; false when most of them are nothing. */
function weighResiduals(
  values: Float64Array,
  fitted: Float64Array,
  sizes: Float64Array,
  weights: Float64Array,
): boolean {
  const { length } = values;
  let sum = 0;
  let heights = 0;
  for (let t = 0; t < length; t++) {
    const size = Math.abs(values[t]! - fitted[t]!);
    sizes[t] = size;
    weights[t] = size;
    sum += size;
    heights += Math.abs(values[t]! - values[0]!);
  }
  const scale = 6 * medianOf(sizes);
  if (!(scale * length > Math.max(EXACT * sum, ROUNDING * heights))) return false;
  for (let t = 0; t < length; t++) {
    const u = weights[t]! / scale;
    const rest = 1 - u * u;
    weights[t] = u < NEAR ? 1 : u > FAR ? 0 : rest * rest;
  }
  return true;
}
