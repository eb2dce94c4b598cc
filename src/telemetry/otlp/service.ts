/**
 * Takes OpenTelemetry metrics in, as MetricsService over gRPC and by POST to /v1/metrics: reads an export, hands its
 * batches to the broker, and answers once all of them are acknowledged. An export that fails half way is to be repeated
 * whole; what of it arrived is recognized by its content.
 */
import type { MessageInitShape } from '@bufbuild/protobuf';
import type { Bus } from '../../bus/bus.ts';
import { telemetrySubject } from '../../bus/topics.ts';
import type { Clock } from '../../clock.ts';
import {
  type ExportMetricsServiceResponseSchema,
  MetricsService,
} from '../../gen/opentelemetry/proto/collector/metrics/v1/metrics_service_pb.ts';
import { type HttpRoute, httpRoute, type PostedBody } from '../../http/route.ts';
import { runInSlices } from '../../numeric/slices.ts';
import { edgeError } from '../../rpc/errors.ts';
import type { Call, ServiceBinding } from '../../rpc/handler.ts';
import { exportRefusal } from '../errors.ts';
import { type ReadExport, readExport } from './export.ts';
import type { RefusalReason } from './refusals.ts';
import { metricsOf, UnreadableExport } from './request.ts';
import type { EncodedBatch } from './samples.ts';

/** Batches of one export that wait for the broker at a time. */
const WINDOW = 256;
/** Longest time the reading of an export holds the event loop, milliseconds. */
const SLICE_MS = 4;

export interface OtlpDeps {
  readonly bus: Pick<Bus, 'publishTelemetry'>;
  readonly clock: Clock;
  readonly unavailable: () => readonly string[];
}

export interface Otlp {
  readonly binding: ServiceBinding;
  readonly route: HttpRoute;
  /** Data points the broker acknowledged. */
  taken(): number;
  /** Data points refused, by reason. */
  readonly refused: ReadonlyMap<RefusalReason, number>;
}

type Response = MessageInitShape<typeof ExportMetricsServiceResponseSchema>;

export function createOtlp({ bus, clock, unavailable }: OtlpDeps): Otlp {
  const refused = new Map<RefusalReason, number>();
  let taken = 0;
  /** One export is read at a time, however many come. */
  let turn: Promise<void> = Promise.resolve();

  const publish = async (batches: readonly EncodedBatch[], signal: AbortSignal): Promise<void> => {
    for (let from = 0; from < batches.length; from += WINDOW) {
      signal.throwIfAborted();
      await Promise.all(
        batches
          .slice(from, from + WINDOW)
          .map(({ domain, cluster, node, wire }) =>
            bus.publishTelemetry(telemetrySubject(domain, cluster, node), wire),
          ),
      );
    }
  };

  const read = (body: PostedBody, signal: AbortSignal): Promise<ReadExport> => {
    const reading = turn.then(() => {
      signal.throwIfAborted();
      const steps = readExport(metricsOf(body.bytes, body.format));
      return runInSlices(steps, { clock, sliceMs: SLICE_MS, signal });
    });
    const ended = () => undefined;
    turn = reading.then(ended, ended);
    return reading;
  };

  const take = async (body: PostedBody, signal: AbortSignal): Promise<Response> => {
    const { batches, refusals, points } = await read(body, signal).catch((error: unknown) => {
      if (!(error instanceof UnreadableExport)) throw error;
      const { typeName } = MetricsService.method.export.input;
      throw edgeError('MALFORMED', { type: typeName }, { cause: error });
    });
    await publish(batches, signal).catch((error: unknown) => {
      throw exportRefusal(error);
    });
    taken += points - refusals.points;
    for (const [reason, count] of refusals.byReason) refused.set(reason, (refused.get(reason) ?? 0) + count);
    const errorMessage = refusals.text();
    if (errorMessage === '') return {};
    return { partialSuccess: { rejectedDataPoints: BigInt(refusals.points), errorMessage } };
  };
  const binding: ServiceBinding = {
    service: MetricsService,
    handlers: {
      export: (bytes: Uint8Array, call: Call) => take({ bytes, format: 'protobuf' }, call.signal),
    },
    selfDecoding: ['export'],
    unavailable,
  };

  return {
    binding,
    route: httpRoute('/v1/metrics', MetricsService.method.export, take),
    taken: () => taken,
    refused,
  };
}
