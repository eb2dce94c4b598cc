/** How steep a map is: the 99th percentile of its slopes, by Sobel's differences, in value per distance. */
import type { Steps } from '../../numeric/slices.ts';
import type { MapField } from '../map/state.ts';
import type { StatePlan, StatePlans } from '../map/state-plan.ts';

const SHARE = 0.99;
/** Halvings of the span from 0 to the steepest. */
const HALVINGS = 32;
/** Cells looked at between two yields. */
const STEP_CELLS = 65_536;

/** Over the observed cells, of which there is one at least; cells that were not are neighbors as they are. O(cells). */
export function steepSlope(field: MapField, plans: StatePlans): Steps<number> {
  return plans.lend(field, slopeOf);
}

function* slopeOf(
  { grid, ...plan }: StatePlan,
  { cells, observed, boundary, spacing }: MapField,
): Steps<number> {
  const { gradientRow, gradientCol, gradientMagnitude } = plan;
  plan.cells.set(cells);
  grid.gradient(plan.cells, { scheme: 'SOBEL', boundary, spacing }, gradientRow, gradientCol);
  yield;
  grid.slopeSizes(gradientRow, gradientCol, gradientMagnitude);
  yield;
  let count = 0;
  for (let at = 0; at < cells.length; at++)
    if (observed?.[at] !== 0) gradientMagnitude[count++] = gradientMagnitude[at]!;
  return yield* percentile(gradientMagnitude.subarray(0, count));
}

/** The least x, to 2^-32 of the greatest value, that a share of 0.99 does not exceed. */
function* percentile(values: Float64Array): Steps<number> {
  const wanted = Math.ceil(SHARE * values.length);
  let low = 0;
  let high = 0;
  for (let at = 0; at < values.length; at++) high = Math.max(high, values[at]!);
  for (let halving = 0; halving < HALVINGS && high > 0; halving++) {
    const middle = (low + high) / 2;
    let below = 0;
    for (let from = 0; from < values.length; from += STEP_CELLS) {
      const to = Math.min(values.length, from + STEP_CELLS);
      for (let at = from; at < to; at++) if (values[at]! <= middle) below++;
      if (to < values.length) yield;
    }
    if (below >= wanted) high = middle;
    else low = middle;
  }
  return high;
}
