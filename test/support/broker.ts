/** Real brokers for tests: a nats-server on a free loopback port with JetStream in a temporary directory. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Bus } from '../../src/bus/bus.ts';
import { type ManagedNats, startManagedNats } from '../../src/bus/managed-nats.ts';
import { type OpenBusOptions, openBus } from '../../src/bus/open.ts';
import { delay, systemClock } from '../../src/clock.ts';
import { createLogger, createMetrics } from '../../src/observability.ts';

const silent = createLogger('silent');

/** Enough for the streams' limits on any disk; nothing is reserved on it. */
const FILE_BYTES_MAX = 64 * 1024 ** 3;

/** Resolves once the condition holds, asked every few milliseconds; rejects after the deadline. */
export async function until(condition: () => boolean | Promise<boolean>, deadlineMs = 15_000): Promise<void> {
  const endMs = systemClock.monotonicMs() + deadlineMs;
  while (!(await condition())) {
    if (systemClock.monotonicMs() > endMs) throw new Error(`not so after ${deadlineMs} ms: ${condition}`);
    await delay(systemClock, 5);
  }
}

export interface TestBroker {
  /** With the server's secret. */
  readonly url: string;
  /** With the producers' secret. */
  readonly producerUrl: string;
  readonly port: number;
  readonly dataDir: string;
  pid(): number;
  /** Ends the broker at once, as a crash would; its supervisor starts it again on the same port. */
  kill(): Promise<void>;
  /** Kills the broker and resolves once it is back on the same port. */
  restart(): Promise<void>;
  /** Stops the broker and removes its directory. */
  stop(): Promise<void>;
}

export async function startTestBroker(): Promise<TestBroker> {
  const dataDir = await mkdtemp(join(tmpdir(), 'homeostat-broker-'));
  const managed: ManagedNats = await startManagedNats({
    dataDir,
    fileBytesMax: FILE_BYTES_MAX,
    logger: silent,
  });
  const kill = async () => {
    process.kill(managed.pid(), 'SIGKILL');
    await until(() => managed.pid() === 0);
  };
  return {
    url: managed.serverUrl,
    producerUrl: managed.producerUrl,
    port: managed.port,
    dataDir,
    pid: () => managed.pid(),
    kill,
    async restart() {
      await kill();
      await until(() => managed.pid() !== 0);
    },
    async stop() {
      await managed.stop();
      await rm(dataDir, { recursive: true, force: true });
    },
  };
}

export interface TestBus {
  readonly bus: Bus;
  readonly broker: TestBroker;
  /** Closes the bus, and the broker unless it was given. */
  dispose(): Promise<void>;
}

/**
 * A bus on a real broker: the given one, else one of its own. Everything else has a default that suits tests; the
 * store must be given, since the outbox lies in it.
 */
export async function openTestBus(
  options: Pick<OpenBusOptions, 'store'> & Partial<OpenBusOptions> & { readonly broker?: TestBroker },
): Promise<TestBus> {
  const { broker: given, ...overrides } = options;
  const broker = given ?? (await startTestBroker());
  const bus = await openBus({
    natsUrl: broker.url,
    dataDir: broker.dataDir,
    clock: systemClock,
    logger: silent,
    metrics: createMetrics(),
    ...overrides,
  });
  return {
    bus,
    broker,
    async dispose() {
      await bus.close();
      if (!given) await broker.stop();
    },
  };
}
