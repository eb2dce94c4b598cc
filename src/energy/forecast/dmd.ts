/**
 * Dynamic mode decomposition as maps come (M. Hemati, M. Williams, C. Rowley, Physics of Fluids 26, 2014): a map and
 * the one before it, less the first map learned, as coefficients in few directions (dmd-basis.ts), and the affine law
 * from one such pair to the next by least squares, a pair forgotten by 2 % with each that follows. What the directions
 * do not hold of the newest map persists. Growth over a roll-out is held to a factor of 2. O(cells 1000) to learn.
 */
import { cholesky, solveCholesky } from '../../numeric/cholesky.ts';
import type { Steps } from '../../numeric/slices.ts';
import { addColumn, type Basis, createBasis, projectSteps, RANK_MAX } from './dmd-basis.ts';
import type { Predictor } from './predictor.ts';

const DELAYS = 2;
const KEEP = 0.98;
const GROWTH_MAX = 2;
/** Least number of pairs an answer is made from. */
const PAIRS_MIN = 2;
/** Ridge of a coefficient as a share of its own sum of squares, and of that of all. */
const RIDGE_OWN = 1e-9;
const RIDGE_ALL = 1e-13;
/** Squarings that leave the norm of a power within 16^(1/2^20) of the spectral radius. */
const SQUARINGS = 20;

const TERMS = RANK_MAX + 1;

export interface DmdState {
  /** The first map learned, subtracted from all. */
  origin: Float64Array | undefined;
  readonly basis: Basis;
  /** Pairs learned. */
  pairs: number;
  /** Sum of (a, 1)(a, 1)' over pairs, 17 x 17: a of the earlier map; the 1 stands last. */
  gram: Float64Array;
  /** Sum of (a, 1) b', 17 x 16: b of the later map. */
  moment: Float64Array;
}

/** Starts from a state, which it takes over, or from nothing. */
export function createDmd(cells: number, from?: DmdState): Predictor<DmdState> {
  const state: DmdState = from ?? {
    origin: undefined,
    basis: createBasis(DELAYS * cells),
    pairs: 0,
    gram: new Float64Array(TERMS * TERMS),
    moment: new Float64Array(TERMS * RANK_MAX),
  };
  const column = (newer: Float64Array, older: Float64Array): Float64Array => {
    const both = new Float64Array(DELAYS * cells);
    const origin = state.origin!;
    for (let i = 0; i < cells; i++) {
      both[i] = newer[i]! - origin[i]!;
      both[cells + i] = older[i]! - origin[i]!;
    }
    return both;
  };

  return {
    *learn({ now, before, earlier }) {
      state.origin ??= now.cells.slice();
      if (before === undefined) return;
      const { basis } = state;
      const later = column(now.cells, before.cells);
      const old = basis.rank;
      const rotation = yield* addColumn(basis, later, Math.sqrt(KEEP));
      rotate(state, rotation, old);
      if (earlier === undefined) return;
      const a = new Float64Array(RANK_MAX);
      const b = new Float64Array(RANK_MAX);
      yield* projectSteps(basis, column(before.cells, earlier.cells), a);
      yield* projectSteps(basis, later, b);
      addPair(state, a, b);
      yield;
    },
    *predict({ now, before }, horizons, out) {
      for (const cellsOut of out) cellsOut.set(now.cells);
      const { basis } = state;
      if (state.pairs < PAIRS_MIN || basis.rank === 0) return;
      const start = new Float64Array(RANK_MAX);
      yield* projectSteps(basis, column(now.cells, (before ?? now).cells), start);
      const last = horizons.at(-1) ?? 0;
      const law = boundedLaw(solveLaw(state), basis.rank, last);
      yield;
      let reached: Float64Array = start;
      let step = 0;
      for (const [at, horizon] of horizons.entries()) {
        for (; step < horizon; step++) reached = advance(law, reached, basis.rank);
        yield* addChange(basis, start, reached, out[at]!);
      }
    },
    state: () => state,
  };
}

/** Brings the sums to the coefficients of the new basis. */
function rotate(state: DmdState, rotation: Float64Array, old: number): void {
  const { rank } = state.basis;
  // The rotation with the constant term, which stays.
  const turn = new Float64Array(TERMS * TERMS);
  turn[TERMS * TERMS - 1] = 1;
  for (let k = 0; k < rank; k++) for (let i = 0; i < old; i++) turn[k * TERMS + i] = rotation[k * old + i]!;
  const turned = product(turn, state.gram, TERMS, TERMS, TERMS);
  state.gram = product(turned, transpose(turn, TERMS), TERMS, TERMS, TERMS);
  const moments = product(turn, state.moment, TERMS, TERMS, RANK_MAX);
  const moved = new Float64Array(TERMS * RANK_MAX);
  for (let i = 0; i < TERMS; i++) {
    for (let k = 0; k < rank; k++) {
      let sum = 0;
      for (let j = 0; j < old; j++) sum += moments[i * RANK_MAX + j]! * rotation[k * old + j]!;
      moved[i * RANK_MAX + k] = sum;
    }
  }
  state.moment = moved;
}

