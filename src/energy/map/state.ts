/**
 * The thermodynamic state of one map, over its observed cells, in double precision with compensated sums. The
 * Boltzmann constant is 1, entropies are in nats. Written as steps (numeric/slices.ts), since a map may have a million
 * cells; the result does not depend on how the steps are run. Cells must be finite.
 */
import {
  addMoments,
  addSquaredDeviations,
  addSum,
  createMoments,
  MOMENTS,
  pairValue,
} from '../../numeric/compensated-sum.ts';
import { addEntropy, addHistogram, ENTROPY, histogramEntropy } from '../../numeric/entropy.ts';
import { addBoltzmannWeights, addReducedMean, addReducedVariance } from '../../numeric/log-sum-exp.ts';
import type { Steps } from '../../numeric/slices.ts';
import { type BoundaryRule, type GradientScheme, gradient } from '../../numeric/stencil.ts';

/** Cells handled between two yields: well under a millisecond of the costliest kernel. */
const STEP_CELLS = 16_384;

/** A map after its negative policy was applied. Arrays are borrowed, never written. */
export interface MapField {
  readonly rows: number;
  readonly cols: number;
  /** Every cell, row-major; unobserved ones hold a filler. */
  readonly cells: Float64Array;
  /** One byte a cell, 1 observed; absent when all are. */
  readonly observed: Uint8Array | undefined;
  readonly cellArea: number;
  readonly spacing: number;
  readonly boundary: BoundaryRule;
}

export interface StateOptions {
  /** Over 0, in the unit of the map. */
  readonly temperature: number;
  readonly scheme: GradientScheme;
  /** Bins of the value histogram, at least 2. */
  readonly bins: number;
  /** Lower and upper edge of the histogram; the map's range when absent. */
  readonly edges: readonly [number, number] | undefined;
}

/** Totals of a map: sums are over cells times cell area. */
export interface Totals {
  readonly count: number;
  readonly positive: number;
  /** At most 0. */
  readonly negative: number;
  readonly net: number;
  readonly absolute: number;
  /** 0 when nothing is observed, like `max`. */
  readonly min: number;
  readonly max: number;
  /** -sum p ln p of p = |E| / sum |E|; undefined when the sum is 0. */
  readonly spatialEntropy: number | undefined;
  /** Variance of that entropy's estimate, (sum p ln^2 p - S^2) / N. */
  readonly spatialEntropyVariance: number;
}

/** Boltzmann ensemble over the cells, weights e^(-E/T) / Z. */
export interface Boltzmann {
  readonly temperature: number;
  readonly logPartition: number;
  readonly freeEnergy: number;
  readonly internalEnergy: number;
  readonly heatCapacity: number;
  readonly entropy: number;
}

export interface MapState {
  readonly totals: Totals;
  readonly mean: number;
  /** Population variance. */
  readonly variance: number;
  readonly valueEntropy: number | undefined;
  readonly bins: number;
  /** Undefined when nothing is observed. */
  readonly boltzmann: Boltzmann | undefined;
  readonly gradientMean: number;
  readonly gradientMax: number;
}

/** The state with its fields: whole grids, unobserved cells 0. */
export interface StateResult {
  readonly state: MapState;
  readonly weights: Float64Array;
  readonly gradientRow: Float64Array;
  readonly gradientCol: Float64Array;
  readonly gradientMagnitude: Float64Array;
}

/** Computes everything about a map. O(cells). */
export function* stateSteps(field: MapField, options: StateOptions): Steps<StateResult> {
  const cells = observedCells(field);
  const totals = yield* cellTotals(cells, field.cellArea);
  const spread = yield* meanAndVariance(cells);
  const valueEntropy = yield* binnedEntropy(cells, totals, options);
  const ensemble = yield* boltzmannSteps(cells, totals, options.temperature);
  const slope = yield* gradientSteps(field, options.scheme);
  return {
    state: {
      totals,
      ...spread,
      valueEntropy,
      bins: options.bins,
      boltzmann: ensemble.boltzmann,
      gradientMean: slope.mean,
      gradientMax: slope.max,
    },
    weights: scatter(ensemble.weights, field),
    gradientRow: slope.row,
    gradientCol: slope.col,
    gradientMagnitude: slope.magnitude,
  };
}

/** Computes totals and spatial entropy only. O(cells). */
export function* totalsSteps(field: MapField): Steps<Totals> {
  return yield* cellTotals(observedCells(field), field.cellArea);
}

/** Observed cells one after the other; the grid itself when all are. */
function observedCells(field: MapField): Float64Array {
  const { cells, observed } = field;
  if (observed === undefined) return cells;
  const gathered = new Float64Array(cells.length);
  let count = 0;
  for (let at = 0; at < cells.length; at++) if (observed[at] === 1) gathered[count++] = cells[at]!;
  return gathered.subarray(0, count);
}

/** Puts values of the observed cells back to their places. */
function scatter(values: Float64Array, field: MapField): Float64Array {
  const { observed } = field;
  if (observed === undefined) return values;
  const grid = new Float64Array(field.cells.length);
  let next = 0;
  for (let at = 0; at < grid.length; at++) if (observed[at] === 1) grid[at] = values[next++]!;
  return grid;
}

