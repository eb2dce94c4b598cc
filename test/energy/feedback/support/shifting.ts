/** Maps of a pattern with fresh noise: what a model learns of one pattern stands in its way once there is another. */
import type { StreamModels, TellableChange } from '../../../../src/energy/feedback/stream-models.ts';
import { runThrough } from '../../../../src/numeric/slices.ts';
import { createRandom } from '../../../../src/random.ts';
import { mapAt } from '../../forecast/support/fields.ts';

/** Which pattern a window has. */
export type Pattern = (at: number) => number;

const patternCell = (pattern: number, row: number, col: number) =>
  20 + 3 * createRandom(1_000 * pattern + 32 * row + col, 7).normal();

/** A cell of a window: that of its pattern, and noise. */
export function cellAt(pattern: Pattern, at: number, row: number, col: number): number {
  return patternCell(pattern(at), row, col) + createRandom(32 * row + col, at).normal();
}

/** Folds the maps of windows `from` up to but not `to`; every change, with the window that decided it. */
export function foldPatterns(
  models: StreamModels,
  side: number,
  pattern: Pattern,
  [from, to]: readonly [number, number],
): (TellableChange & { readonly at: number })[] {
  const all: (TellableChange & { readonly at: number })[] = [];
  for (let at = from; at < to; at++) {
    const map = mapAt(at, side, (row, col) => cellAt(pattern, at, row, col));
    for (const change of runThrough(models.fold(map)).changes) all.push({ ...change, at });
  }
  return all;
}

/** A change in few words, `2 ACTIVE BETTER`. */
export const told = ({ record, to, reason }: TellableChange) => `${record.modelVersion} ${to} ${reason}`;
