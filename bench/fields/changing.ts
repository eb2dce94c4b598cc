/** Fields whose law moves: by and by, or at once. `from` is the number of the map it begins with. */
import { deviationOf, type Field } from './field.ts';

/** What changes, in deviations of the first map. */
export interface Change {
  /** Added to the level of the cells. */
  readonly level: number;
  /** Natural logarithm of the factor on departures from the cells' level. */
  readonly spread: number;
}

/** From map `from` on the change grows evenly, whole after `windows` maps, and goes on. */
export function drifting(field: Field, change: Change, from: number, windows: number): Field {
  return changed(field, change, (at) => Math.max(0, at - from) / windows);
}

/** From map `from` on the change is there. */
export function switched(field: Field, change: Change, from: number): Field {
  return changed(field, change, (at) => (at >= from ? 1 : 0));
}

function changed(field: Field, { level, spread }: Change, shareAt: (at: number) => number): Field {
  let at = 0;
  let first: { readonly mean: number; readonly deviation: number } | undefined;
  return {
    ...field,
    next() {
      const cells = field.next();
      first ??= {
        mean: cells.reduce((sum, value) => sum + value / cells.length, 0),
        deviation: deviationOf(cells) || 1,
      };
      const { mean, deviation } = first;
      const share = shareAt(at++);
      const factor = Math.exp(spread * share);
      return cells.map((value) => mean + factor * (value - mean) + share * level * deviation);
    },
  };
}
