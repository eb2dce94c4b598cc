/**
 * The models of a stream and what they do, without what they learned. Exactly one is ACTIVE and answers. At most one
 * other learns beside it, its rival:
 *
 *   SHADOW       younger than the ACTIVE model. It is promoted once it is better, and retired when it was not in the
 *                time it had. The first starts after 256 windows, the next when there is no rival any more.
 *   PREDECESSOR  the model the ACTIVE one took the place of: RETIRED, but it goes on learning. It comes back when
 *                the ACTIVE one does worse than it or drifts from it, and is let go when it did not within 512 windows.
 *
 * Stages go SHADOW -> ACTIVE -> RETIRED, SHADOW -> RETIRED and, only from PREDECESSOR, RETIRED -> ACTIVE; each step raises
 * the version of the model's record. The evidence is pairs of losses, of both models' forecasts of one window ahead of
 * the same window, made before either learned it. It is looked at every 64 pairs only, and still more than once: the 12
 * looks of a shadow at p < 0.05 let one in six pass that is no better (and the 8 looks on probation at p < 0.01 send one
 * in twenty back that is no worse), which costs nothing but the change. Times are milliseconds since 1970, of the stream.
 * Plain data and pure functions: the same windows give the same models.
 */
import { dieboldMariano } from '../../numeric/diebold-mariano.ts';

export type ModelStage = 'SHADOW' | 'ACTIVE' | 'RETIRED';
export type StageReason =
  | 'STARTED'
  | 'BETTER'
  | 'WORSE'
  | 'DRIFT'
  | 'NOT_BETTER'
  | 'COMMANDED'
  | 'SUPERSEDED';

/** Windows a stream's first shadow is waited for. */
const FIRST_SHADOW_WINDOWS = 256;
/** Windows a shadow has to be better, and a model that was promoted is on probation. */
const DUTY_WINDOWS = { SHADOW: 1_024, PREDECESSOR: 512 } as const;
/** Pairs between two looks at the evidence. */
const LOOK_PAIRS = 64;
/** Pairs a promotion needs. */
export const PROMOTION_PAIRS = 200;
/** p-value a promotion has to be below. */
export const PROMOTION_P = 0.05;
/** Pairs and p-value below which the ACTIVE model counts as worse than the one before. */
const ROLLBACK_PAIRS = 64;
const ROLLBACK_P = 0.01;
/** Pairs from which a p-value is told. */
const TOLD_PAIRS = 16;

export interface ModelRecord {
  /** Its number among the stream's models, from 1. */
  readonly modelVersion: number;
  /** Version of this record, from 1. */
  readonly version: number;
  /** Number of the model it followed; 0 for the first. */
  readonly predecessor: number;
  /** Windows it learned. */
  readonly learned: number;
  /** Start of the first of them and end of the last; undefined before the first. */
  readonly fromMs: number | undefined;
  readonly throughMs: number | undefined;
}

export interface Rival {
  readonly role: 'SHADOW' | 'PREDECESSOR';
  readonly record: ModelRecord;
  /** Windows it was a rival for. */
  readonly windows: number;
  /** Loss of the older model minus that of the younger, of each pair. */
  readonly differences: readonly number[];
}

export interface Roster {
  /** Windows the stream's models have seen. */
  readonly windows: number;
  readonly active: ModelRecord;
  readonly rival: Rival | undefined;
  /** Number of the youngest model. */
  readonly youngest: number;
}

/** A model went to another stage. */
export interface StageChange {
  readonly record: ModelRecord;
  /** Undefined for a new model. */
  readonly from: ModelStage | undefined;
  readonly to: ModelStage;
  readonly reason: StageReason;
}

export interface Step {
  readonly roster: Roster;
  readonly changes: readonly StageChange[];
}

/** What one window says of the models. */
export interface ModelWindow {
  readonly startMs: number;
  readonly endMs: number;
  /** False where a rival would cost too much: there is none then. */
  readonly allowsRival: boolean;
  /** Losses of both forecasts of this window; undefined while either made none. */
  readonly losses: { readonly active: number; readonly rival: number } | undefined;
  /** Whether the losses of the ACTIVE model drifted up from those of its predecessor. */
  readonly drifted: boolean;
}

const started = (modelVersion: number, predecessor: number): ModelRecord => ({
  modelVersion,
  version: 1,
  predecessor,
  learned: 0,
  fromMs: undefined,
  throughMs: undefined,
});

/** A stream's first model; it is told of with its first window. */
export function firstRoster(): Roster {
  return { windows: 0, active: started(1, 0), rival: undefined, youngest: 1 };
}

/** The models after one more window was learned, before anything follows from it. O(pairs) to copy. */
export function learned(roster: Roster, window: ModelWindow): Roster {
  return {
    ...roster,
    windows: roster.windows + 1,
    active: learnedBy(roster.active, window),
    rival: roster.rival && grown(roster.rival, window),
  };
}

