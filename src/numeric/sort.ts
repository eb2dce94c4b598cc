/** Sorting in slices: what the runtime's own sort gives, without holding the event loop for it. */
import type { Steps } from './slices.ts';

/** Numbers sorted at once: well under a millisecond. */
const RUN = 4096;
/** Numbers merged between two yields. */
const STEP_NUMBERS = 65_536;

/**
 * The numbers in rising order, in the array given or in another one of its length. None may be NaN; 0 and -0 are equal.
 * O(n log n).
 */
export function* sortSteps(numbers: Float64Array): Steps<Float64Array> {
  const { length } = numbers;
  for (let from = 0; from < length; from += RUN) {
    numbers.subarray(from, from + RUN).sort();
    if (from + RUN < length) yield;
  }
  const spare = length > RUN ? new Float64Array(length) : numbers;
  return yield* mergeRuns<number, Float64Array>(numbers, spare, {
    run: RUN,
    step: STEP_NUMBERS,
    isOrdered: (a, b) => a <= b,
  });
}

/** An array of items, or of numbers. */
interface Indexed<Item> {
  readonly length: number;
  [at: number]: Item;
}

export interface Merging<Item> {
  /** Items of each run that is in order; the last may be shorter. */
  readonly run: number;
  /** Items merged between two yields. */
  readonly step: number;
  /** Whether the first may stand before the second. */
  readonly isOrdered: (first: Item, second: Item) => boolean;
}

/** Merges runs that are in order each into one, in the array given or in the spare one of its length. O(n log n). */
export function* mergeRuns<Item, Items extends Indexed<Item>>(
  items: Items,
  spare: Items,
  { run, step, isOrdered }: Merging<Item>,
): Steps<Items> {
  const { length } = items;
  let source = items;
  let target = spare;
  for (let width = run, done = 0; width < length; width *= 2) {
    for (let from = 0; from < length; from += 2 * width) {
      const middle = Math.min(length, from + width);
      const end = Math.min(length, middle + width);
      for (let left = from, right = middle, at = from; at < end; at++) {
        const isLeft = left < middle && (right >= end || isOrdered(source[left]!, source[right]!));
        target[at] = isLeft ? source[left++]! : source[right++]!;
        if (++done % step === 0) yield;
      }
    }
    [source, target] = [target, source];
  }
  return source;
}
