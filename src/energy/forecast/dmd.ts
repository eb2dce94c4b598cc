/**
 * Dynamic mode decomposition with one delay (P. Schmid, Journal of Fluid Mechanics 656, 2010, by the method of
 * snapshots): a map and the one before it as coefficients in at most 16 directions that hold 99.9999 % of the variance of
 * the last 64 such pairs, and the affine law from one pair to the next by least squares, a pair forgotten by 2 % with
 * each that follows. The directions are combinations of the maps kept, so all but the answer is made of inner products.
 * Of four ridges and no change at all, each pulling the law towards persistence, the one that foretold the last ten maps
 * best answers: with few maps, or noise, a free law fits what does not come again. What the directions do not hold of the
 * newest map persists. Growth over a roll-out is held to a factor of 2. O(cells 64) to learn, O(cells 16) to answer.
 */
import { symmetricEigen } from '../../numeric/eigen.ts';
import { pivotedCholesky } from '../../numeric/pivoted-cholesky.ts';
import type { Steps } from '../../numeric/slices.ts';
import { advance, boundedLaw, fitLaws, product, RIDGES } from './dmd-law.ts';
import type { Predictor } from './predictor.ts';
import {
  addMaps,
  addSteps,
  createSnapshots,
  followers,
  newest,
  placeBefore,
  productSteps,
  SNAPSHOTS,
  type SnapshotState,
} from './snapshots.ts';

const KEEP = 0.98;
const RANK_MAX = 16;
/** Share of the variance that may be left out of the directions, and of the maps they are made of. */
const REST = 1e-6;
const REST_PIVOTS = 1e-8;
/** Least number of pairs an answer is made from. */
const PAIRS_MIN = 2;
const KEEP_ERRORS = 0.9;

export interface DmdState {
  readonly snapshots: SnapshotState;
  /** Recent squared errors of the law of each ridge, one window ahead. */
  readonly errors: Float64Array;
}

/** Directions as combinations of pairs kept, and the law of each ridge in them. */
interface Model {
  /** Places of the later map of the pairs the directions are made of, with their weights. */
  readonly places: readonly number[];
  readonly weights: readonly number[];
  /** Lower triangular, places x places: orthonormal combinations of the weighted pairs. */
  readonly corner: Float64Array;
  /** Rotation of those to the directions, places x rank. */
  readonly turn: Float64Array;
  readonly rank: number;
  /** Coefficients of the newest pair. */
  readonly start: Float64Array;
  /** Rank rows of rank + 1, the constant last: how coefficients change. One for each ridge. */
  readonly laws: readonly Float64Array[];
}

/** Starts from a state, which it takes over, or from nothing. */
export function createDmd(cells: number, from?: DmdState): Predictor<DmdState> {
  const state: DmdState = from ?? {
    snapshots: createSnapshots(cells),
    errors: new Float64Array(RIDGES.length),
  };
  const { snapshots } = state;
  // Made of the state alone, so that one that goes on from it makes the same.
  let made: { readonly learned: number; readonly model: Model | undefined } | undefined;
  const modelNow = (): Model | undefined => {
    if (made?.learned !== snapshots.learned)
      made = { learned: snapshots.learned, model: fitModel(snapshots) };
    return made.model;
  };

  return {
    *learn({ now, before }) {
      snapshots.origin ??= now.cells.slice();
      const held = Math.min(snapshots.learned, SNAPSHOTS);
      const places = Array.from({ length: held }, (_, at) => at);
      const products = yield* productSteps(snapshots, now.cells, places);
      const model = before && modelNow();
      if (model) judge(state, model, products, squareOf(now.cells, snapshots.origin));
      yield;
      yield* addSteps(snapshots, now.cells, products, before !== undefined);
    },
    *predict({ now, before }, horizons, out) {
      for (const cellsOut of out) cellsOut.set(now.cells);
      const model = modelNow();
      if (model === undefined) return;
      yield;
      const isNewest = keeps(snapshots, now.cells);
      const start = isNewest
        ? model.start
        : yield* coefficientsOf(snapshots, model, now.cells, (before ?? now).cells);
      const law = boundedLaw(model.laws[bestOf(state.errors)]!, model.rank, horizons.at(-1) ?? 0);
      let reached = start;
      let step = 0;
      for (const [at, horizon] of horizons.entries()) {
        for (; step < horizon; step++) reached = advance(law, reached);
        const change = reached.map((value, k) => value - start[k]!);
        yield* addMaps(snapshots, model.places, factorsOf(model, change), out[at]!);
      }
    },
    state: () => state,
  };
}

function fitModel(snapshots: SnapshotState): Model | undefined {
  const places = followers(snapshots);
  const n = places.length;
  if (n <= PAIRS_MIN) return undefined;
  const weights = places.map((_, at) => KEEP ** ((n - 1 - at) / 2));
  const matrix = new Float64Array(n * n);
  let trace = 0;
  for (let i = 0; i < n; i++) {
    for (let j = 0; j < n; j++)
      matrix[i * n + j] = weights[i]! * weights[j]! * pairProduct(snapshots, places[i]!, places[j]!);
    trace += matrix[i * n + i]!;
  }
  if (!(trace > 0)) return undefined;
  // Free of units from here on.
  const unit = Math.sqrt(trace);
  for (let i = 0; i < matrix.length; i++) matrix[i] = matrix[i]! / trace;
  const { rank: side, pivots, factor } = pivotedCholesky(matrix, n, RANK_MAX, REST_PIVOTS);
  const { turn, rank } = leading(factor, n, side);
  const coefficients = product(factor, turn, n, side, rank);
  for (let i = 0; i < n; i++)
    for (let k = 0; k < rank; k++)
      coefficients[i * rank + k] = (coefficients[i * rank + k]! * unit) / weights[i]!;
  const corner = new Float64Array(side * side);
  for (const [row, pivot] of pivots.entries())
    corner.set(factor.subarray(pivot * side, pivot * side + row + 1), row * side);
  return {
    places: pivots.map((pivot) => places[pivot]!),
    weights: pivots.map((pivot) => weights[pivot]! / unit),
    corner,
    turn,
    rank,
    start: coefficients.slice((n - 1) * rank),
    laws: fitLaws(places, weights, coefficients, rank),
  };
}

