/**
 * Answers to Predict: a forecast by what was learned of a stream, or by what the maps of the request teach, with its
 * interval, state and regime, and what speaks against acting on it. In slices; cells travel as finite float32.
 */
import type { MessageInitShape } from '@bufbuild/protobuf';
import { fieldError } from '../../errors.ts';
import {
  ForecastBasis,
  type PredictResponseSchema,
} from '../../gen/homeostat/energy/v1/energy_service_pb.ts';
import { type Grid, NegativePolicy } from '../../gen/homeostat/type/v1/grid_pb.ts';
import type { Steps } from '../../numeric/slices.ts';
import { energyError } from '../errors.ts';
import { gridToProto, stateToProto } from '../map/map-message.ts';
import { type MapField, type MapState, stateSteps, type Totals, totalsSteps } from '../map/state.ts';
import { judgeAloneSteps, judgeMapsSteps, type MapTools } from '../regime/judge-maps.ts';
import { observedAs, observeSteps, type RegimeMap } from '../regime/observation.ts';
import type { RegimeJudgement } from '../regime/regime.ts';
import { posteriorToProto, regimeToProto } from '../regime/regime-message.ts';
import type { RegimeTracker } from '../regime/regime-tracker.ts';
import { refusalsOf } from './approval.ts';
import { weightsToProto } from './forecast-message.ts';
import { type Forecast, Forecaster, type ForecastMap, type ForecastWish } from './forecaster.ts';
import { PREDICTORS } from './predictor.ts';
import type { Question } from './question.ts';
import { createScore, skillOf } from './score.ts';
import type { ForecastSettings } from './settings.ts';

export type Answer = MessageInitShape<typeof PredictResponseSchema>;

/** What a stream's forecasts are made from; borrowed. */
export interface LearnedStream {
  readonly forecaster: Forecaster;
  readonly modelVersion: number;
  readonly settings: ForecastSettings;
  readonly regime: RegimeTracker;
}

/** A question, and what the states of its answer are computed with. */
export interface AskedQuestion extends Question {
  readonly tools: MapTools;
}

/** Scored forecasts an interval is called calibrated from. */
const CALIBRATED_MIN = 8;
const FLOAT32_MAX = 3.4028234663852886e38;

/** A forecast by what was learned of a stream. */
export function* streamSteps(
  question: AskedQuestion,
  { forecaster, modelVersion, settings, regime }: LearnedStream,
  latest: ForecastMap,
): Steps<Answer> {
  const { map, history, dtSeconds } = question;
  const { conserves, seasonality = 'HOUR_OF_DAY' } = settings;
  const widthMs = latest.endMs - latest.startMs;
  if (dtSeconds !== undefined && dtSeconds * 1000 !== widthMs)
    throw invalid('dt_seconds', `must be the stream's window, ${widthMs / 1000}`);
  const given: ForecastMap[] = [];
  if (map) {
    if (map.field.rows !== latest.rows || map.field.cols !== latest.cols) {
      throw energyError('SHAPE_MISMATCH', {
        before: `${latest.rows}x${latest.cols}`,
        after: `${map.field.rows}x${map.field.cols}`,
      });
    }
    const next = (nth: number, cells: Float64Array, observed: Uint8Array | undefined): ForecastMap => ({
      ...latest,
      conserves,
      seasonality,
      startMs: latest.startMs + nth * widthMs,
      endMs: latest.endMs + nth * widthMs,
      cells,
      observed: observed ?? new Uint8Array(cells.length).fill(1),
    });
    given.push(next(history.length + 1, map.field.cells, map.field.observed));
    for (let at = history.length; at > 0; at--) given.push(next(at, history[at - 1]!, undefined));
  }
  const forecast = (yield* forecaster.predict(wishOf(question), given))!;
  const start = given[0] ?? latest;
  const next: RegimeMap[] = [];
  for (const each of given.toReversed()) {
    const observed = each === start ? map!.field.observed : undefined;
    next.push(yield* observeSteps({ ...each, observed }, each, question.tools.plans));
  }
  return yield* answerSteps(question, {
    modelVersion,
    forecast,
    start,
    state: yield* lastStateSteps(question, start, forecast),
    dtSeconds: widthMs / 1000,
    basis: ForecastBasis.STREAM,
    learned: forecaster.windows,
    startTotals: next.at(-1),
    judged: next.length > 0 ? yield* regime.judge(next) : regime.latest,
  });
}

