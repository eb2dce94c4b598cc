/**
 * Differences and block sums of real grids by compiled kernels; the tests keep the plain forms, whose bits the
 * differences have. Arrays are row-major, of the plan's arena and of rows x cols cells (RangeError otherwise); an output
 * may not be the input. Work goes by bands of rows, which give the bits of the whole, so that a long one can be taken
 * in slices. Values must be finite. O(cells); nothing is allocated.
 */
import type { BoundaryRule, GradientScheme } from '../stencil.ts';
import type { Arena } from './arena.ts';

/** Rows of a grid: `fromRow` up to but not `toRow`. */
export interface Band {
  readonly fromRow: number;
  readonly toRow: number;
}

/** A plan for grids of rows x cols. */
export interface GridPlan {
  readonly rows: number;
  readonly cols: number;
  /** Slopes down the rows and across the columns, in value per distance; a side of length 1 has none. */
  gradient(
    values: Float64Array,
    how: { scheme: GradientScheme; boundary: BoundaryRule; spacing: number },
    outRow: Float64Array,
    outCol: Float64Array,
    band?: Band,
  ): void;
  /** Sizes of the slopes, sqrt(row^2 + col^2); `out` may be one of them. */
  slopeSizes(row: Float64Array, col: Float64Array, out: Float64Array): void;
  /** The 5-point Laplacian, (north + south + east + west - 4 u) / spacing^2. Second order. */
  laplacian(
    values: Float64Array,
    how: { boundary: BoundaryRule; spacing: number },
    out: Float64Array,
    band?: Band,
  ): void;
  /**
   * One explicit step of the heat equation, u + number (north + south + east + west - 4 u), number = diffusivity dt /
   * spacing^2. Stable up to 1/4. PERIODIC and NEUMANN keep the total.
   */
  heatStep(
    values: Float64Array,
    how: { boundary: BoundaryRule; number: number },
    out: Float64Array,
    band?: Band,
  ): void;
  /** `bias` + sum of 5x5 weights (row-major, from two cells up and left) times neighbors. */
  stencil(
    values: Float64Array,
    how: { boundary: BoundaryRule; weights: Float64Array; bias: number },
    out: Float64Array,
    band?: Band,
  ): void;
  /**
   * 2x2 block sums to the cells of `coarserShape`, over observed cells (one byte each, 1 observed) when a mask is
   * given: a coarse cell is observed when one of its cells is. Odd sides end in half blocks.
   */
  blockSum(values: Float64Array, out: Float64Array, mask?: { observed: Uint8Array; out: Uint8Array }): void;
}

const BOUNDARY: Readonly<Record<BoundaryRule, number>> = { PERIODIC: 0, NEUMANN: 1, DIRICHLET: 2 };
/** Weights of the neighbors and of the cell across the direction of a slope. */
const ACROSS: Readonly<Record<'SOBEL' | 'CENTRAL2', readonly [number, number]>> = {
  SOBEL: [0.25, 0.5],
  CENTRAL2: [0, 1],
};
/** Padded rows of scratch: a ring of five, two of results. */
const SCRATCH_ROWS = 7;
const GHOSTS = 6;
const WEIGHTS = 25;

/** Sides of the next coarser level. */
export function coarserShape(rows: number, cols: number): { rows: number; cols: number } {
  return { rows: Math.ceil(rows / 2), cols: Math.ceil(cols / 2) };
}

/** A plan with its scratch memory, 7 rows. RangeError for sides that are not positive integers. */
export function createGridPlan(arena: Arena, rows: number, cols: number): GridPlan {
  if (!(Number.isInteger(rows) && Number.isInteger(cols) && rows >= 1 && cols >= 1)) {
    throw new RangeError(`a grid of ${rows} x ${cols}`);
  }
  const { kernels } = arena;
  const ring = arena.float64(SCRATCH_ROWS * (cols + GHOSTS)).byteOffset;
  const cells = (array: Float64Array) => arena.addressOf(array, rows * cols);
  const bandOf = (values: Float64Array, boundary: BoundaryRule, band?: Band) => {
    const { fromRow, toRow } = band ?? { fromRow: 0, toRow: rows };
    if (!(fromRow >= 0 && fromRow <= toRow && toRow <= rows)) {
      throw new RangeError(`rows ${fromRow} to ${toRow} of ${rows}`);
    }
    return [cells(values), rows, cols, BOUNDARY[boundary], fromRow, toRow] as const;
  };
  return {
    rows,
    cols,
    gradient(values, { scheme, boundary, spacing }, outRow, outCol, band) {
      const grid = bandOf(values, boundary, band);
      const scale = 1 / ((scheme === 'CENTRAL4' ? 12 : 2) * spacing);
      const scales = [rows === 1 ? 0 : scale, cols === 1 ? 0 : scale] as const;
      const out = [cells(outRow), cells(outCol), ring] as const;
      if (scheme === 'CENTRAL4') kernels.slopes4(...grid, ...scales, ...out);
      else kernels.slopes(...grid, ...ACROSS[scheme], ...scales, ...out);
    },
    slopeSizes: (row, col, out) => kernels.slopeSizes(cells(row), cells(col), rows * cols, cells(out)),
    laplacian(values, { boundary, spacing }, out, band) {
      kernels.laplacian(...bandOf(values, boundary, band), 0, 1 / (spacing * spacing), cells(out), ring);
    },
    heatStep(values, { boundary, number }, out, band) {
      kernels.laplacian(...bandOf(values, boundary, band), 1, number, cells(out), ring);
    },
    stencil(values, { boundary, weights, bias }, out, band) {
      const at = arena.addressOf(weights, WEIGHTS);
      kernels.stencil25(...bandOf(values, boundary, band), at, bias, cells(out), ring);
    },
    blockSum(values, out, mask) {
      const shape = coarserShape(rows, cols);
      const coarse = shape.rows * shape.cols;
      const observed = mask === undefined ? 0 : arena.addressOf(mask.observed, rows * cols);
      const outMask = mask === undefined ? 0 : arena.addressOf(mask.out, coarse);
      kernels.blocks(cells(values), observed, rows, cols, arena.addressOf(out, coarse), outMask);
    },
  };
}
