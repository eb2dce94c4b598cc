/**
 * Measures what is said of a map, and foretold of it, against the map itself: everything a proof checks but its origin.
 * Energies in the unit of the map times cell area, powers in that per second, entropies in nats. Cells that were not
 * observed speak neither for nor against: where shapes are compared they take the other map's value. Pure; in slices.
 */
import type { Steps } from '../../numeric/slices.ts';
import { type BudgetRule, checkBudget, ENTROPY_ROUNDING, entropyFall } from '../map/budget.ts';
import { type MapField, type Totals, totalsSteps } from '../map/state.ts';
import { createStatePlans, type StatePlans } from '../map/state-plan.ts';
import {
  type Bounds,
  completedBy,
  type Flows,
  type Interval,
  intervalMiss,
  localImbalance,
  outside,
  pointwise,
} from './cells.ts';
import { type Check, judged, type Measure, POINTWISE_RANGE, ratioOf } from './check.ts';
import { steepSlope } from './slope.ts';
import { createSpectra, type Spectra } from './spectrum.ts';

/** What a map is measured against. Arrays have its cells, are borrowed and never written. */
export interface Evidence {
  /** Its negative policy applied. Of a map of which nothing was observed only the total claimed is checked. */
  readonly observed: MapField;
  readonly predicted?: Float64Array | undefined;
  /** Of a forecast. */
  readonly interval?: Interval | undefined;
  readonly budget?: Budget | undefined;
  readonly bounds?: Bounds | undefined;
  readonly claimedTotal?: number | undefined;
  readonly claimedEntropy?: number | undefined;
  /** Probability of the regime claimed; undefined without such a claim. */
  readonly probability?: number | undefined;
  /** What POINTWISE passes up to; 0.5 where it is not known. */
  readonly pointwiseMax?: number | undefined;
}

export interface Budget {
  /** The earlier map, its negative policy applied. */
  readonly before: Float64Array;
  readonly rule: BudgetRule;
  /** Seconds, over 0. */
  readonly dt: number;
  readonly sources: number;
  readonly sinks: number;
  /** Positive inwards; undefined where it is not declared, which counts as 0. */
  readonly boundaryFlux: number | undefined;
  readonly flows: Flows | undefined;
}

export interface Measured {
  /** In the order of their kinds, without PROVENANCE. */
  readonly checks: readonly Check[];
  /** Spatial entropy said of the map that it does not have; a fault of origin. */
  readonly faults: readonly string[];
}

const ENTROPY_TOLERANCE = 1e-3;
const PLANS_KEPT = 4;

/** Plans of what is measured with, kept from one map to the next; several may be measured at once. */
export interface Instruments {
  readonly spectra: Spectra;
  readonly plans: StatePlans;
}

export function createInstruments(): Instruments {
  return { spectra: createSpectra(), plans: createStatePlans(PLANS_KEPT) };
}

/** Takes all measures. O(cells log cells) with a prediction, else O(cells). */
export function* measureSteps(evidence: Evidence, { spectra, plans }: Instruments): Steps<Measured> {
  const { observed, predicted, budget, probability } = evidence;
  const totals = yield* totalsSteps(observed, plans);
  const seen = totals.count > 0 ? observed : undefined;
  const before = seen && budget && (yield* totalsSteps({ ...observed, cells: budget.before }, plans));
  const reference = predicted ?? budget?.before;
  const completed = seen && reference && (yield* completedBy(seen, reference));
  const distance = completed && predicted && (yield* spectra.distance(predicted, completed, observed));
  const checks = [
    judged('ENERGY_BUDGET', largest(yield* budgetMeasures(evidence, totals, before))),
    judged(
      'ENTROPY_PRODUCTION',
      before && budget.rule === 'CONSERVATIVE' ? entropyMeasure(before, totals) : undefined,
    ),
    judged('SPECTRUM', measured(distance, 'the waves predicted have another power than those observed')),
    judged(
      'POINTWISE',
      seen && predicted && (yield* pointwise(seen, predicted)),
      pointwiseThreshold(evidence.pointwiseMax),
    ),
    judged('INTERVAL', seen && evidence.interval && (yield* intervalMiss(seen, evidence.interval))),
    judged('BOUNDS', seen && evidence.bounds && (yield* outside(seen, evidence.bounds))),
    judged('SMOOTHNESS', completed && (yield* smoothness({ ...seen!, cells: completed }, reference, plans))),
    judged('BOUNDARY_FLUX', fluxMeasure(budget, totals, before)),
    judged(
      'REGIME',
      measured(
        seen && probability !== undefined ? 1 - probability : undefined,
        'another regime is more probable',
      ),
    ),
  ];
  return { checks, faults: entropyFaults(evidence.claimedEntropy, totals) };
}

