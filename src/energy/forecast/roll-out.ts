/**
 * A local law applied window after window by the compiled 5x5 kernel: each cell changes by the law's weights times its
 * neighbors less the mean of the observed cells, and a bias; cells that were not observed stay as they are. Maps lie in an
 * arena, which other plans may share as long as one runs at a time. O(25 cells) a window.
 */
import type { Arena } from '../../numeric/kernels/arena.ts';
import { createGridPlan } from '../../numeric/kernels/grid-plan.ts';
import type { MapShape } from './predictor.ts';

const WEIGHTS = 25;
/** Place of the cell itself among the 5x5. */
const CENTER = (WEIGHTS - 1) / 2;
/** Rows of scratch of the kernel, with room for alignment and ghost cells. */
const SCRATCH_ROWS = 8;

export interface RollOut {
  /** Begins at a map, which is copied. */
  start(cells: Float64Array): void;
  /** Goes on by one window: `law` is 25 weights, row-major from two cells up and left, and the bias. */
  step(law: Float64Array, observed: Uint8Array): void;
  /** The map reached; borrowed until the next step. */
  reached(): Float64Array;
}

/** Bytes of arena a roll-out takes. */
export function rollOutBytes({ rows, cols }: Pick<MapShape, 'rows' | 'cols'>): number {
  return 8 * (2 * rows * cols + SCRATCH_ROWS * (cols + 16) + 2 * WEIGHTS);
}

export function createRollOut({ rows, cols, boundary }: MapShape, arena: Arena): RollOut {
  const plan = createGridPlan(arena, rows, cols);
  const weights = arena.float64(WEIGHTS);
  let now = arena.float64(rows * cols);
  let next = arena.float64(rows * cols);
  return {
    start: (cells) => now.set(cells),
    step(law, observed) {
      let mean = 0;
      let count = 0;
      let sum = 0;
      for (let at = 0; at < now.length; at++) if (observed[at] === 1) mean += (now[at]! - mean) / ++count;
      for (let i = 0; i < WEIGHTS; i++) {
        weights[i] = law[i]!;
        sum += law[i]!;
      }
      weights[CENTER] = weights[CENTER]! + 1;
      plan.stencil(now, { boundary, weights, bias: law[WEIGHTS]! - mean * sum }, next);
      if (count < now.length)
        for (let at = 0; at < now.length; at++) if (observed[at] === 0) next[at] = now[at]!;
      [now, next] = [next, now];
    },
    reached: () => now,
  };
}
