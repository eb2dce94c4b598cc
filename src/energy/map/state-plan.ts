/**
 * Compiled kernels with the memory they work in, for maps of one shape. A plan serves one computation at a time; plans
 * are lent, so that computations whose slices take turns each have their own, and kept for the next map of their
 * shape, as many as the owner wishes; 40 bytes a cell each. A computation that is given up between two slices keeps its
 * plan, which is collected with it.
 */
import { arenaFor } from '../../numeric/kernels/arena.ts';
import { createGridPlan, type GridPlan } from '../../numeric/kernels/grid-plan.ts';
import { createStatisticsPlan, type StatisticsPlan } from '../../numeric/kernels/statistics-plan.ts';
import type { Steps } from '../../numeric/slices.ts';

/** Most bins of a value histogram. */
const BINS_MAX = 1024;
/** Grids of a plan. */
const GRIDS = 5;
/** What a plan needs beside its grids and the rows of scratch of its grid plan. */
const BASE_BYTES = 65_536;
const SCRATCH_ROWS = 8;
const GHOSTS = 8;
/** All grids are row-major, rows x cols, of the plan's memory; what they hold is valid until the plan is given back. */
export interface StatePlan {
  readonly rows: number;
  readonly cols: number;
  readonly cells: Float64Array;
  readonly weights: Float64Array;
  readonly gradientRow: Float64Array;
  readonly gradientCol: Float64Array;
  readonly gradientMagnitude: Float64Array;
  /** Counters of a histogram. */
  readonly counts: Uint32Array;
  readonly grid: GridPlan;
  readonly statistics: StatisticsPlan;
}

interface MapShape {
  readonly rows: number;
  readonly cols: number;
}

export interface StatePlans {
  /**
   * Runs a computation of what is given, with a plan of its own for maps of its shape. What comes of it may hold nothing
   * of the plan. `use` is best made once: a generator function made for each call leaves the collector a hidden class
   * that keeps what the function sees alive until all memory is gone through.
   */
  lend<Given extends MapShape, Result>(
    given: Given,
    use: (plan: StatePlan, given: Given) => Steps<Result>,
  ): Steps<Result>;
}

/**
 * Plans, made as they are needed: some 0.3 ms each and as much for the collector, and 10 ms more for the first kernels
 * of a thread. The `kept` used last stay.
 */
export function createStatePlans(kept: number): StatePlans {
  /** The one used last stands last. */
  const idle: StatePlan[] = [];
  return {
    *lend(given, use) {
      const { rows, cols } = given;
      const at = idle.findLastIndex((plan) => plan.rows === rows && plan.cols === cols);
      const plan = at < 0 ? createStatePlan(rows, cols) : idle.splice(at, 1)[0]!;
      try {
        return yield* use(plan, given);
      } finally {
        idle.push(plan);
        if (idle.length > kept) idle.shift();
      }
    },
  };
}

function createStatePlan(rows: number, cols: number): StatePlan {
  const bytes = BASE_BYTES + 8 * (GRIDS * rows * cols + SCRATCH_ROWS * (cols + GHOSTS));
  const arena = arenaFor(bytes);
  const grid = () => arena.float64(rows * cols);
  return {
    rows,
    cols,
    cells: grid(),
    weights: grid(),
    gradientRow: grid(),
    gradientCol: grid(),
    gradientMagnitude: grid(),
    counts: arena.uint32(BINS_MAX),
    grid: createGridPlan(arena, rows, cols),
    statistics: createStatisticsPlan(arena, BINS_MAX),
  };
}
