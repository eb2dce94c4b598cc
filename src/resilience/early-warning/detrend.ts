/**
 * Splits a series into its slow state and the residuals whose fluctuations are judged: values = season + trend +
 * residuals. A season is regressed out when the series holds two of it; until then it bounds how much the trend may
 * be smoothed. Units are those of the values; lengths and periods are in samples.
 */
import { createGaussianSmoother } from '../../numeric/gaussian-smoother.ts';
import { createHarmonicRegression } from '../../numeric/harmonics.ts';
import { createLowess } from '../../numeric/lowess.ts';

/** How the trend is found; NONE leaves it in the residuals. */
export type Detrending = 'GAUSSIAN' | 'LOWESS' | 'NONE';

export interface DetrendOptions {
  readonly method: Detrending;
  /** Smoothing as a share of the length, in (0, 1]. */
  readonly bandwidth: number;
  /** Seasons in samples. One the length holds twice is regressed out; a longer one bounds the Gaussian's width. */
  readonly periods: readonly number[];
}

/** Splits series of one length. `out` has that length and may not alias `values`; nothing is allocated. */
export interface DetrendPlan {
  readonly length: number;
  /** Writes value - season - trend. */
  residuals(values: Float64Array, out: Float64Array): void;
  /** Writes season + trend. */
  state(values: Float64Array, out: Float64Array): void;
}

const HARMONICS = 3;
/** Quartile of a Gaussian of unit deviation, as R's `ksmooth` rounds it: a bandwidth has its quartiles at +-1/4. */
const QUARTILE = 0.675;
/** A season that cannot be regressed out must survive in the trend: the Gaussian's deviation in such periods. */
const SEASON_SHARE = 1 / 16;

/** A plan for series of `length` samples. Throws RangeError for a bandwidth outside (0, 1]. */
export function createDetrendPlan(length: number, options: DetrendOptions): DetrendPlan {
  const { bandwidth, periods } = options;
  if (!(bandwidth > 0 && bandwidth <= 1)) throw new RangeError(`a bandwidth of ${bandwidth}`);
  const seasons = createHarmonicRegression(
    length,
    periods.filter((period) => 2 * period <= length),
    HARMONICS,
  );
  const smooth = createTrend(length, options);
  const deseasoned = new Float64Array(length);
  const trend = new Float64Array(length);

  /** Fills `deseasoned` and `trend`. */
  const split = (values: Float64Array): void => {
    seasons.season(values, deseasoned);
    for (let t = 0; t < length; t++) deseasoned[t] = values[t]! - deseasoned[t]!;
    smooth(deseasoned, trend);
  };

  return {
    length,
    residuals(values, out) {
      split(values);
      for (let t = 0; t < length; t++) out[t] = deseasoned[t]! - trend[t]!;
    },
    state(values, out) {
      split(values);
      for (let t = 0; t < length; t++) out[t] = values[t]! - deseasoned[t]! + trend[t]!;
    },
  };
}

type Smooth = (values: Float64Array, out: Float64Array) => void;

function createTrend(length: number, { method, bandwidth, periods }: DetrendOptions): Smooth {
  switch (method) {
    case 'NONE':
      return (_values, out) => {
        out.fill(0);
      };
    case 'LOWESS':
      return createLowess(length, bandwidth).smooth;
    case 'GAUSSIAN': {
      const widest = (0.25 / QUARTILE) * bandwidth * length;
      const kept = periods.filter((period) => 2 * period > length).map((period) => period * SEASON_SHARE);
      return createGaussianSmoother(length, Math.min(widest, ...kept)).smooth;
    }
  }
}
