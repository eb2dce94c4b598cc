import { readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { pino } from 'pino';
import { createIdentity, type Identity, identityMigrations } from '../../src/identity/context.ts';
import { systemSecrets } from '../../src/secrets.ts';
import type { Store } from '../../src/store/store.ts';
import { createFakeClock, type FakeClock } from '../support/fake-clock.ts';
import { describeOnStores, type TestDatabase } from '../support/stores.ts';

const config = { cacheMs: 60_000, cacheEntriesMax: 100, pollIntervalMs: 1_000 };
const KEY_LINE = /^hk_live_[0-9a-v]{10}_[A-Za-z0-9_-]{43}\n$/;

/** Resolves once the condition holds; rejects when it does not within 5 s. */
async function until(condition: () => boolean): Promise<void> {
  const deadlineMs = performance.now() + 5_000;
  while (!condition()) {
    if (performance.now() > deadlineMs) throw new Error('the condition was not met in time');
    await new Promise<void>((resolve) => setImmediate(resolve));
  }
}

/** A logger at the most talkative level, and everything it wrote. */
function listeningLogger() {
  const lines: string[] = [];
  const sink = new Writable({
    write(chunk, _encoding, done) {
      lines.push(String(chunk));
      done();
    },
  });
  return { logger: pino({ level: 'trace' }, sink), lines };
}

describeOnStores('bootstrap', (engine) => {
  let database: TestDatabase;
  let store: Store;
  let clock: FakeClock;
  let log: ReturnType<typeof listeningLogger>;

  const open = (on: Store = store, dataDir = database.location.dataDir): Identity =>
    createIdentity({ config, dataDir, store: on, clock, logger: log.logger, secrets: systemSecrets });
  const keyFile = () => join(database.location.dataDir, 'admin.key');
  const readKey = async () => (await readFile(keyFile(), 'utf8')).trimEnd();
  const keyFiles = async () =>
    (await readdir(database.location.dataDir)).filter((name) => name.startsWith('admin.key'));

  beforeEach(async () => {
    database = await engine.createDatabase();
    store = await database.open(identityMigrations);
    clock = createFakeClock();
    log = listeningLogger();
  });
  afterEach(() => database.dispose());

  test('the first start writes a key that only its owner may read, and that lets the admin in', async () => {
    const identity = open();
    expect(await identity.bootstrap()).toEqual({ path: keyFile(), created: true });
    expect((await stat(keyFile())).mode & 0o777).toBe(0o600);
    expect(await readFile(keyFile(), 'utf8')).toMatch(KEY_LINE);
    expect(await keyFiles()).toEqual(['admin.key']);
    expect(await identity.verifier.verify(await readKey())).toEqual({ id: 'admin', permissions: ['*.*'] });
  });

  test('the key does not expire', async () => {
    const identity = open();
    await identity.bootstrap();
    await clock.advance(10 * 365 * 24 * 3_600_000);
    expect(await identity.verifier.verify(await readKey())).toBeDefined();
  });

  test('a second start writes nothing, even when the file was taken away', async () => {
    await open().bootstrap();
    const before = await readKey();
    expect(await open().bootstrap()).toEqual({ path: keyFile(), created: false });
    expect(await readKey()).toBe(before);
    await rm(keyFile());
    expect((await open().bootstrap()).created).toBe(false);
    expect(await keyFiles()).toEqual([]);
  });

  test('of servers that start together on one database one makes the key', async () => {
    const stores = [store, await database.open(), await database.open()];
    const identities = stores.map((one) => open(one));
    const results = await Promise.all(identities.map((identity) => identity.bootstrap()));
    expect(results.filter((result) => result.created)).toHaveLength(1);
    expect(await keyFiles()).toEqual(['admin.key']);
    for (const identity of identities) expect(await identity.verifier.verify(await readKey())).toBeDefined();
  });

  test('of servers with directories of their own only the one that made the key has a file', async () => {
    const other = await engine.createDatabase();
    try {
      const directories = [database.location.dataDir, other.location.dataDir];
      const results = await Promise.all(directories.map((directory) => open(store, directory).bootstrap()));
      const files = await Promise.all(directories.map((directory) => readdir(directory)));
      const holders = files.map((names) => names.filter((name) => name.startsWith('admin.key')));
      expect(holders).toEqual(results.map((result) => (result.created ? ['admin.key'] : [])));
      expect(results.filter((result) => result.created)).toHaveLength(1);
    } finally {
      await other.dispose();
    }
  });

  test('a key file of another database is neither overwritten nor adopted', async () => {
    const foreign = `hk_live_0123456789_${'A'.repeat(43)}\n`;
    await writeFile(keyFile(), foreign);
    const identity = open();
    await expect(identity.bootstrap()).rejects.toMatchObject({
      reason: 'ADMIN_KEY_FOREIGN',
      metadata: { path: keyFile() },
    });
    expect(await readFile(keyFile(), 'utf8')).toBe(foreign);
    expect(await identity.verifier.verify(foreign.trimEnd())).toBeUndefined();
  });

  test('a key committed before a crash is named by the next start, a key that never was is not', async () => {
    await open().bootstrap();
    const key = await readKey();
    await rename(keyFile(), join(database.location.dataDir, `admin.key.${key.split('_')[2]}`));
    const stranger = join(database.location.dataDir, 'admin.key.0123456789');
    await writeFile(stranger, `hk_live_0123456789_${'A'.repeat(43)}\n`);
    expect(await open().bootstrap()).toEqual({ path: keyFile(), created: true });
    expect(await readKey()).toBe(key);
    expect((await keyFiles()).sort()).toEqual(['admin.key', 'admin.key.0123456789']);
  });

  test('recover replaces the key: the new one counts, the one before does not', async () => {
    const identity = open();
    await identity.bootstrap();
    const before = await readKey();
    expect(await identity.verifier.verify(before)).toBeDefined();
    expect(await identity.recover()).toBe(keyFile());
    const after = await readKey();
    expect(after).not.toBe(before);
    expect((await stat(keyFile())).mode & 0o777).toBe(0o600);
    expect(await identity.verifier.verify(before)).toBeUndefined();
    expect(await identity.verifier.verify(after)).toEqual({ id: 'admin', permissions: ['*.*'] });
  });

  test('recover works on a database that never had an admin, and clears what a crash left', async () => {
    await writeFile(join(database.location.dataDir, 'admin.key.0123456789'), 'half a ke');
    const identity = open();
    await identity.recover();
    expect(await keyFiles()).toEqual(['admin.key']);
    expect(await identity.verifier.verify(await readKey())).toBeDefined();
    expect((await identity.bootstrap()).created).toBe(false);
  });

  test('of two recoveries at once one key remains', async () => {
    await open().bootstrap();
    const other = await engine.createDatabase();
    try {
      const directories = [database.location.dataDir, other.location.dataDir];
      await Promise.all(directories.map((directory) => open(store, directory).recover()));
      const keys = await Promise.all(
        directories.map((directory) => readFile(join(directory, 'admin.key'), 'utf8')),
      );
      const bearers = await Promise.all(keys.map((key) => open().verifier.verify(key.trimEnd())));
      expect(bearers.filter((bearer) => bearer !== undefined)).toHaveLength(1);
    } finally {
      await other.dispose();
    }
  });

  test('a key that another process replaced is refused within a second', async () => {
    const server = open();
    await server.bootstrap();
    await server.start();
    const before = await readKey();
    expect(await server.verifier.verify(before)).toBeDefined();
    await open(await database.open()).recover();
    expect(server.verifier.verify(before)).not.toBeInstanceOf(Promise);
    await clock.advance(1_000);
    await until(() => server.verifier.verify(before) instanceof Promise);
    expect(await server.verifier.verify(before)).toBeUndefined();
    await server.stop();
    expect(clock.pending()).toBe(0);
  });

  test('while the database is away a remembered key still counts, and the log says so', async () => {
    const server = open();
    await server.bootstrap();
    await server.start();
    const key = await readKey();
    await server.verifier.verify(key);
    await store.close();
    await clock.advance(1_000);
    await until(() => log.lines.join('').includes('revocations could not be read'));
    expect(server.verifier.verify(key)).toEqual({ id: 'admin', permissions: ['*.*'] });
    await clock.advance(60_000);
    await expect(server.verifier.verify(key)).rejects.toMatchObject({ reason: 'STORE_DOWN' });
    await server.stop();
  });

  test('neither the key nor its secret is ever logged or returned', async () => {
    const identity = open();
    const results: unknown[] = [await identity.bootstrap()];
    await identity.start();
    const keys = [await readKey()];
    results.push(await identity.recover());
    keys.push(await readKey());
    for (const key of keys) await identity.verifier.verify(key);
    await clock.advance(5_000);
    await identity.stop();
    const told = log.lines.join('') + JSON.stringify(results);
    expect(told).toContain('admin.key');
    for (const key of keys) expect(told).not.toContain(key.slice(-43));
  });
});