/** A forecast by what the maps of the request teach. */
export function* givenSteps(question: AskedQuestion): Steps<Answer> {
  const { history, options } = question;
  const map = question.map!;
  const dtSeconds = question.dtSeconds ?? 1;
  const widthMs = 1000 * dtSeconds;
  const observed = map.field.observed ?? new Uint8Array(map.cells.length).fill(1);
  const mapOf = (at: number, cells: Float64Array): ForecastMap => ({
    layout: '',
    conserves: false,
    startMs: at * widthMs,
    // The next start to the bit, whatever the width.
    endMs: (at + 1) * widthMs,
    ...map.field,
    cells,
    observed,
  });
  const start = mapOf(history.length, map.field.cells);
  if (history.length === 0) {
    const forecast: Forecast = {
      path: new Array<Float64Array>(options.steps).fill(start.cells),
      halfWidth: undefined,
      weights: PREDICTORS.map((kind) => (kind === 'PERSISTENCE' ? 1 : 0)),
      score: createScore(),
      covered: undefined,
    };
    const state = yield* lastStateSteps(question, start, forecast);
    // The forecast is the map itself, so its state is that of the map to be judged.
    const net = state.totals.net / map.field.cellArea;
    const seen = observedAs(start, start, { ...state, totals: { ...state.totals, net } });
    const judged = yield* judgeAloneSteps(seen, question.tools);
    const basis = ForecastBasis.PERSISTENCE_ONLY;
    return yield* answerSteps(question, {
      modelVersion: 0,
      forecast,
      start,
      state,
      dtSeconds,
      basis,
      judged,
      learned: 0,
    });
  }
  const forecaster = new Forecaster();
  for (const [at, cells] of history.entries()) yield* forecaster.fold(mapOf(at, cells));
  yield* forecaster.fold(start);
  const forecast = (yield* forecaster.predict(wishOf(question)))!;
  const series = [...history.map((cells) => ({ ...start, cells })), start];
  return yield* answerSteps(question, {
    modelVersion: 0,
    forecast,
    start,
    state: yield* lastStateSteps(question, start, forecast),
    dtSeconds,
    basis: ForecastBasis.HISTORY,
    learned: forecaster.windows,
    judged: yield* judgeMapsSteps(series, question.tools),
  });
}

interface Foretold {
  /** Of the stream's model, from 1; 0 without a stream. */
  readonly modelVersion: number;
  readonly forecast: Forecast;
  readonly start: ForecastMap;
  /** Of the last map foretold. */
  readonly state: MapState;
  readonly dtSeconds: number;
  readonly basis: ForecastBasis;
  readonly learned: number;
  readonly judged: RegimeJudgement;
  /** What is known of `start` already. */
  readonly startTotals?: Pick<Totals, 'spatialEntropy'> | undefined;
}

/** The state of the last map foretold, whose cells are held to finite float32 before. */
function* lastStateSteps(question: AskedQuestion, start: ForecastMap, { path }: Forecast): Steps<MapState> {
  const cells = holdCells(path.at(-1)!);
  const options = { temperature: 1, scheme: 'SOBEL', bins: 64, edges: undefined } as const;
  return yield* stateSteps({ ...fieldOf(question, start), cells }, options, question.tools.plans);
}

