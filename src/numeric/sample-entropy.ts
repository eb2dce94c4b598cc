/**
 * Sample entropy (J. Richman and J. Moorman, Am. J. Physiol. 278, 2000): how seldom two stretches of a series that are
 * alike in two samples are alike in the third. Low for regular series, high for noise. In nats.
 */

/** Two values are alike within this share of the series' standard deviation (divisor n - 1). */
const TOLERANCE = 0.2;
/** Cells are this much wider than the tolerance, so that rounding never parts two that are alike by a whole cell. */
const CELL = 1 + 1e-9;

/** Entropies of series of one length. */
export interface SampleEntropy {
  readonly length: number;
  /**
   * -ln(A / B) over pairs of different starts in [0, length - 2): B of them are alike in the two values from there, A
   * also in the third; alike is a distance of at most 0.2 standard deviations. NaN when either is 0 or nothing varies.
   * Allocates nothing; O(length^2), some twentieth of it in fact: only starts in neighboring cells are compared.
   */
  of(values: Float64Array): number;
}

/** Starts sorted by the cell of their value. */
interface Cells {
  readonly cellOf: Int32Array;
  readonly order: Int32Array;
  /** Where each cell begins in `order`; two cells more, always empty, so that every cell has a next. */
  readonly begins: Int32Array;
}

/** A plan for series of `length` samples. */
export function createSampleEntropy(length: number): SampleEntropy {
  const starts = Math.max(0, length - 2);
  // A range is at most sqrt(2 (n - 1)) standard deviations.
  const count = Math.floor(Math.sqrt(2 * length) / TOLERANCE) + 1;
  const cells: Cells = {
    cellOf: new Int32Array(starts),
    order: new Int32Array(starts),
    begins: new Int32Array(count + 2),
  };
  return {
    length,
    of(values) {
      const tolerance = TOLERANCE * deviation(values, length);
      if (!(tolerance > 0)) return Number.NaN;
      sortIntoCells(values, tolerance * CELL, cells);
      return entropyOf(values, tolerance, cells);
    },
  };
}

/** Counting sort of the starts. */
function sortIntoCells(values: Float64Array, width: number, { cellOf, order, begins }: Cells): void {
  const starts = order.length;
  let lowest = values[0]!;
  for (let i = 1; i < starts; i++) if (values[i]! < lowest) lowest = values[i]!;
  begins.fill(0);
  for (let i = 0; i < starts; i++) {
    const cell = Math.floor((values[i]! - lowest) / width);
    cellOf[i] = cell;
    begins[cell] = begins[cell]! + 1;
  }
  for (let cell = 1; cell < begins.length; cell++) begins[cell] = begins[cell]! + begins[cell - 1]!;
  for (let i = starts - 1; i >= 0; i--) {
    const cell = cellOf[i]!;
    const place = begins[cell]! - 1;
    begins[cell] = place;
    order[place] = i;
  }
}

/** Compares each start with those after it in its own and the next cell. */
function entropyOf(values: Float64Array, tolerance: number, { cellOf, order, begins }: Cells): number {
  let pairs = 0;
  let triples = 0;
  for (let p = 0; p < order.length; p++) {
    const i = order[p]!;
    const first = values[i]!;
    const second = values[i + 1]!;
    const third = values[i + 2]!;
    const end = begins[cellOf[i]! + 2]!;
    for (let q = p + 1; q < end; q++) {
      const j = order[q]!;
      if (Math.abs(values[j + 1]! - second) > tolerance || Math.abs(values[j]! - first) > tolerance) continue;
      pairs++;
      if (Math.abs(values[j + 2]! - third) <= tolerance) triples++;
    }
  }
  return triples === 0 ? Number.NaN : Math.log(pairs / triples);
}

function deviation(values: Float64Array, n: number): number {
  const origin = values[0]!;
  let sum = 0;
  for (let t = 0; t < n; t++) sum += values[t]! - origin;
  const mean = origin + sum / n;
  let squares = 0;
  for (let t = 0; t < n; t++) squares += (values[t]! - mean) ** 2;
  return Math.sqrt(squares / (n - 1));
}
