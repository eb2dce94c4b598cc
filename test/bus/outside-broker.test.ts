/** A broker somebody else runs: TLS with its own authority, and JWT credentials as an operator hands them out. */
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { nkeys } from '@nats-io/transport-node';
import { findNats } from '../../src/bus/find-nats.ts';
import { openBus } from '../../src/bus/open.ts';
import { freePort, serverNameAt } from '../../src/bus/port.ts';
import { telemetrySubject } from '../../src/bus/topics.ts';
import { systemClock } from '../../src/clock.ts';
import { createMetrics } from '../../src/observability.ts';
import { until } from '../support/broker.ts';
import { openTestStore, silentLogger, type TestStore } from '../support/stores.ts';

type Keys = ReturnType<typeof nkeys.createUser>;

const UNLIMITED = { subs: -1, data: -1, payload: -1 };

/** A claim of NATS, signed by its issuer (https://docs.nats.io/reference/reference-protocols/nats-server-jwt). */
function signed(issuer: Keys, subject: Keys, name: string, nats: Record<string, unknown>): string {
  const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const head = encode({ typ: 'JWT', alg: 'ed25519-nkey' });
  const body = encode({
    jti: name,
    iat: 1_700_000_000,
    iss: issuer.getPublicKey(),
    name,
    sub: subject.getPublicKey(),
    nats: { version: 2, ...nats },
  });
  const signature = Buffer.from(issuer.sign(Buffer.from(`${head}.${body}`))).toString('base64url');
  return `${head}.${body}.${signature}`;
}

/** Without JetStream, which the system account may not have. */
const LIMITS = { ...UNLIMITED, imports: -1, exports: -1, wildcards: true, conn: -1, leaf: -1 };
const STORAGE = { mem_storage: -1, disk_storage: -1, streams: -1, consumer: -1 };

let dir: string;
let port: number;
let stored: TestStore;
let child: ReturnType<typeof spawn>;
const file = (name: string) => join(dir, name);

/** An authority, and a certificate of it for this host. */
function makeCertificates(): void {
  const openssl = (...args: string[]) => execFileSync('openssl', args, { cwd: dir, stdio: 'ignore' });
  const key = ['-newkey', 'rsa:2048', '-nodes', '-days', '2'];
  openssl('req', '-x509', ...key, '-keyout', 'ca.key', '-out', 'ca.pem', '-subj', '/CN=authority');
  openssl('req', ...key.slice(0, 3), '-keyout', 'server.key', '-out', 'server.csr', '-subj', '/CN=localhost');
  const sign = ['x509', '-req', '-in', 'server.csr', '-CA', 'ca.pem', '-CAkey', 'ca.key', '-CAcreateserial'];
  openssl(...sign, '-out', 'server.pem', '-days', '2', '-extfile', 'names.cnf');
}

const open = (overrides: { natsUrl?: string; caFile?: string; credsFile?: string } = {}) =>
  openBus({
    natsUrl: `tls://localhost:${port}`,
    caFile: file('ca.pem'),
    credsFile: file('homeostat.creds'),
    dataDir: dir,
    clock: systemClock,
    logger: silentLogger,
    metrics: createMetrics(),
    store: stored.store,
    ...overrides,
  });

const hasOpenssl = spawnSync('openssl', ['version']).status === 0;

(hasOpenssl ? describe : describe.skip)('a broker with TLS and credentials (needs openssl)', () => {
  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'homeostat-outside-'));
    port = await freePort();
    stored = await openTestStore();
    await writeFile(file('names.cnf'), 'subjectAltName=DNS:localhost,IP:127.0.0.1\n');
    makeCertificates();

    const operator = nkeys.createOperator() as Keys;
    const [system, account, user] = [
      nkeys.createAccount() as Keys,
      nkeys.createAccount() as Keys,
      nkeys.createUser(),
    ];
    const operatorJwt = signed(operator, operator, 'operator', { type: 'operator' });
    const systemJwt = signed(operator, system, 'system', { type: 'account', limits: LIMITS });
    const accountJwt = signed(operator, account, 'fleet', {
      type: 'account',
      limits: { ...LIMITS, ...STORAGE },
    });
    const userJwt = signed(account, user, 'homeostat', { type: 'user', ...UNLIMITED });
    const seed = new TextDecoder().decode(user.getSeed());
    await writeFile(
      file('homeostat.creds'),
      `-----BEGIN NATS USER JWT-----\n${userJwt}\n------END NATS USER JWT------\n\n` +
        `-----BEGIN USER NKEY SEED-----\n${seed}\n------END USER NKEY SEED------\n`,
    );
    await writeFile(
      file('nats.conf'),
      `server_name: outside
       listen: "127.0.0.1:${port}"
       jetstream { store_dir: "${dir}" }
       tls { cert_file: "${file('server.pem')}", key_file: "${file('server.key')}" }
       operator: ${operatorJwt}
       system_account: ${system.getPublicKey()}
       resolver: MEMORY
       resolver_preload: { ${system.getPublicKey()}: ${systemJwt}, ${account.getPublicKey()}: ${accountJwt} }`,
    );
    const { command } = (await findNats())!;
    child = spawn(command, ['-c', file('nats.conf')], { stdio: 'ignore' });
    await until(async () => (await serverNameAt(port)) === 'outside');
  });

  afterAll(async () => {
    child.kill();
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
    await stored.dispose();
    await rm(dir, { recursive: true, force: true });
  });

  test.each(['localhost', '127.0.0.1'])('is used for everything, by the name %s', async (host) => {
    const bus = await open({ natsUrl: `tls://${host}:${port}` });
    const place = await bus.publishTelemetry(
      telemetrySubject('a', 'b', host.replaceAll('.', '-')),
      Uint8Array.of(1),
    );
    const sequences: number[] = [];
    const consumer = await bus.consumeTelemetry({
      durable: 'test',
      startSequence: place,
      onMessage: (message) => void sequences.push(message.sequence),
      onAlarm: () => {},
    });
    await until(() => sequences.length === 1);
    expect(sequences).toEqual([place]);
    await consumer.stop();
    await bus.close();
  });

  test('is not trusted without its authority', async () => {
    await expect(
      openBus({
        natsUrl: `tls://localhost:${port}`,
        credsFile: file('homeostat.creds'),
        dataDir: dir,
        clock: systemClock,
        logger: silentLogger,
        metrics: createMetrics(),
        store: stored.store,
      }),
    ).rejects.toMatchObject({ reason: 'BROKER_UNREACHABLE', message: expect.stringMatching(/certificate/i) });
  });

  test('refuses credentials of somebody else', async () => {
    const other = nkeys.createUser();
    const seed = new TextDecoder().decode(other.getSeed());
    const forged = signed(other, other, 'x', { type: 'user', ...UNLIMITED });
    await writeFile(
      file('forged.creds'),
      `-----BEGIN NATS USER JWT-----\n${forged}\n------END NATS USER JWT------\n\n` +
        `-----BEGIN USER NKEY SEED-----\n${seed}\n------END USER NKEY SEED------\n`,
    );
    await expect(open({ credsFile: file('forged.creds') })).rejects.toMatchObject({
      reason: 'BROKER_UNREACHABLE',
      message: expect.stringMatching(/authorization/i),
    });
  });
});
