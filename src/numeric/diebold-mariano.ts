/**
 * Is one forecaster better than another on the same targets? The one-sided test of F. Diebold and R. Mariano (Journal of
 * Business & Economic Statistics 13, 1995) on the differences of their losses. The long-run variance of the mean is that
 * of W. Newey and K. West (Econometrica 55, 1987), Bartlett weights over the first 4 (n/100)^(2/9) lags, so that losses
 * which follow each other are not taken for independent ones; the small-sample correction and the t distribution are
 * those of D. Harvey, S. Leybourne and P. Newbold (International Journal of Forecasting 13, 1997) for one step ahead.
 */
import { studentTail } from './student.ts';

/** Lags of n differences that count. */
function lagsOf(count: number): number {
  return Math.min(count - 1, Math.floor(4 * (count / 100) ** (2 / 9)));
}

/**
 * Probability, were the mean difference 0, of one at least as far above it: small where the differences (loss of the
 * other minus loss of the one asked about, in order of time) speak for the one asked about. Differences that do not
 * vary give 0, 1/2 or 1 by their sign. NaN for fewer than 2. O(n lags).
 */
export function dieboldMariano(differences: ArrayLike<number>): number {
  const count = differences.length;
  if (count < 2) return Number.NaN;
  let mean = 0;
  for (let at = 0; at < count; at++) mean += differences[at]! / count;
  const covariance = (lag: number): number => {
    let sum = 0;
    for (let at = lag; at < count; at++) sum += (differences[at]! - mean) * (differences[at - lag]! - mean);
    return sum / count;
  };
  let variance = covariance(0);
  const lags = lagsOf(count);
  for (let lag = 1; lag <= lags; lag++) variance += 2 * (1 - lag / (lags + 1)) * covariance(lag);
  if (!(variance > 0)) return mean > 0 ? 0 : mean < 0 ? 1 : 0.5;
  return studentTail(mean / Math.sqrt(variance / (count - 1)), count - 1);
}
