/**
 * The fleet: all cells, and the level of defense that follows from them. Cells live in event times of their own, so
 * the fleet has none: its level is the greatest of the cells whose stream has not ended, at every moment, and a change
 * of it carries the event time of the cell that caused it. Each cell's own hysteresis holds the fleet's level too;
 * only a stream that ends takes its level away at once. A fleet without cells is at level 1.
 */
import {
  type Cause,
  type Cell,
  type CellName,
  type Judgment,
  judge,
  type LookRules,
  newCell,
} from './cells/cell.ts';
import { assemble, type OpenWindow, type WindowPart } from './cells/window.ts';
import { type DefenseInput, type DefenseLevel, maxLevel } from './defense/level.ts';

/** A change of a level, as it is logged and announced. */
export interface DefenseChange {
  /** Unique per scope and look; the same whenever the same look is judged again. */
  readonly key: string;
  /** The cell; absent for the fleet. */
  readonly scope?: CellName;
  readonly fromLevel: DefenseLevel;
  readonly toLevel: DefenseLevel;
  /** Event time of the look. */
  readonly atMs: number;
  /** Inputs of the look. */
  readonly inputs: readonly DefenseInput[];
  readonly cause: Cause;
}

/** What came of one window for its cell and the fleet. */
export interface FleetJudgment extends Pick<Judgment, 'found'> {
  /** In the order they happened; where a cell moves the fleet, its own change comes first. */
  readonly changes: readonly DefenseChange[];
}

/** Cells by `cellKey`. */
export type Cells = ReadonlyMap<string, Cell>;

/** Unique per cell; neither part of a name holds a slash. */
export function cellKey(name: CellName): string {
  return `${name.domain}/${name.cluster}`;
}

/** The greatest level of the cells that take part, at least 1. */
export function fleetLevel(cells: Cells): DefenseLevel {
  let level: DefenseLevel = 1;
  for (const cell of cells.values()) if (!cell.ended) level = maxLevel(level, cell.held.level);
  return level;
}

/**
 * Puts a part in its place in `cells`. Gives the windows it completes, which `judgeWindow` must be given next, in this
 * order; undefined, with nothing changed, for a part that is known already.
 */
export function acceptPart(cells: Map<string, Cell>, part: WindowPart): readonly OpenWindow[] | undefined {
  const key = cellKey(part);
  const before = cells.get(key) ?? newCell({ domain: part.domain, cluster: part.cluster });
  const { outcome, open, complete } = assemble(before.open, part, before.lastStartMs);
  if (outcome === 'duplicate') return undefined;
  cells.set(key, { ...before, open });
  return complete;
}

/**
 * Judges a window of the cell at `key`, which it replaces; the changes of the cell and, where it moves the fleet, of
 * the fleet. O(cells + nodes of the cell).
 */
export function judgeWindow(
  cells: Map<string, Cell>,
  key: string,
  window: OpenWindow,
  rules: LookRules,
): FleetJudgment {
  const before = cells.get(key)!;
  const fromLevel = fleetLevel(cells);
  const { cell, found, changes } = judge(before, window, rules);
  cells.set(key, cell);
  const toLevel = fleetLevel(cells);

  const look = `${key}@${window.startMs}`;
  const logged: DefenseChange[] = changes.map((change) => ({
    key: change.cause === 'end_of_input' ? `${look}/end` : look,
    scope: cell.name,
    ...change,
  }));
  const cause = changes.at(-1);
  if (toLevel !== fromLevel && cause) logged.push({ ...cause, key: `fleet/${look}`, fromLevel, toLevel });
  return { found, changes: logged };
}
