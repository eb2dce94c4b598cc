/**
 * The thermodynamic state of one map, over its observed cells, in double precision with compensated sums, by compiled
 * kernels. The Boltzmann constant is 1, entropies are in nats. Written as steps (numeric/slices.ts) of one kernel each,
 * since a map may have a million cells; the result does not depend on how the steps are run, nor on which plan they run
 * with. Cells must be finite.
 */
import { histogramEntropy } from '../../numeric/entropy.ts';
import type { Steps } from '../../numeric/slices.ts';
import type { BoundaryRule, GradientScheme } from '../../numeric/stencil.ts';
import type { StatePlan, StatePlans } from './state-plan.ts';

/** A total of sizes below this is none: float32 cells that are not all zero have at least 1e-45. */
const SIZES_MIN = 1e-300;

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

/** As much of a map as its totals depend on. */
export type MapCells = Omit<MapField, 'spacing' | 'boundary'>;

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

export interface Spread {
  readonly totals: Totals;
  readonly mean: number;
  /** Population variance. */
  readonly variance: number;
}

export interface MapState extends Spread {
  readonly valueEntropy: number | undefined;
  readonly bins: number;
  /** Undefined when nothing is observed. */
  readonly boltzmann: Boltzmann | undefined;
  readonly gradientMean: number;
  readonly gradientMax: number;
}

/** What the state of a map is computed from. */
export interface StateInput extends MapField {
  readonly options: StateOptions;
}

/** Computes everything about a map but its fields, which `stateOf` gives too. O(cells). */
export function stateSteps(field: MapField, options: StateOptions, plans: StatePlans): Steps<MapState> {
  return plans.lend({ options, ...field }, stateOf);
}

/** Computes totals and spatial entropy only. O(cells). */
export function totalsSteps(field: MapCells, plans: StatePlans): Steps<Totals> {
  return plans.lend(field, totalsOf);
}

/** Computes totals, spatial entropy, mean and variance only. O(cells). */
export function spreadSteps(field: MapCells, plans: StatePlans): Steps<Spread> {
  return plans.lend(field, spreadOf);
}

/** The state of a map; the plan then holds its weights and its slopes, unobserved cells 0. O(cells). */
export function* stateOf(plan: StatePlan, field: StateInput): Steps<MapState> {
  const { options } = field;
  const cells = yield* observedCells(plan, field);
  const totals = yield* cellTotals(plan, cells, field.cellArea);
  const spread = yield* meanAndVariance(plan, cells);
  const valueEntropy = binnedEntropy(plan, cells, totals, options);
  yield;
  const boltzmann = yield* ensembleSteps(plan, cells, totals, options.temperature);
  scatterWeights(plan, cells.length, field.observed);
  const slope = yield* gradientSteps(plan, field, options.scheme);
  return {
    totals,
    ...spread,
    valueEntropy,
    bins: options.bins,
    boltzmann,
    gradientMean: slope.mean,
    gradientMax: slope.max,
  };
}

function* totalsOf(plan: StatePlan, field: MapCells): Steps<Totals> {
  return yield* cellTotals(plan, yield* observedCells(plan, field), field.cellArea);
}

function* spreadOf(plan: StatePlan, field: MapCells): Steps<Spread> {
  const cells = yield* observedCells(plan, field);
  const totals = yield* cellTotals(plan, cells, field.cellArea);
  return { totals, ...(yield* meanAndVariance(plan, cells)) };
}

/**
 * Puts the map into the plan, its observed cells one after the other: the grid itself when all are observed, else where
 * the slopes go later.
 */
function* observedCells(plan: StatePlan, { cells, observed }: MapCells): Steps<Float64Array> {
  plan.cells.set(cells);
  yield;
  if (observed === undefined) return plan.cells;
  let count = 0;
  for (let at = 0; at < cells.length; at++) {
    if (observed[at] === 1) plan.gradientRow[count++] = cells[at]!;
  }
  yield;
  return plan.gradientRow.subarray(0, count);
}

