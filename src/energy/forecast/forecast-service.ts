/**
 * Predict and ListPredictors: requests in, forecasts and standings out. A stream's forecaster is borrowed while no batch
 * changes it; maps handed in are learned by one of their own, in slices. A map alone persists.
 */
import type { MessageInitShape } from '@bufbuild/protobuf';
import type { Clock } from '../../clock.ts';
import { fieldError } from '../../errors.ts';
import {
  type EnergyService,
  ForecastBasis,
  type PredictRequest,
  type PredictResponseSchema,
} from '../../gen/homeostat/energy/v1/energy_service_pb.ts';
import type { Grid } from '../../gen/homeostat/type/v1/grid_pb.ts';
import { NegativePolicy } from '../../gen/homeostat/type/v1/grid_pb.ts';
import type { StreamRef } from '../../gen/homeostat/type/v1/stream_ref_pb.ts';
import { runInSlices, type Steps } from '../../numeric/slices.ts';
import type { Call, Handlers } from '../../rpc/handler.ts';
import { energyError } from '../errors.ts';
import type { GridEncoding } from '../map/map-input.ts';
import { gridToProto, type StreamName, stateToProto } from '../map/map-message.ts';
import { applyNegativeRule } from '../map/negative-policy.ts';
import { stateSteps, totalsSteps } from '../map/state.ts';
import { standingToProto, weightsToProto } from './forecast-message.ts';
import type { ForecastSettings } from './forecast-store.ts';
import { type Forecast, Forecaster, type ForecastMap } from './forecaster.ts';
import { PREDICTORS } from './predictor.ts';
import { type Question, readQuestion, refuseLargeReply } from './question.ts';
import { createScore, skillOf } from './score.ts';

export interface ForecastDeps {
  readonly clock: Clock;
  /** Longest time one computation holds the event loop, ms. */
  readonly sliceMs: number;
  /** Largest reply, bytes. */
  readonly sendBytesMax: number;
  /** Throws STREAM_NOT_FOUND for a stream nobody has seen. */
  readonly requireStream: (stream: StreamName) => Promise<unknown>;
  /** Does work with what forecasts learned of a stream, while no batch changes it. */
  readonly withForecaster: <Result>(
    stream: StreamName,
    work: (live: { readonly forecaster: Forecaster; readonly settings: ForecastSettings }) => Promise<Result>,
  ) => Promise<Result>;
}

/** Scored forecasts an interval is called calibrated from. */
const CALIBRATED_MIN = 8;
const FLOAT32_MAX = 3.4028234663852886e38;

type Response = MessageInitShape<typeof PredictResponseSchema>;

/** Answers kept of one stream between two of its maps. */
const ANSWERS_MAX = 16;

/** Answers from a stream's latest map, the same until its next one. */
interface Answers {
  readonly latest: ForecastMap;
  readonly byQuestion: Map<string, Response>;
}

export function createForecastHandlers(
  deps: ForecastDeps,
): Pick<Handlers<typeof EnergyService>, 'predict' | 'listPredictors'> {
  const answered = new WeakMap<Forecaster, Answers>();
  return {
    predict: (request, call) => predict(deps, answered, request, call),
    async listPredictors(request) {
      const stream = streamName(request.stream!);
      await deps.requireStream(stream);
      return deps.withForecaster(stream, async ({ forecaster }) => {
        const standings = forecaster.standings();
        return {
          learnedCount: BigInt(forecaster.windows),
          horizons: standings.map(({ horizon, score, weights, covered }) =>
            standingToProto(horizon, score, weights, covered),
          ),
        };
      });
    },
  };
}

async function predict(
  deps: ForecastDeps,
  answered: WeakMap<Forecaster, Answers>,
  request: PredictRequest,
  call: Call,
): Promise<Response> {
  const question = readQuestion(request);
  const { map } = question;
  const run = <Result>(steps: Steps<Result>) =>
    runInSlices(steps, { clock: deps.clock, sliceMs: deps.sliceMs, signal: call.signal });
  if (map) {
    refuseLargeReply(request, question.options.steps, map.cells.length, deps.sendBytesMax);
    const cell = applyNegativeRule(map.field.cells, map.field.observed, map.negativeRule);
    if (cell !== undefined) throw energyError('NEGATIVE_ENERGY', { cell });
  }
  if (request.stream === undefined) return run(givenSteps(question));

  const stream = streamName(request.stream);
  await deps.requireStream(stream);
  return deps.withForecaster(stream, async ({ forecaster, settings }) => {
    const { latest } = forecaster;
    if (latest === undefined) throw energyError('MAP_NOT_FOUND', { ...stream });
    refuseLargeReply(request, question.options.steps, latest.cells.length, deps.sendBytesMax);
    const answer = () => run(streamSteps(question, forecaster, latest, settings));
    return map ? answer() : keptAnswer(answered, forecaster, latest, question, answer);
  });
}

/** The answer kept of the same question about the same map, or a new one. */
async function keptAnswer(
  answered: WeakMap<Forecaster, Answers>,
  forecaster: Forecaster,
  latest: ForecastMap,
  { options, dtSeconds, request }: Question,
  answer: () => Promise<Response>,
): Promise<Response> {
  let answers = answered.get(forecaster);
  if (answers?.latest !== latest) answers = { latest, byQuestion: new Map() };
  answered.set(forecaster, answers);
  const key = JSON.stringify([options, dtSeconds, request.returnTrajectory, request.entropyUnit]);
  const kept = answers.byQuestion.get(key);
  if (kept !== undefined) return kept;
  const made = await answer();
  if (answers.byQuestion.size < ANSWERS_MAX) answers.byQuestion.set(key, made);
  return made;
}

