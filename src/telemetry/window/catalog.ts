/**
 * The nodes, metrics and series of one stream, numbered from 0 as they appear, and what each series is remembered by
 * between windows. A series is one metric of one node. What was not seen for long is forgotten, and the rest
 * numbered anew; `version` tells holders of numbers that theirs are void.
 */
import { MetricKind } from '../../gen/homeostat/telemetry/v1/telemetry_service_pb.ts';

export interface CatalogNode {
  readonly name: string;
  /** The cell its producer declared; -1 where none was. */
  row: number;
  col: number;
}

export interface CatalogMetric {
  readonly name: string;
  /** UCUM. */
  readonly unit: string;
  /** Never UNSPECIFIED. */
  readonly kind: MetricKind;
}

/** Row of `history` per series: its node, metric and kind, then its newest sample and usual interval. */
export const HISTORY = 6;
export const HISTORY_NODE = 0;
export const HISTORY_METRIC = 1;
export const HISTORY_KIND = 2;
/** Event time of the newest sample, milliseconds; NaN before the first. */
export const HISTORY_LAST_MS = 3;
export const HISTORY_LAST_VALUE = 4;
/** Exponential mean of the intervals between samples, weight 1/8, milliseconds; NaN before the second. */
export const HISTORY_USUAL_MS = 5;

/** Most bytes of metric names and units a stream remembers, so that they fit into every part of a window. */
const METRIC_BYTES_MAX = 192 * 1024;

/** Asked for a metric under another unit or kind than it is known with. */
export const METRIC_CHANGED = -1;

const encoder = new TextEncoder();

export class SeriesCatalog {
  nodes: CatalogNode[] = [];
  metrics: CatalogMetric[] = [];
  seriesCount = 0;
  /** `seriesCount` rows of HISTORY numbers. */
  history = new Float64Array(64 * HISTORY);
  /** Changes when numbers were given anew: every number held elsewhere is void. */
  version = 0;
  /** Changes whenever a name, a cell or the numbering changed. */
  edition = 0;

  private readonly seriesLimit: number;
  private readonly nodeIds = new Map<string, number>();
  private readonly metricIds = new Map<string, number>();
  /** Per node, the series of each metric. */
  private seriesIds: Map<number, number>[] = [];
  private metricBytes = 0;

  constructor(seriesLimit: number) {
    this.seriesLimit = seriesLimit;
  }

  /** Number of a metric: METRIC_CHANGED when it is known as something else, undefined when it is not known. */
  metricId(metric: CatalogMetric): number | undefined {
    const id = this.metricIds.get(metric.name);
    if (id === undefined) return undefined;
    const known = this.metrics[id]!;
    return known.unit === metric.unit && known.kind === metric.kind ? id : METRIC_CHANGED;
  }

  /** Number of the series; undefined when the stream can hold no more. The metric is not METRIC_CHANGED. */
  series(node: string, metric: CatalogMetric): number | undefined {
    let nodeId = this.nodeIds.get(node);
    let metricId = this.metricIds.get(metric.name);
    const known =
      nodeId === undefined || metricId === undefined ? undefined : this.seriesIds[nodeId]!.get(metricId);
    if (known !== undefined) return known;
    if (this.seriesCount >= this.seriesLimit) return undefined;
    if (metricId === undefined && this.metricBytes + sizeOf(metric) > METRIC_BYTES_MAX) return undefined;
    metricId ??= this.addMetric(metric);
    nodeId ??= this.addNode({ name: node, row: -1, col: -1 });
    return this.addSeries(nodeId, metricId);
  }

  /** Takes the cell a node declared; a node beyond the limit is not remembered. */
  declareCell(name: string, row: number, col: number): void {
    let id = this.nodeIds.get(name);
    if (id === undefined) {
      if (this.nodes.length >= this.seriesLimit) return;
      id = this.addNode({ name, row: -1, col: -1 });
    }
    const node = this.nodes[id]!;
    if (node.row === row && node.col === col) return;
    node.row = row;
    node.col = col;
    this.edition++;
  }

