/**
 * Memory of a series: correlation of its values with those a lag before, and the dominant root of the second-order
 * autoregression that has such correlations (Yule-Walker equations; Box and Jenkins, "Time Series Analysis", 3.2).
 */

/**
 * Pearson correlation of the pairs (x[t], x[t + lag]) inside [from, to), each side about its own mean; NaN where a
 * side does not vary or fewer than two pairs are left. Two passes; values must be finite. O(to - from).
 */
export function laggedCorrelation(values: Float64Array, from: number, to: number, lag: number): number {
  const pairs = to - from - lag;
  if (pairs < 2) return Number.NaN;
  // From the first value on, so that a side without variation has exactly none.
  const origin = values[from]!;
  let sumX = 0;
  let sumY = 0;
  for (let t = from; t < from + pairs; t++) {
    sumX += values[t]! - origin;
    sumY += values[t + lag]! - origin;
  }
  const meanX = origin + sumX / pairs;
  const meanY = origin + sumY / pairs;
  let xx = 0;
  let yy = 0;
  let xy = 0;
  for (let t = from; t < from + pairs; t++) {
    const dx = values[t]! - meanX;
    const dy = values[t + lag]! - meanY;
    xx += dx * dx;
    yy += dy * dy;
    xy += dx * dy;
  }
  return Math.max(-1, Math.min(1, xy / (Math.sqrt(xx) * Math.sqrt(yy))));
}

/**
 * Modulus of the larger root of z^2 = a z + b for the second-order autoregression x[t] = a x[t-1] + b x[t-2] + noise
 * with autocorrelations r1 and r2 at lags 1 and 2: the factor by which its slowest mode decays in one step. |r1| where
 * the equations are singular (|r1| = 1); may be 1 or more where no stationary process has such correlations.
 */
export function dominantRoot(r1: number, r2: number): number {
  const determinant = 1 - r1 * r1;
  if (determinant <= 0) return Math.abs(r1);
  const a = (r1 * (1 - r2)) / determinant;
  const b = (r2 - r1 * r1) / determinant;
  const discriminant = a * a + 4 * b;
  return discriminant < 0 ? Math.sqrt(-b) : (Math.abs(a) + Math.sqrt(discriminant)) / 2;
}
