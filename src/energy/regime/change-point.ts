/**
 * Change points of a few series that come together. Values become normal scores by their ranks since the last alarm, the
 * scores are freed of their memory by an autoregression and, by ranks again, made normal scores, which are summed up both
 * ways (CUSUM, E. Page, Biometrika 41, 1954). Ranks know no law, so for independent values and for short memory false
 * alarms come about as rarely as asked whatever continuous law the series follow; long memory, or heavy tails with memory,
 * of which an autoregression frees only in part, make them two to three times as frequent. An alarm begins all series
 * anew, and for 24 windows after it there is none. Deterministic; O(values since the alarm, at most 2,048) a window and
 * series.
 */
import { expectedNext, NO_SUMS, type SeriesSums, withValue } from '../../numeric/running-autoregression.ts';
import { type ScoreState, type Scores, SequentialScores } from '../../numeric/sequential-score.ts';

/** Shift that is looked for, half of it: a sum falls by this much a window while nothing changes. */
const DRIFT = 0.5;
/** Mean excess of a sum over the threshold it passes (D. Siegmund, "Sequential Analysis", 1985). */
const EXCESS = 1.166;
/** Scores an autoregression is fitted to before its misses count. */
const FIT_MIN = 24;

/**
 * The threshold h of `statistics` two-sided sums that together give one false alarm in `windows`: 2 n A = (e^b - b - 1) /
 * (1/2), b = h + 1.166, each of the 2 n sums having its share. 8.04536 for one and 10,000 windows, 9.83630 for six.
 */
export function alarmThreshold(statistics: number, windows: number): number {
  const target = statistics * windows;
  let b = Math.log(target + 1);
  // Newton's steps on a convex function from its left end up: few, and they cannot go astray.
  for (let step = 0; step < 50; step++) {
    const next = b - (Math.exp(b) - b - 1 - target) / (Math.exp(b) - 1);
    if (Math.abs(next - b) < 1e-14 * b) break;
    b = next;
  }
  return b - EXCESS;
}

/** One sum and since when it is over 0. */
interface Sum {
  readonly value: number;
  /** Number of the first window of its rise, from 0 at the start. */
  readonly since: number;
}

/** Everything of one series, as plain data. */
interface SeriesState {
  readonly scores: ScoreState;
  readonly memory: SeriesSums;
  readonly misses: ScoreState;
  readonly up: Sum;
  readonly down: Sum;
}

/** Everything a detector knows, as plain data. */
export interface ChangePointState {
  readonly windows: number;
  readonly series: readonly SeriesState[];
  readonly alarm: Alarm | undefined;
}

/** The last alarm, in numbers of windows from 0. */
export interface Alarm {
  readonly at: number;
  /** First window after the alarming sum was last 0. */
  readonly onset: number;
}

interface Series {
  readonly scores: Scores;
  memory: SeriesSums;
  readonly misses: Scores;
  up: Sum;
  down: Sum;
}

export class ChangePoints {
  #windows: number;
  #series: Series[];
  #alarm: Alarm | undefined;
  readonly #threshold: number;

  /**
   * `statistics`: how many series; `falseAlarmWindows`: mean windows between two false alarms of all together. Goes on from
   * a state, which it takes over, or beside another detector, which it reads and which may take nothing meanwhile.
   */
  constructor(statistics: number, falseAlarmWindows: number, from?: ChangePointState | ChangePoints) {
    this.#alarm = from?.alarm;
    if (from instanceof ChangePoints) {
      this.#threshold = from.#threshold;
      this.#windows = from.#windows;
      this.#series = from.#series.map(triedSeries);
      return;
    }
    this.#threshold = alarmThreshold(statistics, falseAlarmWindows);
    this.#windows = from?.windows ?? 0;
    this.#series = from ? from.series.map(seriesOf) : Array.from({ length: statistics }, freshSeries);
  }

  /** The last alarm; undefined before the first. */
  get alarm(): Alarm | undefined {
    return this.#alarm;
  }

  /** Windows since the last alarm, 0 at it; undefined before the first. */
  get sinceAlarm(): number | undefined {
    return this.#alarm && this.#windows - 1 - this.#alarm.at;
  }

  /** Borrowed until the next window. */
  state(): ChangePointState {
    return {
      windows: this.#windows,
      series: this.#series.map((each) => ({
        ...each,
        scores: each.scores.state(),
        misses: each.misses.state(),
      })),
      alarm: this.#alarm,
    };
  }

  /** Takes the values of the next window, one a series; one that is missing or not finite leaves its series as it is. */
  push(values: readonly (number | undefined)[]): void {
    const at = this.#windows++;
    let onset: number | undefined;
    for (const [nth, series] of this.#series.entries()) {
      const value = values[nth];
      if (value === undefined || !Number.isFinite(value)) continue;
      const score = series.scores.score(value);
      const miss = score - expectedNext(series.memory);
      const isFitted = series.memory.count >= FIT_MIN;
      series.memory = withValue(series.memory, score);
      if (!isFitted) continue;
      const step = series.misses.score(miss);
      series.up = added(series.up, step - DRIFT, at);
      series.down = added(series.down, -step - DRIFT, at);
      for (const sum of [series.up, series.down])
        if (sum.value >= this.#threshold) onset = Math.min(onset ?? sum.since, sum.since);
    }
    if (onset === undefined) return;
    this.#alarm = { at, onset };
    this.#series = this.#series.map(freshSeries);
  }
}

function seriesOf({ scores, memory, misses, up, down }: SeriesState): Series {
  return { scores: new SequentialScores(scores), memory, misses: new SequentialScores(misses), up, down };
}

/** One that goes on beside the given one, which may take nothing meanwhile. */
function triedSeries({ scores, memory, misses, up, down }: Series): Series {
  return { scores: scores.tried(), memory, misses: misses.tried(), up, down };
}

function freshSeries(): Series {
  const nothing: Sum = { value: 0, since: 0 };
  return {
    scores: new SequentialScores(),
    memory: NO_SUMS,
    misses: new SequentialScores(),
    up: nothing,
    down: nothing,
  };
}

function added({ value, since }: Sum, step: number, at: number): Sum {
  return { value: Math.max(0, value + step), since: value === 0 ? at : since };
}
