/**
 * One stream's forecasts: all predictors learn every map; at each horizon 1, 2, 4 .. 64 windows their forecasts are mixed
 * by how they did, and every forecast is scored when its window closes, before anything learns that window. Per horizon
 * one forecast is under way at a time, so a horizon of h is scored every h windows. Cells and errors are in the unit of
 * the map, times are milliseconds since 1970. Deterministic: the same maps give the same forecasts bit for bit, also
 * when the state went through `state` and `restore` anywhere between. Maps come in order; one step sequence at a time.
 */
import type { Steps } from '../../numeric/slices.ts';
import { type ClimatologyState, createClimatology } from './climatology.ts';
import { createDmd, type DmdState } from './dmd.ts';
import { type IntervalState, Intervals } from './interval.ts';
import { keepTotal, mix, NO_RANGE, type Range, restrain, widened } from './map-bounds.ts';
import { answerWeights, evenMixture, learnErrors, type MixtureState } from './mixture.ts';
import {
  createPersistence,
  type MapShape,
  type Moment,
  type Past,
  PREDICTORS,
  type Predictor,
} from './predictor.ts';
import { createScore, type HorizonScore, learnScore, type Scored, squaredErrors } from './score.ts';
import { createSpectral, type SpectralState } from './spectral.ts';
import { createStencil, type StencilState } from './stencil.ts';

/** Windows ahead that are scored; a horizon between two is answered as the shorter one. */
export const HORIZONS = [1, 2, 4, 8, 16, 32, 64] as const;

/** A map as it comes, and what it is laid out on: another layout or shape starts the predictors anew. */
export interface ForecastMap extends MapShape, Moment {
  readonly layout: string;
  /** Whether its forecasts are shifted to its own total. */
  readonly conserves: boolean;
}

/** A forecast whose window has not closed. */
interface Pending {
  readonly targetMs: number;
  /** Weights it is mixed with. */
  readonly weights: readonly number[];
  /** Answer of each predictor. */
  readonly members: readonly Float32Array[];
}

interface Horizon {
  mixture: MixtureState;
  readonly intervals: Intervals;
  score: HorizonScore;
  pending: Pending | undefined;
}

interface Models {
  readonly shape: MapShape;
  readonly layout: string;
  readonly climatology: ClimatologyState;
  readonly spectral: SpectralState;
  readonly dmd: DmdState;
  readonly stencil: StencilState;
}

/** Everything a forecaster knows, as plain data. Arrays are borrowed until the next map. */
export interface ForecasterState {
  readonly windows: number;
  readonly past: readonly ForecastMap[];
  readonly models: Models | undefined;
  readonly range: Range;
  readonly horizons: readonly (Omit<Horizon, 'intervals'> & { readonly intervals: IntervalState })[];
}

/** What a forecast is made of beside the horizon. */
export interface ForecastOptions {
  /** Windows ahead, at least 1. */
  readonly steps: number;
  /** Stated coverage of the interval, 0.5 to 0.99. */
  readonly coverage: number;
  /** Which predictors may take part; all when absent. */
  readonly allowed?: readonly boolean[];
}

/** A forecast. Arrays belong to the receiver. */
export interface Forecast {
  /** The map after 1 .. steps windows. */
  readonly path: readonly Float64Array[];
  /** Half width of the last map's interval; infinite where nothing is known. */
  readonly halfWidth: Float64Array;
  readonly weights: readonly number[];
  /** How forecasts of this horizon did; without any, `count` is 0. */
  readonly score: HorizonScore;
}

/** Larger maps are neither learned nor forecast: what is learned takes about 700 bytes a cell. */
export const FORECAST_CELLS_MAX = 65_536;
/** A horizon scored fewer times answers with the weights of the next shorter one. */
const SCORES_MIN = 8;
/** Maps held: the newest and the two before it. */
const PAST = 3;

export class Forecaster {
  #windows = 0;
  #past: readonly ForecastMap[] = [];
  #layout = '';
  #shape: MapShape | undefined;
  #range: Range = NO_RANGE;
  #predictors: readonly Predictor<unknown>[] = [];
  readonly #horizons: readonly Horizon[];

