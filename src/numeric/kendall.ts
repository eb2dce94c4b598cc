/**
 * Kendall's rank correlation of a series with time, corrected for ties (tau-b), by W. Knight's counting of exchanges
 * in a merge sort (JASA 61, 1966). Times are the indices, so only values can tie.
 */

/** Values up to this many are sorted by insertion. */
const RUN = 8;

/** Rank correlations of up to `capacity` values. */
export interface Kendall {
  readonly capacity: number;
  /**
   * tau-b of the values against their indices: 1 when each is larger than the one before, -1 when smaller, 0 when
   * all are equal or there are fewer than two. Values may not be NaN and are left as they are. Allocates nothing;
   * O(n log n).
   */
  tau(values: Float64Array): number;
}

/** A plan for up to `capacity` values. */
export function createKendall(capacity: number): Kendall {
  const sorted = new Float64Array(capacity);
  const spare = new Float64Array(capacity);
  return {
    capacity,
    tau(values) {
      const n = values.length;
      if (n > capacity) throw new RangeError(`${n} values, planned for ${capacity}`);
      sorted.set(values);
      let discordant = sortRuns(sorted, n);
      for (let width = RUN; width < n; width *= 2) {
        for (let from = 0; from + width < n; from += 2 * width) {
          discordant += merge(sorted, from, from + width, Math.min(from + 2 * width, n), spare);
        }
      }
      const pairs = (n * (n - 1)) / 2;
      const untied = pairs - tiedPairs(sorted, n);
      return untied === 0 ? 0 : (untied - 2 * discordant) / Math.sqrt(pairs * untied);
    },
  };
}

/** Sorts each run of `RUN` values; returns how many pairs were out of order. */
function sortRuns(values: Float64Array, n: number): number {
  let exchanges = 0;
  for (let from = 0; from < n; from += RUN) {
    const to = Math.min(from + RUN, n);
    for (let at = from + 1; at < to; at++) {
      const value = values[at]!;
      let place = at;
      for (; place > from && values[place - 1]! > value; place--) values[place] = values[place - 1]!;
      values[place] = value;
      exchanges += at - place;
    }
  }
  return exchanges;
}

/** Merges the sorted [from, middle) and [middle, to) in place; returns how many pairs were out of order. */
function merge(values: Float64Array, from: number, middle: number, to: number, spare: Float64Array): number {
  let b = values[middle]!;
  // Indicators of overlapping windows change slowly: neighboring runs are often in order as they are.
  if (values[middle - 1]! <= b) return 0;
  const count = middle - from;
  for (let k = 0; k < count; k++) spare[k] = values[from + k]!;
  let exchanges = 0;
  let left = 0;
  let right = middle;
  let at = from;
  let a = spare[0]!;
  for (;;) {
    if (b < a) {
      values[at++] = b;
      exchanges += count - left;
      if (++right === to) break;
      b = values[right]!;
    } else {
      values[at++] = a;
      if (++left === count) return exchanges;
      a = spare[left]!;
    }
  }
  while (left < count) values[at++] = spare[left++]!;
  return exchanges;
}

/** Pairs of equal values in a sorted array. */
function tiedPairs(sorted: Float64Array, n: number): number {
  let pairs = 0;
  let equal = 0;
  for (let at = 1; at < n; at++) {
    equal = sorted[at] === sorted[at - 1] ? equal + 1 : 0;
    pairs += equal;
  }
  return pairs;
}
