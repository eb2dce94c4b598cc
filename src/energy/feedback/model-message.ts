/** Models and what is known of them, in the words of the contract. */
import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { timestampFromMs } from '@bufbuild/protobuf/wkt';
import {
  type ModelCard as CardMessage,
  type Model,
  type ModelCardSchema,
  ModelSchema,
  ModelStage as Stage,
  ModelStageReason as StageReasonMessage,
} from '../../gen/homeostat/energy/v1/feedback_service_pb.ts';
import { COVERAGES } from '../forecast/interval.ts';
import type { StreamName } from '../stream/stream-name.ts';
import type { ModelStage, StageReason } from './model.ts';
import type { ModelCard } from './stream-models.ts';

const STAGES: Readonly<Record<ModelStage, Stage>> = {
  SHADOW: Stage.SHADOW,
  ACTIVE: Stage.ACTIVE,
  RETIRED: Stage.RETIRED,
};

const REASONS: Readonly<Record<StageReason, StageReasonMessage>> = {
  STARTED: StageReasonMessage.STARTED,
  BETTER: StageReasonMessage.BETTER,
  WORSE: StageReasonMessage.WORSE,
  DRIFT: StageReasonMessage.DRIFT,
  NOT_BETTER: StageReasonMessage.NOT_BETTER,
  COMMANDED: StageReasonMessage.COMMANDED,
  SUPERSEDED: StageReasonMessage.SUPERSEDED,
};

export function stageToProto(stage: ModelStage | undefined): Stage {
  return stage === undefined ? Stage.UNSPECIFIED : STAGES[stage];
}

export function reasonToProto(reason: StageReason): StageReasonMessage {
  return REASONS[reason];
}

/** What reports of regimes said of a stream; without any the temperature is 1 and the labels are 0. */
export interface Calibration {
  readonly temperature: number;
  readonly labels: number;
  readonly brier: number | undefined;
  readonly error: number | undefined;
}

/** A model as it is kept. */
export interface StoredModel {
  readonly modelId: string;
  readonly modelVersion: number;
  readonly stage: ModelStage;
  /** Version of the record. */
  readonly version: number;
  /** Empty for the first. */
  readonly predecessorId: string;
  /** Empty before the first snapshot. */
  readonly snapshotDigest: Uint8Array;
  /** Without what is known of regimes, which is the stream's. */
  readonly card: CardMessage;
  /** Whether what it learned is kept. */
  readonly isKept: boolean;
}

export function modelToProto(stream: StreamName, model: StoredModel, calibration: Calibration): Model {
  const { modelId, modelVersion, predecessorId, snapshotDigest, card } = model;
  const { brier, error } = calibration;
  return create(ModelSchema, {
    modelId,
    stream: { ...stream },
    modelVersion,
    stage: STAGES[model.stage],
    version: BigInt(model.version),
    card: {
      ...card,
      ...(brier !== undefined && { brier }),
      ...(error !== undefined && { calibrationError: error }),
      regimeTemperature: calibration.temperature,
      labelCount: BigInt(calibration.labels),
    },
    predecessorId,
    snapshotDigest,
  });
}

/** The card without what is known of regimes. */
export function cardToProto(card: ModelCard): MessageInitShape<typeof ModelCardSchema> {
  const { record, vrmse, skill, pBetter } = card;
  return {
    ...(record.fromMs !== undefined && {
      dataRange: { start: timestampFromMs(record.fromMs), end: timestampFromMs(record.throughMs!) },
    }),
    learnedCount: BigInt(record.learned),
    scoredCount: BigInt(card.scored),
    ...(vrmse !== undefined && { vrmse }),
    ...(skill !== undefined && { skill }),
    coverages: (card.covered ?? []).map((observed, at) => ({ stated: COVERAGES[at]!, observed })),
    pairedCount: BigInt(card.pairs),
    ...(pBetter !== undefined && { pBetter }),
  };
}
