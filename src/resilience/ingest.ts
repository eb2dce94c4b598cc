/**
 * Closed windows of telemetry become looks. Events come in stream order, one batch at a time; a batch is folded into a
 * draft, committed together with its log entries and events, and only then shown. A batch that fails leaves no trace
 * and comes again; an event that was folded before is dropped by the start of its window.
 *
 * Looks for early warnings are begun when windows pass their instant and take effect two grid intervals later: a fold
 * that comes to such a window waits for what the look found, so that the same windows always give the same levels.
 */
import { timestampMs } from '@bufbuild/protobuf/wkt';
import type { Bus, BusEvent } from '../bus/bus.ts';
import type { Clock } from '../clock.ts';
import type { WindowClosed } from '../gen/homeostat/telemetry/v1/telemetry_events_pb.ts';
import { MetricKind } from '../gen/homeostat/telemetry/v1/telemetry_service_pb.ts';
import { derivedId } from '../ids.ts';
import type { Store, Tx } from '../store/store.ts';
import { ratioFactor } from '../units.ts';
import type { Cell, LookRules } from './cells/cell.ts';
import type { NodeReading } from './cells/utilization.ts';
import type { OpenWindow, WindowPart } from './cells/window.ts';
import { severityRank } from './early-warning/severity.ts';
import { acceptPart, type Cells, cellKey, type DefenseChange, judgeWindow } from './fleet.ts';
import type { HealthBoard } from './health.ts';
import type { SettledLook } from './phase-risk/assessment-message.ts';
import type { Detectors } from './phase-risk/detectors.ts';
import { settleLook, takesEffect } from './phase-risk/held-risk.ts';
import type { RiskLooks } from './phase-risk/looks.ts';
import { referencesOf, rememberCalm } from './phase-risk/reference.ts';
import { samplesOfWindow } from './phase-risk/standing-metrics.ts';
import type { RiskStore } from './phase-risk/store.ts';
import { recordAlert, recordAssessment, recordLevelChange } from './publish.ts';
import type { LogEntry, ResilienceStore } from './store.ts';

/** What taking windows in needs. */
export interface IngestDeps {
  readonly rules: LookRules;
  /** Metric that tells utilization. */
  readonly metric: string;
  readonly clock: Pick<Clock, 'nowMs'>;
  readonly store: Pick<Store, 'transact'>;
  readonly table: ResilienceStore;
  readonly riskTable: RiskStore;
  readonly detectors: Detectors;
  readonly looks: RiskLooks;
  readonly bus: Pick<Bus, 'record'>;
  readonly board: HealthBoard;
  /** Grows with every batch taken. */
  readonly outcomes: Outcomes;
}

/** What became of windows since the start, by outcome: a status of utilization, `DUPLICATE` or `INCOMPLETE`. */
export type Outcomes = Map<string, number>;

/** A window as the bus hands it over. */
export type WindowEvent = Pick<BusEvent<WindowClosed>, 'message' | 'traceparent'>;

/** The one writer of cells and log. */
export interface WindowIngest {
  /** Takes up where the last commit left off. Must resolve before the first batch. */
  recover(): Promise<void>;
  /** Folds and commits one batch; rejects, with nothing changed, when it cannot be read or committed. */
  take(batch: readonly WindowEvent[]): Promise<void>;
}

/** Knows no cell until it has recovered. */
export function createWindowIngest(deps: IngestDeps): WindowIngest {
  const { rules, metric, outcomes, clock, store, table, riskTable, detectors, looks, board } = deps;
  let cells: Cells = new Map();
  let lastPlace = 0;
  let lastLookPlace = 0;
  /** Detectors hold something that was not committed. */
  let isStale = true;

  const restoreDetectors = async () => {
    looks.forget();
    const saved = await riskTable.loadDetectors('windows');
    detectors.restore('windows', new Map(saved.map(({ cell, state }) => [cellKey(cell), state])));
    isStale = false;
  };

  const commit = async (draft: Draft) => {
    const nowMs = clock.nowMs();
    await store.transact((tx) =>
      writeDraft(deps, tx, draft, { level: lastPlace, look: lastLookPlace }, nowMs),
    );
    cells = draft.cells;
    lastPlace += draft.announcements.length;
    lastLookPlace += draft.looks.length;
    board.show(cells);
  };
  const fold = async (draft: Draft, { message, traceparent }: WindowEvent) => {
    const part = readPart(message, metric);
    const key = cellKey(part);
    const complete = acceptPart(draft.cells, part);
    if (!complete) {
      draft.outcomes.push('DUPLICATE');
      return;
    }
    draft.touched.add(key);
    for (const window of complete) {
      await settle(deps, draft, key, window, traceparent);
      const { found, changes } = judgeWindow(draft.cells, key, window, rules);
      for (const change of changes) draft.announcements.push({ change, traceparent });
      if (found) draft.outcomes.push(found);
      if (window.seen.length < window.parts) draft.outcomes.push('INCOMPLETE');
      if (window.nodes > 0) detectors.take('windows', key, window, samplesOfWindow(window.readings));
      const { name, risk, calm } = draft.cells.get(key)!;
      if (risk.pending) looks.begin(name, risk.pending.atMs, referencesOf(calm));
    }
  };

  return {
    async recover() {
      const found = await table.load();
      cells = found.cells;
      lastPlace = found.lastPlace;
      lastLookPlace = await riskTable.lastPlace();
      await restoreDetectors();
      board.show(cells);
    },
    async take(batch) {
      if (isStale) await restoreDetectors();
      isStale = true;
      const draft: Draft = {
        cells: new Map(cells),
        touched: new Set(),
        outcomes: [],
        announcements: [],
        looks: [],
      };
      for (const event of batch) await fold(draft, event);
      if (draft.touched.size > 0) await commit(draft);
      isStale = false;
      for (const outcome of draft.outcomes) outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
    },
  };
}

