/** Slopes of a grid by bands of rows: the plain form of the compiled ones. */
import { type BoundaryRule, type GradientScheme, ghostIndex } from '../../../src/numeric/stencil.ts';

/** A grid and how its slope is taken. */
export interface GradientPlan {
  readonly rows: number;
  readonly cols: number;
  readonly scheme: GradientScheme;
  readonly boundary: BoundaryRule;
  /** Distance between neighboring cells, over 0. */
  readonly spacing: number;
}

/** Ghost cells on each side of a padded row; the widest scheme reaches two cells. */
const REACH = 2;

/** Slopes of rows `fromRow..toRow`: `outRow` along the rows' direction (down), `outCol` along the columns' (right). */
export function gradient(
  values: Float64Array,
  plan: GradientPlan,
  fromRow: number,
  toRow: number,
  outRow: Float64Array,
  outCol: Float64Array,
): void {
  const { cols } = plan;
  const across = new Float64Array(cols + 2 * REACH);
  const down = new Float64Array(cols + 2 * REACH);
  const blank = new Float64Array(cols);
  const row = (index: number): Float64Array => {
    const at = ghostIndex(index, plan.rows, plan.boundary);
    return at < 0 ? blank : values.subarray(at * cols, (at + 1) * cols);
  };
  const sobel = plan.scheme === 'SOBEL';
  const combine = plan.scheme === 'CENTRAL4' ? slopeFourth : slopeSecond;
  for (let i = fromRow; i < toRow; i++) {
    const own = row(i);
    if (sobel && plan.rows > 1) smoothRows(row(i - 1), own, row(i + 1), across);
    else across.set(own, REACH);
    padRow(across, plan);
    combine(across, plan, outCol.subarray(i * cols, (i + 1) * cols));

    if (plan.rows === 1) {
      outRow.fill(0, i * cols, (i + 1) * cols);
      continue;
    }
    if (plan.scheme === 'CENTRAL4') {
      differenceFourth(row(i - 2), row(i - 1), row(i + 1), row(i + 2), plan, down);
    } else differenceSecond(row(i - 1), row(i + 1), plan, down);
    const target = outRow.subarray(i * cols, (i + 1) * cols);
    if (sobel && cols > 1) {
      padRow(down, plan);
      smoothCols(down, target);
    } else target.set(down.subarray(REACH, REACH + cols));
  }
}

/** (a + 2b + c) / 4 cell by cell into a padded row. */
function smoothRows(above: Float64Array, own: Float64Array, below: Float64Array, out: Float64Array): void {
  for (let j = 0; j < own.length; j++) out[j + REACH] = 0.25 * above[j]! + 0.5 * own[j]! + 0.25 * below[j]!;
}

/** (left + 2 own + right) / 4 of a padded row. */
function smoothCols(padded: Float64Array, out: Float64Array): void {
  for (let j = 0; j < out.length; j++) {
    out[j] = 0.25 * padded[j + REACH - 1]! + 0.5 * padded[j + REACH]! + 0.25 * padded[j + REACH + 1]!;
  }
}

/** Fills the ghost cells of a padded row. */
function padRow(padded: Float64Array, plan: GradientPlan): void {
  for (let ghost = 1; ghost <= REACH; ghost++) {
    const left = ghostIndex(-ghost, plan.cols, plan.boundary);
    const right = ghostIndex(plan.cols - 1 + ghost, plan.cols, plan.boundary);
    padded[REACH - ghost] = left < 0 ? 0 : padded[REACH + left]!;
    padded[REACH + plan.cols - 1 + ghost] = right < 0 ? 0 : padded[REACH + right]!;
  }
}

function slopeSecond(padded: Float64Array, plan: GradientPlan, out: Float64Array): void {
  const scale = plan.cols === 1 ? 0 : 1 / (2 * plan.spacing);
  for (let j = 0; j < out.length; j++) out[j] = (padded[j + REACH + 1]! - padded[j + REACH - 1]!) * scale;
}

function slopeFourth(padded: Float64Array, plan: GradientPlan, out: Float64Array): void {
  const scale = plan.cols === 1 ? 0 : 1 / (12 * plan.spacing);
  for (let j = 0; j < out.length; j++) {
    const near = padded[j + REACH + 1]! - padded[j + REACH - 1]!;
    const far = padded[j + REACH + 2]! - padded[j + REACH - 2]!;
    out[j] = (8 * near - far) * scale;
  }
}

function differenceSecond(
  above: Float64Array,
  below: Float64Array,
  plan: GradientPlan,
  out: Float64Array,
): void {
  const scale = 1 / (2 * plan.spacing);
  for (let j = 0; j < above.length; j++) out[j + REACH] = (below[j]! - above[j]!) * scale;
}

function differenceFourth(
  above2: Float64Array,
  above: Float64Array,
  below: Float64Array,
  below2: Float64Array,
  plan: GradientPlan,
  out: Float64Array,
): void {
  const scale = 1 / (12 * plan.spacing);
  for (let j = 0; j < above.length; j++) {
    out[j + REACH] = (8 * (below[j]! - above[j]!) - (below2[j]! - above2[j]!)) * scale;
  }
}
