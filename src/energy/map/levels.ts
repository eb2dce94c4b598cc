/**
 * The coarser levels of a map: 2x2 block sums of its observed cells, level by level, by compiled kernels. A coarse cell
 * is observed when one of its cells is, so the total over observed cells is the same on every level. The memory of the
 * last shape is kept for the next map; one level sequence at a time, which nothing interrupts.
 */
import { arenaFor } from '../../numeric/kernels/arena.ts';
import { coarserShape, createGridPlan, type GridPlan } from '../../numeric/kernels/grid-plan.ts';

/** A map, row-major; one byte a cell says whether it is observed, 1 or 0. */
export interface LevelMap {
  readonly rows: number;
  readonly cols: number;
  readonly cells: Float64Array;
  readonly observed: Uint8Array;
}

/** A level's memory, and the kernels that make the next one of it. */
interface Level extends LevelMap {
  readonly plan: GridPlan;
}

export interface Levels {
  /** The map `level` levels coarser, at most down to one cell. Arrays belong to the receiver. O(cells). */
  coarser(map: Omit<LevelMap, 'cells'> & { readonly cells: ArrayLike<number> }, level: number): LevelMap;
}

/** All levels of a map take less than a third more than the map; cells take 9 bytes, rows of scratch 56 a column. */
const BYTES_A_CELL = 13;
const BYTES_A_COLUMN = 128;
const BASE_BYTES = 65_536;

export function createLevels(): Levels {
  let levels: readonly Level[] = [];
  return {
    coarser({ rows, cols, cells, observed }, level) {
      if (levels[0]?.rows !== rows || levels[0].cols !== cols) levels = layOut(rows, cols);
      levels[0]!.cells.set(cells);
      levels[0]!.observed.set(observed);
      const reached = Math.min(level, levels.length - 1);
      for (let at = 0; at < reached; at++) {
        const next = levels[at + 1]!;
        const mask = { observed: levels[at]!.observed, out: next.observed };
        levels[at]!.plan.blockSum(levels[at]!.cells, next.cells, mask);
      }
      const shown = levels[reached]!;
      return { ...shown, cells: shown.cells.slice(), observed: shown.observed.slice() };
    },
  };
}

/** Memory for a shape and all that are coarser. */
function layOut(rows: number, cols: number): Level[] {
  const bytes = BASE_BYTES + BYTES_A_CELL * rows * cols + BYTES_A_COLUMN * cols;
  const arena = arenaFor(bytes);
  const levels: Level[] = [];
  for (let shape = { rows, cols }; ; shape = coarserShape(shape.rows, shape.cols)) {
    const count = shape.rows * shape.cols;
    const plan = createGridPlan(arena, shape.rows, shape.cols);
    levels.push({ ...shape, cells: arena.float64(count), observed: arena.uint8(count), plan });
    if (count === 1) return levels;
  }
}
