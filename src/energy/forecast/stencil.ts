/**
 * A local law: the change of a cell as a linear function of the 5x5 cells around it, less the map's mean, and a bias.
 * Least squares over all observed cells, a map forgotten by 1 % with each that follows, with a ridge of 1/1000 of the
 * mean variance, which pulls towards no change. Mean, law and roll-out are of observed cells; the others stay as they
 * are. Growth of any wave over a roll-out is held to a factor of 2. O(cells 351) to learn, O(cells 25) for each window
 * ahead, by the compiled kernel.
 */

import { cholesky, solveCholesky } from '../../numeric/cholesky.ts';
import { arenaFor } from '../../numeric/kernels/arena.ts';
import { ghostIndex } from '../../numeric/stencil.ts';
import type { MapShape, Predictor } from './predictor.ts';
import { createRollOut, rollOutBytes } from './roll-out.ts';

const REACH = 2;
const SIDE = 2 * REACH + 1;
const WEIGHTS = SIDE * SIDE;
const TERMS = WEIGHTS + 1;
/** Place of the cell itself among the 5x5. */
const CENTER = (WEIGHTS - 1) / 2;
const GROWTH_MAX = 2;
/** Cells a side of the field whose waves are tried for growth. */
const WAVES = 16;
const KEEP = 0.99;
const RIDGE = 1e-3;
/** Share of the recent error that each map makes up, and the most one counts for. */
const ERROR_SHARE = 1 / 32;
const ERROR_MAX = 2;
/** Keeps the bias determined where nothing was seen. */
const BIAS_RIDGE = 1e-9;
/** Cells learned between two pauses: about a millisecond. */
const STEP_CELLS = 2048;

export interface StencilState {
  /** Sum of x x' over cells, lower triangle of 26 x 26; x the neighbors and 1. */
  readonly gram: Float64Array;
  /** Sum of x times the cell's change. */
  readonly moment: Float64Array;
  /** Recent error of one window ahead, as a share of the change. */
  error: number;
}

/** Starts from a state, which it takes over, or from nothing. Takes `rollOutBytes` of the arena. */
export function createStencil(
  shape: MapShape,
  from?: StencilState,
  arena = arenaFor(rollOutBytes(shape)),
): Predictor<StencilState> {
  const { rows, cols } = shape;
  const state = from ?? { gram: new Float64Array(TERMS * TERMS), moment: new Float64Array(TERMS), error: 0 };
  const stride = cols + 2 * REACH;
  const padded = new Float64Array((rows + 2 * REACH) * stride);
  const terms = new Float64Array(TERMS);
  const rollOut = createRollOut(shape, arena);

  return {
    *learn({ now, before }) {
      if (before === undefined) return;
      pad(before.cells, before.observed, shape, padded);
      const law = solve(state);
      let missed = 0;
      let changed = 0;
      for (let i = 0; i < state.gram.length; i++) state.gram[i] = state.gram[i]! * KEEP;
      for (let i = 0; i < TERMS; i++) state.moment[i] = state.moment[i]! * KEEP;
      for (let row = 0, done = 0; row < rows; row++) {
        for (let col = 0; col < cols; col++) {
          const at = row * cols + col;
          if (now.observed[at] === 0 || before.observed[at] === 0) continue;
          gather(padded, stride, row, col, terms);
          const change = now.cells[at]! - before.cells[at]!;
          missed += (change - dot(law, terms)) ** 2;
          changed += change ** 2;
          addSquare(state, terms, change);
        }
        done += cols;
        if (done >= STEP_CELLS) {
          done = 0;
          yield;
        }
      }
      const error = changed > 0 ? Math.min(ERROR_MAX, missed / changed) : 0;
      state.error += ERROR_SHARE * (error - state.error);
    },
    *predict({ now }, horizons, out) {
      // One that foretells a window no better than no change has nothing to say of later ones.
      if (state.error >= 1) {
        for (const cells of out) cells.set(now.cells);
        return;
      }
      const weights = bounded(solve(state), horizons.at(-1) ?? 0);
      rollOut.start(now.cells);
      let reached = 0;
      for (const [at, horizon] of horizons.entries()) {
        for (; reached < horizon; reached++) {
          rollOut.step(weights, now.observed);
          yield;
        }
        out[at]!.set(rollOut.reached());
      }
    },
    state: () => state,
  };
}

function dot(weights: Float64Array, terms: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < TERMS; i++) sum += weights[i]! * terms[i]!;
  return sum;
}

/** Writes the map less the mean of its observed cells, with ghost cells by its boundary. */
function pad(
  cells: Float64Array,
  observed: Uint8Array,
  { rows, cols, boundary }: MapShape,
  padded: Float64Array,
): void {
  const stride = cols + 2 * REACH;
  let mean = 0;
  let count = 0;
  for (let at = 0; at < cells.length; at++) if (observed[at] === 1) mean += (cells[at]! - mean) / ++count;
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

/**
 * The law with every deviation from the mean scaled down alike where the wave that grows most would grow by more than
 * the bound in so many steps: a law read off one window ahead is iterated, and a small excess is soon all there is.
 */
function bounded(weights: Float64Array, steps: number): Float64Array {
  const allowed = GROWTH_MAX ** (1 / Math.max(1, steps));
  const gain = greatestGain(weights);
  if (gain <= allowed) return weights;
  const scale = allowed / gain;
  const out = weights.map((weight, at) => (at === WEIGHTS ? weight : scale * weight));
  out[CENTER] = out[CENTER]! + scale - 1;
  return out;
}

/** Greatest factor of a wave in one step, over the waves of a field of 16 x 16 cells. */
function greatestGain(weights: Float64Array): number {
  const turn = Float64Array.from({ length: WAVES }, (_, at) => Math.cos((2 * Math.PI * at) / WAVES));
  let most = 0;
  for (let p = 0; p <= WAVES / 2; p++) {
    for (let q = p === 0 ? 1 : 0; q < WAVES; q++) {
      let re = 1;
      let im = 0;
      for (let row = -REACH, k = 0; row <= REACH; row++) {
        for (let col = -REACH; col <= REACH; col++, k++) {
          const angle = p * row + q * col + REACH * 2 * WAVES;
          re += weights[k]! * turn[angle % WAVES]!;
          im += weights[k]! * turn[(angle + (3 * WAVES) / 4) % WAVES]!;
        }
      }
      most = Math.max(most, re * re + im * im);
    }
  }
  return Math.sqrt(most);
}
