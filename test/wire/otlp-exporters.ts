/** The real OpenTelemetry SDK and its exporters, pointed at a whole server. */
import { Metadata } from '@grpc/grpc-js';
import { type HrTime, ValueType } from '@opentelemetry/api';
import { OTLPMetricExporter as GrpcExporter } from '@opentelemetry/exporter-metrics-otlp-grpc';
import { OTLPMetricExporter as JsonExporter } from '@opentelemetry/exporter-metrics-otlp-http';
import { OTLPMetricExporter as ProtoExporter } from '@opentelemetry/exporter-metrics-otlp-proto';
import { resourceFromAttributes } from '@opentelemetry/resources';
import {
  AggregationTemporality,
  AggregationType,
  MeterProvider,
  MetricReader,
  type PushMetricExporter,
  type ResourceMetrics,
} from '@opentelemetry/sdk-metrics';
import type { GetIngestReportResponse } from '../../src/gen/homeostat/telemetry/v1/telemetry_service_pb.ts';
import { eventually } from '../support/eventually.ts';
import type { World } from '../support/world.ts';

const START_SECONDS = Date.UTC(2026, 0, 5) / 1000;
/** Reads what the instruments recorded when asked. */
class OnDemandReader extends MetricReader {
  protected override async onShutdown(): Promise<void> {}
  protected override async onForceFlush(): Promise<void> {}
}

/** An application with one instrument of each kind. */
export function createApplication() {
  const reader = new OnDemandReader({
    aggregationTemporalitySelector: () => AggregationTemporality.CUMULATIVE,
  });
  const provider = new MeterProvider({
    readers: [reader],
    views: [
      {
        instrumentName: 'latency.fine',
        aggregation: { type: AggregationType.EXPONENTIAL_HISTOGRAM },
      },
    ],
  });
  const meter = provider.getMeter('shop', '1.0.0');
  const power = meter.createGauge('power', { unit: 'W' });
  const requests = meter.createCounter('requests', { unit: '{request}', valueType: ValueType.INT });
  const queue = meter.createUpDownCounter('queue.length');
  const latency = meter.createHistogram('latency', { unit: 's' });
  const fine = meter.createHistogram('latency.fine', { unit: 's' });
  return {
    work(round: number, host: number) {
      power.record(100 + host * 10 + Math.sin(round / 3) * 7.3);
      requests.add(round % 5, { method: 'GET', route: '/cart/{id}' });
      requests.add(1, { route: '/cart', method: 'POST' });
      queue.add(round % 2 === 0 ? 3 : -2);
      latency.record(0.1 * (round + 1), { method: 'GET' });
      fine.record(0.01 * (round + 1));
    },
    async collect(): Promise<ResourceMetrics> {
      return (await reader.collect()).resourceMetrics;
    },
    shutdown: () => provider.shutdown(),
  };
}

/** What was collected, as if at that second, from that resource. */
export function at(
  collected: ResourceMetrics,
  seconds: number,
  attributes: Record<string, string | number>,
): ResourceMetrics {
  const endTime: HrTime = [START_SECONDS + seconds, 123_456_789];
  return {
    resource: resourceFromAttributes(attributes),
    scopeMetrics: collected.scopeMetrics.map((scope) => ({
      ...scope,
      metrics: scope.metrics.map((metric) => ({
        ...metric,
        dataPoints: metric.dataPoints.map((point) => ({ ...point, endTime })),
      })),
    })) as ResourceMetrics['scopeMetrics'],
  };
}

export function deliver(exporter: PushMetricExporter, metrics: ResourceMetrics): Promise<Error | undefined> {
  return new Promise((resolve) =>
    exporter.export(metrics, (result) => {
      // 0 is SUCCESS of ExportResultCode.
      resolve(result.code === 0 ? undefined : (result.error ?? new Error('failed without a reason')));
    }),
  );
}

/** The exporters' own enum, which they do not export. */
type Compression = NonNullable<NonNullable<ConstructorParameters<typeof GrpcExporter>[0]>['compression']>;

export type Exporters = Readonly<Record<'grpc' | 'protobuf' | 'json', PushMetricExporter>>;

/** The three real exporters, two of them with gzip. */
export function createExporters({ server }: World, token: string): Exporters {
  const authorization = `Bearer ${token}`;
  const metadata = new Metadata();
  metadata.set('authorization', authorization);
  const compression = 'gzip' as Compression;
  const url = `http://${server.httpAddress}/v1/metrics`;
  const shared = { headers: { authorization }, timeoutMillis: 30_000, url };
  return {
    grpc: new GrpcExporter({ url: `http://${server.grpcAddress}`, metadata, compression }),
    protobuf: new ProtoExporter(shared),
    json: new JsonExporter({ ...shared, compression }),
  };
}

export async function shutDown(all: Exporters): Promise<void> {
  await Promise.all(Object.values(all).map((exporter) => exporter.shutdown()));
}

/** What one application collected once. */
export async function collectOnce(): Promise<ResourceMetrics> {
  const application = createApplication();
  application.work(1, 0);
  const collected = await application.collect();
  await application.shutdown();
  return collected;
}

/** The report of a stream once it is as wanted; a stream nothing was offered to has none. */
export async function reportWhere(
  { clients }: World,
  stream: { readonly domain: string; readonly cluster: string },
  done: (report: GetIngestReportResponse) => boolean,
): Promise<GetIngestReportResponse> {
  const ask = () => clients.telemetry.getIngestReport({ stream }).catch(() => undefined);
  return (await eventually(ask, (report) => report !== undefined && done(report)))!;
}