/** Lets the pending look of a cell take effect before a window that comes to it is judged. */
async function settle(
  { looks, rules }: IngestDeps,
  draft: Draft,
  key: string,
  window: OpenWindow,
  traceparent: string | undefined,
): Promise<void> {
  const cell = draft.cells.get(key)!;
  const { pending } = cell.risk;
  if (!pending || !takesEffect(pending, window, rules.gridMs)) return;
  const { assessment, seed, intervalMs } = await looks.result(
    cell.name,
    pending.atMs,
    referencesOf(cell.calm),
  );
  const risk = settleLook(cell.risk, assessment);
  const calm = rememberCalm(cell.calm, { atMs: pending.atMs, intervalMs }, assessment, risk.metrics);
  draft.cells.set(key, { ...cell, revision: cell.revision + 1, risk, calm });
  const { severity, metrics: held, why } = risk;
  const id = derivedId('phase-risk', key, String(pending.atMs));
  const look = { id, scope: cell.name, atMs: pending.atMs, held, severity, seed, assessment };
  draft.looks.push({
    look: { ...look, ...(why !== undefined && { why }) },
    isAlert: severityRank(severity) > Math.max(ALERT_ABOVE, severityRank(cell.risk.severity)),
    traceparent,
  });
}

/** Writes everything a batch changed; `last` are the places of the last log entry and of the last look. */
async function writeDraft(
  deps: IngestDeps,
  tx: Tx,
  draft: Draft,
  last: { readonly level: number; readonly look: number },
  nowMs: number,
): Promise<void> {
  const { table, riskTable, detectors, bus } = deps;
  const touched = [...draft.touched].map((key) => draft.cells.get(key)!);
  const logged = draft.announcements.map(({ change, traceparent }, index) => {
    const entry = toLogEntry(change, last.level + 1 + index, nowMs);
    return { key: change.key, entry, traceparent };
  });
  const entries = logged.map(({ entry }) => entry);
  await table.save(tx, touched, entries, nowMs);
  for (const { key, entry, traceparent } of logged) await recordLevelChange(bus, tx, key, entry, traceparent);

  const saved = touched.flatMap(({ name }) => {
    const detector = detectors.find('windows', cellKey(name));
    return detector ? [{ cell: name, state: detector.state() }] : [];
  });
  await riskTable.saveDetectors(tx, 'windows', saved, nowMs);
  for (const [index, { look, isAlert, traceparent }] of draft.looks.entries()) {
    const settled = { ...look, recordedAtMs: nowMs };
    const assessment = await riskTable.addLook(tx, last.look + 1 + index, settled);
    await recordAssessment(bus, tx, assessment, traceparent);
    if (isAlert) await recordAlert(bus, tx, assessment, traceparent);
  }
}

/** What a batch makes of the cells, until it is committed. */
interface Draft {
  readonly cells: Map<string, Cell>;
  readonly touched: Set<string>;
  /** What became of its windows. */
  readonly outcomes: string[];
  readonly announcements: Announcement[];
  readonly looks: {
    readonly look: Omit<SettledLook, 'recordedAtMs'>;
    /** The severity rose to CRITICAL or IMMINENT. */
    readonly isAlert: boolean;
    readonly traceparent: string | undefined;
  }[];
}

/** Alerts are raised from CRITICAL on. */
const ALERT_ABOVE = severityRank('HIGH');

/** A change, and the trace of the window that caused it. */
interface Announcement {
  readonly change: DefenseChange;
  readonly traceparent: string | undefined;
}

/** Reduces a part to what utilization needs. Throws for one whose columns do not fit together. */
export function readPart(window: WindowClosed, metric: string): WindowPart {
  const { stream, start, end } = window;
  if (!stream || !start || !end) throw new TypeError('a closed window names its stream, start and end');
  return {
    domain: stream.domain,
    cluster: stream.cluster,
    startMs: timestampMs(start),
    endMs: timestampMs(end),
    part: window.part,
    parts: window.parts,
    endOfInput: window.endOfInput,
    nodes: window.nodes.length,
    readings: readMetric(window, metric),
  };
}

/** What each node reported of a metric; nothing where the metric is missing or is no gauge of a ratio. */
function readMetric(window: WindowClosed, metric: string): NodeReading[] {
  const index = window.metrics.findIndex((one) => one.name === metric);
  const described = window.metrics[index];
  const factor = described && ratioFactor(described.unit);
  const columns = window.summaries;
  if (!described || factor === undefined || !isGauge(described.kind) || !columns) return [];

  const readings: NodeReading[] = [];
  for (const [row, metricIndex] of columns.metricIndex.entries()) {
    if (metricIndex !== index) continue;
    const node = window.nodes[columns.nodeIndex[row] ?? -1];
    const mean = columns.mean[row];
    const coveredSeconds = columns.coveredSeconds[row];
    if (!node || mean === undefined || coveredSeconds === undefined)
      throw new RangeError(`row ${row} of a closed window's summaries is incomplete`);
    readings.push({ node: node.name, mean: mean * factor, coveredSeconds });
  }
  return readings;
}

function isGauge(kind: MetricKind): boolean {
  return kind === MetricKind.GAUGE || kind === MetricKind.UNSPECIFIED;
}

function toLogEntry(change: DefenseChange, place: number, nowMs: number): LogEntry {
  const { key, ...changed } = change;
  return { ...changed, id: derivedId('defense-change', key), place, recordedAtMs: nowMs };
}
