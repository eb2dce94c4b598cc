/** One real broker, one store, one bus, and a second connection that looks at the broker from outside. */
import { type JetStreamManager, jetstreamManager } from '@nats-io/jetstream';
import { connect, type NatsConnection } from '@nats-io/transport-node';
import type { Bus } from '../../src/bus/bus.ts';
import type { OpenBusOptions } from '../../src/bus/open.ts';
import { createMetrics, type Metrics } from '../../src/observability.ts';
import type { Store } from '../../src/store/store.ts';
import { openTestBus, startTestBroker, type TestBroker, until } from '../support/broker.ts';
import { openTestStore } from '../support/stores.ts';

export interface BusWorld {
  readonly broker: TestBroker;
  readonly store: Store;
  readonly metrics: Metrics;
  readonly bus: Bus;
  /** The outside view, with the server's rights. */
  readonly nats: NatsConnection;
  readonly manager: JetStreamManager;
  /** Opens another bus on the same broker and store; closed with the world unless closed before. */
  open(overrides?: Partial<OpenBusOptions>): Promise<Bus>;
  close(bus: Bus): Promise<void>;
  /** Publishes telemetry whose payload is a 32-bit number, counting from `first`. */
  publishNumbers(subject: string, count: number, first?: number): Promise<void>;
  /** Resolves once the outside view is connected. */
  seen(): Promise<void>;
  dispose(): Promise<void>;
}

/** Publishes this many at a time, below the bound of unacknowledged messages. */
const AHEAD = 20_000;

export async function openBusWorld(overrides: Partial<OpenBusOptions> = {}): Promise<BusWorld> {
  const broker = await startTestBroker();
  const { store, dispose: disposeStore } = await openTestStore();
  const metrics = createMetrics();
  const buses = new Set<Bus>();
  const open = async (more: Partial<OpenBusOptions> = {}) => {
    const { bus } = await openTestBus({ store, broker, ...more });
    buses.add(bus);
    return bus;
  };
  const close = async (bus: Bus) => {
    if (buses.delete(bus)) await bus.close();
  };
  const bus = await open({ metrics, ...overrides });
  const nats = await connectAs(broker.url);
  return {
    broker,
    store,
    metrics,
    bus,
    nats,
    manager: await jetstreamManager(nats),
    open,
    close,
    async publishNumbers(subject, count, first = 0) {
      for (let from = 0; from < count; from += AHEAD)
        await Promise.all(
          range(Math.min(count, from + AHEAD), from).map((i) =>
            bus.publishTelemetry(subject, new Uint8Array(Uint32Array.of(first + i).buffer)),
          ),
        );
    },
    seen: () =>
      until(() =>
        nats.flush().then(
          () => true,
          () => false,
        ),
      ),
    async dispose() {
      for (const one of [...buses]) await close(one);
      await nats.close();
      await broker.stop();
      await disposeStore();
    },
  };
}

/** Connects with the user and secret of a URL. */
export function connectAs(url: string): Promise<NatsConnection> {
  const { host, username, password } = new URL(url);
  return connect({
    servers: host,
    user: username,
    pass: password,
    maxReconnectAttempts: -1,
    reconnectTimeWait: 50,
  });
}

/** The number in a payload of `publishNumbers`. */
export function numberIn(data: Uint8Array): number {
  return new DataView(data.buffer, data.byteOffset).getUint32(0, true);
}

/** Whole numbers from `first` below `end`. */
export function range(end: number, first = 0): number[] {
  return Array.from({ length: Math.max(0, end - first) }, (_, i) => first + i);
}
