/** The energy context on a real store and a real broker, with a fake clock. */
import { create, type DescMessage, type MessageInitShape, type MessageShape } from '@bufbuild/protobuf';
import type { Bus } from '../../../src/bus/bus.ts';
import { topics } from '../../../src/bus/topics.ts';
import {
  createEnergy,
  type Energy,
  type EnergyConfig,
  energyMigrations,
  type ProofLedger,
} from '../../../src/energy/context.ts';
import { EnergyService } from '../../../src/gen/homeostat/energy/v1/energy_service_pb.ts';
import type { WindowClosed } from '../../../src/gen/homeostat/telemetry/v1/telemetry_events_pb.ts';
import { createIds } from '../../../src/ids.ts';
import { createMetrics } from '../../../src/observability.ts';
import type { Call, Handlers } from '../../../src/rpc/handler.ts';
import type { Store } from '../../../src/store/store.ts';
import { openTestBus, type TestBus, until } from '../../support/broker.ts';
import { callOf } from '../../support/calls.ts';
import { createFakeClock, type FakeClock } from '../../support/fake-clock.ts';
import { openTestStore, silentLogger, type TestStore } from '../../support/stores.ts';
import { STREAM } from './windows.ts';

export const CONFIG: EnergyConfig = {
  windowMs: 10_000,
  latenessMs: 2_000,
  halfLifeMs: 4 * 86_400_000,
  mapRetentionMs: 30 * 86_400_000,
  explanationRetentionMs: 86_400_000,
  pruneIntervalMs: 3_600_000,
  snapshotWindows: 60,
  watchQueueMax: 256,
  heartbeatMs: 15_000,
  sliceMs: 4,
  sendBytesMax: 64 * 1024 * 1024,
};

type EnergyHandlers = Handlers<typeof EnergyService>;
type UnaryName = Exclude<keyof EnergyHandlers, 'watchMaps'>;
type Request<Name extends keyof EnergyHandlers> = MessageInitShape<
  (typeof EnergyService)['method'][Name]['input'] & DescMessage
>;
type Response<Name extends keyof EnergyHandlers> = MessageShape<
  (typeof EnergyService)['method'][Name]['output'] & DescMessage
>;

export interface EnergyWorld {
  readonly store: Store;
  readonly bus: Bus;
  readonly clock: FakeClock;
  energy(): Energy;
  /** Calls a unary RPC's handler; the answer as a full message. */
  call<Name extends UnaryName>(name: Name, request: Request<Name>): Promise<Response<Name>>;
  watch(request: Request<'watchMaps'>, signal: AbortSignal): AsyncIterator<Response<'watchMaps'>>;
  /** Publishes windows as telemetry does and waits until every one of the stream was folded. */
  publish(windows: readonly WindowClosed[], expectedMaps: number): Promise<void>;
  /** Stops the context and starts another one on the same store and broker. */
  restart(): Promise<void>;
  stop(): Promise<void>;
}

/** Proofs have worlds of their own, with a ledger. */
const READ_ONLY: ProofLedger = {
  append: () => Promise.reject(new Error('a read-only ledger was appended to')),
  sign() {
    throw new Error('a read-only ledger was to sign');
  },
  verify: () => false,
  readOnly: () => 'DAMAGED',
};

export async function startEnergyWorld(change: Partial<EnergyConfig> = {}): Promise<EnergyWorld> {
  const clock = createFakeClock();
  const opened: TestStore = await openTestStore();
  const { store } = opened;
  const testBus: TestBus = await openTestBus({ store });
  const { bus } = testBus;
  await store.migrate([...bus.migrations, ...energyMigrations]);
  const make = () =>
    createEnergy({
      config: { ...CONFIG, ...change },
      clock,
      store,
      bus,
      logger: silentLogger,
      metrics: createMetrics(),
      newId: createIds(clock),
      ledger: READ_ONLY,
    });
  let energy = make();
  await energy.start();

  const handlers = () => energy.services[0]!.handlers as unknown as EnergyHandlers;
  const message = <Name extends keyof EnergyHandlers>(name: Name, request: Request<Name>) =>
    create(EnergyService.method[name].input as DescMessage, request as never) as never;
  const world: EnergyWorld = {
    store,
    bus,
    clock,
    energy: () => energy,
    async call(name, request) {
      const handler = handlers()[name] as unknown as (request: never, call: Call) => Promise<never>;
      const answer = await handler(message(name, request), callOf());
      return create(EnergyService.method[name].output as DescMessage, answer) as never;
    },
    watch(request, signal) {
      const answers = handlers().watchMaps(message('watchMaps', request), callOf({ signal }));
      return answers[Symbol.asyncIterator]() as AsyncIterator<Response<'watchMaps'>>;
    },
    async publish(windows, expectedMaps) {
      await store.transact(async (tx) => {
        for (const window of windows) {
          const { domain, cluster } = window.stream!;
          const key = `${domain}.${cluster}.${window.start!.seconds}.${window.part}`;
          await bus.record(tx, topics.windowClosed, key, window);
        }
      });
      await until(async () => (await mapCount(world)) === expectedMaps);
    },
    async restart() {
      await energy.stop();
      energy = make();
      await energy.start();
    },
    async stop() {
      await energy.stop();
      await testBus.dispose();
      await opened.dispose();
    },
  };
  return world;
}

/** Maps made of the usual stream so far. */
async function mapCount(world: EnergyWorld): Promise<number> {
  try {
    return Number((await world.call('getStream', { stream: STREAM })).mapCount);
  } catch {
    return 0; // Not seen yet.
  }
}