/** Puts the weights of the observed cells, which stand one after the other, to their places. */
function scatterWeights({ weights }: StatePlan, count: number, observed: Uint8Array | undefined): void {
  if (observed === undefined) return;
  let next = count;
  for (let at = weights.length - 1; at >= 0; at--) weights[at] = observed[at] === 1 ? weights[--next]! : 0;
}

function* cellTotals(plan: StatePlan, cells: Float64Array, cellArea: number): Steps<Totals> {
  const count = cells.length;
  const moments = plan.statistics.moments(cells);
  yield;
  const sizes = moments.positive - moments.negative;
  const isEmpty = !(sizes >= SIZES_MIN);
  const { entropy, squaredLog } = isEmpty
    ? { entropy: 0, squaredLog: 0 }
    : plan.statistics.sizeEntropy(cells, sizes);
  yield;
  const positive = moments.positive * cellArea;
  const negative = moments.negative * cellArea;
  return {
    count,
    positive,
    negative,
    net: positive + negative,
    absolute: positive - negative,
    min: count > 0 ? moments.min : 0,
    max: count > 0 ? moments.max : 0,
    spatialEntropy: isEmpty ? undefined : Math.max(0, entropy),
    spatialEntropyVariance: isEmpty ? 0 : Math.max(0, squaredLog - entropy * entropy) / count,
  };
}

function* meanAndVariance(
  { statistics }: StatePlan,
  cells: Float64Array,
): Steps<{ mean: number; variance: number }> {
  const count = cells.length;
  if (count === 0) return { mean: 0, variance: 0 };
  const mean = statistics.sum(cells) / count;
  const variance = statistics.squaredDeviations(cells, mean) / count;
  yield;
  return { mean, variance };
}

function binnedEntropy(
  plan: StatePlan,
  cells: Float64Array,
  totals: Totals,
  options: StateOptions,
): number | undefined {
  const counts = plan.counts.subarray(0, options.bins).fill(0);
  const [lower, upper] = options.edges ?? [totals.min, totals.max];
  plan.statistics.histogram(cells, lower, upper, counts);
  return histogramEntropy(counts);
}

/**
 * With the reduced energy x = (E - Emin) / T: F = Emin - T ln sum e^-x, <E> = Emin + T <x>, C = Var(x) and
 * S = <x> + ln sum e^-x, so that F = <E> - TS holds to rounding and nothing overflows at any temperature.
 */
function* ensembleSteps(
  plan: StatePlan,
  cells: Float64Array,
  { min }: Totals,
  temperature: number,
): Steps<Boltzmann | undefined> {
  if (cells.length === 0) return undefined;
  const ensemble = yield* plan.statistics.ensemble(cells, min, temperature, plan.weights);
  const { logNormalizer, mean, variance } = ensemble;
  return {
    temperature,
    logPartition: logNormalizer - min / temperature,
    freeEnergy: min - temperature * logNormalizer,
    internalEnergy: min + temperature * mean,
    heatCapacity: variance,
    entropy: mean + logNormalizer,
  };
}

/** Slope of the whole grid, fillers included as neighbors; unobserved cells are left out of mean, maximum and grids. */
function* gradientSteps(
  plan: StatePlan,
  { observed, boundary, spacing }: MapField,
  scheme: GradientScheme,
): Steps<{ mean: number; max: number }> {
  const { cells, gradientRow, gradientCol, gradientMagnitude, grid, statistics } = plan;
  grid.gradient(cells, { scheme, boundary, spacing }, gradientRow, gradientCol);
  yield;
  let count = cells.length;
  if (observed !== undefined) {
    for (let at = 0; at < cells.length; at++) {
      if (observed[at] === 1) continue;
      gradientRow[at] = 0;
      gradientCol[at] = 0;
      count--;
    }
    yield;
  }
  grid.slopeSizes(gradientRow, gradientCol, gradientMagnitude);
  const { positive, max } = statistics.moments(gradientMagnitude);
  yield;
  return { mean: count > 0 ? positive / count : 0, max };
}
