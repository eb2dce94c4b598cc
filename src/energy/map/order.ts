/** Nodes in order of their names, and how many of them, or of their cells, are handled between two yields. */
import type { Steps } from '../../numeric/slices.ts';

/** Nodes handled between two yields, some 0.5 ms of work. */
export const NODES_PER_STEP = 512;
/** Cells handled between two yields, where a cell costs no more than a look. */
export const CELLS_PER_STEP = 16_384;

/** The items in byte order of their names, which are unique: runs are sorted, then merged. O(n log n). */
export function* byNameSteps<Item extends { readonly name: string }>(items: readonly Item[]): Steps<Item[]> {
  let from: Item[] = [];
  for (let at = 0; at < items.length; at += NODES_PER_STEP) {
    const run = items.slice(at, at + NODES_PER_STEP).sort((a, b) => (a.name < b.name ? -1 : 1));
    for (const item of run) from.push(item);
    yield;
  }
  let to: Item[] = [];
  for (let width = NODES_PER_STEP; width < from.length; width *= 2) {
    for (let start = 0; start < from.length; start += 2 * width) yield* merge(from, start, width, to);
    [from, to] = [to, []];
  }
  return from;
}

/** Appends two neighboring runs, each of `width` items or what is left, to `out` in order. */
function* merge<Item extends { readonly name: string }>(
  from: readonly Item[],
  start: number,
  width: number,
  out: Item[],
): Steps<void> {
  const middle = Math.min(from.length, start + width);
  const end = Math.min(from.length, middle + width);
  let left = start;
  let right = middle;
  while (left < middle || right < end) {
    const isLeft = right === end || (left < middle && from[left]!.name < from[right]!.name);
    out.push(from[isLeft ? left++ : right++]!);
    if (out.length % NODES_PER_STEP === 0) yield;
  }
}