/** A forecast by what was learned of a stream. */
function* streamSteps(
  question: Question,
  forecaster: Forecaster,
  latest: ForecastMap,
  { conserves }: ForecastSettings,
): Steps<Response> {
  const { map, history, dtSeconds } = question;
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
      startMs: latest.startMs + nth * widthMs,
      endMs: latest.endMs + nth * widthMs,
      cells,
      observed: observed ?? new Uint8Array(cells.length).fill(1),
    });
    given.push(next(history.length + 1, map.field.cells, map.field.observed));
    for (let at = history.length; at > 0; at--) given.push(next(at, history[at - 1]!, undefined));
  }
  const forecast = yield* forecaster.predict(question.options, given);
  const start = given[0] ?? latest;
  return yield* answerSteps(question, {
    forecast: forecast!,
    start,
    dtSeconds: widthMs / 1000,
    basis: ForecastBasis.STREAM,
    learned: forecaster.windows,
  });
}

/** A forecast by what the maps of the request teach. */
function* givenSteps(question: Question): Steps<Response> {
  const { history, options } = question;
  const map = question.map!;
  const dtSeconds = question.dtSeconds ?? 1;
  const widthMs = 1000 * dtSeconds;
  const observed = map.field.observed ?? new Uint8Array(map.cells.length).fill(1);
  const mapOf = (at: number, cells: Float64Array): ForecastMap => ({
    ...map.field,
    layout: '',
    conserves: false,
    startMs: at * widthMs,
    // The next start to the bit, whatever the width.
    endMs: (at + 1) * widthMs,
    cells,
    observed,
  });
  const start = mapOf(history.length, map.field.cells);
  if (history.length === 0) {
    const forecast: Forecast = {
      path: Array.from({ length: options.steps }, () => start.cells.slice()),
      halfWidth: new Float64Array(start.cells.length).fill(Number.POSITIVE_INFINITY),
      weights: PREDICTORS.map((kind) => (kind === 'PERSISTENCE' ? 1 : 0)),
      score: createScore(),
    };
    const basis = ForecastBasis.PERSISTENCE_ONLY;
    return yield* answerSteps(question, { forecast, start, dtSeconds, basis, learned: 0 });
  }
  const forecaster = new Forecaster();
  for (const [at, cells] of history.entries()) yield* forecaster.fold(mapOf(at, cells));
  yield* forecaster.fold(start);
  const forecast = (yield* forecaster.predict(options))!;
  const learned = forecaster.windows;
  return yield* answerSteps(question, {
    forecast,
    start,
    dtSeconds,
    basis: ForecastBasis.HISTORY,
    learned,
  });
}

interface Answer {
  readonly forecast: Forecast;
  readonly start: ForecastMap;
  readonly dtSeconds: number;
  readonly basis: ForecastBasis;
  readonly learned: number;
}

function* answerSteps(question: Question, answer: Answer): Steps<Response> {
  const { request, map, options } = question;
  const { forecast, start, basis, learned } = answer;
  const { score, halfWidth, path } = forecast;
  const cells = path.at(-1)!.map(held);
  const encoding: GridEncoding = map?.encoding ?? 'VALUES';
  const grid = (values: Float64Array): Grid =>
    gridToProto(values.map(held), start.rows, start.cols, encoding);
  const { cellArea, spacing } = map?.field ?? { cellArea: 1, spacing: 1 };
  const field = { ...start, cellArea, spacing, cells };
  const { state } = yield* stateSteps(field, { temperature: 1, scheme: 'SOBEL', bins: 64, edges: undefined });
  const before = (yield* totalsSteps({ ...field, cells: start.cells })).spatialEntropy;
  const told = stateToProto(state, request.entropyUnit, NegativePolicy.SIGNED);
  const after = state.totals.spatialEntropy;
  const perUnit = after ? (told.spatialEntropy ?? 0) / after : 1;
  const mixture = PREDICTORS.length;
  return {
    prediction: grid(cells),
    lower: grid(cells.map((value, at) => value - halfWidth[at]!)),
    upper: grid(cells.map((value, at) => value + halfWidth[at]!)),
    calibrated: options.allowed === undefined && score.count >= CALIBRATED_MIN,
    confidence: score.count > 0 ? Math.max(0, 1 - score.vrmse[mixture]!) : 0,
    ...(score.count > 0 && { expectedVrmse: score.vrmse[mixture]!, skill: skillOf(score, mixture) }),
    scoredCount: BigInt(score.count),
    learnedCount: BigInt(learned),
    basis,
    weights: weightsToProto(forecast.weights),
    state: told,
    ...(before !== undefined &&
      after !== undefined && {
        entropyRatePerSecond: ((after - before) * perUnit) / (options.steps * answer.dtSeconds),
      }),
    trajectory: request.returnTrajectory ? path.slice(0, -1).map(grid) : [],
  };
}

function invalid(field: string, description: string) {
  return fieldError(energyError.domain, [{ field, description }]);
}

function streamName({ domain, cluster }: StreamRef): StreamName {
  return { domain, cluster };
}

/** The number as a finite float32. */
function held(value: number): number {
  return Math.max(-FLOAT32_MAX, Math.min(FLOAT32_MAX, value));
}
