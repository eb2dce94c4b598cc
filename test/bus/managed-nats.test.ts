import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { jetstreamManager } from '@nats-io/jetstream';
import { brokerConfig } from '../../src/bus/broker-config.ts';
import { watchBroker } from '../../src/bus/broker-watch.ts';
import { type ManagedNats, type ManagedNatsOptions, startManagedNats } from '../../src/bus/managed-nats.ts';
import { freePort } from '../../src/bus/port.ts';
import { isBrokerOf } from '../../src/bus/process-identity.ts';
import { createLogger } from '../../src/observability.ts';
import { until } from '../support/broker.ts';
import { connectAs } from './world.ts';

const logger = createLogger('silent');
const GIB = 1024 ** 3;

let dataDir: string;
let open: ManagedNats[];

beforeEach(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'homeostat-managed-'));
  open = [];
});

afterEach(async () => {
  for (const managed of open) await managed.stop();
  await rm(dataDir, { recursive: true, force: true });
});

async function start(overrides: Partial<ManagedNatsOptions> = {}): Promise<ManagedNats> {
  const managed = await startManagedNats({ dataDir, fileBytesMax: GIB, logger, ...overrides });
  open.push(managed);
  return managed;
}

/** A process that ended and was not yet collected by its parent does not count. */
function isRunning(pid: number): boolean {
  return isBrokerOf(pid, join(dataDir, 'nats/nats-server.conf'));
}

