/** What a labeled field is: maps of one law, one after the other, and the regime that law is. */
import type { RegimeName } from '../../src/energy/regime/regime.ts';
import type { BoundaryRule } from '../../src/numeric/stencil.ts';
import type { Random } from '../../src/random.ts';

/** Maps of one shape without end. */
export interface Field {
  readonly rows: number;
  readonly cols: number;
  readonly boundary: BoundaryRule;
  /** The next map, row-major; belongs to the receiver. */
  next(): Float64Array;
}

/** A field, how many maps of it are to be judged together, and what it is. */
export interface LabeledField {
  readonly label: RegimeName;
  /** Name of the law, for reports. */
  readonly family: string;
  readonly windows: number;
  readonly field: Field;
}

export interface Shape {
  readonly rows: number;
  readonly cols: number;
}

/** Uniform in [low, high). */
export function between(random: Random, low: number, high: number): number {
  return low + (high - low) * random.uniform();
}

/** One of a list. */
export function oneOf<Item>(random: Random, items: readonly Item[]): Item {
  return items[random.below(items.length)]!;
}

/** The field with independent normal noise on every cell, `share` of the deviation of its first map (or of 1). */
export function noisy(field: Field, share: number, random: Random): Field {
  let deviation: number | undefined;
  return {
    ...field,
    next() {
      const cells = field.next();
      deviation ??= deviationOf(cells) || 1;
      for (let at = 0; at < cells.length; at++) cells[at] = cells[at]! + share * deviation * random.normal();
      return cells;
    },
  };
}

export function deviationOf(cells: Float64Array): number {
  let mean = 0;
  for (const value of cells) mean += value / cells.length;
  let square = 0;
  for (const value of cells) square += (value - mean) ** 2 / cells.length;
  return Math.sqrt(square);
}
