/**
 * Order statistics without sorting: Hoare's FIND with the median of three as pivot (C. Hoare, CACM 4, 1961). Values may
 * not be NaN.
 */

/**
 * Median of the values, the mean of the middle two of an even number; NaN of none. Reorders the array. Allocates
 * nothing; O(n) unless the order is contrived.
 */
export function medianOf(values: Float64Array): number {
  const n = values.length;
  if (n === 0) return Number.NaN;
  const upper = selectRank(values, n >> 1);
  if (n % 2 === 1) return upper;
  let lower = values[0]!;
  for (let at = 1; at < n >> 1; at++) if (values[at]! > lower) lower = values[at]!;
  return lower + (upper - lower) / 2;
}

/**
 * The value that would be at `rank` (from 0) if sorted; brings it there, nothing larger before it, nothing smaller
 * after. The array may not be empty.
 */
export function selectRank(values: Float64Array, rank: number): number {
  let from = 0;
  let to = values.length - 1;
  while (from < to) {
    const pivot = medianOfThree(values[from]!, values[(from + to) >> 1]!, values[to]!);
    let left = from;
    let right = to;
    while (left <= right) {
      while (values[left]! < pivot) left++;
      while (values[right]! > pivot) right--;
      if (left > right) break;
      const swapped = values[left]!;
      values[left++] = values[right]!;
      values[right--] = swapped;
    }
    if (rank <= right) to = right;
    else if (rank >= left) from = left;
    else break;
  }
  return values[rank]!;
}

function medianOfThree(a: number, b: number, c: number): number {
  return Math.max(Math.min(a, b), Math.min(Math.max(a, b), c));
}
