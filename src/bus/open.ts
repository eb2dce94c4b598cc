/**
 * Opens the event edge: finds or starts the broker, connects, makes the streams, and puts the parts together into the
 * `Bus` that contexts see.
 */

import type { Clock } from '../clock.ts';
import { describeError } from '../errors.ts';
import type { Logger, Metrics } from '../observability.ts';
import type { Secrets } from '../secrets.ts';
import type { Migration, Store } from '../store/store.ts';
import { watchBroker } from './broker-watch.ts';
import type { Bus, Durability } from './bus.ts';
import { createBusMetrics } from './bus-metrics.ts';
import { type Connection, type ConnectOptions, openConnection } from './connection.ts';
import { type ConsumerDeps, consumeEvents } from './consumer.ts';
import { listDeadLetters, writeDeadLetters } from './dead-letters.ts';
import { managedDurability, outsideDurability } from './durability.ts';
import { startError } from './errors.ts';
import { encodeEvent } from './event-message.ts';
import { formatVersion } from './find-nats.ts';
import { derivedId } from './headers.ts';
import { type ManagedNats, startManagedNats } from './managed-nats.ts';
import { Outbox } from './outbox.ts';
import { outboxMigrations } from './outbox-table.ts';
import { createPublisher } from './publisher.ts';
import { consumeRaw } from './raw-consumer.ts';
import { loadIdentity, saveIdentity, streamIdentityMigrations } from './stream-identity.ts';
import { diskBytes, EVENTS_STREAM, ensureStreams, limitsFor, streamState, totalBytes } from './streams.ts';
import { readTelemetry } from './telemetry-reader.ts';
import { eventSubject } from './topics.ts';
import { createTransientEvents } from './transient.ts';

export const busMigrations: readonly Migration[] = [...outboxMigrations, ...streamIdentityMigrations];

export interface OpenBusOptions {
  /** An existing server or cluster, `nats://[user:password@]host:port[,…]`; without it a managed one is started. */
  readonly natsUrl?: string;
  /** Credentials file for that server. */
  readonly credsFile?: string;
  /** Certificate authority of that server. */
  readonly caFile?: string;
  /** Copies of each stream in that cluster, 1..5; default 1. */
  readonly streamReplicas?: number;
  /** Port of the managed broker; default a free one, kept in the data directory. */
  readonly managedPort?: number;
  /** Where nats-server is unpacked when it must be installed without root; default `~/.cache/homeostat`. */
  readonly cacheDir?: string;
  readonly dataDir: string;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: Metrics;
  readonly store: Store;
  /** Where the managed broker's secrets come from; default the system's generator. */
  readonly secrets?: Secrets;
}

/** Throws AppError of domain `homeostat.bus`, each message one sentence for the operator. */
export async function openBus(options: OpenBusOptions): Promise<Bus> {
  const limits = limitsFor(diskBytes(options.dataDir));
  const managed =
    options.natsUrl === undefined
      ? await startManagedNats({ ...pickManaged(options), fileBytesMax: totalBytes(limits) })
      : undefined;
  try {
    const connect = connectOptions(options, managed);
    const connection = await openConnection(connect);
    try {
      const settings = { limits, replicas: options.streamReplicas ?? 1, managed: managed !== undefined };
      await ensureStreams(connection.manager, settings).catch((cause: unknown) => {
        throw startError(
          'BROKER_UNREACHABLE',
          { address: connection.address, detail: describeError(cause) },
          { cause },
        );
      });
      const durability = managed
        ? managedDurability(managed.version)
        : await outsideDurability(connection.nats, connection.version);
      await options.store.migrate(busMigrations);
      return await assemble(options, connection, connect, durability, managed, async () => {
        await ensureStreams(connection.manager, settings);
        return (await streamState(connection.manager, EVENTS_STREAM))?.state.last_seq ?? 0;
      });
    } catch (error) {
      await connection.close();
      throw error;
    }
  } catch (error) {
    await managed?.stop();
    throw error;
  }
}

function pickManaged({ dataDir, managedPort, cacheDir, secrets, logger }: OpenBusOptions) {
  return {
    dataDir,
    logger,
    ...(managedPort !== undefined && { port: managedPort }),
    ...(cacheDir !== undefined && { cacheDir }),
    ...(secrets !== undefined && { secrets }),
  };
}

function connectOptions(options: OpenBusOptions, managed: ManagedNats | undefined): ConnectOptions {
  const { natsUrl = '', credsFile, caFile, logger } = options;
  if (managed) return { url: managed.serverUrl, name: 'homeostat', logger };
  return {
    url: natsUrl,
    name: 'homeostat',
    logger,
    ...(credsFile !== undefined && { credsFile }),
    ...(caFile !== undefined && { caFile }),
  };
}

async function assemble(
  options: OpenBusOptions,
  connection: Connection,
  connect: ConnectOptions,
  durability: Durability,
  managed: ManagedNats | undefined,
  prepare: () => Promise<number>,
): Promise<Bus> {
  const { store, clock, logger } = options;
  const metrics = createBusMetrics(options.metrics);
  const stopWatching = managed ? watchBroker(connection, managed, logger) : () => {};
  const publisher = createPublisher(connection, clock);
  // Of its own, so that a flood of telemetry takes no place from events and dead letters.
  const telemetryPublisher = createPublisher(connection, clock);
  const outbox = new Outbox({ store, clock, logger, metrics, connection, publisher, prepare });
  await outbox.start();
  const telemetryPublished = metrics.messages('telemetry', 'published');
  /** A consumer that finds a stream missing makes it; the outbox then has to look at its end again. */
  const prepareForConsumer = async () => {
    const before = await streamState(connection.manager, EVENTS_STREAM);
    await prepare();
    if (!before) outbox.recheck();
  };
  const consumerDeps: ConsumerDeps = {
    connection,
    publisher,
    clock,
    logger,
    metrics,
    prepare: prepareForConsumer,
  };
  const transient = createTransientEvents({ connection, clock, logger, metrics });

  return {
    durability,
    broker: { address: connection.address, version: formatVersion(connection.version) },
    connected: () => connection.connected(),
    migrations: busMigrations,
    record(tx, topic, key, message, traceparent) {
      const id = derivedId(topic.schema.typeName, key);
      const payload = encodeEvent(topic, message);
      return outbox.record(tx, {
        id,
        subject: eventSubject(topic, id),
        type: topic.schema.typeName,
        payload,
        traceparent,
      });
    },
    consume: (consumeOptions) => consumeEvents(consumerDeps, consumeOptions),
    publish: transient.publish,
    subscribe: transient.subscribe,
    async publishTelemetry(subject, payload) {
      const { sequence } = await telemetryPublisher.publish(subject, payload);
      telemetryPublished.value++;
      return sequence;
    },
    consumeTelemetry: (rawOptions) =>
      consumeRaw(
        {
          ...consumerDeps,
          connect,
          loadIdentity: (durable) => loadIdentity(store, durable),
          saveIdentity: (durable, created) => saveIdentity(store, durable, created),
        },
        rawOptions,
      ),
    readTelemetry: (readOptions) => readTelemetry(connection, readOptions),
    writeDeadLetters: (letters) => writeDeadLetters(publisher, metrics, letters),
    listDeadLetters: (listOptions) => listDeadLetters(connection, clock, listOptions),
    async close() {
      stopWatching();
      await outbox.close();
      publisher.close();
      telemetryPublisher.close();
      await connection.close();
      await managed?.stop();
    },
  };
}
