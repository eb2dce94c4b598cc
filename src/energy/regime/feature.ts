/**
 * The features a regime is judged by, of the windows since the last change point (at least 16, at most the stream's). Each
 * is undefined where it cannot be computed. Energies are by observed cell. Pure; O(windows), and O(windows^2) up to 64
 * windows, to which longer series are thinned: 0.2 ms.
 */
import { laggedCorrelation } from '../../numeric/autoregression.ts';
import { chaosStatistic } from '../../numeric/chaos-test.ts';
import { createKendall } from '../../numeric/kendall.ts';
import { PATTERNS, patternEntropy, patternIrreversibility } from '../../numeric/permutation-entropy.ts';
import { medianOf } from '../../numeric/selection.ts';
import { createTheilSen } from '../../numeric/theil-sen.ts';
import type { Shape, WindowRecord } from './measure.ts';
import { WINDOWS_MIN } from './regime.ts';

/** Points of a series, longer ones being thinned. */
const POINTS_MAX = 64;
/** Points of a trend, which costs their square. */
const TREND_POINTS_MAX = 32;
/** A statistic beyond this is no more telling. */
const STATISTIC_MAX = 50;
const SHIFT_MAX = 1e6;
/** Windows after which an alarm counts for 1 / e. */
const ALARM_FADES = 8;
/** Cell orders seen below which their entropy is not taken. */
const PATTERNS_MIN = 120;

/** What features are computed from. */
export interface FeatureInput {
  readonly rows: number;
  readonly cols: number;
  /** The windows, oldest first. */
  readonly records: readonly WindowRecord[];
  /** Windows since the last alarm, 0 at it; undefined without one. */
  readonly sinceAlarm: number | undefined;
}

/** The same with what several features need. */
interface Prepared extends FeatureInput {
  readonly energy: Float64Array;
  readonly energyTrend: Trend | undefined;
}

interface Trend {
  /** From the first window to the last. */
  readonly shift: number;
  /** Theil-Sen slope over its standard error. */
  readonly statistic: number;
}

interface Feature {
  readonly name: string;
  of(input: Prepared): number | undefined;
}

/** The features of how cells lie, means over the windows: the only ones a lone map has. */
const SHAPES: readonly { readonly name: string; readonly key: keyof Shape }[] = [
  { name: 'spectral_slope', key: 'slope' },
  { name: 'spectral_centroid', key: 'centroid' },
  { name: 'spectral_flatness', key: 'flatness' },
  { name: 'gradient_kurtosis', key: 'kurtosis' },
];

/** In the order of the model's coefficients. */
const FEATURES: readonly Feature[] = [
  // Theil-Sen slopes over their standard error (numeric/theil-sen.ts).
  { name: 'energy_trend', of: ({ energyTrend }) => energyTrend?.statistic },
  {
    name: 'entropy_trend',
    of: ({ records }) => trendOf(valuesOf(records, ({ entropy }) => entropy))?.statistic,
  },
  { name: 'energy_shift', of: energyShift },
  { name: 'variance_ratio', of: ({ energy }) => varianceRatio(energy) },
  // Rising memory is an early warning of a transition (M. Scheffer et al., Nature 461, 2009).
  { name: 'autocorrelation', of: ({ energy }) => finite(laggedCorrelation(energy, 0, energy.length, 1)) },
  { name: 'autocorrelation_trend', of: ({ energy }) => memoryTrend(energy) },
  { name: 'alarm_recency', of: ({ sinceAlarm }) => recency(sinceAlarm) },
  // Second-moment correlation length over the side (F. Cooper, B. Freedman, D. Preston, Nucl. Phys. B 210, 1982).
  { name: 'correlation_length', of: correlationLength },
  ...SHAPES.map(({ name, key }) => ({
    name,
    of: ({ records }: Prepared) => meanOf(records, (record) => record[key]),
  })),
  { name: 'permutation_entropy', of: ({ records }) => ofPatterns(records, patternEntropy) },
  { name: 'irreversibility', of: ({ records }) => ofPatterns(records, patternIrreversibility) },
  { name: 'cell_memory', of: ({ records }) => cellMemory(records) },
  // How much the others are to be trusted.
  { name: 'windows', of: ({ records }) => records.length },
  { name: 'chaos', of: ({ energy }) => chaosStatistic(energy) },
];

export const FEATURE_NAMES: readonly string[] = FEATURES.map(({ name }) => name);
export const SHAPE_NAMES: readonly string[] = SHAPES.map(({ name }) => name);

/** All features, in the order of FEATURE_NAMES. */
export function featuresOf(input: FeatureInput): (number | undefined)[] {
  const energy = thinned(new Float64Array(input.records.map((record) => record.energy)), POINTS_MAX);
  const prepared = { energy, energyTrend: trendOf(energy), ...input };
  return FEATURES.map((feature) => feature.of(prepared));
}

/** The features of one map, in the order of SHAPE_NAMES. */
export function shapeOf(shape: Shape): (number | undefined)[] {
  return SHAPES.map(({ key }) => shape[key]);
}

/** The values there are. */
function valuesOf(
  records: readonly WindowRecord[],
  read: (record: WindowRecord) => number | undefined,
): Float64Array {
  return new Float64Array(records.map(read).filter((value) => value !== undefined));
}

