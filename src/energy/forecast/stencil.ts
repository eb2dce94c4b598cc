/**
 * A local law: the change of a cell as a linear function of the 5x5 cells around it, less the map's mean, and a bias.
 * Least squares over all observed cells, a map forgotten by 1 % with each that follows, with a ridge of 1/1000 of the
 * mean variance, which pulls towards no change. O(cells 351) to learn, O(cells 25) for each window ahead.
 */
import { cholesky, solveCholesky } from '../../numeric/cholesky.ts';
import { ghostIndex } from '../../numeric/stencil.ts';
import type { MapShape, Predictor } from './predictor.ts';

const REACH = 2;
const SIDE = 2 * REACH + 1;
const WEIGHTS = SIDE * SIDE;
const TERMS = WEIGHTS + 1;
const KEEP = 0.99;
const RIDGE = 1e-3;
/** Keeps the bias determined where nothing was seen. */
const BIAS_RIDGE = 1e-9;
/** Cells learned between two pauses: about a millisecond. */
const STEP_CELLS = 2048;

export interface StencilState {
  /** Sum of x x' over cells, lower triangle of 26 x 26; x the neighbors and 1. */
  readonly gram: Float64Array;
  /** Sum of x times the cell's change. */
  readonly moment: Float64Array;
}

/** Starts from a state, which it takes over, or from nothing. */
export function createStencil(shape: MapShape, from?: StencilState): Predictor<StencilState> {
  const { rows, cols } = shape;
  const state = from ?? { gram: new Float64Array(TERMS * TERMS), moment: new Float64Array(TERMS) };
  const stride = cols + 2 * REACH;
  const padded = new Float64Array((rows + 2 * REACH) * stride);
  const terms = new Float64Array(TERMS);

  return {
    *learn({ now, before }) {
      if (before === undefined) return;
      pad(before.cells, shape, padded);
      for (let i = 0; i < state.gram.length; i++) state.gram[i] = state.gram[i]! * KEEP;
      for (let i = 0; i < TERMS; i++) state.moment[i] = state.moment[i]! * KEEP;
      for (let row = 0, done = 0; row < rows; row++) {
        for (let col = 0; col < cols; col++) {
          const at = row * cols + col;
          if (now.observed[at] === 0 || before.observed[at] === 0) continue;
          gather(padded, stride, row, col, terms);
          addSquare(state, terms, now.cells[at]! - before.cells[at]!);
        }
        done += cols;
        if (done >= STEP_CELLS) {
          done = 0;
          yield;
        }
      }
    },
    *predict({ now }, horizons, out) {
      const weights = solve(state);
      let values = now.cells;
      let next = new Float64Array(values.length);
      let spare = new Float64Array(values.length);
      let reached = 0;
      for (const [at, horizon] of horizons.entries()) {
        for (; reached < horizon; reached++) {
          pad(values, shape, padded);
          apply(padded, shape, weights, values, next);
          values = next;
          [next, spare] = [spare, next];
          yield;
        }
        out[at]!.set(values);
      }
    },
    state: () => state,
  };
}

/** Writes the map less its mean, with ghost cells by its boundary. */
function pad(cells: Float64Array, { rows, cols, boundary }: MapShape, padded: Float64Array): void {
  const stride = cols + 2 * REACH;
  let mean = 0;
  for (const value of cells) mean += value / cells.length;
  for (let row = -REACH; row < rows + REACH; row++) {
    const from = ghostIndex(row, rows, boundary);
    const target = (row + REACH) * stride + REACH;
    for (let col = -REACH; col < cols + REACH; col++) {
      const source = ghostIndex(col, cols, boundary);
      padded[target + col] = (from < 0 || source < 0 ? 0 : cells[from * cols + source]!) - mean;
    }
  }
}

function gather(padded: Float64Array, stride: number, row: number, col: number, terms: Float64Array): void {
  for (let i = 0, k = 0; i < SIDE; i++) {
    const start = (row + i) * stride + col;
    for (let j = 0; j < SIDE; j++) terms[k++] = padded[start + j]!;
  }
  terms[WEIGHTS] = 1;
}

function addSquare({ gram, moment }: StencilState, terms: Float64Array, change: number): void {
  for (let i = 0; i < TERMS; i++) {
    const x = terms[i]!;
    const start = i * TERMS;
    for (let j = 0; j <= i; j++) gram[start + j] = gram[start + j]! + x * terms[j]!;
    moment[i] = moment[i]! + x * change;
  }
}

/** Weights of the neighbors and the bias; zeros while nothing was learned. */
function solve({ gram, moment }: StencilState): Float64Array {
  let trace = 0;
  for (let i = 0; i < WEIGHTS; i++) trace += gram[i * TERMS + i]!;
  const weights = new Float64Array(TERMS);
  if (!(trace > 0)) return weights;
  const factor = gram.slice();
  for (let i = 0; i < WEIGHTS; i++)
    factor[i * TERMS + i] = factor[i * TERMS + i]! + (RIDGE * trace) / WEIGHTS;
  factor[TERMS * TERMS - 1] = factor[TERMS * TERMS - 1]! * (1 + BIAS_RIDGE);
  if (cholesky(factor, TERMS, factor)) solveCholesky(factor, TERMS, moment, weights);
  return weights;
}

function apply(
  padded: Float64Array,
  { rows, cols }: MapShape,
  weights: Float64Array,
  values: Float64Array,
  out: Float64Array,
): void {
  const stride = cols + 2 * REACH;
  for (let row = 0; row < rows; row++) {
    for (let col = 0; col < cols; col++) {
      let change = weights[WEIGHTS]!;
      for (let i = 0, k = 0; i < SIDE; i++) {
        const start = (row + i) * stride + col;
        for (let j = 0; j < SIDE; j++) change += weights[k++]! * padded[start + j]!;
      }
      const at = row * cols + col;
      out[at] = values[at]! + change;
    }
  }
}