/** A stream's 95th percentile held to what may be a threshold. */
function pointwiseThreshold(q95: number | undefined): number {
  const { least, greatest } = POINTWISE_RANGE;
  return Math.min(greatest, Math.max(least, q95 ?? greatest));
}

function measured(value: number | undefined, detail: string): Measure | undefined {
  return value === undefined ? undefined : { value, detail };
}

function largest(measures: readonly Measure[]): Measure | undefined {
  let most: Measure | undefined;
  // A value that is no number is the largest.
  for (const measure of measures) if (most === undefined || !(measure.value <= most.value)) most = measure;
  return most;
}

function* budgetMeasures(
  { observed, budget, claimedTotal }: Evidence,
  totals: Totals,
  before: Totals | undefined,
): Steps<Measure[]> {
  const measures: Measure[] = [];
  if (budget && before) {
    const { residual, value } = imbalance(budget, totals, before);
    const detail = `${Math.abs(residual)} ${residual > 0 ? 'appeared' : 'vanished'}`;
    measures.push({ value, detail });
    const { flows } = budget;
    if (flows) measures.push(yield* localImbalance(observed, { ...budget, flows }));
  }
  if (claimedTotal !== undefined) {
    const off = Math.abs(claimedTotal - totals.net);
    measures.push({
      value: ratioOf(off, Math.max(totals.absolute, Math.abs(claimedTotal))),
      detail: `the total is ${totals.net}, not ${claimedTotal}`,
    });
  }
  return measures;
}

/** What the budget leaves unexplained, by scale; of a dissipative one only what appeared. */
function imbalance(budget: Budget, totals: Totals, before: Totals) {
  const { residual } = checkBudget(before, totals, {
    rule: budget.rule,
    dt: budget.dt,
    netPower: budget.sources - budget.sinks + (budget.boundaryFlux ?? 0),
    absoluteTolerance: 0,
    relativeTolerance: 0,
  });
  const size = budget.rule === 'DISSIPATIVE' ? Math.max(0, residual) : Math.abs(residual);
  return { residual, value: ratioOf(size, Math.max(before.absolute, totals.absolute)) };
}

function fluxMeasure(budget: Budget | undefined, totals: Totals, before?: Totals): Measure | undefined {
  if (budget?.boundaryFlux === undefined || before === undefined) return undefined;
  const { value } = imbalance(budget, totals, before);
  return {
    value,
    detail: `${budget.boundaryFlux} is not what the maps and the sources leave for the boundary`,
  };
}

/** Fall in standard errors; undefined where a map has no entropy. */
function entropyMeasure(before: Totals, after: Totals): Measure | undefined {
  const fallen = entropyFall(before, after);
  if (fallen === undefined) return undefined;
  const { fall, error } = fallen;
  return { value: ratioOf(fall, error), detail: `entropy fell by ${fall} nats` };
}

function entropyFaults(claimed: number | undefined, { spatialEntropy }: Totals): string[] {
  if (claimed === undefined) return [];
  if (spatialEntropy === undefined) return ['the map has no entropy'];
  const tolerance = ENTROPY_TOLERANCE * Math.max(claimed, spatialEntropy) + ENTROPY_ROUNDING;
  if (Math.abs(claimed - spatialEntropy) <= tolerance) return [];
  return [`the entropy is ${spatialEntropy} nats, not ${claimed}`];
}

function* smoothness(field: MapField, reference: Float64Array, plans: StatePlans): Steps<Measure> {
  const own = yield* steepSlope(field, plans);
  const other = yield* steepSlope({ ...field, cells: reference }, plans);
  return {
    value: own === other ? 0 : Math.abs(Math.log(own / other)),
    detail: `slopes reach ${own}, those of the other map ${other}`,
  };
}
