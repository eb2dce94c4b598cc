/**
 * The 0-1 test for chaos (G. Gottwald and I. Melbourne, SIAM J. Appl. Dyn. Syst. 8, 2009): a series drives a walk in the
 * plane, turned by an angle c a step; regular motion keeps the walk bounded, disorder spreads it like a random one. The
 * statistic is the correlation of the walk's mean square displacement, less its known oscillation, with time.
 */

/** Angles, irregular within (pi/5, 4pi/5), where resonances with slow and with alternating series are rare. */
const ANGLES: readonly number[] = [0.77, 1.02, 1.21, 1.43, 1.64, 1.87, 2.09, 2.31];

/** Values below which there is no statistic. */
const VALUES_MIN = 16;

/**
 * Median over eight angles: about 1 for disorder, about 0 for regular motion; undefined for fewer than 16 values and for
 * a constant. Values must be finite. O(n^2 / 10) per angle.
 */
export function chaosStatistic(values: Float64Array): number | undefined {
  const n = values.length;
  if (n < VALUES_MIN) return undefined;
  let mean = 0;
  for (const value of values) mean += value / n;
  const steps = Math.max(4, Math.floor(n / 10));
  const kept = n - steps;
  const p = new Float64Array(n);
  const q = new Float64Array(n);
  const spread = new Float64Array(steps);
  const all: number[] = [];
  for (const angle of ANGLES) {
    const [cosine, sine] = [Math.cos(angle), Math.sin(angle)];
    for (let t = 0, x = 0, y = 0, c = 1, s = 0; t < n; t++) {
      [c, s] = [c * cosine - s * sine, s * cosine + c * sine];
      x += (values[t]! - mean) * c;
      y += (values[t]! - mean) * s;
      p[t] = x;
      q[t] = y;
    }
    for (let lag = 1; lag <= steps; lag++) {
      let sum = 0;
      for (let t = 0; t < kept; t++) sum += (p[t + lag]! - p[t]!) ** 2 + (q[t + lag]! - q[t]!) ** 2;
      // The mean is 0, so the oscillating term of the displacement vanishes.
      spread[lag - 1] = sum / kept;
    }
    const correlation = correlationWithTime(spread);
    if (Number.isFinite(correlation)) all.push(correlation);
  }
  all.sort((a, b) => a - b);
  const middle = all.length >> 1;
  if (all.length === 0) return undefined;
  return all.length % 2 === 1 ? all[middle] : (all[middle]! + all[middle - 1]!) / 2;
}

/** Pearson correlation of values with their indices; NaN where they do not vary. */
function correlationWithTime(values: Float64Array): number {
  const n = values.length;
  const center = (n - 1) / 2;
  let mean = 0;
  for (const value of values) mean += value / n;
  let xy = 0;
  let xx = 0;
  let yy = 0;
  for (let t = 0; t < n; t++) {
    const x = t - center;
    const y = values[t]! - mean;
    xy += x * y;
    xx += x * x;
    yy += y * y;
  }
  return yy > 0 ? xy / Math.sqrt(xx * yy) : Number.NaN;
}
