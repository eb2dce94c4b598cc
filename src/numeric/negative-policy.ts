/** What a negative cell of a map means, applied to its cells before anything is computed of them. */

/** SIGNED keeps it; ABSOLUTE takes its size; SHIFT_TO_MIN makes the least observed cell zero; REJECT refuses it. */
export type NegativeRule = 'SIGNED' | 'ABSOLUTE' | 'SHIFT_TO_MIN' | 'REJECT';

/**
 * Applies the rule in place, to unobserved cells as well where it moves cells. Returns the first observed negative
 * cell under REJECT, else undefined. `observed` holds one byte a cell; absent means all.
 */
export function applyNegativeRule(
  cells: Float64Array,
  observed: Uint8Array | undefined,
  rule: NegativeRule,
): number | undefined {
  const isObserved = (at: number) => observed === undefined || observed[at] === 1;
  if (rule === 'REJECT') {
    for (let at = 0; at < cells.length; at++) if (cells[at]! < 0 && isObserved(at)) return at;
  }
  if (rule === 'ABSOLUTE') for (let at = 0; at < cells.length; at++) cells[at] = Math.abs(cells[at]!);
  if (rule === 'SHIFT_TO_MIN') {
    let least = Number.POSITIVE_INFINITY;
    for (let at = 0; at < cells.length; at++) {
      if (cells[at]! < least && isObserved(at)) least = cells[at]!;
    }
    if (Number.isFinite(least)) for (let at = 0; at < cells.length; at++) cells[at] = cells[at]! - least;
  }
  return undefined;
}