function addPair(state: DmdState, a: Float64Array, b: Float64Array): void {
  const term = (i: number) => (i === RANK_MAX ? 1 : a[i]!);
  for (let i = 0; i < TERMS; i++) {
    for (let j = 0; j < TERMS; j++)
      state.gram[i * TERMS + j] = KEEP * state.gram[i * TERMS + j]! + term(i) * term(j);
    for (let j = 0; j < RANK_MAX; j++)
      state.moment[i * RANK_MAX + j] = KEEP * state.moment[i * RANK_MAX + j]! + term(i) * b[j]!;
  }
  state.pairs++;
}

/** Affine law of the coefficients: rank rows of rank + 1, the constant last. */
function solveLaw({ basis, gram, moment }: DmdState): Float64Array {
  const { rank } = basis;
  const side = rank + 1;
  const place = (i: number) => (i === rank ? RANK_MAX : i);
  const matrix = new Float64Array(side * side);
  let trace = 0;
  for (let i = 0; i < rank; i++) trace += gram[i * TERMS + i]!;
  for (let i = 0; i < side; i++) {
    for (let j = 0; j < side; j++) matrix[i * side + j] = gram[place(i) * TERMS + place(j)]!;
    const own = matrix[i * side + i]!;
    matrix[i * side + i] = own * (1 + RIDGE_OWN) + (i < rank ? RIDGE_ALL * trace : 0);
  }
  const law = new Float64Array(rank * side);
  if (!cholesky(matrix, side, matrix)) return persistenceLaw(rank);
  const right = new Float64Array(side);
  for (let k = 0; k < rank; k++) {
    for (let i = 0; i < side; i++) right[i] = moment[place(i) * RANK_MAX + k]!;
    solveCholesky(matrix, side, right, law.subarray(k * side, (k + 1) * side));
  }
  return law.every(Number.isFinite) ? law : persistenceLaw(rank);
}

function persistenceLaw(rank: number): Float64Array {
  const law = new Float64Array(rank * (rank + 1));
  for (let k = 0; k < rank; k++) law[k * (rank + 1) + k] = 1;
  return law;
}

/** The law scaled down where its largest eigenvalue would grow by more than the bound in so many steps. */
function boundedLaw(law: Float64Array, rank: number, steps: number): Float64Array {
  const linear = new Float64Array(rank * rank);
  for (let k = 0; k < rank; k++) linear.set(law.subarray(k * (rank + 1), k * (rank + 1) + rank), k * rank);
  const radius = spectralRadius(linear, rank);
  const allowed = GROWTH_MAX ** (1 / Math.max(1, steps));
  return radius > allowed ? law.map((value) => (value * allowed) / radius) : law;
}

/** Greatest |eigenvalue|, by the norm of a high power (I. Gelfand's formula). */
function spectralRadius(matrix: Float64Array, side: number): number {
  let power = matrix;
  let logNorm = 0;
  let exponent = 1;
  for (let i = 0; ; i++) {
    const norm = Math.sqrt(power.reduce((sum, value) => sum + value * value, 0));
    if (norm === 0) return 0;
    logNorm += Math.log(norm) / exponent;
    if (i === SQUARINGS) return Math.exp(logNorm);
    const unit = power.map((value) => value / norm);
    power = product(unit, unit, side, side, side);
    exponent *= 2;
  }
}

function advance(law: Float64Array, from: Float64Array, rank: number): Float64Array {
  const to = new Float64Array(RANK_MAX);
  for (let k = 0; k < rank; k++) {
    const row = k * (rank + 1);
    let sum = law[row + rank]!;
    for (let i = 0; i < rank; i++) sum += law[row + i]! * from[i]!;
    to[k] = sum;
  }
  return to;
}

/** Adds what the coefficients changed by, of the newer map only. */
function* addChange(basis: Basis, from: Float64Array, to: Float64Array, out: Float64Array): Steps<void> {
  const rows = DELAYS * out.length;
  for (let k = 0; k < basis.rank; k++) {
    const change = to[k]! - from[k]!;
    const start = k * rows;
    for (let i = 0; i < out.length; i++) out[i] = out[i]! + change * basis.vectors[start + i]!;
    if (k % 8 === 7) yield;
  }
}

/** A B of an m x n and an n x p matrix, row-major. */
function product(a: Float64Array, b: Float64Array, m: number, n: number, p: number): Float64Array {
  const out = new Float64Array(m * p);
  for (let i = 0; i < m; i++) {
    for (let k = 0; k < n; k++) {
      const factor = a[i * n + k]!;
      for (let j = 0; j < p; j++) out[i * p + j] = out[i * p + j]! + factor * b[k * p + j]!;
    }
  }
  return out;
}

function transpose(matrix: Float64Array, side: number): Float64Array {
  return matrix.map((_, at) => matrix[(at % side) * side + Math.floor(at / side)]!);
}