/** Inner product of two maps each with the one before it. */
function pairProduct({ products }: SnapshotState, a: number, b: number): number {
  return products[a * SNAPSHOTS + b]! + products[placeBefore(a) * SNAPSHOTS + placeBefore(b)]!;
}

/** Leading eigenvectors of L'L, side x rank: as many as hold the variance. */
function leading(factor: Float64Array, n: number, side: number) {
  const square = new Float64Array(side * side);
  for (let k = 0; k < side; k++) {
    for (let l = 0; l <= k; l++) {
      let sum = 0;
      for (let i = 0; i < n; i++) sum += factor[i * side + k]! * factor[i * side + l]!;
      square[k * side + l] = sum;
      square[l * side + k] = sum;
    }
  }
  const values = new Float64Array(side);
  const vectors = new Float64Array(side * side);
  symmetricEigen(square, side, values, vectors);
  const order = Array.from(values.keys()).sort((a, b) => values[b]! - values[a]!);
  const total = values.reduce((sum, value) => sum + Math.max(0, value), 0);
  let rank = 0;
  for (let held = 0; rank < Math.min(side, RANK_MAX) && (rank === 0 || total - held > REST * total); rank++)
    held += Math.max(0, values[order[rank]!]!);
  const turn = new Float64Array(side * rank);
  for (let k = 0; k < rank; k++)
    for (let i = 0; i < side; i++) turn[i * rank + k] = vectors[order[k]! * side + i]!;
  return { turn, rank };
}

/** Scores the law of each ridge on a map that none has learned, by its products with the maps kept and itself. */
function judge({ snapshots, errors }: DmdState, model: Model, products: Float64Array, square: number): void {
  const last = newest(snapshots);
  const product = (a: number, b: number) => snapshots.products[a * SNAPSHOTS + b]!;
  const places = [last, ...model.places];
  for (const [nth, law] of model.laws.entries()) {
    const change = advance(law, model.start).map((value, k) => value - model.start[k]!);
    const factors = [1, ...factorsOf(model, change)];
    let error = square;
    for (let i = 0; i < places.length; i++) {
      error -= 2 * factors[i]! * products[places[i]!]!;
      for (let j = 0; j < places.length; j++)
        error += factors[i]! * factors[j]! * product(places[i]!, places[j]!);
    }
    errors[nth] = KEEP_ERRORS * errors[nth]! + Math.max(0, error);
  }
}

function bestOf(errors: Float64Array): number {
  return errors.reduce((best, error, at) => (error < errors[best]! ? at : best), 0);
}

function squareOf(cells: Float64Array, origin: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < cells.length; i++) sum += (cells[i]! - origin[i]!) ** 2;
  return sum;
}

/** Whether a map is the newest one kept. */
function keeps(snapshots: SnapshotState, cells: Float64Array): boolean {
  const start = newest(snapshots) * cells.length;
  for (let i = 0; i < cells.length; i++)
    if (snapshots.maps[start + i] !== Math.fround(cells[i]!)) return false;
  return true;
}

/** Coefficients of a pair of maps that need not be kept. */
function* coefficientsOf(
  snapshots: SnapshotState,
  { places, weights, corner, turn, rank }: Model,
  now: Float64Array,
  before: Float64Array,
): Steps<Float64Array> {
  const later = yield* productSteps(snapshots, now, places);
  const sooner = places.map(placeBefore);
  // Those of a map that is kept are kept too, to the bit.
  const earlier = keeps(snapshots, before)
    ? sooner.map((place) => snapshots.products[newest(snapshots) * SNAPSHOTS + place]!)
    : yield* productSteps(snapshots, before, sooner);
  const side = places.length;
  const parts = new Float64Array(side);
  for (let i = 0; i < side; i++) {
    let rest = weights[i]! * (later[i]! + earlier[i]!);
    for (let j = 0; j < i; j++) rest -= corner[i * side + j]! * parts[j]!;
    parts[i] = rest / corner[i * side + i]!;
  }
  return product(parts, turn, 1, side, rank);
}

/** What the pairs kept are to be multiplied with for a change of the coefficients. */
function factorsOf({ weights, corner, turn, rank }: Model, change: Float64Array): Float64Array {
  const side = weights.length;
  const factors = product(turn, change, side, rank, 1);
  for (let i = side - 1; i >= 0; i--) {
    for (let j = i + 1; j < side; j++) factors[i] = factors[i]! - corner[j * side + i]! * factors[j]!;
    factors[i] = factors[i]! / corner[i * side + i]!;
  }
  return factors.map((factor, i) => factor * weights[i]!);
}
