/** OpenTelemetry exports in few words, and the ways they come. */
import { create, fromBinary, type MessageInitShape, toBinary, toJson } from '@bufbuild/protobuf';
import {
  type TelemetryBatch,
  TelemetryBatchSchema,
} from '../../../src/gen/homeostat/telemetry/v1/telemetry_service_pb.ts';
import {
  type ExportMetricsServiceRequest,
  ExportMetricsServiceRequestSchema,
} from '../../../src/gen/opentelemetry/proto/collector/metrics/v1/metrics_service_pb.ts';
import type { KeyValueSchema } from '../../../src/gen/opentelemetry/proto/common/v1/common_pb.ts';
import type {
  MetricSchema,
  NumberDataPointSchema,
  ResourceMetricsSchema,
} from '../../../src/gen/opentelemetry/proto/metrics/v1/metrics_pb.ts';
import { runThrough } from '../../../src/numeric/slices.ts';
import { type ReadExport, readExport } from '../../../src/telemetry/otlp/export.ts';
import { metricsOf } from '../../../src/telemetry/otlp/request.ts';

/** 2026-01-05T00:00:00Z. */
export const START_MS = Date.UTC(2026, 0, 5);

export type MetricInit = MessageInitShape<typeof MetricSchema>;
export type PointInit = MessageInitShape<typeof NumberDataPointSchema>;
export type ResourceInit = MessageInitShape<typeof ResourceMetricsSchema>;

/** A resource that names all three. */
export const SHOP: Readonly<Record<string, string>> = {
  'service.namespace': 'shop',
  'service.name': 'cart',
  'host.name': 'web-1',
};

export function attributes(
  given: Readonly<Record<string, string>>,
): MessageInitShape<typeof KeyValueSchema>[] {
  return Object.entries(given).map(([key, value]) => ({
    key,
    value: { value: { case: 'stringValue', value } },
  }));
}

/** A number so many seconds after START_MS. */
export function point(atSeconds: number, value: number, given: Record<string, string> = {}): PointInit {
  return {
    timeUnixNano: BigInt(START_MS + Math.round(atSeconds * 1000)) * 1_000_000n,
    value: { case: 'asDouble', value },
    attributes: attributes(given),
  };
}

export function gauge(name: string, dataPoints: PointInit[], unit = ''): MetricInit {
  return { name, unit, data: { case: 'gauge', value: { dataPoints } } };
}

export function resource(
  metrics: MetricInit[],
  given: Readonly<Record<string, string>> = SHOP,
  scope = 'tests',
): ResourceInit {
  return { resource: { attributes: attributes(given) }, scopeMetrics: [{ scope: { name: scope }, metrics }] };
}

export function request(...resourceMetrics: ResourceInit[]): ExportMetricsServiceRequest {
  return create(ExportMetricsServiceRequestSchema, { resourceMetrics });
}

export function encoded(message: ExportMetricsServiceRequest): Record<'protobuf' | 'json', Uint8Array> {
  const json = JSON.stringify(toJson(ExportMetricsServiceRequestSchema, message));
  return {
    protobuf: toBinary(ExportMetricsServiceRequestSchema, message),
    json: new TextEncoder().encode(json),
  };
}

/** What becomes of an export that comes as protobuf. */
export function read(...resourceMetrics: ResourceInit[]): ReadExport {
  const { protobuf } = encoded(request(...resourceMetrics));
  return runThrough(readExport(metricsOf(protobuf, 'protobuf')));
}

/** The batches of an export, decoded. */
export function batchesOf({ batches }: ReadExport): TelemetryBatch[] {
  return batches.map(({ wire }) => fromBinary(TelemetryBatchSchema, wire));
}

/** `metric@seconds=value` of every sample, in order. */
export function samplesOf(batch: TelemetryBatch): string[] {
  const baseMs = Number(batch.baseTime!.seconds) * 1000 + batch.baseTime!.nanos / 1e6;
  return batch.values.map((value, i) => {
    const { name } = batch.metrics[batch.metricIndex[i]!]!;
    return `${name}@${(baseMs + batch.offsetMs[i]! - START_MS) / 1000}=${value}`;
  });
}
