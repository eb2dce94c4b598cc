/**
 * How far apart the spectra of two maps are, whatever their phases: the root mean square over shells of the logarithm
 * of their power's ratio. A shell holds the waves of one wave number, in cycles along the longer side, rounded; the
 * mean belongs to none. Power below 1e-9 of the whole (the mean square, the larger of both maps) counts as that much,
 * so that rounding says nothing. Both maps go through one complex transform, as its real and imaginary part.
 */
import { type Arena, arenaFor } from '../../numeric/kernels/arena.ts';
import { createLineFft, type LineFft } from '../../numeric/kernels/fft-plan.ts';
import type { Steps } from '../../numeric/slices.ts';

const FLOOR = 1e-9;
/** Cells transformed between two yields: well under a millisecond. */
const STEP_CELLS = 16_384;
/** Memory of one line's plan, bytes a sample in the least favorable case, and of an empty arena. */
const LINE_BYTES = 1_024;

export interface Spectra {
  /** The distance; undefined for a single cell, which has no waves. O(cells log cells), in slices. */
  distance(
    told: Float64Array,
    seen: Float64Array,
    shape: { readonly rows: number; readonly cols: number },
  ): Steps<number | undefined>;
}

/** Transforms of lines of one length. */
interface Line {
  readonly re: Float64Array;
  readonly im: Float64Array;
  readonly fft: LineFft<'float64'>;
}

/** What maps of one shape are transformed with; one computation has it at a time. */
interface Plan extends Planes {
  readonly rows: number;
  readonly cols: number;
  readonly across: Line;
  readonly down: Line;
}

interface Planes {
  readonly re: Float64Array;
  readonly im: Float64Array;
}

/** Keeps the plan used last, 16 bytes a cell. Several computations may be under way, each with its own. */
export function createSpectra(): Spectra {
  let idle: Plan | undefined;
  return {
    *distance(told, seen, { rows, cols }) {
      if (rows * cols === 1) return undefined;
      const plan = idle?.rows === rows && idle.cols === cols ? idle : planOf(rows, cols);
      idle = undefined;
      yield* transformLines({ re: told, im: seen }, plan, plan.across, rows, { line: cols, step: 1 });
      yield* transformLines(plan, plan, plan.down, cols, { line: 1, step: cols });
      const distance = yield* shellDistance(plan);
      idle = plan;
      return distance;
    },
  };
}

function planOf(rows: number, cols: number): Plan {
  const arena = arenaFor(LINE_BYTES * (rows + cols));
  const plane = () => new Float64Array(rows * cols);
  return { rows, cols, re: plane(), im: plane(), across: lineOf(arena, cols), down: lineOf(arena, rows) };
}

function lineOf(arena: Arena, length: number): Line {
  return {
    re: arena.float64(length),
    im: arena.float64(length),
    fft: createLineFft(arena, 'float64', length),
  };
}

/** Transforms `count` lines to their places in `to`, which may be `from`; the cells of line l are at l line + i step. */
function* transformLines(
  from: Planes,
  to: Planes,
  { re, im, fft }: Line,
  count: number,
  stride: { readonly line: number; readonly step: number },
): Steps<void> {
  const { size } = fft;
  const band = Math.max(1, Math.floor(STEP_CELLS / size));
  for (let line = 0; line < count; line++) {
    const start = line * stride.line;
    for (let i = 0; i < size; i++) {
      re[i] = from.re[start + i * stride.step]!;
      im[i] = from.im[start + i * stride.step]!;
    }
    fft.forward(re, im, re, im);
    for (let i = 0; i < size; i++) {
      to.re[start + i * stride.step] = re[i]!;
      to.im[start + i * stride.step] = im[i]!;
    }
    if (line % band === band - 1) yield;
  }
}

/** With Z the transform of told + i seen: told = (Z(k) + conj Z(-k)) / 2 and seen = (Z(k) - conj Z(-k)) / 2i. */
function* shellDistance({ re, im, rows, cols }: Plan): Steps<number> {
  const longer = Math.max(rows, cols);
  const told = new Float64Array(longer + 1);
  const seen = new Float64Array(longer + 1);
  const counts = new Uint32Array(longer + 1);
  const band = Math.max(1, Math.floor(STEP_CELLS / cols));
  for (let i = 0; i < rows; i++) {
    const mirror = ((rows - i) % rows) * cols;
    const down = Math.min(i, rows - i) / rows;
    for (let j = 0; j < cols; j++) {
      const at = i * cols + j;
      const other = mirror + ((cols - j) % cols);
      const shell = Math.round(longer * Math.hypot(down, Math.min(j, cols - j) / cols));
      told[shell] = told[shell]! + (re[at]! + re[other]!) ** 2 + (im[at]! - im[other]!) ** 2;
      seen[shell] = seen[shell]! + (im[at]! + im[other]!) ** 2 + (re[at]! - re[other]!) ** 2;
      counts[shell] = counts[shell]! + 1;
    }
    if (i % band === band - 1) yield;
  }
  const whole = (powers: Float64Array) => powers.reduce((sum, power) => sum + power, 0);
  const floor = FLOOR * Math.max(whole(told), whole(seen));
  let sum = 0;
  let shells = 0;
  for (let shell = 1; shell <= longer; shell++) {
    if (counts[shell] === 0) continue;
    shells++;
    if (floor > 0) sum += Math.log(Math.max(floor, told[shell]!) / Math.max(floor, seen[shell]!)) ** 2;
  }
  return Math.sqrt(sum / shells);
}
