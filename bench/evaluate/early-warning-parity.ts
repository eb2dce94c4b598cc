/**
 * Our indicators of critical slowing down beside published ones on the same records: residuals, Kendall's tau of
 * variance and of lag-1 autocorrelation, and how well the taus tell transitions from controls. Definitions are the
 * publisher's (`ewstools`: T. Bury, JOSS 8(82), 2023): Gaussian detrending, windows of half the record.
 */
import { createDetrendPlan } from '../../src/resilience/early-warning/detrend.ts';
import { createRollingPlan } from '../../src/resilience/early-warning/indicators.ts';
import { DataError } from './data-error.ts';
import { areaUnderRoc } from './detection-metrics.ts';
import type { Figure } from './figure.ts';
import { type JsonObject, numberAt } from './json-members.ts';

/** A window as a share of its record. */
const ROLLING = 0.5;
/** Accepted difference of a tau: those published are rounded to six decimals. */
const TAU_TOLERANCE = 1e-6;
/** Accepted difference of a residual, as a share of the largest one of its record. */
const RESIDUAL_TOLERANCE = 1e-9;
/** Accepted difference of an area under ROC: under one pair in a hundred thousand. */
const AREA_TOLERANCE = 1e-5;

/** A quantity of each indicator. */
export interface PerIndicator<Value> {
  readonly variance: Value;
  readonly autocorrelation: Value;
}

/** One series with what was published about it. */
export interface PublishedRecord {
  /** Names the record in errors. */
  readonly path: string;
  /** The series up to the transition; undefined where the publication starts from residuals. */
  readonly detrending: { readonly values: Float64Array; readonly bandwidthPoints: number } | undefined;
  readonly residuals: Float64Array;
  readonly windowPoints: number;
  /** Windows left out of the trend at the start. */
  readonly skipped: number;
  readonly isTransition: boolean;
  /** Taus, each over the first `points` of the record. */
  readonly taus: readonly { readonly points: number; readonly published: PerIndicator<number> }[];
}

export interface ParityOptions {
  /** Published taus of controls whose series are not there. */
  readonly controls: PerIndicator<readonly number[]>;
  /** 1 where the indicator rises before this kind of transition, -1 where it falls. */
  readonly direction: PerIndicator<1 | -1>;
  /** Areas under ROC from the publication, by what they are of. */
  readonly publishedAreas: PerIndicator<Readonly<Record<string, number>>>;
}

const INDICATORS = [
  ['variance', 'variance'],
  ['autocorrelation', 'lag-1 autocorrelation'],
] as const;

/** Figures of agreement with a publication. */
export function* parityFigures(
  records: readonly PublishedRecord[],
  { controls, direction, publishedAreas }: ParityOptions,
): Generator<Figure, void, undefined> {
  const judged = records.map(judgeRecord);
  const residualErrors = judged.flatMap(({ residualError }) => residualError ?? []);
  if (residualErrors.length > 0)
    yield difference(
      `largest difference of a residual, share of the largest, ${residualErrors.length} records`,
      Math.max(...residualErrors),
      RESIDUAL_TOLERANCE,
    );
  const taus = judged.flatMap((record) => record.taus);
  for (const [indicator, title] of INDICATORS) {
    const known = controls[indicator];
    const labels = Uint8Array.from(
      [...taus.map(({ isTransition }) => isTransition), ...known.map(() => false)],
      Number,
    );
    const area = (values: readonly number[]) => {
      const scores = Float64Array.from([...values, ...known], (value) => direction[indicator] * value);
      return areaUnderRoc(scores, labels);
    };
    const ours = taus.map((tau) => tau.ours[indicator]);
    const published = taus.map((tau) => tau.published[indicator]);
    const errors = ours.map((tau, at) => Math.abs(tau - published[at]!));
    yield difference(
      `largest difference of Kendall's tau of ${title}, ${ours.length} taus`,
      Math.max(...errors),
      TAU_TOLERANCE,
    );
    const ourArea = area(ours);
    const publishedArea = area(published);
    yield {
      metric: `area under ROC of tau of ${direction[indicator] < 0 ? 'minus ' : ''}${title}`,
      ours: ourArea,
      baselines: { 'published taus': publishedArea, ...publishedAreas[indicator] },
      target: undefined,
      better: 'HIGHER',
    };
    yield difference(
      `its difference from that of the published taus`,
      Math.abs(ourArea - publishedArea),
      AREA_TOLERANCE,
    );
  }
}

function difference(metric: string, ours: number, target: number): Figure {
  return { metric, ours, baselines: {}, target, better: 'LOWER' };
}

function judgeRecord(record: PublishedRecord) {
  const { path, detrending, windowPoints, skipped, isTransition } = record;
  const half = Math.floor(ROLLING * record.residuals.length);
  if (half !== windowPoints)
    throw new DataError(path, `has windows of ${windowPoints} points, but half of it is ${half}`);
  const plan = createRollingPlan(record.residuals.length, ROLLING);
  const { residuals, residualError } = detrending
    ? detrend(detrending, record.residuals)
    : { residuals: record.residuals, residualError: undefined };
  const variance = new Float64Array(plan.count);
  const autocorrelation = new Float64Array(plan.count);
  plan.variance(residuals, variance);
  plan.autocorrelation(residuals, 1, autocorrelation);
  const taus = record.taus.map(({ points, published }) => {
    const tau = (values: Float64Array) => plan.kendall(values.subarray(skipped, points - windowPoints + 1));
    const ours = { variance: tau(variance), autocorrelation: tau(autocorrelation) };
    return { ours, published, isTransition };
  });
  return { residualError, taus };
}

/** Our residuals, and the largest difference from the published ones as a share of the largest of those. */
function detrend(
  { values, bandwidthPoints }: { readonly values: Float64Array; readonly bandwidthPoints: number },
  published: Float64Array,
) {
  const { length } = values;
  const residuals = new Float64Array(length);
  createDetrendPlan(length, {
    method: 'GAUSSIAN',
    bandwidth: bandwidthPoints / length,
    periods: [],
  }).residuals(values, residuals);
  let largest = 0;
  let error = 0;
  residuals.forEach((residual, at) => {
    largest = Math.max(largest, Math.abs(published[at]!));
    error = Math.max(error, Math.abs(residual - published[at]!));
  });
  return { residuals, residualError: error / largest };
}

/** How many leading times are at most `through`; times ascend. */
export function pointsThrough(times: Float64Array, through: number): number {
  const after = times.findIndex((time) => time > through);
  return after < 0 ? times.length : after;
}

/** Reads the taus an object holds by the publisher's names. */
export function readTaus(value: JsonObject, path: string): PerIndicator<number> {
  return { variance: numberAt(value, 'variance', path), autocorrelation: numberAt(value, 'ac1', path) };
}
