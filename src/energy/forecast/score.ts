/**
 * How forecasts did. VRMSE = sqrt(mean |u - v|^2 / (var u + 1e-7)), u the observation, over observed cells; skill = 1 -
 * mean squared error over that of persistence. Running means cover about the last 64 forecasts of a horizon.
 */
import type { Moment } from './predictor.ts';

const MEMORY = 64;
const VARIANCE_MIN = 1e-7;
/** Skill of an error where persistence made none. */
const SKILL_MIN = -1e9;
/** Forecasts a quantile of their errors is told from. */
const QUANTILE_MIN = 8;

/** One forecast scored. Errors are mean squared, in the unit of the map squared. */
export interface Scored {
  /** Windows ahead. */
  readonly horizon: number;
  /** Of each predictor, persistence first. */
  readonly members: readonly number[];
  readonly mixture: number;
  /** Squared VRMSE of each predictor, then of the mixture. */
  readonly relative: readonly number[];
  /** Weights it was mixed with. */
  readonly weights: readonly number[];
  /** Share of cells inside the interval of each followed coverage; undefined while there was none. */
  readonly covered: readonly number[] | undefined;
}

/** Forecasts of one window, scored when it closed. */
export interface ScoredWindow {
  readonly startMs: number;
  readonly scored: readonly Scored[];
}

/** Running means of one horizon. */
export interface HorizonScore {
  /** Forecasts scored. */
  readonly count: number;
  /** Mean squared error of each predictor, then of the mixture. */
  readonly errors: readonly number[];
  /** VRMSE of each predictor, then of the mixture. */
  readonly vrmse: readonly number[];
  /** VRMSE of the mixture, of the last 64, oldest first. */
  readonly recent: readonly number[];
}

export function createScore(): HorizonScore {
  return { count: 0, errors: [], vrmse: [], recent: [] };
}

export function learnScore(score: HorizonScore, scored: Scored): HorizonScore {
  const count = score.count + 1;
  const share = Math.max(1 / MEMORY, 1 / count);
  const blend = (mean: number | undefined, value: number) => (mean ?? 0) + share * (value - (mean ?? 0));
  return {
    count,
    errors: [...scored.members, scored.mixture].map((error, at) => blend(score.errors[at], error)),
    vrmse: scored.relative.map((error, at) => blend(score.vrmse[at], Math.sqrt(error))),
    // Scores of older snapshots hold none.
    recent: [...(score.recent ?? []), Math.sqrt(scored.relative.at(-1)!)].slice(-MEMORY),
  };
}

/**
 * The VRMSE that 95 % of the last 64 forecasts of a horizon were at most at; undefined for fewer than 8, which cannot
 * tell.
 */
export function highVrmse({ recent = [] }: HorizonScore): number | undefined {
  if (recent.length < QUANTILE_MIN) return undefined;
  const sorted = [...recent].sort((a, b) => a - b);
  return sorted[Math.ceil(0.95 * sorted.length) - 1];
}

/** 1 - error / that of persistence, of the predictor or mixture at a place, at least -1e9; 0 where persistence is exact too. */
export function skillOf({ errors }: HorizonScore, at: number): number {
  const [own, persistence] = [errors[at] ?? 0, errors[0] ?? 0];
  if (persistence > 0) return Math.max(SKILL_MIN, 1 - own / persistence);
  return own > 0 ? SKILL_MIN : 0;
}

/** VRMSE of the mixture one window ahead; undefined where that was not scored. */
export function nextVrmse(scored: readonly Scored[]): number | undefined {
  const next = scored.find(({ horizon }) => horizon === 1);
  return next && Math.sqrt(next.relative.at(-1)!);
}

/** Mean squared error over observed cells and the same over their variance; undefined when nothing is observed. */
export function squaredErrors(
  told: Float32Array | Float64Array,
  { cells, observed }: Pick<Moment, 'cells' | 'observed'>,
): { readonly mean: number; readonly relative: number } | undefined {
  let count = 0;
  let mean = 0;
  for (let i = 0; i < cells.length; i++) {
    if (observed[i] === 0) continue;
    count++;
    mean += (cells[i]! - mean) / count;
  }
  if (count === 0) return undefined;
  let error = 0;
  let variance = 0;
  for (let i = 0; i < cells.length; i++) {
    if (observed[i] === 0) continue;
    error += (cells[i]! - told[i]!) ** 2 / count;
    variance += (cells[i]! - mean) ** 2 / count;
  }
  return { mean: error, relative: error / (variance + VARIANCE_MIN) };
}