  /** Goes on from a state, which it takes over, or starts anew. */
  constructor(from?: ForecasterState) {
    this.#horizons = from
      ? from.horizons.map((horizon) => ({ ...horizon, intervals: new Intervals(horizon.intervals) }))
      : HORIZONS.map(() => ({
          mixture: evenMixture(PREDICTORS.length),
          intervals: new Intervals(),
          score: createScore(),
          pending: undefined,
        }));
    if (from === undefined) return;
    this.#windows = from.windows;
    this.#past = from.past;
    this.#range = from.range;
    if (from.models) this.#start(from.models.shape, from.models.layout, from.models);
  }

  /** Maps learned since the last new layout. */
  get windows(): number {
    return this.#windows;
  }

  /** The newest map; undefined before the first, and for maps that are too large. */
  get latest(): ForecastMap | undefined {
    return this.#past[0];
  }

  /** How each horizon did, in their order, with the weights in force. */
  standings(): readonly {
    readonly horizon: number;
    readonly covered: readonly number[] | undefined;
    readonly score: HorizonScore;
    readonly weights: readonly number[];
  }[] {
    return HORIZONS.map((horizon, at) => ({
      horizon,
      score: this.#horizons[at]!.score,
      covered: this.#horizons[at]!.intervals.covered,
      weights: answerWeights(this.#weights(at)),
    }));
  }

  state(): ForecasterState {
    const [, climatology, spectral, dmd, stencil] = this.#predictors.map((predictor) => predictor.state());
    return {
      windows: this.#windows,
      past: this.#past,
      models: this.#shape && {
        shape: this.#shape,
        layout: this.#layout,
        climatology: climatology as ClimatologyState,
        spectral: spectral as SpectralState,
        dmd: dmd as DmdState,
        stencil: stencil as StencilState,
      },
      range: this.#range,
      horizons: this.#horizons.map((horizon) => ({ ...horizon, intervals: horizon.intervals.state() })),
    };
  }

  /** Scores the forecasts of this map, then learns it, then makes the next ones. Gives the scores. */
  *fold(map: ForecastMap): Steps<readonly Scored[]> {
    if (map.cells.length > FORECAST_CELLS_MAX) {
      this.#forget();
      return [];
    }
    if (!this.#continues(map)) this.#restart(map);
    const scored: Scored[] = [];
    for (const [at, horizon] of HORIZONS.entries()) {
      const state = this.#horizons[at]!;
      if (state.pending === undefined || state.pending.targetMs > map.startMs) continue;
      const { pending } = state;
      state.pending = undefined;
      if (pending.targetMs === map.startMs) yield* scoreSteps(state, pending, map, horizon, scored);
    }
    // A gap ends what may be learned as one step to the next.
    const held = this.#past[0]?.endMs === map.startMs ? this.#past : [];
    this.#past = [map, ...held].slice(0, PAST);
    this.#windows++;
    this.#range = widened(this.#range, map.cells);
    for (const predictor of this.#predictors) yield* predictor.learn(pastOf(this.#past));
    yield* this.#issue(map);
    return scored;
  }

  /**
   * Forecasts from the newest map, or from `given` of the same shape as if it had come next. Undefined before the first
   * map. O(cells steps) up to the factors of the predictors.
   */
  *predict(options: ForecastOptions, given: readonly ForecastMap[] = []): Steps<Forecast | undefined> {
    const past = [...given, ...this.#past].slice(0, PAST);
    const now = past[0];
    if (now === undefined || this.#shape === undefined) return undefined;
    const place = horizonAt(options.steps);
    const state = this.#horizons[place]!;
    const horizons = Array.from({ length: options.steps }, (_, at) => at + 1);
    const weights = answerWeights(this.#weights(place), options.allowed);
    const members = yield* this.#members(pastOf(past), horizons, (at) => weights[at]! > 0, now.conserves);
    const path = horizons.map((_, step) =>
      mix(
        members.map((member) => member?.[step]),
        weights,
      ),
    );
    const halfWidth = new Float64Array(now.cells.length);
    state.intervals.halfWidths(options.coverage, halfWidth);
    return { path, halfWidth, weights, score: state.score };
  }

  /** Weights in force at a horizon. */
  #weights(at: number): readonly number[] {
    let place = at;
    while (place > 0 && this.#horizons[place]!.score.count < SCORES_MIN) place--;
    return this.#horizons[place]!.mixture.weights;
  }

  #continues(map: ForecastMap): boolean {
    const shape = this.#shape;
    return (
      shape !== undefined &&
      shape.rows === map.rows &&
      shape.cols === map.cols &&
      shape.boundary === map.boundary &&
      this.#layout === map.layout
    );
  }

  #forget(): void {
    this.#windows = 0;
    this.#past = [];
    this.#shape = undefined;
    this.#range = NO_RANGE;
    this.#predictors = [];
    for (const horizon of this.#horizons) {
      horizon.pending = undefined;
      horizon.intervals.forgetCells();
    }
  }

  /** Starts the predictors anew; weights, scores and levels are of the stream and stay. */
  #restart({ rows, cols, boundary, layout }: ForecastMap): void {
    this.#forget();
    this.#start({ rows, cols, boundary }, layout, undefined);
  }

  #start(shape: MapShape, layout: string, models: Models | undefined): void {
    const cells = shape.rows * shape.cols;
    const climatology = createClimatology(cells, models?.climatology);
    this.#shape = shape;
    this.#layout = layout;
    this.#predictors = [
      createPersistence(),
      climatology,
      createSpectral(shape, climatology, models?.spectral),
      createDmd(cells, models?.dmd),
      createStencil(shape, models?.stencil),
    ];
  }

