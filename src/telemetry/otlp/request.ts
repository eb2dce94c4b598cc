/**
 * An OpenTelemetry export as it comes, read metric by metric: only one is decoded at a time, so that a large export
 * neither fills the memory with its messages nor holds the event loop while it is decoded. Unknown fields are skipped,
 * on the wire and in JSON. Pure.
 */
import { type DescMessage, fromBinary, fromJson, type JsonObject, type JsonValue } from '@bufbuild/protobuf';
import { BinaryReader, WireType } from '@bufbuild/protobuf/wire';
import {
  type InstrumentationScope,
  InstrumentationScopeSchema,
} from '../../gen/opentelemetry/proto/common/v1/common_pb.ts';
import { type Metric, MetricSchema } from '../../gen/opentelemetry/proto/metrics/v1/metrics_pb.ts';
import { type Resource, ResourceSchema } from '../../gen/opentelemetry/proto/resource/v1/resource_pb.ts';

/** A metric, and what measured it. Metrics of one resource come with the same object. */
export interface ReportedMetric {
  readonly resource: Resource;
  readonly scope: InstrumentationScope;
  readonly metric: Metric;
}

/** The bytes are not an export. */
export class UnreadableExport extends Error {
  constructor(cause: unknown) {
    super('the bytes are not an ExportMetricsServiceRequest', { cause });
    this.name = 'UnreadableExport';
  }
}

/** Deeper messages are refused. */
const DEPTH_MAX = 64;
const BINARY_OPTIONS = { readUnknownFields: false, recursionLimit: DEPTH_MAX };
const JSON_OPTIONS = { ignoreUnknownFields: true, recursionLimit: DEPTH_MAX };

/** Numbers of the fields that lead to a metric. */
const RESOURCE_METRICS = 1;
const RESOURCE = 1;
const SCOPE_METRICS = 2;
const SCOPE = 1;
const METRICS = 2;

/** The metrics of an ExportMetricsServiceRequest; throws UnreadableExport where it comes to what is none. */
export function* metricsOf(bytes: Uint8Array, format: 'protobuf' | 'json'): Generator<ReportedMetric> {
  try {
    yield* format === 'protobuf' ? metricsOnWire(bytes) : metricsInJson(bytes);
  } catch (error) {
    throw new UnreadableExport(error);
  }
}

function* metricsOnWire(bytes: Uint8Array): Generator<ReportedMetric> {
  for (const ofResource of blocks(bytes, RESOURCE_METRICS)) {
    const resource = onlyOf(ResourceSchema, ofResource, RESOURCE);
    for (const ofScope of blocks(ofResource, SCOPE_METRICS)) {
      const scope = onlyOf(InstrumentationScopeSchema, ofScope, SCOPE);
      for (const metric of blocks(ofScope, METRICS))
        yield { resource, scope, metric: fromBinary(MetricSchema, metric, BINARY_OPTIONS) };
    }
  }
}

/** Decodes a field that is not repeated; of several the last. */
function onlyOf<Schema extends DescMessage>(schema: Schema, message: Uint8Array, field: number) {
  const bytes = [...blocks(message, field)].at(-1) ?? new Uint8Array(0);
  return fromBinary(schema, bytes, BINARY_OPTIONS);
}

/** The length-delimited fields of one number, in order; views of the message. */
function* blocks(message: Uint8Array, field: number): Generator<Uint8Array> {
  const reader = new BinaryReader(message);
  while (reader.pos < reader.len) {
    const [number, wireType] = reader.tag();
    if (number !== field) reader.skip(wireType, number);
    else if (wireType === WireType.LengthDelimited) yield reader.bytes();
    else throw new Error(`field ${number} has wire type ${wireType}`);
  }
}

const text = new TextDecoder('utf-8', { fatal: true });

function* metricsInJson(bytes: Uint8Array): Generator<ReportedMetric> {
  const request: JsonValue = JSON.parse(text.decode(bytes));
  for (const ofResource of objectsOf(request, 'resourceMetrics', 'resource_metrics')) {
    const resource = fromJson(ResourceSchema, ofResource['resource'] ?? {}, JSON_OPTIONS);
    for (const ofScope of objectsOf(ofResource, 'scopeMetrics', 'scope_metrics')) {
      const scope = fromJson(InstrumentationScopeSchema, ofScope['scope'] ?? {}, JSON_OPTIONS);
      for (const metric of objectsOf(ofScope, 'metrics', 'metrics'))
        yield { resource, scope, metric: fromJson(MetricSchema, metric, JSON_OPTIONS) };
    }
  }
}

/** The objects of a list under either name; none where it is absent. */
function objectsOf(value: JsonValue, name: string, protoName: string): readonly JsonObject[] {
  if (!isObject(value)) throw new Error('it is not an object');
  const list = value[name] ?? value[protoName] ?? [];
  if (!Array.isArray(list) || !list.every(isObject)) throw new Error(`${name} is not a list of objects`);
  return list;
}

function isObject(value: JsonValue): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
