/**
 * What readers see: the health of the fleet and of each cell, from memory, as of the last commit. The board is handed
 * a whole new state after every commit and works reports out when they are asked for, once per state.
 */
import { type Cell, type CellName, UNCONFIGURED_INPUTS } from './cells/cell.ts';
import { type HysteresisRules, heldUntilMs } from './defense/hysteresis.ts';
import type { DefenseInput, DefenseLevel, Figure } from './defense/level.ts';
import type { RiskSeverity } from './early-warning/assessment.ts';
import { severityRank } from './early-warning/severity.ts';
import { type Cells, cellKey } from './fleet.ts';
import type { CellRisk } from './phase-risk/held-risk.ts';

/** A level and where it comes from. */
export interface Defense {
  /** Whose level it is; absent for the fleet's. */
  readonly scope?: CellName;
  readonly level: DefenseLevel;
  readonly inputs: readonly DefenseInput[];
  readonly heldUntilMs?: number;
  readonly asOfMs?: number;
}

/** How near a critical transition a scope is. */
export interface PhaseRisk extends Pick<CellRisk, 'severity' | 'status' | 'why' | 'asOfMs'> {
  /** Metrics by the severity that holds. */
  readonly signals: Readonly<Partial<Record<RiskSeverity, number>>>;
}

/** Health of one cell, the level being its own. */
export interface CellHealth {
  readonly name: CellName;
  /** The cell's own level. */
  readonly defense: Defense;
  readonly utilization: Figure;
  readonly phaseRisk: PhaseRisk;
  readonly ended: boolean;
}

/** Health of a scope. */
export interface Health {
  /** Absent for the fleet. */
  readonly scope?: CellName;
  /** The level that is obeyed: for a cell, its own or the fleet's, whichever is higher. */
  readonly defense: Defense;
  readonly utilization: Figure;
  readonly ceiling: Figure;
  readonly servedShare: Figure;
  /** The worst of its cells that go on. */
  readonly phaseRisk: PhaseRisk;
  /** By domain and cluster. */
  readonly cells: readonly CellHealth[];
  readonly asOfMs?: number;
}

/** What reports are worked out by. */
export interface HealthRules extends HysteresisRules {
  readonly ceiling: number;
}

/** Shared by the service, the watches and the feed. */
export interface HealthBoard {
  /** Shows a new committed state, which is not changed from now on, and tells the listeners. */
  show(cells: Cells): void;
  /** Health of the fleet. O(cells) once per state. */
  fleet(): Health;
  /** Health of a cell, or of the fleet where no cell is named; undefined where there is no such cell. */
  health(scope: CellName | undefined): Health | undefined;
  /**
   * Names what `health(scope)` says: equal tokens mean equal health, across restarts too. Undefined where there is
   * no such cell.
   */
  token(scope: CellName | undefined): string | undefined;
  /** Calls back after every `show`, until the returned function is called. */
  onShow(listener: () => void): () => void;
}