/** What follows for the models from the window learned last. O(pairs lags) at a look, else O(1). */
export function decided(roster: Roster, window: ModelWindow): Step {
  const { active, rival, windows } = roster;
  if (windows === 1)
    return { roster, changes: [{ record: active, from: undefined, to: 'ACTIVE', reason: 'STARTED' }] };
  if (rival === undefined)
    return windows >= FIRST_SHADOW_WINDOWS && window.allowsRival ? withShadow(roster) : unchanged(roster);
  const pairs = rival.differences.length;
  const isLook = window.losses !== undefined && pairs % LOOK_PAIRS === 0;
  const isOver = rival.windows >= DUTY_WINDOWS[rival.role] || !window.allowsRival;
  if (rival.role === 'SHADOW') {
    if (isLook && isPromotable(pairs, pBetter(rival))) return promoted(roster, 'BETTER');
    return isOver ? withoutShadow(roster) : unchanged(roster);
  }
  if (isLook && pairs >= ROLLBACK_PAIRS && pWorse(rival) < ROLLBACK_P) return rolledBack(roster, 'WORSE');
  if (window.drifted) return rolledBack(roster, 'DRIFT');
  return unchanged(isOver ? { ...roster, rival: undefined } : roster);
}

/** The shadow takes the place of the ACTIVE model. Only with a shadow. */
export function promoted(roster: Roster, reason: 'BETTER' | 'COMMANDED'): Step {
  const active = raised(roster.rival!.record);
  const predecessor = raised(roster.active);
  const rival: Rival = { role: 'PREDECESSOR', record: predecessor, windows: 0, differences: [] };
  return {
    roster: { ...roster, active, rival },
    changes: [
      { record: predecessor, from: 'ACTIVE', to: 'RETIRED', reason: 'SUPERSEDED' },
      { record: active, from: 'SHADOW', to: 'ACTIVE', reason },
    ],
  };
}

/** The predecessor comes back, for the reason the ACTIVE model goes for. Only with a predecessor. */
export function rolledBack(roster: Roster, reason: 'WORSE' | 'DRIFT' | 'COMMANDED'): Step {
  const active = raised(roster.rival!.record);
  const failed = raised(roster.active);
  return {
    roster: { ...roster, active, rival: undefined },
    changes: [
      { record: failed, from: 'ACTIVE', to: 'RETIRED', reason },
      { record: active, from: 'RETIRED', to: 'ACTIVE', reason },
    ],
  };
}

/** The models after commands that were carried out elsewhere, told by the stages they left behind. */
export function takenUp(roster: Roster, stageOf: (modelVersion: number) => ModelStage | undefined): Roster {
  let now = roster;
  const isStage = (stage: ModelStage) => stageOf(now.rival!.record.modelVersion) === stage;
  if (now.rival?.role === 'SHADOW' && (isStage('ACTIVE') || isStage('RETIRED')))
    now = promoted(now, 'COMMANDED').roster;
  if (now.rival?.role === 'PREDECESSOR' && isStage('ACTIVE')) now = rolledBack(now, 'COMMANDED').roster;
  return now;
}

/** Whether the evidence of a shadow suffices. */
export function isPromotable(pairs: number, p: number | undefined): boolean {
  return pairs >= PROMOTION_PAIRS && p !== undefined && p < PROMOTION_P;
}

/** What the pairs say of a model on duty: their number, and the p-value that it is the better one. */
export function evidenceOf(
  { active, rival }: Roster,
  modelVersion: number,
): { readonly pairs: number; readonly pBetter: number | undefined } {
  if (rival === undefined) return { pairs: 0, pBetter: undefined };
  const pairs = rival.differences.length;
  if (pairs < TOLD_PAIRS) return { pairs, pBetter: undefined };
  const younger = rival.role === 'SHADOW' ? rival.record : active;
  return { pairs, pBetter: younger.modelVersion === modelVersion ? pBetter(rival) : pWorse(rival) };
}

function pBetter({ differences }: Rival): number {
  return dieboldMariano(differences);
}

function pWorse({ differences }: Rival): number {
  return dieboldMariano(differences.map((difference) => -difference));
}

function unchanged(roster: Roster): Step {
  return { roster, changes: [] };
}

function learnedBy(record: ModelRecord, { startMs, endMs }: ModelWindow): ModelRecord {
  return { ...record, learned: record.learned + 1, fromMs: record.fromMs ?? startMs, throughMs: endMs };
}

function grown(rival: Rival, window: ModelWindow): Rival {
  const { losses } = window;
  const difference =
    losses && (rival.role === 'SHADOW' ? losses.active - losses.rival : losses.rival - losses.active);
  return {
    ...rival,
    record: learnedBy(rival.record, window),
    windows: rival.windows + 1,
    differences: difference === undefined ? rival.differences : [...rival.differences, difference],
  };
}

function raised(record: ModelRecord): ModelRecord {
  return { ...record, version: record.version + 1 };
}

function withShadow(roster: Roster): Step {
  const youngest = roster.youngest + 1;
  const record = started(youngest, roster.active.modelVersion);
  return {
    roster: { ...roster, youngest, rival: { role: 'SHADOW', record, windows: 0, differences: [] } },
    changes: [{ record, from: undefined, to: 'SHADOW', reason: 'STARTED' }],
  };
}

function withoutShadow(roster: Roster): Step {
  const record = raised(roster.rival!.record);
  return {
    roster: { ...roster, rival: undefined },
    changes: [{ record, from: 'SHADOW', to: 'RETIRED', reason: 'NOT_BETTER' }],
  };
}
