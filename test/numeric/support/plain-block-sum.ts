/** 2x2 block sums cell by cell: the plain form of the compiled ones. */
import { coarserShape } from '../../../src/numeric/kernels/grid-plan.ts';

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
