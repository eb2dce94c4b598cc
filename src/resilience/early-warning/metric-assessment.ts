/**
 * The whole judgement of one series at one look: split, measured, tested. Pure, synchronous and long (tens of
 * milliseconds and up), so it runs on a worker thread; whatever it takes and returns can be copied between threads.
 */

import type { SequentialTest } from '../../numeric/sequential-test.ts';
import type { Random } from '../../random.ts';
import type { AssessmentOptions } from './assessment.ts';
import { createDetrendPlan } from './detrend.ts';
import { createFamilies, type Family } from './families.ts';
import {
  createRollingPlan,
  type Indicator,
  indicatorsOf,
  lagOne,
  recoveryRate,
  recoveryRateSecondOrder,
} from './indicators.ts';
import { prepareSeries, type Series } from './series.ts';
import { STRONG_P } from './severity.ts';
import { testFamilies } from './surrogates.ts';

/** One series to judge. */
export interface MetricJob {
  readonly series: Series;
  readonly options: AssessmentOptions;
  /** (metric, family) tests of this look: sets how many surrogates a clear finding may take. */
  readonly tests: number;
  /** Stream of random numbers of this metric. */
  readonly stream: number;
  readonly reference?: MetricReference;
}

/**
 * How fast a metric recovers when nothing is wrong: medians over at least 20 looks without alarm. Taken as known
 * without error, which needs looks whose last quarters overlap little.
 */
export interface MetricReference {
  /** Lag-1 autocorrelation of the residuals. */
  readonly lagOne: number;
  /** Recovery rate from it, 1/s. */
  readonly recoveryRate: number;
  /** Recovery rate from the dominant root of an AR(2) process, 1/s. */
  readonly recoveryRate2: number;
}

/** One family's test of one metric. */
export interface FamilyTest {
  readonly family: Family;
  readonly value: number;
  /** What a share alpha of the surrogates' values lie above. */
  readonly threshold: number;
  /** Before any correction for other tests. */
  readonly p: number;
  /** Surrogates drawn. */
  readonly surrogates: number;
  /** Samples of the window the value stands on. */
  readonly windowSamples: number;
}

/** What was found about one series; without `tests` unless its status is OK. */
export interface MetricFinding {
  readonly name: string;
  readonly status: 'OK' | 'INSUFFICIENT' | 'DEGENERATE';
  /** Why it was not judged. */
  readonly why?: string;
  /** Samples judged. */
  readonly samples: number;
  readonly tests: readonly FamilyTest[];
  readonly indicators: readonly Indicator[];
  /** The last quarter. */
  readonly present?: MetricReference;
  /** What it is compared with: the reference given, else the first quarter. */
  readonly reference?: MetricReference;
  /** How far the last value lies on the good side of the limit, as a share of the limit's size; 0 once past. */
  readonly limitMargin?: number;
}

const DAY_MS = 86_400_000;
const PERIODS_MS: readonly number[] = [DAY_MS, 7 * DAY_MS];
/** Residuals below this share of the series' size are rounding. */
const RESIDUAL_MIN = 1e-9;
/** However many tests a look has, no metric draws more surrogates. */
const SURROGATES_MAX = 19_999;

/** A finding that a series cannot be judged. */
export function abstain(
  name: string,
  { status, why }: { readonly status: 'INSUFFICIENT' | 'DEGENERATE'; readonly why: string },
): MetricFinding {
  return { name, status, why, samples: 0, tests: [], indicators: [] };
}

/** Judges one series with random numbers of its own. Same job and numbers, same finding to the bit. */
export function assessMetric(job: MetricJob, random: Random): MetricFinding {
  const { series, options, reference: given } = job;
  const { name, intervalMs } = series;
  const prepared = prepareSeries(series);
  if (prepared.status !== 'OK') return abstain(name, prepared);
  const { values } = prepared;
  const { length } = values;
  const periods = (series.periodsMs ?? PERIODS_MS).map((periodMs) => periodMs / intervalMs);
  const detrend = createDetrendPlan(length, {
    method: options.detrend,
    bandwidth: options.bandwidth,
    periods,
  });
  const rolling = createRollingPlan(length, options.rolling);
  const families = createFamilies(rolling);
  const residuals = new Float64Array(length);
  const state = new Float64Array(length);
  detrend.residuals(values, residuals);
  detrend.state(values, state);
  if (!varies(residuals, values))
    return abstain(name, { status: 'DEGENERATE', why: 'nothing varies beside season and trend' });

  const observation = {
    state,
    residuals,
    detrend,
    families,
    ...(given && { referenceLagOne: given.lagOne }),
  };
  const { trend, level } = testFamilies(observation, drawsMax(options.surrogates, job.tests), random);
  const limitMargin = marginToLimit(series, values[length - 1]!);
  return {
    name,
    status: 'OK',
    samples: length,
    tests: [
      describe('TREND', trend, families.window, options.alpha),
      describe('LEVEL', level, families.quarter, options.alpha),
    ],
    indicators: indicatorsOf(values, residuals, rolling, intervalMs),
    present: recovery(residuals, length - families.quarter, length, intervalMs),
    reference: given ?? recovery(residuals, 0, families.quarter, intervalMs),
    ...(limitMargin !== undefined && { limitMargin }),
  };
}

/** Enough surrogates that the smallest p, multiplied by the number of tests, is half of strong evidence. */
export function drawsMax(surrogates: number, tests: number): number {
  return Math.min(SURROGATES_MAX, Math.max(surrogates, Math.ceil((2 * tests) / STRONG_P) - 1));
}

function describe(family: Family, test: SequentialTest, windowSamples: number, alpha: number): FamilyTest {
  const { observed, p, draws } = test;
  return { family, value: observed, threshold: test.threshold(alpha), p, surrogates: draws, windowSamples };
}

function varies(residuals: Float64Array, values: Float64Array): boolean {
  const size = values.reduce((greatest, value) => Math.max(greatest, Math.abs(value)), 0);
  return residuals.some((residual) => Math.abs(residual) > RESIDUAL_MIN * size);
}

function recovery(residuals: Float64Array, from: number, to: number, intervalMs: number): MetricReference {
  const memory = lagOne(residuals, from, to);
  return {
    lagOne: memory,
    recoveryRate: recoveryRate(memory, to - from, intervalMs),
    recoveryRate2: recoveryRateSecondOrder(residuals, from, to, intervalMs),
  };
}

/** Undefined without a limit, or with a limit of 0, which has no size to be a share of. */
function marginToLimit({ limit, direction }: Series, value: number): number | undefined {
  if (limit === undefined || limit === 0) return undefined;
  const distance = { HIGHER: value - limit, LOWER: limit - value, NONE: Math.abs(value - limit) };
  return Math.max(0, distance[direction ?? 'NONE'] / Math.abs(limit));
}