  /** Makes a forecast for each horizon that has none under way. */
  *#issue(map: ForecastMap): Steps<void> {
    const due = HORIZONS.flatMap((horizon, at) => (this.#horizons[at]!.pending ? [] : [{ horizon, at }]));
    if (due.length === 0) return;
    const horizons = due.map(({ horizon }) => horizon);
    const members = yield* this.#members(pastOf(this.#past), horizons, () => true, map.conserves);
    for (const [nth, { horizon, at }] of due.entries()) {
      this.#horizons[at]!.pending = {
        targetMs: map.endMs + (horizon - 1) * (map.endMs - map.startMs),
        weights: answerWeights(this.#weights(at)),
        members: members.map((member) => Float32Array.from(member![nth]!)),
      };
    }
  }

  /** Each wanted predictor's maps at the horizons, kept within reason and to the total. */
  *#members(
    past: Past,
    horizons: readonly number[],
    wanted: (at: number) => boolean,
    conserves: boolean,
  ): Steps<(readonly Float64Array[] | undefined)[]> {
    const all: (readonly Float64Array[] | undefined)[] = [];
    const range = widened(this.#range, past.now.cells);
    for (const [at, predictor] of this.#predictors.entries()) {
      if (!wanted(at)) {
        all.push(undefined);
        continue;
      }
      const out = horizons.map(() => new Float64Array(past.now.cells.length));
      yield* predictor.predict(past, horizons, out);
      for (const cells of out) {
        restrain(cells, past.now.cells, range);
        if (conserves) keepTotal(cells, past.now);
      }
      all.push(out);
    }
    return all;
  }
}

function* scoreSteps(
  state: Horizon,
  pending: Pending,
  map: ForecastMap,
  horizon: number,
  scored: Scored[],
): Steps<void> {
  const mixed = mix(pending.members, pending.weights);
  const errors = [...pending.members, mixed].map((cells) => squaredErrors(cells, map));
  if (errors.some((each) => each === undefined)) return;
  yield;
  const each = errors.map((error) => error!.relative);
  const missed = mixed.map((value, at) => Math.abs(map.cells[at]! - value));
  const covered = state.intervals.score(missed, map.observed);
  yield;
  const score: Scored = {
    horizon,
    members: errors.slice(0, -1).map((error) => error!.mean),
    mixture: errors.at(-1)!.mean,
    relative: each,
    weights: pending.weights,
    covered,
  };
  state.mixture = learnErrors(state.mixture, each.slice(0, -1));
  state.score = learnScore(state.score, score);
  scored.push(score);
}

function pastOf(past: readonly ForecastMap[]): Past {
  return { now: past[0]!, before: past[1], earlier: past[2] };
}

/** Place of the longest horizon that is not over `steps`. */
export function horizonAt(steps: number): number {
  return HORIZONS.findLastIndex((horizon) => horizon <= steps);
}
