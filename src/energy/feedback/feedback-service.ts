/**
 * FeedbackService: reports of what a stream was really like, and its models. Commands are one transaction each; what
 * they do to models and temperatures is put in force by the ingest, with the stream's next batch of windows.
 */
import { type Timestamp, timestampMs } from '@bufbuild/protobuf/wkt';
import type { Bus } from '../../bus/bus.ts';
import type { Clock } from '../../clock.ts';
import { type FieldViolation, fieldError } from '../../errors.ts';
import { Regime } from '../../gen/homeostat/energy/v1/energy_service_pb.ts';
import {
  FeedbackService,
  type ListModelsRequest,
  type ReportOutcomeRequest,
} from '../../gen/homeostat/energy/v1/feedback_service_pb.ts';
import type { StreamRef } from '../../gen/homeostat/type/v1/stream_ref_pb.ts';
import { applyNegativeRule } from '../../numeric/negative-policy.ts';
import { runCommand } from '../../rpc/command.ts';
import { type Handlers, type ServiceBinding, serviceBinding } from '../../rpc/handler.ts';
import type { Store, Tx } from '../../store/store.ts';
import { energyError } from '../errors.ts';
import { findForecast, forecastsOf, scoreForecast } from '../forecast/kept-forecast-store.ts';
import { type GivenMap, readMapInput } from '../map/map-input.ts';
import type { MapStore } from '../map-store.ts';
import { REGIMES } from '../regime/regime.ts';
import { regimeFromProto } from '../regime/regime-message.ts';
import type { StreamName } from '../stream/stream-name.ts';
import { addLabel, readCalibration } from './label-store.ts';
import { isPromotable, PROMOTION_PAIRS } from './model.ts';
import { modelToProto, type StoredModel } from './model-message.ts';
import { changeStage, findModel, listModels, modelIdOf, modelsOnDuty } from './model-store.ts';
import { outcomeOf } from './outcome.ts';
import { recordStageChanged } from './publish.ts';

export interface FeedbackDeps {
  readonly clock: Pick<Clock, 'nowMs'>;
  readonly store: Store;
  readonly bus: Pick<Bus, 'record'>;
  readonly maps: Pick<MapStore, 'find'>;
  /** Throws STREAM_NOT_FOUND for a stream nobody has seen. */
  readonly requireStream: (stream: StreamName) => Promise<unknown>;
  /** Why nothing may be asked now; empty when everything may. */
  readonly unavailable: () => readonly string[];
}

const PAGE_SIZE = 50;

export function createFeedbackService(deps: FeedbackDeps): ServiceBinding {
  const { store, requireStream } = deps;
  const shown = async (stream: StreamName, model: StoredModel) =>
    modelToProto(stream, model, await readCalibration(store, stream));

  const handlers: Handlers<typeof FeedbackService> = {
    async reportOutcome(request, call) {
      const report = await readReport(deps, request);
      return runCommand(deps, call, {
        method: FeedbackService.method.reportOutcome,
        request,
        ...keyed(request),
        resource: () => `stream/${report.stream.domain}/${report.stream.cluster}`,
        work: (tx) => takeReport(deps, tx, report),
      });
    },

    async getModel(request) {
      const stream = streamName(request.stream);
      const { modelVersion } = request;
      await requireStream(stream);
      const models =
        modelVersion === 0
          ? await modelsOnDuty(store, stream)
          : await listModels(store, stream, modelVersion + 1, 1);
      const model = models.find((each) =>
        modelVersion === 0 ? each.stage === 'ACTIVE' : each.modelVersion === modelVersion,
      );
      if (!model) throw energyError('MODEL_NOT_FOUND', { model_id: modelIdOf(stream, modelVersion || 1) });
      return { model: await shown(stream, model) };
    },

    listModels: (request) => listPage(deps, request),

    promoteModel: (request, call) =>
      runCommand(deps, call, {
        method: FeedbackService.method.promoteModel,
        request,
        ...keyed(request),
        resource: (reply) => `model/${reply.model?.modelId ?? ''}`,
        work: async (tx) => ({ model: await promote(deps, tx, request) }),
      }),

    rollbackModel: (request, call) =>
      runCommand(deps, call, {
        method: FeedbackService.method.rollbackModel,
        request,
        ...keyed(request),
        resource: (reply) => `model/${reply.model?.modelId ?? ''}`,
        work: async (tx) => ({ model: await rollBack(deps, tx, request) }),
      }),
  };
  return serviceBinding(FeedbackService, handlers, deps.unavailable);
}

