/** Forecasts and how they did, in the words of the contract. */
import type { MessageInitShape } from '@bufbuild/protobuf';
import type { ForecastScoreSchema } from '../../gen/homeostat/energy/v1/energy_events_pb.ts';
import {
  type HorizonStandingSchema,
  PredictorKind as Kind,
  type PredictorWeightSchema,
} from '../../gen/homeostat/energy/v1/energy_service_pb.ts';
import { COVERAGES } from './interval.ts';
import { PREDICTORS, type PredictorKind } from './predictor.ts';
import { type HorizonScore, type Scored, skillOf } from './score.ts';

const KINDS: Readonly<Record<PredictorKind, Kind>> = {
  PERSISTENCE: Kind.PERSISTENCE,
  CLIMATOLOGY: Kind.CLIMATOLOGY,
  SPECTRAL: Kind.SPECTRAL,
  DMD: Kind.DMD,
  STENCIL: Kind.STENCIL,
};
const MIXTURE = PREDICTORS.length;

/** Which predictors may take part; undefined, all of them, when none is named or each. */
export function allowedFromProto(kinds: readonly Kind[]): readonly boolean[] | undefined {
  const allowed = PREDICTORS.map((kind) => kinds.includes(KINDS[kind]));
  return kinds.length === 0 || allowed.every(Boolean) ? undefined : allowed;
}

export function weightsToProto(weights: readonly number[]): MessageInitShape<typeof PredictorWeightSchema>[] {
  return PREDICTORS.map((kind, at) => ({ predictor: KINDS[kind], weight: weights[at]! })).filter(
    ({ weight }) => weight > 0,
  );
}

export function scoreToProto(scored: Scored): MessageInitShape<typeof ForecastScoreSchema> {
  const persistence = scored.members[0]!;
  return {
    horizonWindows: scored.horizon,
    vrmse: Math.sqrt(scored.relative[MIXTURE]!),
    meanSquaredError: scored.mixture,
    ...(persistence > 0 && { skill: 1 - scored.mixture / persistence }),
    predictors: PREDICTORS.map((kind, at) => ({
      predictor: KINDS[kind],
      meanSquaredError: scored.members[at]!,
      weight: scored.weights[at]!,
    })),
    coverages: (scored.covered ?? []).map((observed, at) => ({ stated: COVERAGES[at]!, observed })),
  };
}

export function standingToProto(
  horizon: number,
  score: HorizonScore,
  weights: readonly number[],
  covered: readonly number[] | undefined,
): MessageInitShape<typeof HorizonStandingSchema> {
  const did = (at: number) => (score.count > 0 ? { vrmse: score.vrmse[at]!, skill: skillOf(score, at) } : {});
  return {
    horizonWindows: horizon,
    scoredCount: BigInt(score.count),
    ...did(MIXTURE),
    predictors: PREDICTORS.map((kind, at) => ({ predictor: KINDS[kind], weight: weights[at]!, ...did(at) })),
    coverages: COVERAGES.map((stated, at) => ({
      stated,
      ...(covered && { observed: covered[at]! }),
    })),
  };
}
