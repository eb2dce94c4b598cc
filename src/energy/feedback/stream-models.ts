/**
 * A stream's models with what they learned: the ACTIVE forecaster and, beside it, that of its rival, which learns and is
 * scored on the same maps. Deterministic: the same maps give the same models bit for bit, also when the state went
 * through `state` and the constructor anywhere between. Maps come in order; one step sequence at a time. A rival doubles
 * what forecasting a window costs, so maps of over 4,096 cells have none.
 */
import type { Steps } from '../../numeric/slices.ts';
import { Forecaster, type ForecasterState, type ForecastMap } from '../forecast/forecaster.ts';
import { PREDICTORS } from '../forecast/predictor.ts';
import { type Scored, skillOf } from '../forecast/score.ts';
import { createDrift, type Drift, type DriftState } from './drift.ts';
import {
  decided,
  evidenceOf,
  firstRoster,
  learned,
  type ModelRecord,
  type ModelStage,
  type Roster,
  type StageChange,
  takenUp,
} from './model.ts';

/** Larger maps have no rival. */
export const RIVAL_CELLS_MAX = 4_096;
const MIXTURE = PREDICTORS.length;

/** What is known of a model: its forecasts of one window ahead, each scored before its window was learned. */
export interface ModelCard {
  readonly record: ModelRecord;
  readonly scored: number;
  /** Means of the last 64 or so; undefined before the first. */
  readonly vrmse: number | undefined;
  readonly skill: number | undefined;
  /** Share inside, of each followed coverage; undefined before the first forecast judged. */
  readonly covered: readonly number[] | undefined;
  /** Forecasts scored beside those of the other model on duty. */
  readonly pairs: number;
  readonly pBetter: number | undefined;
}

/** A change of stage, and what was known of the model when it was decided. */
export interface TellableChange extends StageChange {
  readonly card: ModelCard;
}

export interface FoldedModels {
  /** How the forecasts of the ACTIVE model did. */
  readonly scored: readonly Scored[];
  readonly changes: readonly TellableChange[];
}

/** Everything the models know, as plain data. Arrays are borrowed until the next map. */
export interface StreamModelsState {
  readonly roster: Roster;
  readonly active: ForecasterState;
  readonly rival: ForecasterState | undefined;
  /** Of the ACTIVE model's losses from its predecessor's; undefined without one. */
  readonly drift: DriftState | undefined;
}

export class StreamModels {
  #roster: Roster;
  #active: Forecaster;
  #rival: Forecaster | undefined;
  #drift: Drift | undefined;

  /** Goes on from a state, which it takes over, or starts anew; what is missing of the state is new. */
  constructor(from: Partial<StreamModelsState> = {}) {
    this.#roster = from.roster ?? firstRoster();
    this.#active = new Forecaster(from.active);
    this.#rival = this.#roster.rival && new Forecaster(from.rival);
    this.#drift = this.#roster.rival?.role === 'PREDECESSOR' ? createDrift(from.drift) : undefined;
  }

  /** The forecaster that answers. */
  get active(): Forecaster {
    return this.#active;
  }

  get roster(): Roster {
    return this.#roster;
  }

  state(): StreamModelsState {
    return {
      roster: this.#roster,
      active: this.#active.state(),
      rival: this.#rival?.state(),
      drift: this.#drift?.state(),
    };
  }

  /** Scores and learns a map with every model on duty, and puts what follows in force from the next one on. */
  *fold(map: ForecastMap): Steps<FoldedModels> {
    const scored = yield* this.#active.fold(map);
    const losses = this.#rival && pairOf(scored, yield* this.#rival.fold(map));
    const drifted = losses !== undefined && this.#drift?.add(losses.active, losses.rival) === true;
    const allowsRival = map.cells.length <= RIVAL_CELLS_MAX;
    const window = { startMs: map.startMs, endMs: map.endMs, allowsRival, losses, drifted };
    const before = learned(this.#roster, window);
    const { roster, changes } = decided(before, window);
    const told = changes.map((change) => ({ ...change, card: this.#card(before, change.record) }));
    this.#follow(roster);
    return { scored, changes: told };
  }

  /** Puts in force what commands did to the stages; whether that was anything. */
  takeUp(stageOf: (modelVersion: number) => ModelStage | undefined): boolean {
    const roster = takenUp(this.#roster, stageOf);
    const isChanged = roster !== this.#roster;
    this.#follow(roster);
    return isChanged;
  }

  /** What is known of the models on duty, the ACTIVE one first. */
  cards(): readonly ModelCard[] {
    const { active, rival } = this.#roster;
    return [active, ...(rival ? [rival.record] : [])].map((record) => this.#card(this.#roster, record));
  }

  #card(roster: Roster, record: ModelRecord): ModelCard {
    const isActive = record.modelVersion === this.#roster.active.modelVersion;
    const isRival = record.modelVersion === this.#roster.rival?.record.modelVersion;
    const forecaster = isActive ? this.#active : isRival ? this.#rival : undefined;
    const first = forecaster?.standing(1);
    const isScored = first !== undefined && first.score.count > 0;
    const { pairs, pBetter } = evidenceOf(roster, record.modelVersion);
    return {
      record,
      scored: first?.score.count ?? 0,
      vrmse: isScored ? first.score.vrmse[MIXTURE] : undefined,
      skill: isScored ? skillOf(first.score, MIXTURE) : undefined,
      covered: first?.covered,
      pairs,
      pBetter,
    };
  }

  /** Gives every model on duty its forecaster: its own, or a fresh one for a new shadow. */
  #follow(roster: Roster): void {
    const own = new Map([[this.#roster.active.modelVersion, this.#active]]);
    const { rival: before } = this.#roster;
    if (before && this.#rival) own.set(before.record.modelVersion, this.#rival);
    const { rival } = roster;
    this.#active = own.get(roster.active.modelVersion)!;
    this.#rival = rival && (own.get(rival.record.modelVersion) ?? new Forecaster());
    if (rival?.role !== 'PREDECESSOR') this.#drift = undefined;
    else if (rival.record.modelVersion !== before?.record.modelVersion || before.role !== 'PREDECESSOR')
      this.#drift = createDrift();
    this.#roster = roster;
  }
}

/** Squared VRMSE of the forecasts of one window ahead, of both; undefined while either made none. */
function pairOf(active: readonly Scored[], rival: readonly Scored[]) {
  const lossOf = (scored: readonly Scored[]) => scored.find(({ horizon }) => horizon === 1)?.relative.at(-1);
  const losses = { active: lossOf(active), rival: lossOf(rival) };
  if (losses.active === undefined || losses.rival === undefined) return undefined;
  return { active: losses.active, rival: losses.rival };
}
