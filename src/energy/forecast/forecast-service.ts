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
  type PredictResponseSchema,
} from '../../gen/homeostat/energy/v1/energy_service_pb.ts';
import type { Grid } from '../../gen/homeostat/type/v1/grid_pb.ts';
import { NegativePolicy } from '../../gen/homeostat/type/v1/grid_pb.ts';
import type { StreamRef } from '../../gen/homeostat/type/v1/stream_ref_pb.ts';
import { runInSlices, type Steps } from '../../numeric/slices.ts';
import type { Call, Handlers } from '../../rpc/handler.ts';
import type { Store } from '../../store/store.ts';
import { energyError } from '../errors.ts';
import { forecastIdOf, keepForecast } from '../feedback/kept-forecast-store.ts';
import type { GridEncoding } from '../map/map-input.ts';
import { gridCells, gridToProto, type StreamName, stateToProto, streamKey } from '../map/map-message.ts';
import { applyNegativeRule } from '../map/negative-policy.ts';
import { stateSteps, totalsSteps } from '../map/state.ts';
import { createStatePlans } from '../map/state-plan.ts';
import { createMapTools, judgeMapsSteps, type MapTools } from '../regime/judge-maps.ts';
import { observeSteps, type RegimeMap } from '../regime/observation.ts';
import type { RegimeJudgement } from '../regime/regime.ts';
import { posteriorToProto, regimeToProto } from '../regime/regime-message.ts';
import type { RegimeTracker } from '../regime/regime-tracker.ts';
import { refusalsOf } from './approval.ts';
import { standingToProto, weightsToProto } from './forecast-message.ts';
import type { ForecastSettings } from './forecast-store.ts';
import { type Forecast, Forecaster, type ForecastMap, horizonAt } from './forecaster.ts';
import { PREDICTORS } from './predictor.ts';
import { type Question, readQuestion, refuseLargeReply } from './question.ts';
import { createScore, highVrmse, skillOf } from './score.ts';

export interface ForecastDeps {
  readonly clock: Clock;
  /** Where answers from a stream's latest map are kept. */
  readonly store: Store;
  /** Longest time one computation holds the event loop, ms. */
  readonly sliceMs: number;
  /** Largest reply, bytes. */
  readonly sendBytesMax: number;
  /** Throws STREAM_NOT_FOUND for a stream nobody has seen. */
  readonly requireStream: (stream: StreamName) => Promise<unknown>;
  /** Does work with what was learned of a stream, while no batch changes it. */
  readonly withStream: <Result>(
    stream: StreamName,
    work: (live: LearnedStream) => Promise<Result>,
  ) => Promise<Result>;
}

/** What a stream's forecasts are made from; borrowed. */
interface LearnedStream {
  readonly forecaster: Forecaster;
  readonly modelVersion: number;
  readonly settings: ForecastSettings;
  readonly regime: RegimeTracker;
}

/** Scored forecasts an interval is called calibrated from. */
const CALIBRATED_MIN = 8;
const FLOAT32_MAX = 3.4028234663852886e38;

type Response = MessageInitShape<typeof PredictResponseSchema>;

/** Plans for the states of forecasts, held between calls: 40 bytes a cell each. */
const PLANS_KEPT = 4;

