/**
 * The points of one OpenTelemetry metric as samples. Gauges and cumulative sums that may fall are GAUGEs, cumulative
 * sums that only grow COUNTERs (the fold takes a fall for a reset), deltas DELTAs; of a histogram the count and the sum
 * are taken, as `<name>.count` and `<name>.sum`, COUNTER or DELTA. A point is taken whole or refused whole. Pure.
 */
import { MetricKind } from '../../gen/homeostat/telemetry/v1/telemetry_service_pb.ts';
import type { KeyValue } from '../../gen/opentelemetry/proto/common/v1/common_pb.ts';
import {
  AggregationTemporality,
  DataPointFlags,
  type ExponentialHistogramDataPoint,
  type HistogramDataPoint,
  type Metric,
  type NumberDataPoint,
} from '../../gen/opentelemetry/proto/metrics/v1/metrics_pb.ts';
import type { Steps } from '../../numeric/slices.ts';
import type { RefusalReason } from './refusals.ts';
import { seriesName } from './series.ts';

/** Most characters of a unit. */
const UNIT_MAX = 32;
const NANOS_PER_MS = 1_000_000n;
const COUNT_UNIT = '1';

/** Where the samples of a metric go. */
export interface PointSink {
  /** Whether this producer may report the series: false once another one did. */
  claim(series: string): boolean;
  /** `timeMs` is whole, `value` finite. */
  take(series: string, unit: string, kind: MetricKind, timeMs: number, value: number): void;
  /** `points` of the metric are refused. */
  refuse(reason: RefusalReason, points: number): void;
}

/** Points read between two yields. */
const STEP_POINTS = 256;

/** Points of the kinds that can be taken. */
type TakenData = Exclude<Metric['data'], { case: undefined } | { case: 'summary' }>;

/** Hands every point of a metric to the sink, one way or the other; gives how many there were. Linear. */
export function* readPoints(metric: Metric, sink: PointSink): Steps<number> {
  const { data } = metric;
  if (data.case === undefined) {
    sink.refuse('UNKNOWN_KIND', 0);
    return 0;
  }
  const { dataPoints } = data.value;
  const fault = faultOf(metric);
  if (fault !== undefined || data.case === 'summary') {
    if (dataPoints.length > 0) sink.refuse(fault ?? 'SUMMARY', dataPoints.length);
    return dataPoints.length;
  }
  const kind = kindOf(data);
  for (let at = 0; at < data.value.dataPoints.length; at++) {
    const point = data.value.dataPoints[at]!;
    const refusal =
      'count' in point ? takeHistogram(metric, kind, point, sink) : takeNumber(metric, kind, point, sink);
    if (refusal !== undefined) sink.refuse(refusal, 1);
    if (at % STEP_POINTS === STEP_POINTS - 1) yield;
  }
  return dataPoints.length;
}

/** Why none of a metric's points can be taken, whatever they hold. */
function faultOf({ name, unit, data }: Metric): RefusalReason | undefined {
  if (name === '') return 'NO_NAME';
  if (unit.length > UNIT_MAX) return 'UNIT_TOO_LONG';
  if (data.case !== 'sum' && data.case !== 'histogram' && data.case !== 'exponentialHistogram')
    return undefined;
  const { DELTA, CUMULATIVE } = AggregationTemporality;
  const { aggregationTemporality } = data.value;
  return aggregationTemporality === DELTA || aggregationTemporality === CUMULATIVE
    ? undefined
    : 'NO_TEMPORALITY';
}

function kindOf(data: TakenData): MetricKind {
  if (data.case === 'gauge') return MetricKind.GAUGE;
  if (data.value.aggregationTemporality === AggregationTemporality.DELTA) return MetricKind.DELTA;
  return data.case !== 'sum' || data.value.isMonotonic ? MetricKind.COUNTER : MetricKind.GAUGE;
}

function takeNumber(
  metric: Metric,
  kind: MetricKind,
  point: NumberDataPoint,
  sink: PointSink,
): RefusalReason | undefined {
  const { attributes, timeUnixNano, value, flags } = point;
  if (hasNoValue(flags) || value.case === undefined) return 'NO_VALUE';
  if (timeUnixNano === 0n) return 'NO_TIME';
  const number = Number(value.value);
  if (!Number.isFinite(number)) return 'NOT_FINITE';
  const series = seriesName(metric.name, attributes);
  if (!sink.claim(series)) return 'CONTESTED';
  sink.take(series, metric.unit, kind, millisecondsOf(timeUnixNano), number);
  return undefined;
}

function takeHistogram(
  metric: Metric,
  kind: MetricKind,
  point: HistogramDataPoint | ExponentialHistogramDataPoint,
  sink: PointSink,
): RefusalReason | undefined {
  const { timeUnixNano, count, sum, flags } = point;
  if (hasNoValue(flags)) return 'NO_VALUE';
  if (timeUnixNano === 0n) return 'NO_TIME';
  if (sum !== undefined && !Number.isFinite(sum)) return 'NOT_FINITE';
  const attributes: readonly KeyValue[] = point.attributes;
  const countSeries = seriesName(`${metric.name}.count`, attributes);
  const sumSeries = seriesName(`${metric.name}.sum`, attributes);
  if (!sink.claim(countSeries) || !sink.claim(sumSeries)) return 'CONTESTED';
  const timeMs = millisecondsOf(timeUnixNano);
  sink.take(countSeries, COUNT_UNIT, kind, timeMs, Number(count));
  if (sum !== undefined) sink.take(sumSeries, metric.unit, kind, timeMs, sum);
  return undefined;
}

function hasNoValue(flags: number): boolean {
  return (flags & DataPointFlags.NO_RECORDED_VALUE_MASK) !== 0;
}

/** Whole milliseconds, rounded down. */
function millisecondsOf(nanos: bigint): number {
  return Number(nanos / NANOS_PER_MS);
}
