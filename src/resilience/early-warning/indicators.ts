/**
 * Indicators of critical slowing down in windows that roll over the residuals of a series, with their trends. Window i
 * covers samples [i, i + window); an indicator's value is that of the last window, its trend Kendall's tau-b over all
 * windows. Definitions of the moments and correlations are those of the `ewstools` package (T. Bury, JOSS 8(82), 2023).
 */
import { dominantRoot, laggedCorrelation } from '../../numeric/autoregression.ts';
import { createKendall } from '../../numeric/kendall.ts';
import { createRolling, type Rolling } from '../../numeric/rolling.ts';
import { createSampleEntropy, type SampleEntropy } from '../../numeric/sample-entropy.ts';
import { createSpectralRatio, type SpectralRatio } from '../../numeric/spectral-ratio.ts';

/** Fewest samples of a window: the kurtosis corrects for three of them. */
const WINDOW_MIN = 4;

/** Statistics of the windows of residuals of one length. Each `out` has `count` values; nothing is allocated. */
export interface RollingPlan {
  readonly length: number;
  /** floor(rolling * length) samples. */
  readonly window: number;
  /** Windows: length - window + 1. */
  readonly count: number;
  /** Variance (divisor window - 1) of each window. */
  variance(residuals: Float64Array, out: Float64Array): void;
  /** Pearson correlation of the pairs `lag` apart inside each window; 0 where it is undefined. */
  autocorrelation(residuals: Float64Array, lag: number, out: Float64Array): void;
  /** Kendall's tau-b of up to `count` values against time; 0 when all are equal. */
  kendall(values: Float64Array): number;
  /** What `indicatorsOf` works with beyond that. */
  readonly kernels: IndicatorKernels;
}

/** Plans of the numeric kernels, and one value per window of everything the indicators are made of. */
interface IndicatorKernels {
  readonly rolling: Rolling;
  readonly spectrum: SpectralRatio;
  readonly entropy: SampleEntropy;
  readonly mean: Float64Array;
  readonly squares: Float64Array;
  readonly cubes: Float64Array;
  readonly fourths: Float64Array;
  readonly lags: readonly [Float64Array, Float64Array, Float64Array];
  readonly ratios: Float64Array;
  /** The indicator just being computed. */
  readonly current: Float64Array;
}

/** A plan for windows of a share `rolling` of `length` samples. Throws RangeError when that is under 4 samples. */
export function createRollingPlan(length: number, rolling: number): RollingPlan {
  const window = Math.floor(rolling * length);
  if (!(window >= WINDOW_MIN)) throw new RangeError(`a window of ${window} samples`);
  const windows = createRolling(length, window);
  const { count } = windows;
  const means = new Float64Array(count);
  return {
    length,
    window,
    count,
    variance(residuals, out) {
      windows.spread(residuals, means, out);
      for (let i = 0; i < count; i++) out[i] = out[i]! / (window - 1);
    },
    autocorrelation(residuals, lag, out) {
      windows.correlation(residuals, lag, out);
      for (let i = 0; i < count; i++) out[i] = orZero(out[i]!);
    },
    kendall: createKendall(count).tau,
    kernels: createKernels(windows),
  };
}

function createKernels(rolling: Rolling): IndicatorKernels {
  const row = () => new Float64Array(rolling.count);
  const spectrum = createSpectralRatio(rolling.length, rolling.window);
  return {
    rolling,
    spectrum,
    entropy: createSampleEntropy(rolling.window),
    mean: row(),
    squares: row(),
    cubes: row(),
    fourths: row(),
    lags: [row(), row(), row()],
    ratios: new Float64Array(spectrum.count),
    current: row(),
  };
}

/** One indicator of one series. */
export interface Indicator {
  readonly name: IndicatorName;
  /** `value` and `value^2` stand for the unit of the series and its square; `1` is no unit. */
  readonly unit: 'value' | 'value^2' | '1' | '1/s' | 'nat';
  /** In the last window; undefined where the window has none. */
  readonly value: number | undefined;
  /** Kendall's tau-b over the windows that have a value; undefined with fewer than two. */
  readonly tau: number | undefined;
}

export type IndicatorName =
  | 'variance'
  | 'standard_deviation'
  | 'coefficient_of_variation'
  | 'autocorrelation_1'
  | 'autocorrelation_2'
  | 'autocorrelation_3'
  | 'skewness'
  | 'kurtosis'
  | 'spectral_ratio'
  | 'sample_entropy'
  | 'recovery_rate'
  | 'recovery_rate_2';

/**
 * All indicators of a series of `values` at `intervalMs` with their residuals. Every window has a value but for the
 * spectral ratio, in windows 20 samples apart, and the sample entropy, in the last one only: it costs the square of a
 * window. The coefficient of variation is SD(residuals) / mean(values). O(length + window^2).
 */