/** A question, and what the states of its answer are computed with. */
interface AskedQuestion extends Question {
  readonly tools: MapTools;
}

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
  const tools = createMapTools(createStatePlans(PLANS_KEPT));
  const requireStream = rememberingStreams(deps.requireStream);
  return {
    predict: (request, call) =>
      predict({ ...deps, requireStream }, answered, { ...readQuestion(request), tools }, call),
    async listPredictors(request) {
      const stream = streamName(request.stream!);
      await deps.requireStream(stream);
      return deps.withStream(stream, async ({ forecaster }) => {
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

/** A stream once seen is never unseen, so it is looked up in SQL but once. */
function rememberingStreams(requireStream: ForecastDeps['requireStream']): ForecastDeps['requireStream'] {
  const seen = new Set<string>();
  return async (stream) => {
    const key = streamKey(stream);
    if (seen.has(key)) return;
    await requireStream(stream);
    seen.add(key);
  };
}

/** VRMSE that 95 % of a stream's last 64 forecasts so far ahead stayed within; undefined where too few are known. */
export function highVrmseOf(
  { withStream }: Pick<ForecastDeps, 'withStream'>,
  stream: StreamName,
  horizon: number,
): Promise<number | undefined> {
  return withStream(stream, async ({ forecaster }) =>
    highVrmse(forecaster.standings()[horizonAt(horizon)]!.score),
  );
}

async function predict(
  deps: ForecastDeps,
  answered: WeakMap<Forecaster, Answers>,
  question: AskedQuestion,
  call: Call,
): Promise<Response> {
  const { map, request } = question;
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
  return deps.withStream(stream, async (learned) => {
    const { forecaster } = learned;
    const { latest } = forecaster;
    if (latest === undefined) throw energyError('MAP_NOT_FOUND', { ...stream });
    refuseLargeReply(request, question.options.steps, latest.cells.length, deps.sendBytesMax);
    const answer = () => run(streamSteps(question, learned, latest));
    return map ? answer() : keptAnswer(deps, answered, { stream, learned, latest, question }, answer);
  });
}

/** A question about a stream's latest map. */
interface Asked {
  readonly stream: StreamName;
  readonly learned: LearnedStream;
  readonly latest: ForecastMap;
  readonly question: Question;
}

/** The answer kept of the same question about the same map, or a new one, whose forecast is in SQL before it is told. */
async function keptAnswer(
  deps: ForecastDeps,
  answered: WeakMap<Forecaster, Answers>,
  asked: Asked,
  answer: () => Promise<Response>,
): Promise<Response> {
  const { latest, learned } = asked;
  const { options, dtSeconds, request } = asked.question;
  let answers = answered.get(learned.forecaster);
  if (answers?.latest !== latest) answers = { latest, byQuestion: new Map() };
  answered.set(learned.forecaster, answers);
  const key = JSON.stringify([options, dtSeconds, request.returnTrajectory, request.entropyUnit]);
  const kept = answers.byQuestion.get(key);
  if (kept !== undefined) return kept;
  const made = await answer();
  const named = { ...made, forecastId: await keep(deps, asked, made) };
  if (answers.byQuestion.size < ANSWERS_MAX) answers.byQuestion.set(key, named);
  return named;
}

/** Keeps the forecast of an answer, and names it. */
async function keep(deps: ForecastDeps, asked: Asked, made: Response): Promise<string> {
  const { stream, learned, latest } = asked;
  const { options } = asked.question;
  const { steps, coverage } = options;
  const forecastId = forecastIdOf(stream, latest.startMs, learned.modelVersion, JSON.stringify(options));
  const aheadMs = (steps - 1) * (latest.endMs - latest.startMs);
  const forecast = {
    forecastId,
    stream,
    modelVersion: learned.modelVersion,
    horizon: steps,
    coverage,
    targetStartMs: latest.endMs + aheadMs,
    targetEndMs: 2 * latest.endMs - latest.startMs + aheadMs,
    rows: latest.rows,
    cols: latest.cols,
    prediction: gridCells(made.prediction as Grid),
    lower: gridCells(made.lower as Grid),
    upper: gridCells(made.upper as Grid),
  };
  await keepForecast(deps.store, forecast, deps.clock.nowMs());
  return forecastId;
}

/** A forecast by what was learned of a stream. */
function* streamSteps(
  question: AskedQuestion,
  { forecaster, modelVersion, settings: { conserves }, regime }: LearnedStream,
  latest: ForecastMap,
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
  const next: RegimeMap[] = [];
  for (const each of given.toReversed())
    next.push(yield* observeSteps({ ...each, cellArea: 1, spacing: 1 }, each, question.tools.plans));
  const answer = yield* answerSteps(question, {
    forecast: forecast!,
    start,
    dtSeconds: widthMs / 1000,
    basis: ForecastBasis.STREAM,
    learned: forecaster.windows,
    covered: coveredAt(forecaster, question),
    judged: next.length > 0 ? yield* regime.judge(next) : regime.latest,
  });
  return { ...answer, modelVersion };
}

/** A forecast by what the maps of the request teach. */
function* givenSteps(question: AskedQuestion): Steps<Response> {
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
    const judged = yield* judgeMapsSteps([start], start.boundary, question.tools);
    const basis = ForecastBasis.PERSISTENCE_ONLY;
    const nothing = { learned: 0, covered: undefined };
    return yield* answerSteps(question, { forecast, start, dtSeconds, basis, judged, ...nothing });
  }
  const forecaster = new Forecaster();
  for (const [at, cells] of history.entries()) yield* forecaster.fold(mapOf(at, cells));
  yield* forecaster.fold(start);
  const forecast = (yield* forecaster.predict(options))!;
  const series = [...history.map((cells) => ({ ...start, cells })), start];
  return yield* answerSteps(question, {
    forecast,
    start,
    dtSeconds,
    basis: ForecastBasis.HISTORY,
    learned: forecaster.windows,
    covered: coveredAt(forecaster, question),
    judged: yield* judgeMapsSteps(series, start.boundary, question.tools),
  });
}

interface Answer {
  readonly forecast: Forecast;
  readonly start: ForecastMap;
  readonly dtSeconds: number;
  readonly basis: ForecastBasis;
  readonly learned: number;
  /** Share of cells inside intervals of each followed coverage; undefined while none was judged. */
  readonly covered: readonly number[] | undefined;
  readonly judged: RegimeJudgement;
}

/** What intervals of the horizon asked for have held. */
function coveredAt(forecaster: Forecaster, { options }: Question): readonly number[] | undefined {
  return forecaster.standings()[horizonAt(options.steps)]!.covered;
}

function* answerSteps(question: AskedQuestion, answer: Answer): Steps<Response> {
  const { request, map, options } = question;
  const { plans } = question.tools;
  const { forecast, start, basis, learned } = answer;
  const { score, halfWidth, path } = forecast;
  const cells = new Float64Array(path.at(-1)!);
  for (let at = 0; at < cells.length; at++) cells[at] = held(cells[at]!);
  const encoding: GridEncoding = map?.encoding ?? 'VALUES';
  /** The cells, `side` half widths away. */
  const grid = (values: Float64Array, side = 0): Grid => {
    const out = new Float32Array(values.length);
    for (let at = 0; at < out.length; at++)
      out[at] = held(side === 0 ? values[at]! : values[at]! + side * halfWidth[at]!);
    return gridToProto(out, start.rows, start.cols, encoding);
  };
  const { cellArea, spacing } = map?.field ?? { cellArea: 1, spacing: 1 };
  const field = { ...start, cellArea, spacing, cells };
  const state = yield* stateSteps(
    field,
    { temperature: 1, scheme: 'SOBEL', bins: 64, edges: undefined },
    plans,
  );
  const before = (yield* totalsSteps({ ...field, cells: start.cells }, plans)).spatialEntropy;
  const told = stateToProto(state, request.entropyUnit, NegativePolicy.SIGNED);
  const after = state.totals.spatialEntropy;
  const perUnit = after ? (told.spatialEntropy ?? 0) / after : 1;
  const mixture = PREDICTORS.length;
  const skill = skillOf(score, mixture);
  const refusals = refusalsOf({
    basis,
    score,
    skill,
    posterior: answer.judged.posterior,
    coverage: options.coverage,
    covered: answer.covered,
  });
  return {
    prediction: grid(cells),
    lower: grid(cells, -1),
    upper: grid(cells, 1),
    calibrated: options.allowed === undefined && score.count >= CALIBRATED_MIN,
    confidence: score.count > 0 ? Math.max(0, 1 - score.vrmse[mixture]!) : 0,
    ...(score.count > 0 && { expectedVrmse: score.vrmse[mixture]!, skill }),
    scoredCount: BigInt(score.count),
    learnedCount: BigInt(learned),
    basis,
    weights: weightsToProto(forecast.weights),
    state: told,
    ...(before !== undefined &&
      after !== undefined && {
        entropyRatePerSecond: ((after - before) * perUnit) / (options.steps * answer.dtSeconds),
      }),
    trajectory: request.returnTrajectory ? path.slice(0, -1).map((each) => grid(each)) : [],
    regime: regimeToProto(answer.judged.label),
    posterior: posteriorToProto(answer.judged.posterior),
    approved: refusals.length === 0,
    refusals,
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
