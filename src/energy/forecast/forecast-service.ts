/**
 * Predict and ListPredictors: requests in, forecasts and standings out. A stream's forecaster is borrowed while no batch
 * changes it; maps handed in are learned by one of their own, in slices. A map alone persists.
 */
import type { Clock } from '../../clock.ts';
import type { EnergyService } from '../../gen/homeostat/energy/v1/energy_service_pb.ts';
import type { Grid } from '../../gen/homeostat/type/v1/grid_pb.ts';
import type { StreamRef } from '../../gen/homeostat/type/v1/stream_ref_pb.ts';
import { applyNegativeRule } from '../../numeric/negative-policy.ts';
import { runInSlices, type Steps } from '../../numeric/slices.ts';
import type { Call, Handlers } from '../../rpc/handler.ts';
import type { Store } from '../../store/store.ts';
import { energyError } from '../errors.ts';
import { gridCells } from '../map/map-message.ts';
import { createStatePlans } from '../map/state-plan.ts';
import { createMapTools } from '../regime/judge-maps.ts';
import { type StreamName, streamKey } from '../stream/stream-name.ts';
import { type Answer, type AskedQuestion, givenSteps, type LearnedStream, streamSteps } from './answer.ts';
import { standingToProto } from './forecast-message.ts';
import type { Forecaster, ForecastMap } from './forecaster.ts';
import { forecastIdOf, keepForecast } from './kept-forecast-store.ts';
import { type Question, readQuestion, refuseLargeAnswer } from './question.ts';
import { highVrmse } from './score.ts';

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

/** Plans for the states of forecasts, held between calls: 40 bytes a cell each. */
const PLANS_KEPT = 4;

/** Answers kept of one stream between two of its maps. */
const ANSWERS_MAX = 16;

/** Answers from a stream's latest map, the same until its next one. */
interface Answers {
  readonly latest: ForecastMap;
  readonly byQuestion: Map<string, Answer>;
}

export function createForecastHandlers(
  deps: ForecastDeps,
): Pick<Handlers<typeof EnergyService>, 'predict' | 'listPredictors'> {
  const answered = new WeakMap<Forecaster, Answers>();
  const tools = createMapTools(createStatePlans(PLANS_KEPT));
  const remembering = { ...deps, requireStream: rememberingStreams(deps.requireStream) };
  return {
    predict: (request, call) => predict(remembering, answered, { tools, ...readQuestion(request) }, call),
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
  return withStream(stream, async ({ forecaster }) => highVrmse(forecaster.standing(horizon).score));
}

async function predict(
  deps: ForecastDeps,
  answered: WeakMap<Forecaster, Answers>,
  question: AskedQuestion,
  call: Call,
): Promise<Answer> {
  const { map, request } = question;
  const run = <Result>(steps: Steps<Result>) =>
    runInSlices(steps, { clock: deps.clock, sliceMs: deps.sliceMs, signal: call });
  if (map) {
    refuseLargeAnswer(request, question.options.steps, map.cells.length, deps.sendBytesMax);
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
    refuseLargeAnswer(request, question.options.steps, latest.cells.length, deps.sendBytesMax);
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
  answer: () => Promise<Answer>,
): Promise<Answer> {
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
async function keep(deps: ForecastDeps, asked: Asked, made: Answer): Promise<string> {
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

function streamName({ domain, cluster }: StreamRef): StreamName {
  return { domain, cluster };
}