/** A report read: the window it is of, and what is said of it. */
interface Report {
  readonly stream: StreamName;
  /** First instant of the window, ms. */
  readonly startMs: number;
  /** Place of the regime in REGIMES; never WARMING_UP. */
  readonly regime: number | undefined;
  readonly map: GivenMap | undefined;
}

/** FIELD_INVALID, NEGATIVE_ENERGY, STREAM_NOT_FOUND, MAP_NOT_FOUND or SHAPE_MISMATCH, looked at in this order. */
async function readReport(deps: FeedbackDeps, request: ReportOutcomeRequest): Promise<Report> {
  const violations: FieldViolation[] = [];
  const isRegime = request.regime !== Regime.UNSPECIFIED;
  const name = regimeFromProto(request.regime) ?? 'WARMING_UP';
  const regime = REGIMES.indexOf(name);
  if (isRegime && name === 'WARMING_UP')
    violations.push({ field: 'regime', description: 'must be one that is told apart' });
  if (!isRegime && !request.map) violations.push({ field: 'regime', description: 'or map must be set' });
  const map = request.map && readMapInput(request.map, 'map', violations);
  if (violations.length > 0) throw fieldError(energyError.domain, violations);
  if (map) {
    const cell = applyNegativeRule(map.field.cells, map.field.observed, map.negativeRule);
    if (cell !== undefined) throw energyError('NEGATIVE_ENERGY', { cell });
  }
  const stream = streamName(request.stream);
  await deps.requireStream(stream);
  const held = await deps.maps.find(stream, timestampMs(request.at!));
  if (held === undefined) throw energyError('MAP_NOT_FOUND', { ...stream });
  const { rows, cols } = held.grid!;
  if (map && (map.field.rows !== rows || map.field.cols !== cols))
    throw energyError('SHAPE_MISMATCH', {
      before: `${rows}x${cols}`,
      after: `${map.field.rows}x${map.field.cols}`,
    });
  const startMs = timestampMs(held.start!);
  return { stream, startMs, regime: isRegime ? regime : undefined, map };
}

async function takeReport(deps: FeedbackDeps, tx: Tx, { stream, startMs, regime, map }: Report) {
  const calibration =
    regime === undefined ? await readCalibration(tx, stream) : await addLabel(tx, stream, startMs, regime);
  const { brier, error } = calibration;
  return {
    forecasts: map ? await scoreForecasts(deps, tx, { stream, startMs, map }) : [],
    regimeTemperature: calibration.temperature,
    labelCount: BigInt(calibration.labels),
    ...(brier !== undefined && { brier }),
    ...(error !== undefined && { calibrationError: error }),
  };
}

/** Scores every forecast kept of a window, those of another shape left out: the layout was another when it was made. */
async function scoreForecasts(
  deps: FeedbackDeps,
  tx: Tx,
  { stream, startMs, map }: { stream: StreamName; startMs: number; map: GivenMap },
) {
  const { rows, cols, cells, observed = new Uint8Array(cells.length).fill(1) } = map.field;
  const scores = [];
  for (const forecastId of await forecastsOf(tx, stream, startMs)) {
    const forecast = await findForecast(tx, forecastId);
    if (forecast === undefined || forecast.rows !== rows || forecast.cols !== cols) continue;
    const outcome = outcomeOf(forecast, cells, observed);
    if (outcome === undefined) continue;
    await scoreForecast(tx, forecastId, outcome, deps.clock.nowMs());
    const { horizon: horizonWindows, coverage: stated } = forecast;
    scores.push({ forecastId, horizonWindows, ...outcome, stated });
  }
  return scores;
}

