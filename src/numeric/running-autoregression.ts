/**
 * What a series of mean 0 would be next by an autoregression of up to three values, fitted to all values so far:
 * Yule-Walker equations by Levinson's recursion, the order by Schwarz's criterion, so that a series without memory is left
 * as it is. Nothing of the series is kept but sums. That the mean is known keeps short series from looking forgetful.
 */

export const ORDER_MAX = 3;

/** Sums of a series, as plain data. */
export interface SeriesSums {
  readonly count: number;
  /** Sum of x[t] x[t - k], k from 0 to 3. */
  readonly products: readonly number[];
  /** The last three values, newest first; 0 before there are any. */
  readonly tail: readonly number[];
}

export const NO_SUMS: SeriesSums = { count: 0, products: [0, 0, 0, 0], tail: [0, 0, 0] };

/** The sums with one more value, which must be finite. */
export function withValue({ count, products, tail }: SeriesSums, value: number): SeriesSums {
  const past = [value, ...tail];
  return {
    count: count + 1,
    products: products.map((sum, k) => sum + value * past[k]!),
    tail: past.slice(0, ORDER_MAX),
  };
}

/** The value expected next; 0 without memory. O(1). */
export function expectedNext(sums: SeriesSums): number {
  return weightsOf(sums).reduce((sum, weight, k) => sum + weight * sums.tail[k]!, 0);
}

/** Weights of the last values, newest first: none to three of them. */
function weightsOf({ count, products }: SeriesSums): readonly number[] {
  if (count <= 2 * ORDER_MAX) return [];
  const covariance = products.map((sum, lag) => sum / (count - lag));
  let error = covariance[0]!;
  if (!(error > 0)) return [];
  let least = count * Math.log(error);
  let best: readonly number[] = [];
  let weights: readonly number[] = [];
  for (let order = 1; order <= ORDER_MAX; order++) {
    const gap = weights.reduce(
      (rest, weight, k) => rest - weight * covariance[order - 1 - k]!,
      covariance[order]!,
    );
    const reflection = gap / error;
    error *= 1 - reflection * reflection;
    if (!(error > 0)) break;
    const before = weights;
    weights = [...before.map((weight, k) => weight - reflection * before[order - 2 - k]!), reflection];
    const criterion = count * Math.log(error) + order * Math.log(count);
    if (criterion >= least) continue;
    least = criterion;
    best = weights;
  }
  return best;
}
