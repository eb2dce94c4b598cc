/**
 * A closed telemetry window as the maps read it: every node that reported, and per node and metric the summaries that
 * count. Times are milliseconds since 1970. Assembled from the parts a large window comes in.
 */
import { timestampMs } from '@bufbuild/protobuf/wkt';
import type { WindowClosed } from '../../gen/homeostat/telemetry/v1/telemetry_events_pb.ts';
import { MetricKind } from '../../gen/homeostat/telemetry/v1/telemetry_service_pb.ts';
import { runThrough, type Steps } from '../../numeric/slices.ts';
import type { DeclaredCell } from './layout.ts';
import { NODES_PER_STEP } from './order.ts';

export interface WindowMetric {
  readonly name: string;
  /** UCUM. */
  readonly unit: string;
  readonly kind: 'GAUGE' | 'COUNTER' | 'DELTA';
}

/** What one node reported of one metric. */
export interface Reading {
  /** Index into the window's metrics. */
  readonly metric: number;
  /** Mean of a gauge's values, of a counter's differences or of a delta's amounts. */
  readonly mean: number;
  /** Gauge: integral over the covered seconds. Counter and delta: the sum. */
  readonly integral: number;
  readonly coveredSeconds: number;
  readonly first: number;
  readonly last: number;
}

export interface WindowNode {
  readonly name: string;
  readonly declared: DeclaredCell | undefined;
  readonly readings: readonly Reading[];
}

export interface MapWindow {
  readonly startMs: number;
  readonly endMs: number;
  readonly metrics: readonly WindowMetric[];
  readonly nodes: readonly WindowNode[];
  readonly endOfInput: boolean;
}

const KINDS: Readonly<Record<MetricKind, WindowMetric['kind']>> = {
  [MetricKind.UNSPECIFIED]: 'GAUGE',
  [MetricKind.GAUGE]: 'GAUGE',
  [MetricKind.COUNTER]: 'COUNTER',
  [MetricKind.DELTA]: 'DELTA',
};

/** One window from its parts, at least one. Throws RangeError when columns of a part do not fit together. */
export function* windowSteps(parts: readonly WindowClosed[]): Steps<MapWindow> {
  const first = parts[0]!;
  const nodes = new Map<string, WindowNode & { declared: DeclaredCell | undefined; readings: Reading[] }>();
  for (const part of parts) {
    const own: Reading[][] = [];
    for (const { name, cell } of part.nodes) {
      const node = nodes.get(name) ?? { name, declared: undefined, readings: [] };
      if (cell) node.declared = { row: cell.row, col: cell.col };
      nodes.set(name, node);
      own.push(node.readings);
      if (own.length % NODES_PER_STEP === 0) yield;
    }
    yield* addReadings(part, own);
  }
  return {
    startMs: timestampMs(first.start!),
    endMs: timestampMs(first.end!),
    metrics: first.metrics.map(({ name, unit, kind }) => ({ name, unit, kind: KINDS[kind] ?? 'GAUGE' })),
    nodes: [...nodes.values()],
    endOfInput: parts.some((part) => part.endOfInput),
  };
}

/** The same without a pause. */
export function readWindow(parts: readonly WindowClosed[]): MapWindow {
  return runThrough(windowSteps(parts));
}

/** Hands the columns of a part out to its nodes. */
function* addReadings(part: WindowClosed, nodes: readonly Reading[][]): Steps<void> {
  const columns = part.summaries;
  if (columns === undefined) return;
  for (let row = 0; row < columns.nodeIndex.length; row++) {
    if (row % NODES_PER_STEP === NODES_PER_STEP - 1) yield;
    const readings = nodes[columns.nodeIndex[row]!];
    const metric = columns.metricIndex[row]!;
    const reading = {
      metric,
      mean: columns.mean[row]!,
      integral: columns.integral[row]!,
      coveredSeconds: columns.coveredSeconds[row]!,
      first: columns.first[row]!,
      last: columns.last[row]!,
    };
    const whole = Number.isFinite(reading.mean + reading.integral + reading.coveredSeconds);
    if (readings === undefined || part.metrics[metric] === undefined || !whole)
      throw new RangeError(`row ${row} of a closed window's summaries is incomplete`);
    readings.push(reading);
  }
}
