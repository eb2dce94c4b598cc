/**
 * One horizon of a stream's forecasts: the forecast under way, which is one at a time and scored when its window comes,
 * how much each predictor counts, the intervals, and how forecasts did. Cells and errors are in the unit of the map, times
 * are milliseconds since 1970. Maps come in order; one step sequence at a time.
 */
import type { Steps } from '../../numeric/slices.ts';
import { type IntervalState, Intervals } from './interval.ts';
import { mix } from './map-bounds.ts';
import { evenMixture, learnErrors, type MixtureState } from './mixture.ts';
import { type Moment, PREDICTORS } from './predictor.ts';
import { createScore, type HorizonScore, learnScore, type Scored, squaredErrors } from './score.ts';

/** Windows ahead that are scored; a horizon between two is answered as the shorter one. */
export const HORIZONS = [1, 2, 4, 8, 16, 32, 64] as const;

/** Place of the longest horizon that is not over `steps`. */
export function horizonAt(steps: number): number {
  return HORIZONS.findLastIndex((windows) => windows <= steps);
}

/** A forecast whose window has not closed. */
interface Pending {
  readonly targetMs: number;
  /** Weights it is mixed with. */
  readonly weights: readonly number[];
  /** Answer of each predictor. */
  readonly members: readonly Float32Array[];
}

/** Everything a horizon knows, as plain data. Arrays are borrowed until the next map. */
export interface HorizonState {
  readonly mixture: MixtureState;
  readonly intervals: IntervalState;
  readonly score: HorizonScore;
  readonly pending: Pending | undefined;
}

export class Horizon {
  /** Windows ahead. */
  readonly windows: number;
  readonly #intervals: Intervals;
  #mixture: MixtureState;
  #score: HorizonScore;
  #pending: Pending | undefined;

  /** Goes on from a state, which it takes over, or starts anew. */
  constructor(windows: number, from?: HorizonState) {
    this.windows = windows;
    this.#intervals = new Intervals(from?.intervals);
    this.#mixture = from?.mixture ?? evenMixture(PREDICTORS.length);
    this.#score = from?.score ?? createScore();
    this.#pending = from?.pending;
  }

  state(): HorizonState {
    return {
      mixture: this.#mixture,
      intervals: this.#intervals.state(),
      score: this.#score,
      pending: this.#pending,
    };
  }

  /** How its forecasts did; without any, `count` is 0. */
  get score(): HorizonScore {
    return this.#score;
  }

  /** What its own scores make of the predictors, summing to 1. */
  get weights(): readonly number[] {
    return this.#mixture.weights;
  }

  /** Whether no forecast is under way. */
  get isIdle(): boolean {
    return this.#pending === undefined;
  }

  /** Share of cells its intervals held, of each followed coverage; undefined before the first forecast judged. */
  get covered(): readonly number[] | undefined {
    return this.#intervals.covered;
  }

  /** Of each cell's interval, as `Intervals` has them. */
  halfWidths(coverage: number): Float64Array | undefined {
    return this.#intervals.halfWidths(coverage);
  }

  /** Puts a forecast from a map under way: what each predictor says, mixed with these weights. Cells are copied. */
  *issue(
    { startMs, endMs }: Moment,
    weights: readonly number[],
    members: readonly Float64Array[],
  ): Steps<void> {
    const copies: Float32Array[] = [];
    for (const member of members) {
      copies.push(new Float32Array(member));
      yield;
    }
    this.#pending = { targetMs: endMs + (this.windows - 1) * (endMs - startMs), weights, members: copies };
  }

  /**
   * Scores the forecast of this map and learns from it; undefined where none was of it, or the map shows nothing. A
   * forecast of a window that never came is dropped. O(cells log cells).
   */
  *take(map: Moment): Steps<Scored | undefined> {
    const pending = this.#pending;
    if (pending === undefined || pending.targetMs > map.startMs) return undefined;
    this.#pending = undefined;
    if (pending.targetMs !== map.startMs) return undefined;
    const mixed = mix(pending.members, pending.weights);
    const errors: NonNullable<ReturnType<typeof squaredErrors>>[] = [];
    for (const cells of [...pending.members, mixed]) {
      const error = squaredErrors(cells, map);
      if (error === undefined) return undefined;
      errors.push(error);
      yield;
    }
    const relative = errors.map((error) => error.relative);
    const missed = mixed.map((value, at) => Math.abs(map.cells[at]! - value));
    yield;
    const covered = yield* this.#intervals.score(missed, map.observed);
    const scored: Scored = {
      horizon: this.windows,
      members: errors.slice(0, -1).map((error) => error.mean),
      mixture: errors.at(-1)!.mean,
      relative,
      weights: pending.weights,
      covered,
    };
    this.#mixture = learnErrors(this.#mixture, relative.slice(0, -1));
    this.#score = learnScore(this.#score, scored);
    return scored;
  }

  /** Forgets the cells and the forecast under way, as after another arrangement of them; all else is of the stream. */
  forgetCells(): void {
    this.#pending = undefined;
    this.#intervals.forgetCells();
  }
}