async function listPage(deps: FeedbackDeps, request: ListModelsRequest) {
  const stream = streamName(request.stream);
  const token = request.page?.pageToken ?? '';
  if (token !== '' && !/^[1-9]\d{0,8}$/.test(token)) {
    const description = 'is not a token of this service';
    throw fieldError(energyError.domain, [{ field: 'page.page_token', description }]);
  }
  await deps.requireStream(stream);
  const limit = request.page?.pageSize ?? PAGE_SIZE;
  const below = token === '' ? Number.MAX_SAFE_INTEGER : Number(token);
  const held = await listModels(deps.store, stream, below, limit + 1);
  const page = held.slice(0, limit);
  const calibration = await readCalibration(deps.store, stream);
  return {
    models: page.map((model) => modelToProto(stream, model, calibration)),
    nextPageToken: held.length > page.length ? String(page.at(-1)!.modelVersion) : '',
  };
}

interface ModelCommand {
  readonly modelId: string;
  readonly version: bigint;
}

/** MODEL_NOT_FOUND, VERSION_CONFLICT or WRONG_STAGE, looked at in this order. */
async function commandedModel(tx: Tx, { modelId, version }: ModelCommand, needs: StoredModel['stage']) {
  const found = await findModel(tx, modelId);
  if (found === undefined) throw energyError('MODEL_NOT_FOUND', { model_id: modelId });
  const { model } = found;
  if (version !== BigInt(model.version)) throw energyError('VERSION_CONFLICT', { current: model.version });
  if (model.stage !== needs) throw energyError('WRONG_STAGE', { stage: model.stage, needs });
  return { ...found, duty: await modelsOnDuty(tx, found.stream) };
}

async function promote(deps: FeedbackDeps, tx: Tx, command: ModelCommand) {
  const { stream, model, duty } = await commandedModel(tx, command, 'SHADOW');
  const { pairedCount, pBetter } = model.card;
  if (!isPromotable(Number(pairedCount), pBetter))
    throw energyError('EVIDENCE_TOO_WEAK', {
      paired: pairedCount,
      needs: PROMOTION_PAIRS,
      p_value: pBetter ?? 'unknown',
    });
  const active = duty.find(({ stage }) => stage === 'ACTIVE')!;
  const at = active.card.dataRange?.end;
  const tell = teller(deps, tx, stream, at);
  const retired = await changeStage(tx, active, 'RETIRED', true);
  await tell(retired, 'ACTIVE', 'SUPERSEDED');
  return tell(await changeStage(tx, model, 'ACTIVE', true), 'SHADOW', 'COMMANDED');
}

async function rollBack(deps: FeedbackDeps, tx: Tx, command: ModelCommand) {
  const { stream, model, duty } = await commandedModel(tx, command, 'ACTIVE');
  const predecessor = duty.find(({ stage }) => stage === 'RETIRED');
  if (predecessor === undefined)
    throw energyError('WRONG_STAGE', { stage: 'ACTIVE', needs: 'ACTIVE with the one before it kept' });
  const tell = teller(deps, tx, stream, model.card.dataRange?.end);
  await tell(await changeStage(tx, model, 'RETIRED', false), 'ACTIVE', 'COMMANDED');
  return tell(await changeStage(tx, predecessor, 'ACTIVE', true), 'RETIRED', 'COMMANDED');
}

/** Announces a model at its new stage, and gives it as it is told. */
function teller(deps: FeedbackDeps, tx: Tx, stream: StreamName, at: Timestamp | undefined) {
  return async (model: StoredModel, from: StoredModel['stage'], reason: 'SUPERSEDED' | 'COMMANDED') => {
    const told = modelToProto(stream, model, await readCalibration(tx, stream));
    await recordStageChanged(deps.bus, tx, stream, { model: told, from, reason, at });
    return told;
  };
}

/** What the commands have in common. */
function keyed({ idempotencyKey }: { readonly idempotencyKey: string }) {
  return { key: idempotencyKey, reused: () => energyError('IDEMPOTENCY_KEY_REUSED', {}) };
}

function streamName(ref: StreamRef | undefined): StreamName {
  return { domain: ref!.domain, cluster: ref!.cluster };
}