export function indicatorsOf(
  values: Float64Array,
  residuals: Float64Array,
  plan: RollingPlan,
  intervalMs: number,
): readonly Indicator[] {
  const { length, window, kernels } = plan;
  computeWindows(values, residuals, kernels);
  const { mean, squares, cubes, fourths, current } = kernels;
  const [first, second, third] = kernels.lags;
  const indicator = (name: IndicatorName, unit: Indicator['unit'], series: Float64Array): Indicator => {
    const defined = definedOf(series);
    return {
      name,
      unit,
      value: definedOrNone(series.at(-1)),
      tau: defined.length < 2 ? undefined : plan.kendall(defined),
    };
  };
  const derived = (name: IndicatorName, unit: Indicator['unit'], of: (i: number) => number): Indicator => {
    for (let i = 0; i < current.length; i++) current[i] = of(i);
    return indicator(name, unit, current);
  };
  const deviation = (i: number) => Math.sqrt(squares[i]! / (window - 1));
  const rate = (r: number) => recoveryRate(r, window, intervalMs);
  const spread = derived('variance', 'value^2', (i) => squares[i]! / (window - 1));
  const entropy = kernels.entropy.of(residuals.subarray(length - window));

  return [
    spread,
    // A root keeps every order: the trend is the variance's.
    { name: 'standard_deviation', unit: 'value', value: deviation(plan.count - 1), tau: spread.tau },
    derived('coefficient_of_variation', '1', (i) => deviation(i) / mean[i]!),
    indicator('autocorrelation_1', '1', first),
    indicator('autocorrelation_2', '1', second),
    indicator('autocorrelation_3', '1', third),
    derived('skewness', '1', (i) => skewness(window, squares[i]!, cubes[i]!)),
    derived('kurtosis', '1', (i) => excessKurtosis(window, squares[i]!, fourths[i]!)),
    indicator('spectral_ratio', '1', kernels.ratios),
    { name: 'sample_entropy', unit: 'nat', value: definedOrNone(entropy), tau: undefined },
    derived('recovery_rate', '1/s', (i) => rate(first[i]!)),
    derived('recovery_rate_2', '1/s', (i) => rate(dominantRoot(first[i]!, second[i]!))),
  ];
}

function definedOrNone(value: number | undefined): number | undefined {
  return Number.isFinite(value) ? value : undefined;
}

/** The finite values in their order; the series itself when all are. */
function definedOf(series: Float64Array): Float64Array {
  // Windows without a value are rare, and filtering costs more than the trend itself.
  for (const value of series) if (!Number.isFinite(value)) return series.filter(Number.isFinite);
  return series;
}

/** Fills what the indicators are made of; NaN where a window has none. */
function computeWindows(values: Float64Array, residuals: Float64Array, kernels: IndicatorKernels): void {
  const { rolling, spectrum, mean, squares, cubes, fourths, lags, ratios } = kernels;
  rolling.spread(values, mean, squares);
  rolling.powers(residuals, squares, cubes, fourths);
  lags.forEach((out, at) => {
    const lag = at + 1;
    if (rolling.window - lag < 2) out.fill(Number.NaN);
    else rolling.correlation(residuals, lag, out);
  });
  spectrum.ratios(residuals, ratios);
}

/** Adjusted Fisher-Pearson skewness of n samples from their sums of squared and cubed deviations; NaN without any. */
function skewness(n: number, squares: number, cubes: number): number {
  const variance = squares / n;
  return ((Math.sqrt(n * (n - 1)) / (n - 2)) * (cubes / n)) / (variance * Math.sqrt(variance));
}

/** Bias-corrected excess kurtosis of n samples from their sums of squared and fourth-power deviations. */
function excessKurtosis(n: number, squares: number, fourths: number): number {
  const raw = (n * fourths) / (squares * squares);
  return ((n - 1) / ((n - 2) * (n - 3))) * ((n + 1) * raw - 3 * (n - 1));
}

/** Correlation of residuals[from, to) at lag 1; 0 where it is undefined. */
export function lagOne(residuals: Float64Array, from: number, to: number): number {
  return orZero(laggedCorrelation(residuals, from, to, 1));
}

const CORRELATION_MIN = 0.02;
const CORRELATION_MAX = 0.999;

/**
 * How fast a disturbance dies out, 1/s: -ln(phi) / interval with phi = (w r + 1) / (w - 3), the lag-1 correlation r of
 * w > 3 samples freed of its bias (F. Marriott and J. Pope, Biometrika 41, 1954), held within [.02, .999].
 */
export function recoveryRate(r: number, w: number, intervalMs: number): number {
  const phi = (w * r + 1) / (w - 3);
  return -Math.log(Math.min(CORRELATION_MAX, Math.max(CORRELATION_MIN, phi))) / (intervalMs / 1000);
}

/**
 * The recovery rate, 1/s, with the dominant root of the second-order autoregression of residuals[from, to) in place of
 * the correlation: it keeps apart what is slow and what is only noise in the measurement. O(to - from).
 */
export function recoveryRateSecondOrder(
  residuals: Float64Array,
  from: number,
  to: number,
  intervalMs: number,
): number {
  const r1 = orZero(laggedCorrelation(residuals, from, to, 1));
  const r2 = orZero(laggedCorrelation(residuals, from, to, 2));
  return recoveryRate(dominantRoot(r1, r2), to - from, intervalMs);
}

function orZero(correlation: number): number {
  return Number.isNaN(correlation) ? 0 : correlation;
}
