/**
 * Closed windows of telemetry become looks. Events come in stream order, one batch at a time; a batch is folded into a
 * draft, committed together with its log entries and events, and only then shown. A batch that fails leaves no trace
 * and comes again; an event that was folded before is dropped by the start of its window.
 */
import { timestampMs } from '@bufbuild/protobuf/wkt';
import type { Bus, BusEvent } from '../bus/bus.ts';
import type { Clock } from '../clock.ts';
import type { WindowClosed } from '../gen/homeostat/telemetry/v1/telemetry_events_pb.ts';
import { MetricKind } from '../gen/homeostat/telemetry/v1/telemetry_service_pb.ts';
import { derivedId } from '../ids.ts';
import type { Store } from '../store/store.ts';
import { ratioFactor } from '../units.ts';
import type { LookRules } from './cells/cell.ts';
import type { NodeReading } from './cells/utilization.ts';
import type { WindowPart } from './cells/window.ts';
import { type Cells, cellKey, type DefenseChange, type FoldOutcome, foldPart } from './fleet.ts';
import type { HealthBoard } from './health.ts';
import { recordLevelChange } from './publish.ts';
import type { LogEntry, ResilienceStore } from './store.ts';

/** What taking windows in needs. */
export interface IngestDeps {
  readonly rules: LookRules;
  /** Metric that tells utilization. */
  readonly metric: string;
  readonly clock: Pick<Clock, 'nowMs'>;
  readonly store: Pick<Store, 'transact'>;
  readonly table: ResilienceStore;
  readonly bus: Pick<Bus, 'record'>;
  readonly board: HealthBoard;
}

/** What became of windows since the start, by outcome: a status of utilization, `DUPLICATE` or `INCOMPLETE`. */
export type OutcomeCounts = ReadonlyMap<string, number>;

/** A window as the bus hands it over. */
export type WindowEvent = Pick<BusEvent<WindowClosed>, 'message' | 'traceparent'>;

/** The one writer of cells and log. */
export interface WindowIngest {
  /** Takes up where the last commit left off. Must resolve before the first batch. */
  recover(): Promise<void>;
  /** Folds and commits one batch; rejects, with nothing changed, when it cannot be read or committed. */
  take(batch: readonly WindowEvent[]): Promise<void>;
  /** Grows with every batch taken. */
  readonly outcomes: OutcomeCounts;
}

/** Knows no cell until it has recovered. */
export function createWindowIngest(deps: IngestDeps): WindowIngest {
  const { rules, metric, clock, store, table, bus, board } = deps;
  const outcomes = new Map<string, number>();
  let cells: Cells = new Map();
  let lastPlace = 0;

  const commit = async (
    draft: Cells,
    touched: ReadonlySet<string>,
    announcements: readonly Announcement[],
  ) => {
    const nowMs = clock.nowMs();
    const logged = announcements.map(({ change, traceparent }, index) => {
      const entry = toLogEntry(change, lastPlace + 1 + index, nowMs);
      return { key: change.key, entry, traceparent };
    });
    await store.transact(async (tx) => {
      await table.save(
        tx,
        [...touched].map((key) => draft.get(key)!),
        logged.map(({ entry }) => entry),
        nowMs,
      );
      for (const { key, entry, traceparent } of logged)
        await recordLevelChange(bus, tx, key, entry, traceparent);
    });
    cells = draft;
    lastPlace += logged.length;
    board.show(cells);
  };

  return {
    outcomes,
    async recover() {
      const found = await table.load();
      cells = found.cells;
      lastPlace = found.lastPlace;
      board.show(cells);
    },
    async take(batch) {
      const draft = new Map(cells);
      const touched = new Set<string>();
      const folded: FoldOutcome[] = [];
      const announcements: Announcement[] = [];
      for (const { message, traceparent } of batch) {
        const part = readPart(message, metric);
        const outcome = foldPart(draft, part, rules);
        folded.push(outcome);
        if (!outcome.duplicate) touched.add(cellKey(part));
        for (const change of outcome.changes) announcements.push({ change, traceparent });
      }
      if (touched.size > 0) await commit(draft, touched, announcements);
      for (const outcome of folded) count(outcomes, outcome);
    },
  };
}

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

function count(outcomes: Map<string, number>, outcome: FoldOutcome): void {
  const add = (name: string, by: number) => outcomes.set(name, (outcomes.get(name) ?? 0) + by);
  if (outcome.duplicate) add('DUPLICATE', 1);
  if (outcome.incomplete > 0) add('INCOMPLETE', outcome.incomplete);
  for (const status of outcome.looks) add(status, 1);
}
