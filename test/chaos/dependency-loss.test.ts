/**
 * What a server needs is cut off and given back, through proxies on loopback: the services that need it say so with the
 * right reason, the others go on, and everything is back by itself afterwards.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { type Clients, createClients } from '../../src/client/client.ts';
import { readConfig } from '../../src/config.ts';
import { createLogger } from '../../src/observability.ts';
import { UNLOADED } from '../../src/rpc/load-signals.ts';
import { type RunningServer, startServer } from '../../src/server.ts';
import { startTestBroker, type TestBroker } from '../support/broker.ts';
import { eventually } from '../support/eventually.ts';
import {
  type PostgresqlCluster,
  postgresqlMissing,
  startPostgresqlCluster,
} from '../support/postgresql-cluster.ts';

/** A way to a port on this machine that can be cut. */
interface Cable {
  readonly port: number;
  cut(): void;
  mend(): void;
  close(): Promise<void>;
}

async function openCable(to: number): Promise<Cable> {
  const sockets = new Set<Socket>();
  let whole = true;
  const server: Server = createServer((near) => {
    if (!whole) return near.destroy();
    const far = connect(to, '127.0.0.1');
    for (const [one, other] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(one);
      one.on('error', () => other.destroy());
      one.on('close', () => {
        sockets.delete(one);
        other.destroy();
      });
      one.pipe(other);
    }
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  const cut = () => {
    whole = false;
    for (const socket of sockets) socket.destroy();
  };
  return {
    port,
    cut,
    mend() {
      whole = true;
    },
    async close() {
      cut();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

interface Readiness {
  readonly status: number;
  readonly services: ReadonlyMap<string, { readonly serving: boolean; readonly reasons: readonly string[] }>;
}

const missing = postgresqlMissing();
(missing === undefined ? describe : describe.skip)(
  `a server whose broker and database can be cut off${missing === undefined ? '' : ` (skipped: ${missing})`}`,
  () => {
    let folder: string;
    let cluster: PostgresqlCluster;
    let broker: TestBroker;
    let toDatabase: Cable;
    let toBroker: Cable;
    let server: RunningServer;
    let clients: Clients;

    beforeAll(async () => {
      folder = mkdtempSync(join(tmpdir(), 'homeostat-loss-'));
      writeFileSync(join(folder, 'secret'), Buffer.alloc(32, 1), { mode: 0o600 });
      cluster = await startPostgresqlCluster();
      broker = await startTestBroker();
      const database = new URL(await cluster.createDatabase('loss'));
      const nats = new URL(broker.url);
      toDatabase = await openCable(Number(database.port));
      toBroker = await openCable(Number(nats.port));
      database.port = String(toDatabase.port);
      nats.port = String(toBroker.port);
      const config = readConfig({
        HOMEOSTAT_DATA_DIR: join(folder, 'data'),
        HOMEOSTAT_GRPC_ADDRESS: '127.0.0.1:0',
        HOMEOSTAT_HTTP_ADDRESS: '127.0.0.1:0',
        HOMEOSTAT_DATABASE_URL: database.href,
        HOMEOSTAT_SECRET_FILE: join(folder, 'secret'),
        HOMEOSTAT_NATS_URL: nats.href,
      });
      server = await startServer(config, { logger: createLogger('silent'), load: UNLOADED });
      const token = readFileSync(server.adminKeyFile, 'utf8').trim();
      clients = createClients({ address: server.grpcAddress, token, retry: { attempts: 1 } });
    }, 120_000);
    afterAll(async () => {
      clients?.close();
      await server?.stop();
      await toDatabase?.close();
      await toBroker?.close();
      await broker?.stop();
      await cluster?.dispose();
      rmSync(folder, { recursive: true, force: true });
    }, 60_000);

    const readiness = async (): Promise<Readiness> => {
      const response = await fetch(`http://${server.httpAddress}/readyz`);
      const { services } = (await response.json()) as {
        services: { service: string; status: string; reasons: string[] }[];
      };
      return {
        status: response.status,
        services: new Map(
          services.map(({ service, status, reasons }) => [
            service,
            { serving: status === 'SERVING', reasons },
          ]),
        ),
      };
    };
    const allServe = ({ services }: Readiness) => [...services.values()].every(({ serving }) => serving);
    let users = 0;
    const createUser = () =>
      clients.users.createUser({ username: `user-${++users}`, idempotencyKey: `user-${users}` });

    test('identity.H1 without its broker telemetry says so, and everything else goes on', async () => {
      await eventually(readiness, allServe);
      toBroker.cut();
      const found = await eventually(
        readiness,
        ({ services }) => !services.get('homeostat.telemetry.v1.TelemetryService')!.serving,
      );
      expect(found.services.get('homeostat.telemetry.v1.TelemetryService')!.reasons).toEqual(['BROKER_DOWN']);
      expect(found.status).toBe(200);
      for (const name of ['identity.v1.UserService', 'ledger.v1.LedgerService', 'session.v1.SessionService'])
        expect(found.services.get(`homeostat.${name}`)!.serving).toBe(true);
      expect((await createUser()).user?.username).toBe('user-1');
      toBroker.mend();
      await eventually(readiness, allServe);
    }, 90_000);

    test('identity.H1 without its database the server says so, keeps nothing it could not, and comes back', async () => {
      toDatabase.cut();
      const found = await eventually(readiness, ({ status }) => status === 503);
      expect(found.services.get('')!.reasons).toContain('STORE_DOWN');
      expect((await fetch(`http://${server.httpAddress}/livez`)).status).toBe(200);
      await expect(createUser()).rejects.toMatchObject({ code: 'UNAVAILABLE' });
      toDatabase.mend();
      await eventually(readiness, (now) => now.status === 200 && allServe(now));
      expect((await createUser()).user?.username).toBe(`user-${users}`);
      const steps = [];
      for await (const step of clients.audit.verifyAudit({})) steps.push(step);
      expect(steps.at(-1)).toMatchObject({ done: true });
    }, 90_000);
  },
);
