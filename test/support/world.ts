/**
 * A whole server as users meet it, in a fresh data directory on free ports, with a client that holds the admin's key
 * and a producer that holds the producer's. Tests run the production wiring; only what `overrides` names is replaced.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { create, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import { connectProducer, type Producer } from '../../src/bus/producer.ts';
import { telemetrySubject } from '../../src/bus/topics.ts';
import { type Clients, createClients } from '../../src/client/client.ts';
import { readConfig } from '../../src/config.ts';
import { TelemetryBatchSchema } from '../../src/gen/homeostat/telemetry/v1/telemetry_service_pb.ts';
import { createLogger } from '../../src/observability.ts';
import { UNLOADED } from '../../src/rpc/load-signals.ts';
import { type Overrides, type RunningServer, startServer } from '../../src/server.ts';

export interface World {
  readonly server: RunningServer;
  readonly dataDir: string;
  readonly adminKey: string;
  readonly clients: Clients;
  readonly producer: Producer;
  /** Publishes one batch as a producer; resolves at the broker's acknowledgement. */
  send(batch: MessageInitShape<typeof TelemetryBatchSchema> & BatchAddress): Promise<number>;
  stop(): Promise<void>;
}

interface BatchAddress {
  readonly domain: string;
  readonly cluster: string;
  readonly node: string;
}

export async function startWorld(
  options: { readonly environment?: Record<string, string>; readonly overrides?: Overrides } = {},
): Promise<World> {
  const dataDir = mkdtempSync(join(tmpdir(), 'homeostat-world-'));
  const config = readConfig({
    HOMEOSTAT_DATA_DIR: dataDir,
    HOMEOSTAT_GRPC_ADDRESS: '127.0.0.1:0',
    HOMEOSTAT_HTTP_ADDRESS: '127.0.0.1:0',
    ...options.environment,
  });
  const server = await startServer(config, {
    logger: createLogger('silent'),
    load: UNLOADED, // This machine may be busy with other tests.
    ...options.overrides,
  });
  const adminKey = readFileSync(server.adminKeyFile, 'utf8').trim();
  const clients = createClients({ address: server.grpcAddress, token: adminKey });
  const producer = await connectProducer({ url: readFileSync(server.producerUrlFile, 'utf8').trim() });
  return {
    server,
    dataDir,
    adminKey,
    clients,
    producer,
    send: (batch) =>
      producer.publish(
        telemetrySubject(batch.domain, batch.cluster, batch.node),
        toBinary(TelemetryBatchSchema, create(TelemetryBatchSchema, batch)),
      ),
    async stop() {
      await producer.close();
      clients.close();
      await server.stop();
      rmSync(dataDir, { recursive: true, force: true });
    },
  };
}