/** Another process that starts the broker of the data directory and is then killed, as a crash would. */
async function startAndCrash(): Promise<number> {
  const script = join(dataDir, 'start.ts');
  const source = join(import.meta.dirname, '../../src');
  await writeFile(
    script,
    `import { startManagedNats } from '${source}/bus/managed-nats.ts';
     import { createLogger } from '${source}/observability.ts';
     const managed = await startManagedNats({
       dataDir: '${dataDir}', fileBytesMax: ${GIB}, logger: createLogger('silent'),
     });
     console.log(managed.pid());
     setInterval(() => {}, 1000);`,
  );
  const loader = join(import.meta.dirname, '../support/typescript-loader.mjs');
  const child: ChildProcess = spawn(process.execPath, ['--import', loader, script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [chunk] = (await once(child.stdout!, 'data')) as [Buffer];
  child.kill('SIGKILL');
  await once(child, 'exit');
  return Number(chunk.toString());
}

describe('the managed broker', () => {
  test('keeps its port and its secrets, readable by the owner alone, from one start to the next', async () => {
    const first = await start();
    await first.stop();
    const second = await start();
    expect(second.port).toBe(first.port);
    expect(second.serverUrl).toBe(first.serverUrl);
    expect(second.adopted).toBe(false);
    expect((await readFile(join(dataDir, 'producer.url'), 'utf8')).trim()).toBe(first.producerUrl);
    const secret = new URL(first.producerUrl).password;
    expect(secret).toMatch(/^[0-9a-f]{48}$/);
    expect(new URL(first.serverUrl).password).not.toBe(secret);
    for (const file of ['producer.url', 'nats/server.url', 'nats/nats-server.conf', 'nats/broker.json'])
      expect((await stat(join(dataDir, file))).mode & 0o777).toBe(0o600);
  });

  test('stops when told to', async () => {
    const managed = await start();
    const pid = managed.pid();
    expect(isRunning(pid)).toBe(true);
    await managed.stop();
    expect(isRunning(pid)).toBe(false);
  });

  test('is started again on the same port when it is killed', async () => {
    const managed = await start();
    const before = managed.pid();
    process.kill(before, 'SIGKILL');
    await until(() => managed.pid() !== before && managed.pid() !== 0);
    expect(managed.restarts()).toBe(1);
    const record = JSON.parse(await readFile(join(dataDir, 'nats/broker.json'), 'utf8'));
    expect(record).toMatchObject({ pid: managed.pid(), port: managed.port });
  });

  test('is killed and started again when it is alive and answers nothing', async () => {
    const managed = await start();
    const nats = await connectAs(managed.serverUrl);
    const connection = {
      manager: await jetstreamManager(nats, { timeout: 500 }),
      connected: () => true,
      whileConnected: <Result>(work: () => Promise<Result>) => work(),
    };
    const before = managed.pid();
    // Once is enough: this connection calls itself connected while the broker starts again, so a second kill could follow.
    const killOnce = {
      kill() {
        stopWatching();
        managed.kill();
      },
    };
    const stopWatching = watchBroker(connection, killOnce, logger, 20);
    await until(async () => (await connection.manager.getAccountInfo()).streams === 0);
    expect(managed.pid()).toBe(before);
    process.kill(before, 'SIGSTOP');
    await until(() => managed.pid() !== before && managed.pid() !== 0);
    expect(managed.restarts()).toBe(1);
    await nats.close();
  });

  test('survives the crash of its server and is adopted by the next one', async () => {
    const pid = await startAndCrash();
    expect(isRunning(pid)).toBe(true);
    const managed = await start();
    expect(managed.adopted).toBe(true);
    expect(managed.pid()).toBe(pid);
  });

  test('is watched after adoption too', async () => {
    const pid = await startAndCrash();
    const managed = await start();
    process.kill(pid, 'SIGKILL');
    await until(() => managed.pid() !== pid && managed.pid() !== 0);
    expect(managed.restarts()).toBe(1);
  });

  test('is replaced when the one left running has other settings', async () => {
    const pid = await startAndCrash();
    const managed = await start({ fileBytesMax: 2 * GIB });
    expect(managed.adopted).toBe(false);
    expect(isRunning(pid)).toBe(false);
  });

  test('never signals a process that only has the recorded pid', async () => {
    const first = await start();
    await first.stop();
    const bystander = spawn('sleep', ['60']);
    try {
      const file = join(dataDir, 'nats/broker.json');
      const record = JSON.parse(await readFile(file, 'utf8'));
      await writeFile(file, JSON.stringify({ ...record, pid: bystander.pid }));
      const second = await start({ fileBytesMax: 2 * GIB });
      expect(second.adopted).toBe(false);
      expect(bystander.exitCode ?? bystander.signalCode).toBeNull();
    } finally {
      bystander.kill();
    }
  });

  test('takes another port when the one it kept is taken', async () => {
    const first = await start();
    await first.stop();
    const squatter = createServer().listen(first.port, '127.0.0.1');
    await once(squatter, 'listening');
    try {
      const second = await start();
      expect(second.port).not.toBe(first.port);
      expect(await readFile(join(dataDir, 'producer.url'), 'utf8')).toContain(`:${second.port}`);
    } finally {
      squatter.close();
    }
  });

  test('refuses to start on a fixed port that is taken', async () => {
    const port = await freePort();
    const squatter = createServer().listen(port, '127.0.0.1');
    await once(squatter, 'listening');
    try {
      await expect(start({ port })).rejects.toMatchObject({
        reason: 'BROKER_PORT_TAKEN',
        message: `Port ${port} for the managed nats-server is taken by another program.`,
      });
    } finally {
      squatter.close();
    }
  });

  test('says what its broker said when it does not start', async () => {
    await writeFile(join(dataDir, 'nats'), '');
    await expect(start()).rejects.toMatchObject({ reason: 'DATA_DIRECTORY_UNUSABLE' });
    await rm(join(dataDir, 'nats'));
    await expect(start({ fileBytesMax: -1 })).resolves.toBeDefined(); // Negative means unlimited.
    await open.pop()!.stop();
    await rm(join(dataDir, 'nats/jetstream'), { recursive: true });
    await writeFile(join(dataDir, 'nats/jetstream'), '');
    await expect(start()).rejects.toMatchObject({ reason: 'BROKER_FAILED' });
  });
});

describe('its configuration', () => {
  const settings = {
    name: 'n',
    port: 4222,
    storeDir: '/data/nats',
    logFile: '/data/nats/log',
    serverSecret: 's3',
    producerSecret: 'p3',
    fileBytesMax: GIB,
  };

  test('syncs every write where the version can', () => {
    expect(brokerConfig({ ...settings, version: [2, 10, 0] })).toContain('sync_interval: always');
    expect(brokerConfig({ ...settings, version: [2, 11, 4] })).toContain('sync_interval: always');
    expect(brokerConfig({ ...settings, version: [2, 9, 25] })).not.toContain('sync_interval');
  });

  test('keeps producers in an account of their own', () => {
    const text = brokerConfig({ ...settings, version: [2, 9, 10] });
    expect(text.indexOf('"p3"')).toBeGreaterThan(text.indexOf('PRODUCERS {'));
    expect(text.indexOf('"s3"')).toBeLessThan(text.indexOf('PRODUCERS {'));
  });
});
