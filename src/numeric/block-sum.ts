/**
 * 2x2 block sums: the next coarser level of a masked grid. Row-major, masks hold one byte a cell (1 observed). A
 * coarse cell is the sum of its observed cells and is observed when one of them is, so the total over observed cells
 * is the same on every level. Odd sides end in half blocks.
 */

/** Sides of the next coarser level. */
export function coarserShape(rows: number, cols: number): { rows: number; cols: number } {
  return { rows: Math.ceil(rows / 2), cols: Math.ceil(cols / 2) };
}

/** Writes the block sums to `outValues` and `outObserved`, both of `coarserShape` cells; may not alias. O(cells). */
export function blockSum(
  values: Float64Array,
  observed: Uint8Array,
  rows: number,
  cols: number,
  outValues: Float64Array,
  outObserved: Uint8Array,
): void {
  const width = coarserShape(rows, cols).cols;
  outValues.fill(0);
  outObserved.fill(0);
  for (let i = 0; i < rows; i++) {
    const target = (i >> 1) * width;
    for (let j = 0; j < cols; j++) {
      const at = i * cols + j;
      if (observed[at] === 0) continue;
      const coarse = target + (j >> 1);
      outValues[coarse] = outValues[coarse]! + values[at]!;
      outObserved[coarse] = 1;
    }
  }
}
