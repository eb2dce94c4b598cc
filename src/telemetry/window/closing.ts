/**
 * What a window leaves when it closes: one summary per series, in order of node and metric names, with names instead
 * of numbers, so that it stands on its own while the fold goes on.
 */
import { MetricKind } from '../../gen/homeostat/telemetry/v1/telemetry_service_pb.ts';
import type { Counts } from '../fold/counts.ts';
import {
  type CatalogMetric,
  type CatalogNode,
  HISTORY,
  HISTORY_KIND,
  HISTORY_METRIC,
  HISTORY_NODE,
  HISTORY_USUAL_MS,
  type SeriesCatalog,
} from './catalog.ts';
import {
  CELL,
  CELL_COUNT,
  CELL_COVERED_MS,
  CELL_FIRST,
  CELL_FIRST_MS,
  CELL_INTEGRAL,
  CELL_LAST,
  CELL_LAST_MS,
  CELL_MAX,
  CELL_MIN,
  CELL_SERIES,
  CELL_SUM,
  GAP_INTERVALS,
  type Window,
} from './window.ts';

/** Row of `summaries` per series: indices into nodes and metrics, then the numbers of the contract. */
export const SUMMARY = 10;
export const SUMMARY_NODE = 0;
export const SUMMARY_METRIC = 1;
export const SUMMARY_COUNT = 2;
export const SUMMARY_MEAN = 3;
/** Gauge: unit times second. Counter and delta: the sum. */
export const SUMMARY_INTEGRAL = 4;
export const SUMMARY_COVERED_SECONDS = 5;
export const SUMMARY_MIN = 6;
export const SUMMARY_MAX = 7;
export const SUMMARY_FIRST = 8;
export const SUMMARY_LAST = 9;

export interface ClosedWindow {
  readonly startMs: number;
  readonly endMs: number;
  /** Nodes that reported, in order of their names. */
  readonly nodes: readonly Readonly<CatalogNode>[];
  /** Metrics reported, in order of their names. */
  readonly metrics: readonly CatalogMetric[];
  /** Rows of SUMMARY numbers, in order of node and metric. */
  readonly summaries: Float64Array;
  /** Outcomes in samples: accepted ones of this window, the others since the window before closed. */
  readonly samples: Counts;
  /** Outcomes in messages since the window before closed. */
  readonly messages: Counts;
  /** Covered share of the window, mean over its series. */
  readonly completeness: number;
  /** Place in the broker's stream at which it closed. */
  readonly brokerSequence: number;
  readonly endOfInput: boolean;
}

/** The part of a closed window that follows from its accumulators alone; cost linear in series, nodes and metrics. */
export function summarize(
  window: Window,
  catalog: SeriesCatalog,
): Pick<ClosedWindow, 'nodes' | 'metrics' | 'summaries' | 'completeness'> {
  const { cells, cellCount } = window;
  const { history } = catalog;
  const seriesOf = (row: number) => cells[row * CELL + CELL_SERIES]! * HISTORY;
  const nodes = rank(catalog.nodes, cellCount, (row) => history[seriesOf(row) + HISTORY_NODE]!);
  const metrics = rank(catalog.metrics, cellCount, (row) => history[seriesOf(row) + HISTORY_METRIC]!);
  const summaries = new Float64Array(cellCount * SUMMARY);
  const order = sortRows(cellCount, nodes, metrics);
  let covered = 0;
  for (let i = 0; i < cellCount; i++) {
    const row = order[i]!;
    const past = seriesOf(row);
    const out = i * SUMMARY;
    summaries[out + SUMMARY_NODE] = nodes.rankOfRow[row]!;
    summaries[out + SUMMARY_METRIC] = metrics.rankOfRow[row]!;
    writeSummary(window, row * CELL, history[past + HISTORY_KIND]!, history[past + HISTORY_USUAL_MS]!, {
      summaries,
      out,
    });
    covered += summaries[out + SUMMARY_COVERED_SECONDS]!;
  }
  const seconds = (window.endMs - window.startMs) / 1000;
  return {
    nodes: nodes.used.map((node) => ({ ...node })),
    metrics: metrics.used,
    summaries,
    completeness: cellCount === 0 ? 0 : Math.min(1, covered / cellCount / seconds),
  };
}