/** A board that shows an empty fleet. */
export function createHealthBoard(rules: HealthRules): HealthBoard {
  const listeners = new Set<() => void>();
  const ceiling: Figure = { status: 'OK', value: rules.ceiling };
  const servedShare: Figure = { status: 'NOT_CONFIGURED', why: 'no capacity is known' };
  let cells: Cells = new Map();
  let fleet: Health | undefined;
  let fleetRevision = 0;

  const fleetHealth = (): Health => {
    fleet ??= reportFleet();
    return fleet;
  };
  const reportFleet = (): Health => {
    const all = [...cells.values()].map((cell) => cellHealth(cell, rules)).sort(byName);
    const going = all.filter((cell) => !cell.ended);
    const defense = fleetDefense(going);
    const utilization = meanFigure(going.map((cell) => cell.utilization));
    const phaseRisk = worstRisk(going.map((cell) => cell.phaseRisk));
    return { defense, utilization, ceiling, servedShare, phaseRisk, cells: all, ...asOf(newest(all)) };
  };
  const reportCell = (cell: Cell): Health => {
    const own = cellHealth(cell, rules);
    const { defense } = fleetHealth();
    return {
      scope: cell.name,
      defense: defense.level > own.defense.level ? defense : own.defense,
      utilization: own.utilization,
      ceiling,
      servedShare,
      phaseRisk: own.phaseRisk,
      cells: [own],
      ...asOf(cell.asOfMs),
    };
  };
  return {
    fleet: fleetHealth,
    show(next) {
      cells = next;
      fleet = undefined;
      fleetRevision = 0;
      for (const cell of cells.values()) fleetRevision += cell.revision;
      for (const listener of listeners) listener();
    },
    health(scope) {
      if (!scope) return fleetHealth();
      const cell = cells.get(cellKey(scope));
      return cell && reportCell(cell);
    },
    token(scope) {
      if (!scope) return String(fleetRevision);
      const cell = cells.get(cellKey(scope));
      if (!cell) return undefined;
      const obeysFleet = fleetHealth().defense.level > cell.held.level;
      return obeysFleet ? `${cell.revision}.${fleetRevision}` : String(cell.revision);
    },
    onShow(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}

function cellHealth(cell: Cell, rules: HealthRules): CellHealth {
  const { name, held, inputs, utilization, ended, asOfMs, risk } = cell;
  const until = asOfMs === undefined ? undefined : heldUntilMs(held, asOfMs, rules);
  const defense: Defense = {
    scope: name,
    level: held.level,
    inputs,
    ...(until !== undefined && { heldUntilMs: until }),
    ...asOf(asOfMs),
  };
  return { name, defense, utilization, phaseRisk: riskOf(risk), ended };
}

function riskOf({ severity, status, why, asOfMs, metrics }: CellRisk): PhaseRisk {
  const signals: Partial<Record<RiskSeverity, number>> = {};
  for (const held of Object.values(metrics)) signals[held] = (signals[held] ?? 0) + 1;
  return { severity, status, signals, ...(why !== undefined && { why }), ...asOf(asOfMs) };
}

/** The worst of some risks, with the metrics of all; what is not known is so only where nothing is. */
function worstRisk(risks: readonly PhaseRisk[]): PhaseRisk {
  let found: PhaseRisk = {
    severity: 'UNKNOWN',
    status: 'NOT_CONFIGURED',
    why: 'there is no cell',
    signals: {},
  };
  const signals: Partial<Record<RiskSeverity, number>> = {};
  for (const [index, risk] of risks.entries()) {
    if (index === 0 || severityRank(risk.severity) > severityRank(found.severity)) found = risk;
    for (const [severity, count] of Object.entries(risk.signals) as [RiskSeverity, number][])
      signals[severity] = (signals[severity] ?? 0) + count;
  }
  return { ...found, signals };
}

/** The fleet's level, explained by the cell that leads: the highest level, of equals the highest utilization. */
function fleetDefense(cells: readonly CellHealth[]): Defense {
  let leader: CellHealth | undefined;
  for (const cell of cells) if (leader === undefined || leads(cell, leader)) leader = cell;
  if (leader === undefined) return { level: 1, inputs: UNCONFIGURED_INPUTS };
  const { scope: _, ...defense } = leader.defense;
  return { ...defense, ...asOf(newest(cells)) };
}

function leads(cell: CellHealth, other: CellHealth): boolean {
  if (cell.defense.level !== other.defense.level) return cell.defense.level > other.defense.level;
  return (cell.utilization.value ?? -1) > (other.utilization.value ?? -1);
}

/** Mean of the figures that have a value; without any, UNKNOWN where one once had. */
function meanFigure(figures: readonly Figure[]): Figure {
  const values = figures.map((figure) => figure.value).filter((value) => value !== undefined);
  if (values.length > 0)
    return { status: 'OK', value: values.reduce((sum, value) => sum + value, 0) / values.length };
  const unknown = figures.find((figure) => figure.status === 'UNKNOWN');
  return unknown ?? { status: 'NOT_CONFIGURED', why: 'no cell reports it' };
}

function newest(cells: readonly CellHealth[]): number | undefined {
  let newestMs: number | undefined;
  for (const { defense } of cells) {
    if (defense.asOfMs !== undefined && !(newestMs !== undefined && newestMs >= defense.asOfMs))
      newestMs = defense.asOfMs;
  }
  return newestMs;
}

function asOf(asOfMs: number | undefined): { asOfMs?: number } {
  return asOfMs === undefined ? {} : { asOfMs };
}

function byName(a: CellHealth, b: CellHealth): number {
  return compareText(a.name.domain, b.name.domain) || compareText(a.name.cluster, b.name.cluster);
}

function compareText(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}
