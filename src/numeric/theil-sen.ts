/**
 * The slope of a series against its indices by the median of all pairwise slopes (H. Theil, 1950; P. Sen, "Estimates of
 * the regression coefficient based on Kendall's tau", JASA 63, 1968), which up to 29 % of wild values cannot carry away.
 * Its confidence interval are two other order statistics; the standard error read from it gives a t-like statistic.
 */
import { selectRank } from './selection.ts';

export interface TheilSenSlope {
  /** Median pairwise slope, in value per index. */
  readonly slope: number;
  /** 95 % interval of the slope. */
  readonly low: number;
  readonly high: number;
  /**
   * slope / standard error, about standard normal for a series without trend; 0 for a slope of 0, infinite where the
   * interval has no width.
   */
  readonly statistic: number;
}

/** Slopes of series of up to `capacity` values. */
export interface TheilSen {
  readonly capacity: number;
  /** Values may not be NaN and are left as they are; at least 2 (RangeError). O(n^2), 0.1 ms for 64 values. */
  fit(values: Float64Array): TheilSenSlope;
}

/** 97.5 % quantile of the normal distribution. */
const Z = 1.959963984540054;

/** A plan that owns capacity (capacity - 1) / 2 doubles. */
export function createTheilSen(capacity: number): TheilSen {
  const pairs = new Float64Array((capacity * (capacity - 1)) / 2);
  const sorted = new Float64Array(capacity);
  return {
    capacity,
    fit(values) {
      const n = values.length;
      if (n < 2 || n > capacity) throw new RangeError(`${n} values, planned for 2 to ${capacity}`);
      let count = 0;
      for (let j = 1; j < n; j++) {
        for (let i = 0; i < j; i++) pairs[count++] = (values[j]! - values[i]!) / (j - i);
      }
      const slopes = pairs.subarray(0, count);
      const upper = selectRank(slopes, count >> 1);
      const slope = count % 2 === 1 ? upper : (upper + selectRank(slopes, (count >> 1) - 1)) / 2;
      const spread = Z * Math.sqrt(varianceOfScore(values, sorted.subarray(0, n)));
      const low = selectRank(slopes, Math.max(0, Math.round((count - spread) / 2) - 1));
      const high = selectRank(slopes, Math.min(count - 1, Math.round((count + spread) / 2)));
      return { slope, low, high, statistic: slope === 0 ? 0 : slope / ((high - low) / (2 * Z)) };
    },
  };
}

/** Variance of Kendall's score under no trend, less what ties take from it. */
function varianceOfScore(values: Float64Array, sorted: Float64Array): number {
  sorted.set(values);
  sorted.sort();
  const term = (k: number) => k * (k - 1) * (2 * k + 5);
  let sum = term(sorted.length);
  for (let from = 0, to = 0; from < sorted.length; from = to) {
    while (to < sorted.length && sorted[to] === sorted[from]) to++;
    sum -= term(to - from);
  }
  return sum / 18;
}