/** A map with what its request says of its cells. */
function fieldOf({ map }: Question, start: ForecastMap): MapField {
  // A mask of ones takes as long as one that hides cells, so what the request has is better than what was made of it.
  const { rows, cols, boundary, cells } = start;
  const { observed, cellArea, spacing } = map?.field ?? { observed: start.observed, cellArea: 1, spacing: 1 };
  return { rows, cols, boundary, cells, observed, cellArea, spacing };
}

function* answerSteps(question: AskedQuestion, answer: Foretold): Steps<Answer> {
  const { request, map, options } = question;
  const { forecast, start, state, basis, learned } = answer;
  const { score, halfWidth, path } = forecast;
  const cells = path.at(-1)!;
  const { rows, cols } = start;
  const encoding = map?.encoding ?? 'VALUES';
  const grid = (values: Float32Array) => gridToProto(values, rows, cols, encoding);
  const before =
    answer.startTotals ??
    (cells === start.cells
      ? state.totals
      : yield* totalsSteps(fieldOf(question, start), question.tools.plans));
  const told = stateToProto(state, request.entropyUnit, NegativePolicy.SIGNED);
  const after = state.totals.spatialEntropy;
  const perUnit = after ? (told.spatialEntropy ?? 0) / after : 1;
  const trajectory: Grid[] = [];
  for (const each of request.returnTrajectory ? path.slice(0, -1) : []) {
    trajectory.push(grid(new Float32Array(holdCells(each))));
    yield;
  }
  const mixture = PREDICTORS.length;
  const skill = skillOf(score, mixture);
  const isBounded = halfWidth !== undefined;
  const refusals = refusalsOf({
    basis,
    score,
    skill,
    posterior: answer.judged.posterior,
    coverage: options.coverage,
    covered: isBounded ? forecast.covered : undefined,
  });
  return {
    modelVersion: answer.modelVersion,
    prediction: grid(new Float32Array(cells)),
    lower: grid(boundOf(cells, halfWidth, -1)),
    upper: grid(boundOf(cells, halfWidth, 1)),
    calibrated: isBounded && options.allowed === undefined && score.count >= CALIBRATED_MIN,
    confidence: score.count > 0 ? Math.max(0, 1 - score.vrmse[mixture]!) : 0,
    ...(score.count > 0 && { expectedVrmse: score.vrmse[mixture]!, skill }),
    scoredCount: BigInt(score.count),
    learnedCount: BigInt(learned),
    basis,
    weights: weightsToProto(forecast.weights),
    state: told,
    ...(before.spatialEntropy !== undefined &&
      after !== undefined && {
        entropyRatePerSecond:
          ((after - before.spatialEntropy) * perUnit) / (options.steps * answer.dtSeconds),
      }),
    trajectory,
    regime: regimeToProto(answer.judged.label),
    posterior: posteriorToProto(answer.judged.posterior),
    approved: refusals.length === 0,
    refusals,
  };
}

function wishOf({ options, request }: Question): ForecastWish {
  return { wholePath: request.returnTrajectory, ...options };
}

function invalid(field: string, description: string) {
  return fieldError(energyError.domain, [{ field, description }]);
}

/** Holds cells to what a float32 can be, in place. */
function holdCells(cells: Float64Array): Float64Array {
  for (let at = 0; at < cells.length; at++)
    if (Math.abs(cells[at]!) > FLOAT32_MAX) cells[at] = held(cells[at]!);
  return cells;
}

/** A finite float32, or the nearest one. */
function held(value: number): number {
  return Math.abs(value) > FLOAT32_MAX ? Math.sign(value) * FLOAT32_MAX : value;
}

/** Cells one half width away, below (-1) or above (1); the least or greatest float32 where nothing bounds them. */
function boundOf(cells: Float64Array, halfWidth: Float64Array | undefined, side: -1 | 1): Float32Array {
  const out = new Float32Array(cells.length);
  if (halfWidth === undefined) return out.fill(side * FLOAT32_MAX);
  for (let at = 0; at < out.length; at++) out[at] = held(cells[at]! + side * halfWidth[at]!);
  return out;
}
