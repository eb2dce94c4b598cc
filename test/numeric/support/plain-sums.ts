/**
 * The plain forms of compiled sums: compensated (Neumaier, "Rundungsfehleranalyse einiger Verfahren zur Summation endlicher Summen", ZAMM 54, 1974)
 * and the moments built on them. An accumulator is a pair in a Float64Array, the running sum and its correction, so
 * that a long array can be taken in slices without changing a bit of the result. All values must be finite.
 */

/** Layout of the accumulator of `addMoments`; sums are pairs (sum, correction). */
export const MOMENTS = { positive: 0, negative: 2, min: 4, max: 5, size: 6 } as const;

/** Value of the pair at `at`. */
export function pairValue(accumulator: Float64Array, at = 0): number {
  return accumulator[at]! + accumulator[at + 1]!;
}

/** Adds `values[from..to)` to the pair at `accumulator[at]`, in order. O(n), error bound independent of n. */
export function addSum(
  values: Float64Array,
  from: number,
  to: number,
  accumulator: Float64Array,
  at = 0,
): void {
  let sum = accumulator[at]!;
  let correction = accumulator[at + 1]!;
  for (let i = from; i < to; i++) {
    const value = values[i]!;
    const next = sum + value;
    correction += Math.abs(sum) >= Math.abs(value) ? sum - next + value : value - next + sum;
    sum = next;
  }
  accumulator[at] = sum;
  accumulator[at + 1] = correction;
}

/** Compensated sum of a whole array. */
export function compensatedSum(values: Float64Array): number {
  const accumulator = new Float64Array(2);
  addSum(values, 0, values.length, accumulator);
  return pairValue(accumulator);
}

/** A fresh accumulator for `addMoments`. */
export function createMoments(): Float64Array {
  const accumulator = new Float64Array(MOMENTS.size);
  accumulator[MOMENTS.min] = Number.POSITIVE_INFINITY;
  accumulator[MOMENTS.max] = Number.NEGATIVE_INFINITY;
  return accumulator;
}

/** Adds `values[from..to)` to the sums of positive and of negative values and to the extremes (`MOMENTS`). */
export function addMoments(values: Float64Array, from: number, to: number, out: Float64Array): void {
  let positive = out[MOMENTS.positive]!;
  let positiveLow = out[MOMENTS.positive + 1]!;
  let negative = out[MOMENTS.negative]!;
  let negativeLow = out[MOMENTS.negative + 1]!;
  let min = out[MOMENTS.min]!;
  let max = out[MOMENTS.max]!;
  for (let i = from; i < to; i++) {
    const value = values[i]!;
    if (value > 0) {
      const next = positive + value;
      positiveLow += positive >= value ? positive - next + value : value - next + positive;
      positive = next;
    } else {
      const next = negative + value;
      negativeLow += negative <= value ? negative - next + value : value - next + negative;
      negative = next;
    }
    if (value < min) min = value;
    if (value > max) max = value;
  }
  out[MOMENTS.positive] = positive;
  out[MOMENTS.positive + 1] = positiveLow;
  out[MOMENTS.negative] = negative;
  out[MOMENTS.negative + 1] = negativeLow;
  out[MOMENTS.min] = min;
  out[MOMENTS.max] = max;
}

/** Adds (value - center)^2 over `values[from..to)` to the pair `out`: the second pass of a two-pass variance. */
export function addSquaredDeviations(
  values: Float64Array,
  from: number,
  to: number,
  center: number,
  out: Float64Array,
): void {
  let sum = out[0]!;
  let correction = out[1]!;
  for (let i = from; i < to; i++) {
    const deviation = values[i]! - center;
    const square = deviation * deviation;
    const next = sum + square;
    correction += sum >= square ? sum - next + square : square - next + sum;
    sum = next;
  }
  out[0] = sum;
  out[1] = correction;
}