  /**
   * Forgets series without a sample since `beforeMs`, and nodes and metrics left without series. Returns the new
   * number of each series, -1 for a forgotten one; undefined when none was forgotten. Linear in the series.
   */
  forget(beforeMs: number): Int32Array | undefined {
    const { history, seriesCount } = this;
    const renumbered = new Int32Array(seriesCount).fill(-1);
    let kept = 0;
    for (let series = 0; series < seriesCount; series++)
      if (history[series * HISTORY + HISTORY_LAST_MS]! >= beforeMs) renumbered[series] = kept++;
    if (kept === seriesCount) return undefined;
    const { nodes, metrics } = this;
    const rows = history.slice(0, seriesCount * HISTORY);
    this.clear();
    for (let series = 0; series < seriesCount; series++) {
      if (renumbered[series] === -1) continue;
      const row = rows.subarray(series * HISTORY, (series + 1) * HISTORY);
      const node = nodes.at(row[HISTORY_NODE]!)!;
      const metric = metrics.at(row[HISTORY_METRIC]!)!;
      const nodeId = this.nodeIds.get(node.name) ?? this.addNode(node);
      const metricId = this.metricIds.get(metric.name) ?? this.addMetric(metric);
      const id = this.addSeries(nodeId, metricId);
      this.history.set(row.subarray(HISTORY_KIND), id * HISTORY + HISTORY_KIND);
    }
    this.version++;
    return renumbered;
  }

  /** Fills an empty catalog with what a checkpoint holds; `rows` is copied. */
  restore(nodes: readonly CatalogNode[], metrics: readonly CatalogMetric[], rows: Float64Array): void {
    for (const node of nodes) this.addNode({ ...node });
    for (const metric of metrics) this.addMetric(metric);
    for (let from = 0; from < rows.length; from += HISTORY) {
      const id = this.addSeries(rows[from + HISTORY_NODE]!, rows[from + HISTORY_METRIC]!);
      this.history.set(rows.subarray(from, from + HISTORY), id * HISTORY);
    }
  }

  private clear(): void {
    this.nodes = [];
    this.metrics = [];
    this.nodeIds.clear();
    this.metricIds.clear();
    this.seriesIds = [];
    this.seriesCount = 0;
    this.metricBytes = 0;
    this.edition++;
  }

  private addNode(node: CatalogNode): number {
    const id = this.nodes.push(node) - 1;
    this.nodeIds.set(node.name, id);
    this.seriesIds.push(new Map());
    this.edition++;
    return id;
  }

  private addMetric(metric: CatalogMetric): number {
    const id = this.metrics.push(metric) - 1;
    this.metricIds.set(metric.name, id);
    this.metricBytes += sizeOf(metric);
    this.edition++;
    return id;
  }

  private addSeries(nodeId: number, metricId: number): number {
    const id = this.seriesCount++;
    if (this.history.length < this.seriesCount * HISTORY) {
      const grown = new Float64Array(this.history.length * 2);
      grown.set(this.history);
      this.history = grown;
    }
    const row = id * HISTORY;
    this.history[row + HISTORY_NODE] = nodeId;
    this.history[row + HISTORY_METRIC] = metricId;
    this.history[row + HISTORY_KIND] = this.metrics[metricId]!.kind;
    this.history.fill(Number.NaN, row + HISTORY_LAST_MS, row + HISTORY);
    this.seriesIds[nodeId]!.set(metricId, id);
    return id;
  }
}

/** Bytes of a metric as a descriptor on the wire, at most. */
function sizeOf(metric: CatalogMetric): number {
  return encoder.encode(metric.name).length + encoder.encode(metric.unit).length + 12;
}

/** Metric of a descriptor: an empty unit is 1, an unstated kind GAUGE. */
export function catalogMetric(name: string, unit: string, kind: MetricKind): CatalogMetric {
  return {
    name,
    unit: unit === '' ? '1' : unit,
    kind: kind === MetricKind.UNSPECIFIED ? MetricKind.GAUGE : kind,
  };
}
