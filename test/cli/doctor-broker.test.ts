/** What the doctor says of brokers: none to be found, outside ones that cannot be used, and ones that should be otherwise. */
import { chmod, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { jetstreamManager, StorageType } from '@nats-io/jetstream';
import { connect } from '@nats-io/transport-node';
import { freePort } from '../../src/bus/port.ts';
import { connectProducer } from '../../src/bus/producer.ts';
import { until } from '../support/broker.ts';
import {
  environmentOf,
  findingsOf,
  makeFolder,
  type OwnBroker,
  of,
  problemsIn,
  removeFolder,
  startBrokerWith,
  startServerProcess,
} from './doctor-world.ts';

let folder: string;
let broker: OwnBroker | undefined;
beforeEach(async () => {
  folder = await makeFolder();
});
afterEach(async () => {
  await broker?.stop();
  broker = undefined;
  await removeFolder(folder);
});

/** The environment of an installation that uses a broker on this port. */
const outside = (port: number, extra: Record<string, string> = {}) =>
  environmentOf(join(folder, 'data'), { HOMEOSTAT_NATS_URL: `nats://127.0.0.1:${port}`, ...extra });

test('no nats-server anywhere is a problem, with the command that installs it', async () => {
  const nats = { places: [], cacheDir: join(folder, 'cache') };
  const findings = await findingsOf(environmentOf(join(folder, 'data')), { nats });
  expect(problemsIn(findings)).toEqual(['broker.program']);
  expect(of(findings, 'broker.program')).toMatchObject([
    { remedy: expect.stringMatching(/(apt-get|brew) install nats-server/) },
  ]);
});

test('a nats-server that is too old counts as none', async () => {
  const command = join(folder, 'nats-server');
  await writeFile(command, '#!/bin/sh\necho nats-server: v2.8.4\n', { mode: 0o755 });
  const nats = { places: [command], cacheDir: join(folder, 'cache') };
  expect(problemsIn(await findingsOf(environmentOf(join(folder, 'data')), { nats }))).toEqual([
    'broker.program',
  ]);
});

describe('an outside broker', () => {
  const withJetStream = 'jetstream { store_dir: STORE }';

  test('before the first server: JetStream is there, the streams are yet to be made', async () => {
    broker = await startBrokerWith(folder, withJetStream);
    const findings = await findingsOf(outside(broker.port));
    expect(problemsIn(findings)).toEqual([]);
    expect(of(findings, 'broker.jetstream')).toMatchObject([{ severity: 'OK' }]);
    expect(of(findings, 'broker.streams')).toMatchObject([
      { severity: 'OK', found: expect.stringContaining('the first server makes them') },
    ]);
    expect(of(findings, 'clock.broker')).toMatchObject([{ severity: 'OK' }]);
  });

  test('that nobody answers at is named without its secret', async () => {
    const port = await freePort();
    const findings = await findingsOf(
      outside(port, { HOMEOSTAT_NATS_URL: `nats://user:hunter2@127.0.0.1:${port}` }),
    );
    expect(of(findings, 'broker.connection')).toMatchObject([
      { severity: 'PROBLEM', found: expect.stringContaining(`127.0.0.1:${port}`) },
    ]);
    expect(JSON.stringify(findings)).not.toContain('hunter2');
  });

  test('without JetStream is a problem', async () => {
    broker = await startBrokerWith(folder, '');
    expect(problemsIn(await findingsOf(outside(broker.port)))).toEqual(['broker.jetstream']);
  });

  test('whose account may not use JetStream is a problem', async () => {
    const accounts = 'accounts { A { users: [{ user: a, password: b }] } }\nno_auth_user: a';
    broker = await startBrokerWith(folder, `${withJetStream}\n${accounts}`);
    expect(problemsIn(await findingsOf(outside(broker.port)))).toEqual(['broker.jetstream']);
  });

  test('that does not let this user ask JetStream is a problem', async () => {
    const permissions = 'permissions { publish: ["homeostat.>"], subscribe: ["_HOMEOSTAT_INBOX.>"] }';
    broker = await startBrokerWith(
      folder,
      `${withJetStream}\nauthorization { users: [{ user: a, password: b, ${permissions} }] }`,
    );
    const url = { HOMEOSTAT_NATS_URL: `nats://a:b@127.0.0.1:${broker.port}` };
    expect(problemsIn(await findingsOf(outside(broker.port, url)))).toEqual(['broker.jetstream']);
  });

  test('that refuses the password, and a URL that is none, are problems', async () => {
    broker = await startBrokerWith(folder, 'authorization { user: a, password: b }');
    for (const url of [`nats://a:wrong@127.0.0.1:${broker.port}`, 'nats://[']) {
      const findings = await findingsOf(outside(broker.port, { HOMEOSTAT_NATS_URL: url }));
      expect(problemsIn(findings)).toEqual(['broker.connection']);
      expect(JSON.stringify(findings)).not.toContain('wrong');
    }
  });

  test('whose credentials file is missing, or may be read by everybody, is a problem', async () => {
    broker = await startBrokerWith(folder, withJetStream);
    const path = join(folder, 'nats.creds');
    const environment = outside(broker.port, { HOMEOSTAT_NATS_CREDS_FILE: path });
    expect(of(await findingsOf(environment), 'configuration.files')).toMatchObject([
      { severity: 'PROBLEM', found: expect.stringContaining('ENOENT') },
    ]);
    await writeFile(path, 'anything');
    await chmod(path, 0o644);
    expect(of(await findingsOf(environment), 'configuration.files')).toMatchObject([
      { severity: 'PROBLEM', remedy: `chmod o= ${path}` },
    ]);
    await chmod(path, 0o440);
    expect(of(await findingsOf(environment), 'configuration.files')).toMatchObject([{ severity: 'OK' }]);
  });

  test('with producers in the account of the server is a warning', async () => {
    broker = await startBrokerWith(folder, withJetStream);
    expect(of(await findingsOf(outside(broker.port)), 'broker.account')).toEqual([]);
    const producer = await connectProducer({ url: `nats://127.0.0.1:${broker.port}` });
    expect(of(await findingsOf(outside(broker.port)), 'broker.account')).toMatchObject([
      { severity: 'WARNING', found: expect.stringContaining('homeostat producer') },
    ]);
    await producer.close();
  });

  test('with a stream in memory is a problem', async () => {
    broker = await startBrokerWith(folder, withJetStream);
    const nats = await connect({ servers: `127.0.0.1:${broker.port}` });
    const manager = await jetstreamManager(nats);
    await manager.streams.add({
      name: 'TELEMETRY',
      subjects: ['homeostat.telemetry.v1.*.*.*'],
      storage: StorageType.Memory,
    });
    await nats.close();
    expect(of(await findingsOf(outside(broker.port)), 'broker.streams')).toContainEqual(
      expect.objectContaining({ severity: 'PROBLEM', found: expect.stringContaining('TELEMETRY in memory') }),
    );
  });

  test('that goes away under a running server: what does not serve is named with its reason', async () => {
    broker = await startBrokerWith(folder, withJetStream);
    const server = await startServerProcess(outside(broker.port));
    try {
      expect(problemsIn(await findingsOf(server.environment))).toEqual([]);
      await broker.stop();
      const down = async () => of(await findingsOf(server.environment), 'server.ready');
      await until(async () => (await down()).some(({ severity }) => severity === 'PROBLEM'));
      expect(await down()).toContainEqual(
        expect.objectContaining({
          severity: 'PROBLEM',
          found: expect.stringMatching(/^Not serving because of BROKER_DOWN: homeostat\./),
        }),
      );
    } finally {
      await server.stop();
    }
  });
});
