/**
 * One cell: what it remembers of its nodes, and the level of defense it is at. Every closed window of its stream is
 * one look, judged on the stream's own event time. Immutable: a look gives a new cell and the changes of its level.
 *
 * A cell whose stream ends forgets its nodes and returns to level 1; if the stream goes on later, it starts afresh.
 */
import { type HeldLevel, type HysteresisRules, holdLevel, UNRAISED } from '../defense/hysteresis.ts';
import {
  absentInput,
  type DefenseInput,
  type DefenseLevel,
  type Figure,
  type InputName,
  type StatusName,
  utilizationInput,
} from '../defense/level.ts';
import {
  type CellRisk,
  dueLook,
  type LookCadence,
  phaseRiskInput,
  UNLOOKED,
} from '../phase-risk/held-risk.ts';
import type { CalmQuarters } from '../phase-risk/reference.ts';
import { type CellMemory, remember, type UtilizationRules, utilizationOf } from './utilization.ts';
import type { OpenWindow } from './window.ts';

/** A cell is named as the stream it follows. */
export interface CellName {
  readonly domain: string;
  readonly cluster: string;
}

/** What a look is judged by. */
export interface LookRules extends UtilizationRules, HysteresisRules, LookCadence {
  /** Utilization the cell must stay under. */
  readonly ceiling: number;
  /** How much lower than a threshold a measurement must be before it speaks for lowering. */
  readonly margin: number;
  /** Whether IMMINENT phase risk makes an emergency without another input at level 3 or above. */
  readonly phaseMayDeclareEmergency: boolean;
}

/** One cell between two looks. */
export interface Cell {
  readonly name: CellName;
  /** Parts of a window that is not complete yet. */
  readonly open: OpenWindow | undefined;
  /** Start of the window judged last. */
  readonly lastStartMs?: number;
  /** End of the window judged last: the event time of the last look. */
  readonly asOfMs?: number;
  /** Its beginning, looks and endings, counted; grows whenever anything a reader can see changes. */
  readonly revision: number;
  /** The stream has ended; the cell takes no part in the fleet. */
  readonly ended: boolean;
  /** Some node reported the utilization metric since the stream began. */
  readonly everReported: boolean;
  readonly memory: CellMemory;
  readonly utilization: Figure;
  readonly inputs: readonly DefenseInput[];
  readonly held: HeldLevel;
  readonly risk: CellRisk;
  /** How its metrics recover while nothing is wrong. */
  readonly calm: CalmQuarters;
}

/** Why a level changed. */
export type Cause = InputName | 'hysteresis' | 'end_of_input';

/** A change of one cell's level. */
export interface LevelChange {
  readonly fromLevel: DefenseLevel;
  readonly toLevel: DefenseLevel;
  readonly atMs: number;
  readonly inputs: readonly DefenseInput[];
  readonly cause: Cause;
}

/** What came of one window. */
export interface Judgment {
  readonly cell: Cell;
  /** What the look made of utilization; undefined when there was nothing to look at. */
  readonly found: StatusName | undefined;
  readonly changes: readonly LevelChange[];
}

/** Every input, before anything was measured. */
export const UNCONFIGURED_INPUTS: readonly DefenseInput[] = (
  ['utilization', 'served_share', 'contingency', 'homeostasis', 'node_load', 'phase_risk'] as const
).map((name) => absentInput(name, 'NOT_CONFIGURED'));

/** A cell nothing is known of yet: level 1. */
export function newCell(name: CellName): Cell {
  return {
    name,
    open: undefined,
    revision: 1,
    ended: false,
    everReported: false,
    memory: new Map(),
    utilization: { status: 'NOT_CONFIGURED' },
    inputs: UNCONFIGURED_INPUTS,
    held: UNRAISED,
    risk: UNLOOKED,
    calm: {},
  };
}

/**
 * The cell after a window, and how its level changed: at most once by the look, and once more when the stream ended
 * with it. A window without any node only carries the end of the stream: there is nothing to look at. O(nodes).
 */
export function judge(before: Cell, window: OpenWindow, rules: LookRules): Judgment {
  const changes: LevelChange[] = [];
  let cell = before;
  let found: StatusName | undefined;
  if (window.nodes > 0) {
    const look = lookAt(cell, window, rules);
    cell = look.cell;
    found = cell.utilization.status;
    if (look.change) changes.push(look.change);
  }
  if (window.endOfInput && !cell.ended) {
    if (cell.held.level > 1)
      changes.push({
        fromLevel: cell.held.level,
        toLevel: 1,
        atMs: window.endMs,
        inputs: cell.inputs,
        cause: 'end_of_input',
      });
    cell = endCell(cell);
  }
  return { cell, found, changes };
}

function lookAt(before: Cell, window: OpenWindow, rules: LookRules): { cell: Cell; change?: LevelChange } {
  const atMs = window.endMs;
  const memory = remember(before.memory, atMs, window.readings, rules);
  const everReported = before.everReported || window.readings.length > 0;
  const utilization = utilizationOf(memory, atMs, everReported);
  const span = { startMs: Math.min(window.startMs, atMs - rules.utilizationSpanMs), endMs: atMs };
  // A stream that goes on after its end is a new one.
  const risk = before.ended ? UNLOOKED : before.risk;
  const measured = withInput(
    UNCONFIGURED_INPUTS,
    utilizationInput(utilization, rules.ceiling, rules.margin, span),
  );
  const inputs = withInput(measured, phaseRiskInput(risk, measured, rules.phaseMayDeclareEmergency));
  const silenceMs = before.asOfMs === undefined ? 0 : window.startMs - before.asOfMs;
  const { held, cause } = holdLevel(before.held, { atMs, silenceMs, inputs }, rules);
  const cell: Cell = {
    ...before,
    lastStartMs: window.startMs,
    asOfMs: atMs,
    revision: before.revision + 1,
    ended: false,
    everReported,
    memory,
    utilization,
    inputs,
    held,
    risk: dueLook(risk, window, held.level, rules) ?? risk,
  };
  if (cause === undefined) return { cell };
  return { cell, change: { fromLevel: before.held.level, toLevel: held.level, atMs, inputs, cause } };
}

function endCell(cell: Cell): Cell {
  const gone: Figure = { status: 'UNKNOWN', why: 'its stream has ended' };
  return {
    ...cell,
    revision: cell.revision + 1,
    ended: true,
    everReported: false,
    memory: new Map(),
    utilization: gone,
    inputs: withInput(
      withInput(cell.inputs, absentInput('utilization', gone.status)),
      absentInput('phase_risk', gone.status),
    ),
    held: UNRAISED,
    risk: { ...UNLOOKED, status: gone.status, why: gone.why! },
  };
}

/** The inputs with the one of the same name replaced. */
function withInput(inputs: readonly DefenseInput[], replacement: DefenseInput): readonly DefenseInput[] {
  return inputs.map((input) => (input.name === replacement.name ? replacement : input));
}