/** Holds the integral to the edges and turns sums into means; sums beyond the finite numbers are held to them. */
function writeSummary(
  window: Window,
  at: number,
  kind: number,
  usualMs: number,
  target: { summaries: Float64Array; out: number },
): void {
  const { cells } = window;
  const { summaries, out } = target;
  const count = cells[at + CELL_COUNT]!;
  const sum = cells[at + CELL_SUM]!;
  const headMs = cells[at + CELL_FIRST_MS]! - window.startMs;
  const tailMs = window.endMs - cells[at + CELL_LAST_MS]!;
  const gapMs = usualMs * GAP_INTERVALS;
  let integral = cells[at + CELL_INTEGRAL]!;
  let coveredMs = cells[at + CELL_COVERED_MS]!;
  if (!(headMs > gapMs)) {
    integral += cells[at + CELL_FIRST]! * headMs;
    coveredMs += headMs;
  }
  if (!(tailMs > gapMs)) {
    integral += cells[at + CELL_LAST]! * tailMs;
    coveredMs += tailMs;
  }
  summaries[out + SUMMARY_COUNT] = count;
  summaries[out + SUMMARY_MEAN] = finite(sum / count);
  summaries[out + SUMMARY_INTEGRAL] = finite(kind === MetricKind.GAUGE ? integral / 1000 : sum);
  summaries[out + SUMMARY_COVERED_SECONDS] = coveredMs / 1000;
  summaries[out + SUMMARY_MIN] = cells[at + CELL_MIN]!;
  summaries[out + SUMMARY_MAX] = cells[at + CELL_MAX]!;
  summaries[out + SUMMARY_FIRST] = cells[at + CELL_FIRST]!;
  summaries[out + SUMMARY_LAST] = cells[at + CELL_LAST]!;
}

function finite(value: number): number {
  if (Number.isNaN(value)) return 0; // Infinities of both signs met.
  return Math.max(-Number.MAX_VALUE, Math.min(Number.MAX_VALUE, value));
}

interface Ranks<Named> {
  /** The named things in use, in order of their names. */
  readonly used: Named[];
  /** Per row, the place of its thing in `used`. */
  readonly rankOfRow: Int32Array;
}

function rank<Named extends { readonly name: string }>(
  all: readonly Named[],
  rowCount: number,
  idOfRow: (row: number) => number,
): Ranks<Named> {
  const rankOfId = new Int32Array(all.length);
  const ids: number[] = [];
  for (let row = 0; row < rowCount; row++) {
    const id = idOfRow(row);
    if (rankOfId[id] !== 0) continue;
    rankOfId[id] = 1;
    ids.push(id);
  }
  ids.sort((a, b) => (all[a]!.name < all[b]!.name ? -1 : 1));
  ids.forEach((id, place) => {
    rankOfId[id] = place;
  });
  const rankOfRow = new Int32Array(rowCount);
  for (let row = 0; row < rowCount; row++) rankOfRow[row] = rankOfId[idOfRow(row)]!;
  return { used: ids.map((id) => all[id]!), rankOfRow };
}

/** Rows in order of node, then metric: two stable counting sorts. */
function sortRows(rowCount: number, nodes: Ranks<unknown>, metrics: Ranks<unknown>): Int32Array {
  const rows = new Int32Array(rowCount);
  for (let row = 0; row < rowCount; row++) rows[row] = row;
  const byMetric = countingSort(rows, metrics.rankOfRow, metrics.used.length);
  return countingSort(byMetric, nodes.rankOfRow, nodes.used.length);
}

function countingSort(rows: Int32Array, keyOfRow: Int32Array, keyCount: number): Int32Array {
  const next = new Int32Array(keyCount + 1);
  for (const row of rows) next[keyOfRow[row]! + 1] = next[keyOfRow[row]! + 1]! + 1;
  for (let key = 0; key < keyCount; key++) next[key + 1] = next[key + 1]! + next[key]!;
  const sorted = new Int32Array(rows.length);
  for (const row of rows) {
    const place = next[keyOfRow[row]!]!;
    next[keyOfRow[row]!] = place + 1;
    sorted[place] = row;
  }
  return sorted;
}