/** Calls a kernel on one slice of the cells after the other. */
function* overCells(count: number, kernel: (from: number, to: number) => void): Steps<void> {
  for (let from = 0; from < count; from += STEP_CELLS) {
    kernel(from, Math.min(count, from + STEP_CELLS));
    yield;
  }
}

function* cellTotals(cells: Float64Array, cellArea: number): Steps<Totals> {
  const count = cells.length;
  const moments = createMoments();
  yield* overCells(count, (from, to) => addMoments(cells, from, to, moments));
  const above = pairValue(moments, MOMENTS.positive);
  const below = pairValue(moments, MOMENTS.negative);
  const sizes = above - below;
  const entropy = new Float64Array(ENTROPY.size);
  if (sizes > 0) yield* overCells(count, (from, to) => addEntropy(cells, from, to, sizes, entropy));
  const spatial = pairValue(entropy, ENTROPY.entropy);
  const positive = above * cellArea;
  const negative = below * cellArea;
  return {
    count,
    positive,
    negative,
    net: positive + negative,
    absolute: positive - negative,
    min: count > 0 ? moments[MOMENTS.min]! : 0,
    max: count > 0 ? moments[MOMENTS.max]! : 0,
    spatialEntropy: sizes > 0 ? Math.max(0, spatial) : undefined,
    spatialEntropyVariance:
      sizes > 0 ? Math.max(0, pairValue(entropy, ENTROPY.squaredLog) - spatial * spatial) / count : 0,
  };
}

function* meanAndVariance(cells: Float64Array): Steps<{ mean: number; variance: number }> {
  const count = cells.length;
  if (count === 0) return { mean: 0, variance: 0 };
  const sum = new Float64Array(2);
  yield* overCells(count, (from, to) => addSum(cells, from, to, sum));
  const mean = pairValue(sum) / count;
  const squares = new Float64Array(2);
  yield* overCells(count, (from, to) => addSquaredDeviations(cells, from, to, mean, squares));
  return { mean, variance: pairValue(squares) / count };
}

function* binnedEntropy(
  cells: Float64Array,
  totals: Totals,
  options: StateOptions,
): Steps<number | undefined> {
  const counts = new Uint32Array(options.bins);
  const [lower, upper] = options.edges ?? [totals.min, totals.max];
  yield* overCells(cells.length, (from, to) => addHistogram(cells, from, to, lower, upper, counts));
  return histogramEntropy(counts);
}

/**
 * With the reduced energy x = (E - Emin) / T: F = Emin - T ln sum e^-x, <E> = Emin + T <x>, C = Var(x) and
 * S = <x> + ln sum e^-x, so that F = <E> - TS holds to rounding and nothing overflows at any temperature.
 */
function* boltzmannSteps(
  cells: Float64Array,
  totals: Totals,
  temperature: number,
): Steps<{ boltzmann: Boltzmann | undefined; weights: Float64Array }> {
  const count = cells.length;
  const weights = new Float64Array(count);
  if (count === 0) return { boltzmann: undefined, weights };
  const least = totals.min;
  const sum = new Float64Array(2);
  yield* overCells(count, (from, to) =>
    addBoltzmannWeights(cells, from, to, least, temperature, weights, sum),
  );
  const normalizer = pairValue(sum);
  const first = new Float64Array(2);
  yield* overCells(count, (from, to) =>
    addReducedMean(cells, from, to, least, temperature, normalizer, weights, first),
  );
  const mean = pairValue(first);
  const second = new Float64Array(2);
  yield* overCells(count, (from, to) =>
    addReducedVariance(cells, from, to, least, temperature, mean, weights, second),
  );
  const logNormalizer = Math.log(normalizer);
  const boltzmann = {
    temperature,
    logPartition: logNormalizer - least / temperature,
    freeEnergy: least - temperature * logNormalizer,
    internalEnergy: least + temperature * mean,
    heatCapacity: pairValue(second),
    entropy: mean + logNormalizer,
  };
  return { boltzmann, weights };
}

/** Slope of the whole grid, fillers included as neighbors; unobserved cells are left out of mean, maximum and grids. */
function* gradientSteps(field: MapField, scheme: GradientScheme) {
  const { rows, cols, cells, observed, boundary, spacing } = field;
  const row = new Float64Array(cells.length);
  const col = new Float64Array(cells.length);
  const magnitude = new Float64Array(cells.length);
  const plan = { rows, cols, scheme, boundary, spacing };
  const band = Math.max(1, Math.floor(STEP_CELLS / cols));
  for (let from = 0; from < rows; from += band) {
    gradient(cells, plan, from, Math.min(rows, from + band), row, col);
    yield;
  }
  const sum = new Float64Array(2);
  let count = 0;
  let max = 0;
  yield* overCells(cells.length, (from, to) => {
    for (let at = from; at < to; at++) {
      if (observed !== undefined && observed[at] === 0) {
        row[at] = 0;
        col[at] = 0;
        continue;
      }
      const size = Math.sqrt(row[at]! * row[at]! + col[at]! * col[at]!);
      magnitude[at] = size;
      if (size > max) max = size;
      count++;
    }
    addSum(magnitude, from, to, sum);
  });
  return { row, col, magnitude, mean: count > 0 ? pairValue(sum) / count : 0, max };
}
