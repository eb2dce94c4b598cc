/** Telemetry on a real broker and a real store, without the rest of the server. */
import type { MessageInitShape, MessageShape } from '@bufbuild/protobuf';
import type { Bus } from '../../src/bus/bus.ts';
import { busMigrations } from '../../src/bus/open.ts';
import { systemClock } from '../../src/clock.ts';
import type {
  GetIngestReportResponseSchema,
  IngestRequest,
  IngestResponseSchema,
  ListRejectedRequestSchema,
  ListRejectedResponseSchema,
  ListSourcesRequestSchema,
  ListSourcesResponseSchema,
  SubmitBatchRequest,
  SubmitBatchResponseSchema,
  WatchResponseSchema,
} from '../../src/gen/homeostat/telemetry/v1/telemetry_service_pb.ts';
import { createMetrics, type Metrics } from '../../src/observability.ts';
import type { Call } from '../../src/rpc/handler.ts';
import type { Store } from '../../src/store/store.ts';
import {
  createTelemetry,
  type Telemetry,
  type TelemetryConfig,
  telemetryMigrations,
} from '../../src/telemetry/context.ts';
import { openTestBus, type TestBroker } from '../support/broker.ts';
import { openTestStore, silentLogger } from '../support/stores.ts';
import { CONFIG } from './telemetry-config.ts';

/** The service's methods, called without an edge. */
export interface TelemetryCalls {
  submitBatch(
    request: Pick<SubmitBatchRequest, 'batch'>,
    call: Call,
  ): Promise<MessageInitShape<typeof SubmitBatchResponseSchema>>;
  ingest(
    requests: AsyncIterable<Pick<IngestRequest, 'batch'>>,
    call: Call,
  ): AsyncIterable<MessageInitShape<typeof IngestResponseSchema>>;
  watch(
    request: { stream: StreamInit; metrics: string[]; resumeToken: string },
    call: Call,
  ): AsyncIterable<MessageInitShape<typeof WatchResponseSchema>>;
  getIngestReport(request: {
    stream: StreamInit;
    range?: { start?: Instant; end?: Instant };
  }): Promise<MessageShape<typeof GetIngestReportResponseSchema>>;
  listSources(
    request: MessageInitShape<typeof ListSourcesRequestSchema>,
  ): Promise<MessageInitShape<typeof ListSourcesResponseSchema>>;
  listRejected(
    request: MessageInitShape<typeof ListRejectedRequestSchema>,
  ): Promise<MessageInitShape<typeof ListRejectedResponseSchema>>;
}

export interface StreamInit {
  readonly domain: string;
  readonly cluster: string;
}
interface Instant {
  readonly seconds: bigint;
  readonly nanos: number;
}

export interface TelemetryWorld {
  readonly bus: Bus;
  readonly broker: TestBroker;
  readonly store: Store;
  readonly metrics: Metrics;
  readonly telemetry: Telemetry;
  readonly calls: TelemetryCalls;
  /** Another telemetry on the same broker and store, as after a restart; the one before must be stopped. */
  restart(): Promise<void>;
  stop(): Promise<void>;
}

export interface WorldOptions {
  readonly config?: Partial<TelemetryConfig>;
  /** Stands between telemetry and the store. */
  readonly through?: (store: Store) => Store;
  /** Stands between telemetry and the bus. */
  readonly throughBus?: (bus: Bus) => Bus;
}

export async function startTelemetryWorld(options: WorldOptions = {}): Promise<TelemetryWorld> {
  const testStore = await openTestStore([...busMigrations, ...telemetryMigrations]);
  const testBus = await openTestBus({ store: testStore.store });
  const { bus } = testBus;
  let metrics = createMetrics();
  const make = () => {
    metrics = createMetrics();
    return createTelemetry({
      config: { ...CONFIG, ...options.config },
      clock: systemClock,
      store: options.through?.(testStore.store) ?? testStore.store,
      bus: options.throughBus?.(bus) ?? bus,
      logger: silentLogger,
      metrics,
    });
  };
  let telemetry = make();
  await telemetry.start();
  return {
    bus,
    broker: testBus.broker,
    store: testStore.store,
    get metrics() {
      return metrics;
    },
    get telemetry() {
      return telemetry;
    },
    get calls() {
      return telemetry.services[0]!.handlers as unknown as TelemetryCalls;
    },
    async restart() {
      await telemetry.stop();
      telemetry = make();
      await telemetry.start();
    },
    async stop() {
      await telemetry.stop();
      await testBus.dispose();
      await testStore.dispose();
    },
  };
}
