/**
 * One look at any number of series: each is judged on a worker, all tests are corrected together, the worst metric
 * gives the severity. The result does not depend on the order of the series, nor on how many threads there are.
 */
import type { PhaseSeverity } from '../defense/level.ts';
import type { Detrending } from './detrend.ts';
import {
  abstain,
  type FamilyTest,
  type MetricFinding,
  type MetricJob,
  type MetricReference,
} from './metric-assessment.ts';
import { prepareSeries, type Series } from './series.ts';
import { holm, metricSeverity, signalSeverity, worstSeverity } from './severity.ts';

/** How a look judges; the same for every metric of it. */
export interface AssessmentOptions {
  /** Surrogates to begin with, 99..19,999. */
  readonly surrogates: number;
  /** Chance of any false warning in one look that is accepted, in (0, .2]. */
  readonly alpha: number;
  readonly detrend: Detrending;
  /** Smoothing as a share of the length, in (0, 1]. */
  readonly bandwidth: number;
  /** Rolling window as a share of the length, in [.1, .9]. */
  readonly rolling: number;
  readonly seed: number;
}

/** How near a critical transition is; UNKNOWN when nothing could be judged. */
export type RiskSeverity = PhaseSeverity | 'UNKNOWN';

/** Judges one metric somewhere; rejects with the signal's reason once it is aborted. */
export type RunMetric = (job: MetricJob, signal?: AbortSignal) => Promise<MetricFinding>;

/** A test with its place among all tests of the look. */
export interface Signal extends FamilyTest {
  readonly metric: string;
  /** p after Holm's correction over all tests of the look. */
  readonly pAdjusted: number;
  readonly severity: RiskSeverity;
  readonly description: string;
}

export interface AssessedMetric {
  readonly finding: MetricFinding;
  /** UNKNOWN when it could not be judged. */
  readonly severity: RiskSeverity;
  /** Every test of the metric, those that found nothing with severity NORMAL. */
  readonly signals: readonly Signal[];
}

/** The outcome of one look. */
export interface Assessment {
  /** That of the worst metric; UNKNOWN when none could be judged. */
  readonly severity: RiskSeverity;
  /** In order of their names. */
  readonly metrics: readonly AssessedMetric[];
  readonly alpha: number;
  /** Tests corrected for; series that could not be judged have none. */
  readonly tests: number;
}

/** Families judged of each metric. */
export const FAMILIES = 2;

/**
 * Judges series of distinct names, all at once: `run` must be able to hold as many. `references` holds what is known
 * of metrics when nothing is wrong, by name. The first failure of `run` ends the look, as `signal` does.
 */
export async function assess(
  series: readonly Series[],
  options: AssessmentOptions,
  run: RunMetric,
  references: ReadonlyMap<string, MetricReference> = new Map(),
  signal?: AbortSignal,
): Promise<Assessment> {
  const { alpha } = options;
  const prepared = [...series]
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .map((one) => ({ one, state: prepareSeries(one) }));
  const usable = prepared.filter(({ state }) => state.status === 'OK').length;
  const judge = ({ one, state }: (typeof prepared)[number], stop: AbortSignal) => {
    if (state.status !== 'OK') return abstain(one.name, state);
    const reference = references.get(one.name);
    const stream = streamOf(one.name);
    return run(
      { series: one, options, tests: FAMILIES * usable, stream, ...(reference && { reference }) },
      stop,
    );
  };
  const findings = await allOrNone(prepared, judge, signal);
  const tests = findings.flatMap((finding) => finding.tests);
  const adjusted = holm(tests.map(({ p }) => p));
  const pAdjusted = new Map(tests.map((test, index) => [test, adjusted[index]!]));
  const metrics = findings.map((finding) => conclude(finding, pAdjusted, alpha));
  return {
    severity: worstSeverity(metrics.map(({ severity }) => severity)),
    metrics,
    alpha,
    tests: tests.length,
  };
}

/** Does something with every item at once; the first failure, or the signal, stops what is still under way. */
async function allOrNone<Item, Result>(
  items: readonly Item[],
  act: (item: Item, stop: AbortSignal) => Result | Promise<Result>,
  signal?: AbortSignal,
): Promise<Result[]> {
  signal?.throwIfAborted();
  const stopping = new AbortController();
  const stop = () => stopping.abort(signal?.reason);
  signal?.addEventListener('abort', stop);
  try {
    return await Promise.all(items.map((item) => act(item, stopping.signal)));
  } catch (error) {
    stopping.abort(error);
    throw error;
  } finally {
    signal?.removeEventListener('abort', stop);
  }
}

function conclude(
  finding: MetricFinding,
  pAdjusted: ReadonlyMap<FamilyTest, number>,
  alpha: number,
): AssessedMetric {
  const { present, reference, limitMargin, tests, name } = finding;
  if (present === undefined || reference === undefined) return { finding, severity: 'UNKNOWN', signals: [] };
  const evidence = {
    pAdjusted: tests.map((test) => pAdjusted.get(test)!),
    present,
    reference,
    ...(limitMargin !== undefined && { limitMargin }),
  };
  const severity = metricSeverity(evidence, alpha);
  const signals = tests.map((test): Signal => {
    const p = pAdjusted.get(test)!;
    return {
      ...test,
      metric: name,
      pAdjusted: p,
      severity: signalSeverity(p, severity, alpha),
      description: describe(name, test, p),
    };
  });
  return { finding, severity, signals };
}

function describe(metric: string, test: FamilyTest, pAdjusted: number): string {
  const { family, value, threshold, surrogates } = test;
  const what = {
    TREND: `variance and lag-1 autocorrelation of ${metric} trend by a summed tau of`,
    LEVEL: `lag-1 autocorrelation of ${metric} lies above its reference by a z of`,
  }[family];
  const figure = (number: number) => number.toFixed(3);
  return `${what} ${figure(value)}, threshold ${figure(threshold)} (${surrogates} surrogates, adjusted p ${pAdjusted.toPrecision(2)})`;
}

/** The stream of random numbers of a metric: its name's 32-bit FNV-1a hash. */
function streamOf(name: string): number {
  let hash = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(name)) hash = Math.imul(hash ^ byte, 0x01000193) >>> 0;
  return hash;
}
