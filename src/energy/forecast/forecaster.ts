/**
 * One stream's forecasts: all predictors learn every map; at each horizon 1, 2, 4 .. 64 windows their forecasts are mixed
 * by how they did, and every forecast is scored when its window closes, before anything learns that window. Per horizon
 * one forecast is under way at a time, so a horizon of h is scored every h windows. Cells and errors are in the unit of
 * the map, times are milliseconds since 1970. Deterministic: the same maps give the same forecasts bit for bit, also
 * when the state went through `state` and the constructor anywhere between. Maps come in order; one step sequence at a time.
 */
import { arenaFor } from '../../numeric/kernels/arena.ts';
import type { Steps } from '../../numeric/slices.ts';
import { type ClimatologyState, createClimatology } from './climatology.ts';
import { createDmd, type DmdState } from './dmd.ts';
import { HORIZONS, Horizon, type HorizonState, horizonAt } from './horizon.ts';
import { addWeighted, keepTotal, NO_RANGE, type Range, restrain, widened } from './map-bounds.ts';
import { answerWeights } from './mixture.ts';
import { createPersistence, type MapShape, type Moment, type Past, type Predictor } from './predictor.ts';
import { rollOutBytes } from './roll-out.ts';
import type { HorizonScore, Scored } from './score.ts';
import { createSpectral, type SpectralState } from './spectral.ts';
import { createStencil, type StencilState } from './stencil.ts';
import { wavesBytes } from './waves.ts';

/** A map as it comes, and what it is laid out on: another layout or shape starts the predictors anew. */
export interface ForecastMap extends MapShape, Moment {
  readonly layout: string;
  /** Whether its forecasts are shifted to its own total. */
  readonly conserves: boolean;
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
  readonly horizons: readonly HorizonState[];
}

/** How forecasts of a horizon did, and what the next ones are mixed with. */
export interface HorizonStanding {
  /** Windows ahead. */
  readonly horizon: number;
  /** Without any forecast scored, `count` is 0. */
  readonly score: HorizonScore;
  /** Share of cells their intervals held, of each followed coverage; undefined before the first forecast judged. */
  readonly covered: readonly number[] | undefined;
  /** In force; 0 for predictors that only have a share. */
  readonly weights: readonly number[];
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

/** What is to be computed of a forecast; the last map is the same either way, bit for bit. */
export interface ForecastWish extends ForecastOptions {
  /** Whether the maps on the way are wanted too. */
  readonly wholePath?: boolean;
}

/** A forecast, and how those of its horizon did. Arrays belong to the receiver. */
export interface Forecast extends Pick<HorizonStanding, 'score' | 'covered'> {
  /** The map after 1 .. steps windows where the whole path was wanted, else the last alone. */
  readonly path: readonly Float64Array[];
  /** Half width of each cell's interval in the last map; undefined where nothing bounds any of them. */
  readonly halfWidth: Float64Array | undefined;
  readonly weights: readonly number[];
}

/** What every predictor's maps so many windows ahead are held to. */
interface Bounds {
  readonly ahead: readonly number[];
  readonly range: Range;
  /** Whether their totals are that of the newest map. */
  readonly conserves: boolean;
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
    this.#horizons = HORIZONS.map((windows, at) => new Horizon(windows, from?.horizons[at]));
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
  standings(): readonly HorizonStanding[] {
    return HORIZONS.map((windows) => this.standing(windows));
  }

  /** How the longest horizon that is not over `steps` windows did. */
  standing(steps: number): HorizonStanding {
    const at = horizonAt(steps);
    const { windows, score, covered } = this.#horizons[at]!;
    return { horizon: windows, score, covered, weights: answerWeights(this.#weights(at)) };
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
      horizons: this.#horizons.map((horizon) => horizon.state()),
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
    for (const horizon of this.#horizons) {
      const score = yield* horizon.take(map);
      if (score) scored.push(score);
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
  *predict(options: ForecastWish, given: readonly ForecastMap[] = []): Steps<Forecast | undefined> {
    const past = [...given, ...this.#past].slice(0, PAST);
    const now = past[0];
    if (now === undefined || this.#shape === undefined) return undefined;
    const place = horizonAt(options.steps);
    const horizon = this.#horizons[place]!;
    const { steps, wholePath = false } = options;
    const ahead = wholePath ? Array.from({ length: steps }, (_, at) => at + 1) : [steps];
    const weights = answerWeights(this.#weights(place), options.allowed);
    const maps = () => ahead.map(() => new Float64Array(now.cells.length));
    const [path, own] = [maps(), maps()];
    const range = widened(this.#range, now.cells);
    for (const [at, weight] of weights.entries()) {
      if (weight === 0) continue;
      yield* this.#foretell(at, pastOf(past), { ahead, range, conserves: now.conserves }, own);
      for (const [step, cells] of own.entries()) {
        addWeighted(path[step]!, cells, weight);
        yield;
      }
    }
    return {
      path,
      halfWidth: horizon.halfWidths(options.coverage),
      weights,
      score: horizon.score,
      covered: horizon.covered,
    };
  }

  /** Weights in force at a horizon. */
  #weights(at: number): readonly number[] {
    let place = at;
    while (place > 0 && this.#horizons[place]!.score.count < SCORES_MIN) place--;
    return this.#horizons[place]!.weights;
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
    for (const horizon of this.#horizons) horizon.forgetCells();
  }

  /** Starts the predictors anew; weights, scores and levels are of the stream and stay. */
  #restart({ rows, cols, boundary, layout }: ForecastMap): void {
    this.#forget();
    this.#start({ rows, cols, boundary }, layout, undefined);
  }

  #start(shape: MapShape, layout: string, models: Models | undefined): void {
    const cells = shape.rows * shape.cols;
    const climatology = createClimatology(cells, models?.climatology);
    // One for both, which never run at once: a process can have no more than some 12,800.
    const arena = arenaFor(wavesBytes(shape) + rollOutBytes(shape));
    this.#shape = shape;
    this.#layout = layout;
    this.#predictors = [
      createPersistence(),
      climatology,
      createSpectral(shape, climatology, models?.spectral, arena),
      createDmd(cells, models?.dmd),
      createStencil(shape, models?.stencil, arena),
    ];
  }

  /** Makes a forecast for each horizon that has none under way. */
  *#issue(map: ForecastMap): Steps<void> {
    const due = [...this.#horizons.entries()].filter(([, horizon]) => horizon.isIdle);
    if (due.length === 0) return;
    const ahead = due.map(([, { windows }]) => windows);
    const range = widened(this.#range, map.cells);
    const members: Float64Array[][] = [];
    for (const at of this.#predictors.keys()) {
      const own = ahead.map(() => new Float64Array(map.cells.length));
      yield* this.#foretell(at, pastOf(this.#past), { ahead, range, conserves: map.conserves }, own);
      members.push(own);
    }
    for (const [nth, [at, horizon]] of due.entries())
      yield* horizon.issue(
        map,
        answerWeights(this.#weights(at)),
        members.map((member) => member[nth]!),
      );
  }

  /** One predictor's maps at the horizons, to `out`, kept within reason and to the total. */
  *#foretell(
    at: number,
    past: Past,
    { ahead, range, conserves }: Bounds,
    out: readonly Float64Array[],
  ): Steps<void> {
    yield* this.#predictors[at]!.predict(past, ahead, out);
    for (const cells of out) {
      restrain(cells, past.now.cells, range);
      if (conserves) keepTotal(cells, past.now);
      yield;
    }
  }
}

function pastOf(past: readonly ForecastMap[]): Past {
  return { now: past[0]!, before: past[1], earlier: past[2] };
}
