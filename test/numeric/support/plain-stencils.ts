/** Laplacian and 5x5 stencils cell by cell: the plain forms of the compiled ones. */
import { type BoundaryRule, ghostIndex } from '../../../src/numeric/stencil.ts';

/** A grid and what lies beyond its edge. */
export interface PlainGrid {
  readonly values: Float64Array;
  readonly rows: number;
  readonly cols: number;
  readonly boundary: BoundaryRule;
}

/** Value at a place up to two cells beyond the edge. */
export function valueAt({ values, rows, cols, boundary }: PlainGrid, i: number, j: number): number {
  const row = ghostIndex(i, rows, boundary);
  const col = ghostIndex(j, cols, boundary);
  return row < 0 || col < 0 ? 0 : values[row * cols + col]!;
}

function eachCell(grid: PlainGrid, cell: (i: number, j: number) => number): Float64Array {
  return Float64Array.from(grid.values, (_, at) => cell(Math.floor(at / grid.cols), at % grid.cols));
}

/** keep u + scale (north + south + east + west - 4 u). */
export function plainLaplacian(grid: PlainGrid, keep: number, scale: number): Float64Array {
  return eachCell(grid, (i, j) => {
    const u = valueAt(grid, i, j);
    const down = valueAt(grid, i - 1, j) + valueAt(grid, i + 1, j);
    const across = valueAt(grid, i, j - 1) + valueAt(grid, i, j + 1);
    return keep * u + scale * (down + across - 4 * u);
  });
}

export function plainStencil(grid: PlainGrid, weights: Float64Array, bias: number): Float64Array {
  return eachCell(grid, (i, j) => {
    let sum = bias;
    for (let r = 0; r < 5; r++)
      for (let c = 0; c < 5; c++) sum += weights[5 * r + c]! * valueAt(grid, i + r - 2, j + c - 2);
    return sum;
  });
}