/** Means over equal spans where there are more than `points` values. */
function thinned(values: Float64Array, points: number): Float64Array {
  if (values.length <= points) return values;
  return Float64Array.from({ length: points }, (_, at) => {
    const from = Math.floor((at * values.length) / points);
    const to = Math.floor(((at + 1) * values.length) / points);
    return values.subarray(from, to).reduce((sum, value) => sum + value / (to - from), 0);
  });
}

function trendOf(values: Float64Array): Trend | undefined {
  if (values.length < WINDOWS_MIN / 2) return undefined;
  const points = thinned(values, TREND_POINTS_MAX);
  const { slope, statistic } = createTheilSen(points.length).fit(points);
  return { shift: slope * (points.length - 1), statistic: clamp(statistic, STATISTIC_MAX) };
}

/** How far the trend carries the energy, in deviations of a cell from one window to the next. */
function energyShift({ records, energyTrend }: Prepared): number | undefined {
  const step = meanOf(records, ({ apart }) => (apart[0] > 0 ? apart[0] : undefined));
  if (step === undefined || energyTrend === undefined) return undefined;
  return clamp(energyTrend.shift / Math.sqrt(step / 2), SHIFT_MAX);
}

/**
 * ln of the energy's squared mean departure from its median in the newest quarter over that before: one wild window
 * counts for little.
 */
function varianceRatio(energy: Float64Array): number | undefined {
  const cut = energy.length - Math.max(4, energy.length >> 2);
  const [before, after] = [departureOf(energy.subarray(0, cut)), departureOf(energy.subarray(cut))];
  return before > 0 && after > 0 ? clamp(2 * Math.log(after / before), 10) : undefined;
}

function departureOf(values: Float64Array): number {
  const median = medianOf(values.slice());
  return values.reduce((sum, value) => sum + Math.abs(value - median) / values.length, 0);
}

function varianceOf(values: Float64Array): number {
  let mean = 0;
  let squares = 0;
  for (let at = 0; at < values.length; at++) {
    const value = values[at]!;
    const gap = value - mean;
    mean += gap / (at + 1);
    squares += gap * (value - mean);
  }
  return squares / (values.length - 1);
}

/** Kendall's tau of the lag-1 autocorrelation in a rolling half of the windows. */
function memoryTrend(energy: Float64Array): number | undefined {
  const half = energy.length >> 1;
  const rolling = Float64Array.from({ length: energy.length - half + 1 }, (_, from) =>
    laggedCorrelation(energy, from, from + half, 1),
  );
  return rolling.some(Number.isNaN) ? undefined : createKendall(rolling.length).tau(rolling);
}

function recency(sinceAlarm: number | undefined): number {
  return sinceAlarm === undefined ? 0 : Math.exp(-sinceAlarm / ALARM_FADES);
}

/** sqrt(S(0) / S(k1) - 1) / (2 sin(pi / L)) / L of the fluctuations about the windows' mean, S(k1) that of both directions. */
function correlationLength({ rows, cols, records }: FeatureInput): number | undefined {
  const side = Math.max(rows, cols);
  const count = records[0]?.modes.length ?? 0;
  if (side < 2 || count < 3) return undefined;
  const amplitudes = new Float64Array(records.length);
  const powers = Array.from({ length: count }, (_, mode) => {
    for (let at = 0; at < records.length; at++) amplitudes[at] = records[at]!.modes[mode]!;
    return varianceOf(amplitudes);
  });
  // Each longest wave has two parts.
  const longest = powers.slice(1).reduce((sum, power) => sum + power, 0) / ((count - 1) / 2);
  const ratio = powers[0]! / longest - 1;
  if (Number.isNaN(ratio)) return undefined;
  return Math.min(STATISTIC_MAX, Math.sqrt(Math.max(0, ratio)) / (2 * Math.sin(Math.PI / side)) / side);
}

function meanOf(
  records: readonly WindowRecord[],
  read: (record: WindowRecord) => number | undefined,
): number | undefined {
  const values = records.map(read).filter((value) => value !== undefined);
  return values.length === 0 ? undefined : values.reduce((sum, value) => sum + value, 0) / values.length;
}

function ofPatterns(
  records: readonly WindowRecord[],
  measure: (counts: Float64Array) => number | undefined,
): number | undefined {
  const counts = new Float64Array(PATTERNS);
  let total = 0;
  for (const { patterns } of records) {
    for (let at = 0; at < patterns.length; at++) {
      counts[at] = counts[at]! + patterns[at]!;
      total += patterns[at]!;
    }
  }
  return total < PATTERNS_MIN ? undefined : measure(counts);
}

/** D(2) / D(1) - 1, D(lag) the squared difference of cells a lag apart: the lag-1 autocorrelation of a first-order process. */
function cellMemory(records: readonly WindowRecord[]): number | undefined {
  let next = 0;
  let second = 0;
  for (const { apart } of records) {
    next += apart[0];
    second += apart[1];
  }
  return next > 0 ? second / next - 1 : undefined;
}

function finite(value: number): number | undefined {
  return Number.isFinite(value) ? value : undefined;
}

function clamp(value: number, size: number): number {
  return Math.max(-size, Math.min(size, value));
}
