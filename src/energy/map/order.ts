/** Nodes in order of their names, and how many of them, or of their cells, are handled between two yields. */
import type { Steps } from '../../numeric/slices.ts';
import { mergeRuns } from '../../numeric/sort.ts';

/** Nodes handled between two yields, some 0.5 ms of work. */
export const NODES_PER_STEP = 512;
/** Cells handled between two yields, where a cell costs no more than a look. */
export const CELLS_PER_STEP = 16_384;

/** The items in byte order of their names, which are unique: runs are sorted, then merged. O(n log n). */
export function* byNameSteps<Item extends { readonly name: string }>(items: readonly Item[]): Steps<Item[]> {
  const runs: Item[] = [];
  for (let at = 0; at < items.length; at += NODES_PER_STEP) {
    const run = items.slice(at, at + NODES_PER_STEP).sort((a, b) => (a.name < b.name ? -1 : 1));
    for (const item of run) runs.push(item);
    yield;
  }
  return yield* mergeRuns<Item, Item[]>(runs, runs.slice(), {
    run: NODES_PER_STEP,
    step: NODES_PER_STEP,
    isOrdered: (a, b) => a.name < b.name,
  });
}
