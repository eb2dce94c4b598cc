/** What the doctor finds in a data directory after a crash, and in one that somebody has tampered with. */
import { chmod, cp, mkdir, open, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import Database from 'libsql';
import { systemClock } from '../../src/clock.ts';
import { openStore } from '../../src/store/open.ts';
import { inNamespace, tmpfsMissing } from '../support/namespace.ts';
import { silentLogger } from '../support/stores.ts';
import {
  contentsOf,
  endOrphan,
  environmentOf,
  findingsOf,
  makeFolder,
  of,
  problemsIn,
  removeFolder,
  scriptCommand,
  startServerProcess,
} from './doctor-world.ts';

/** A directory a server used and gave up, copied for each test. */
let given: string;
let folder: string;
let dataDir: string;
beforeAll(async () => {
  given = await makeFolder();
  const server = await startServerProcess(environmentOf(given));
  await server.stop();
});
afterAll(() => removeFolder(given));
beforeEach(async () => {
  folder = await makeFolder();
  dataDir = join(folder, 'data');
  await cp(given, dataDir, { recursive: true });
  await chmod(dataDir, 0o700);
});
afterEach(() => removeFolder(folder));

const file = (name: string) => join(dataDir, name);
const examined = () => findingsOf(environmentOf(dataDir));

test('a directory that was given up in order has no problem', async () => {
  const findings = await examined();
  expect(problemsIn(findings)).toEqual([]);
  expect(of(findings, 'data.holder')).toMatchObject([{ severity: 'OK' }]);
  expect(of(findings, 'data.leftovers')).toMatchObject([{ severity: 'OK' }]);
  expect(of(findings, 'broker.process')).toMatchObject([{ severity: 'OK' }]);
});

describe('after kill -9 of a server', () => {
  test('its hold and its broker are found, the log is read, and not one byte or file changes', async () => {
    // On a fresh directory: what its first start wrote lies in the log of the database.
    dataDir = join(folder, 'fresh');
    const server = await startServerProcess(environmentOf(dataDir));
    await server.crash();
    try {
      const names = [
        'homeostat.db',
        'homeostat.db-wal',
        'homeostat.db-shm',
        'server.json',
        'nats/broker.json',
      ];
      const [files, contents] = [
        await readdir(dataDir, { recursive: true }),
        await contentsOf(dataDir, names),
      ];
      expect((await stat(file('homeostat.db-wal'))).size).toBeGreaterThan(0);
      const findings = await examined();
      expect(problemsIn(findings)).toEqual([]);
      expect(of(findings, 'data.holder')).toMatchObject([
        { severity: 'WARNING', found: expect.stringContaining(`pid ${server.pid} ended without`) },
      ]);
      expect(of(findings, 'broker.process')).toMatchObject([
        { severity: 'WARNING', remedy: expect.stringMatching(/kill \d+$/) },
      ]);
      expect(of(findings, 'broker.streams')).toMatchObject([{ severity: 'OK' }]);
      expect(of(findings, 'database.schema')).toMatchObject([{ severity: 'OK' }]);
      expect(await readdir(dataDir, { recursive: true })).toEqual(files);
      expect(await contentsOf(dataDir, names)).toEqual(contents);
    } finally {
      await endOrphan(dataDir);
    }
  });

  test('a broker that is there and answers nothing is a problem', async () => {
    const server = await startServerProcess(environmentOf(dataDir));
    try {
      const { pid } = JSON.parse(await readFile(file('nats/broker.json'), 'utf8')) as { pid: number };
      // Stopped, not killed: its server would start it again.
      process.kill(pid, 'SIGSTOP');
      const findings = await examined();
      expect(of(findings, 'broker.connection')).toMatchObject([
        { severity: 'PROBLEM', remedy: expect.stringContaining(`kill -9 ${pid}`) },
      ]);
      process.kill(pid, 'SIGCONT');
    } finally {
      await server.stop();
    }
  });

  test.each([
    ['server.json', 'data.holder'],
    ['nats/broker.json', 'broker.process'],
  ])('%s that was torn is told', async (name, check) => {
    await writeFile(file(name), '{"pid": 1');
    expect(of(await examined(), check)).toMatchObject([{ severity: 'WARNING' }]);
  });

  test('what interrupted writes left is told, with the command that removes it', async () => {
    for (const name of ['server.json.new', 'probe-123', 'producer.url.partial', 'nats/broker.json.partial'])
      await writeFile(file(name), '');
    await writeFile(file('admin.key.0123456789'), '');
    const [left, key] = of(await examined(), 'data.leftovers');
    for (const name of ['server.json.new', 'probe-123', 'producer.url.partial', 'nats/broker.json.partial'])
      expect(left).toMatchObject({ severity: 'WARNING', remedy: expect.stringContaining(file(name)) });
    expect(key).toMatchObject({
      severity: 'WARNING',
      found: expect.stringContaining('admin.key.0123456789'),
    });
  });

  test('a port of the broker that somebody else took meanwhile is told', async () => {
    const { port } = JSON.parse(await readFile(file('nats/broker.json'), 'utf8')) as { port: number };
    const holder = await listenOn(port);
    expect(of(await examined(), 'broker.process')).toMatchObject([
      { severity: 'WARNING', found: expect.stringContaining(`Port ${port} of the managed broker is taken`) },
    ]);
    await close(holder);
  });
});

const listenOn = (port: number) =>
  new Promise<Server>((resolve) => {
    const server = createServer();
    server.listen(port, '127.0.0.1', () => resolve(server));
  });
const close = (server: Server) => new Promise<void>((resolve) => server.close(() => resolve()));

describe('the ports of a server that does not run', () => {
  test.each(['GRPC', 'HTTP'])(
    '%s: one that is taken is a problem with a command that names who has it',
    async (edge) => {
      const holder = await listenOn(0);
      const { port } = holder.address() as { port: number };
      const environment = environmentOf(dataDir, { [`HOMEOSTAT_${edge}_ADDRESS`]: `127.0.0.1:${port}` });
      const [found] = of(await findingsOf(environment), 'server.addresses').filter(
        ({ severity }) => severity !== 'OK',
      );
      expect(found).toMatchObject({ severity: 'PROBLEM', remedy: expect.stringContaining(`:${port}`) });
      await close(holder);
    },
  );

  test('one for both, and an address of another machine, are problems', async () => {
    const same = { HOMEOSTAT_GRPC_ADDRESS: '127.0.0.1:50999', HOMEOSTAT_HTTP_ADDRESS: '127.0.0.1:50999' };
    const elsewhere = { HOMEOSTAT_GRPC_ADDRESS: '192.0.2.1:50999', HOMEOSTAT_ALLOW_PLAINTEXT: 'true' };
    for (const extra of [same, elsewhere])
      expect(problemsIn(await findingsOf(environmentOf(dataDir, extra)))).toEqual(['server.addresses']);
  });

  test('beyond loopback without TLS is a warning', async () => {
    const open = { HOMEOSTAT_GRPC_ADDRESS: '0.0.0.0:0', HOMEOSTAT_ALLOW_PLAINTEXT: 'true' };
    expect(of(await findingsOf(environmentOf(dataDir, open)), 'configuration.loopback')).toMatchObject([
      { severity: 'WARNING', found: expect.stringContaining('0.0.0.0:0 is open beyond loopback') },
    ]);
  });
});

describe('the data directory', () => {
  test.each(['admin.key', 'producer.url', 'nats/server.url', 'nats/nats-server.conf', 'homeostat.db'])(
    'a secret in %s that everybody may read is a problem, one for the group a warning',
    async (name) => {
      await chmod(file(name), 0o644);
      expect(of(await examined(), 'data.secrets')).toMatchObject([
        { severity: 'PROBLEM', remedy: expect.stringContaining(`chmod 600 ${file(name)}`) },
      ]);
      await chmod(file(name), 0o640);
      expect(of(await examined(), 'data.secrets')).toMatchObject([{ severity: 'WARNING' }]);
      await chmod(file(name), 0o600);
      expect(of(await examined(), 'data.secrets')).toMatchObject([{ severity: 'OK' }]);
    },
  );

  test('that everybody may write, or that is a file, is a problem', async () => {
    await chmod(dataDir, 0o777);
    expect(of(await examined(), 'data.directory')).toMatchObject([{ severity: 'PROBLEM' }]);
    const environment = environmentOf(file('admin.key'));
    expect(of(await findingsOf(environment), 'data.directory')).toMatchObject([
      { severity: 'PROBLEM', found: expect.stringContaining('is not a folder') },
    ]);
  });

  test('in memory is a warning', async () => {
    // The one folder in memory every Linux has; elsewhere the check has nothing to say.
    if (process.platform !== 'linux') return;
    const environment = environmentOf('/dev/shm/homeostat-doctor-none');
    expect(of(await findingsOf(environment), 'data.filesystem')).toMatchObject([{ severity: 'WARNING' }]);
  });

  const missing = tmpfsMissing();
  const onTmpfs = missing === undefined ? test : test.skip;
  const unless = missing === undefined ? '' : ` (skipped: ${missing})`;
  const examineOn = (options: string, ...args: string[]) => {
    const variables = Object.entries(environmentOf(dataDir)).map(([name, value]) => `${name}='${value}'`);
    const words = [...scriptCommand('./doctor-run.ts'), '--json', ...args].map((word) => `'${word}'`);
    const { stdout, stderr } = inNamespace(
      `mount -t tmpfs -o ${options} tmpfs '${dataDir}' && ${variables.join(' ')} exec ${words.join(' ')}`,
    );
    expect(stderr).toBe('');
    return (JSON.parse(stdout) as { findings: Awaited<ReturnType<typeof findingsOf>> }).findings;
  };

  onTmpfs(`that is read-only is a problem, and is not written even when thorough${unless}`, () => {
    const findings = examineOn('ro', '--thorough');
    expect(of(findings, 'data.directory')).toMatchObject([
      { severity: 'PROBLEM', found: expect.stringContaining('EROFS') },
    ]);
    expect(of(findings, 'data.flush')).toMatchObject([{ severity: 'PROBLEM' }]);
  });

  onTmpfs(`without room for commits is a problem${unless}`, () => {
    expect(of(examineOn('size=1m'), 'data.room')).toMatchObject([
      { severity: 'PROBLEM', remedy: expect.stringContaining('du -xh') },
    ]);
  });
});

describe('the database', () => {
  /** Overwrites bytes in the middle of the file. */
  const damage = async (name: string) => {
    const handle = await open(file(name), 'r+');
    const { size } = await handle.stat();
    const garbage = new Uint8Array(4_096).fill(0xa5);
    for (let at = 4_096; at < size; at += 16_384) await handle.write(garbage, 0, garbage.length, at);
    await handle.close();
  };

  test('with damaged pages is a problem', async () => {
    await damage('homeostat.db');
    const damaged = (await examined()).filter(({ check }) => check.startsWith('database'));
    expect(problemsIn(damaged).length).toBeGreaterThan(0);
    expect(JSON.stringify(damaged)).toContain('a backup of homeostat.db');
  });

  test('that is no database is a problem', async () => {
    await writeFile(file('homeostat.db'), 'not a database, but long enough to be taken for one'.repeat(100));
    expect(of(await examined(), 'database.connection')).toMatchObject([
      { severity: 'PROBLEM', found: expect.stringContaining('is damaged or not a database') },
    ]);
  });

  test('that is gone while its admin key is there is a problem, as the server would not start', async () => {
    for (const name of await readdir(dataDir)) if (name.startsWith('homeostat.db')) await rm(file(name));
    expect(of(await examined(), 'database.connection')).toMatchObject([
      { severity: 'PROBLEM', remedy: expect.stringContaining(`mv ${file('admin.key')}`) },
    ]);
  });

  test('of an older version tells what is pending; of a newer one it is a problem', async () => {
    const change = (statement: string) => {
      const database = new Database(file('homeostat.db'), {});
      database.exec(statement);
      database.exec('pragma wal_checkpoint(truncate)');
      database.close();
    };
    change("delete from store_migration where id like 'session%'");
    expect(of(await examined(), 'database.schema')).toMatchObject([
      {
        severity: 'WARNING',
        found: expect.stringMatching(/of \d+ steps of the schema are pending, session/),
      },
    ]);
    change("insert into store_migration (id, applied_at_ms) values ('warp_001_drive', 1)");
    expect(of(await examined(), 'database.schema')).toMatchObject([
      { severity: 'PROBLEM', found: expect.stringContaining('warp_001_drive') },
    ]);
  });

  test('that a store made and nobody migrated has every step pending', async () => {
    const fresh = join(folder, 'fresh');
    await mkdir(fresh);
    const store = await openStore({ dataDir: fresh, clock: systemClock, logger: silentLogger });
    await store.close();
    expect(of(await findingsOf(environmentOf(fresh)), 'database.schema')).toMatchObject([
      { severity: 'WARNING', found: expect.stringMatching(/^(\d+) of \1 steps/) },
    ]);
  });

  test('in another journal mode is a warning', async () => {
    const database = new Database(file('homeostat.db'), {});
    database.exec('pragma journal_mode = delete');
    database.close();
    expect(of(await examined(), 'database.connection')).toMatchObject([
      { severity: 'WARNING', found: expect.stringContaining('journal mode delete') },
    ]);
  });
});
