import { readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { pino } from 'pino';
import { identityMigrations, recoverAdmin } from '../../src/identity/context.ts';
import { restored, tombstone } from '../../src/identity/principal/principal.ts';
import { findPrincipal, savePrincipal } from '../../src/identity/principal/principal-store.ts';
import type { Principal } from '../../src/rpc/handler.ts';
import { systemSecrets } from '../../src/secrets.ts';
import type { Store } from '../../src/store/store.ts';
import { LOOPBACK } from '../support/calls.ts';
import { createFakeClock, type FakeClock } from '../support/fake-clock.ts';
import { describeOnStores, type TestDatabase } from '../support/stores.ts';
import { CONFIG, createIdentityWorld } from './identity-world.ts';

const KEY_LINE = /^hk_live_[0-9a-v]{10}_[A-Za-z0-9_-]{43}\n$/;

/** Resolves once the condition holds; rejects when it does not within 20 s. */
async function until(condition: () => boolean): Promise<void> {
  const deadlineMs = performance.now() + 20_000;
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

describeOnStores('identity.B1 bootstrap', (engine) => {
  let database: TestDatabase;
  let store: Store;
  let clock: FakeClock;
  let log: ReturnType<typeof listeningLogger>;

  const open = (on: Store = store, dataDir = database.location.dataDir) =>
    createIdentityWorld({ store: on, dataDir, clock, logger: log.logger }).identity;
  const recover = (on: Store = store, dataDir = database.location.dataDir) =>
    recoverAdmin({ dataDir, store: on, clock, secrets: systemSecrets });
  /** Who the key belongs to, or the reason it is refused for. */
  const verified = async (key: string, identity = open()): Promise<Principal | string> => {
    try {
      return await identity.verifier.verify(key, LOOPBACK);
    } catch (error) {
      return (error as { readonly reason: string }).reason;
    }
  };
  const isAdmin = expect.objectContaining({ id: 'admin', tier: 'ENTERPRISE' });
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
    const admin = await identity.verifier.verify(await readKey(), LOOPBACK);
    expect(admin).toMatchObject({ id: 'admin', tier: 'ENTERPRISE', credential: { kind: 'API_KEY' } });
    expect(admin.allows('user.admin')).toBe(true);
  });

  test('the key does not expire', async () => {
    await open().bootstrap();
    await clock.advance(10 * 365 * 24 * 3_600_000);
    expect(await verified(await readKey())).toEqual(isAdmin);
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
    for (const identity of identities) expect(await verified(await readKey(), identity)).toEqual(isAdmin);
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
    expect(await verified(foreign.trimEnd())).toBe('BAD_TOKEN');
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
    expect(await verified(before)).toEqual(isAdmin);
    expect(await recover()).toBe(keyFile());
    const after = await readKey();
    expect(after).not.toBe(before);
    expect((await stat(keyFile())).mode & 0o777).toBe(0o600);
    expect(await verified(before)).toBe('TOKEN_REVOKED');
    expect(await verified(after)).toEqual(isAdmin);
  });

  test('recover works on a database that never had an admin, and clears what a crash left', async () => {
    await writeFile(join(database.location.dataDir, 'admin.key.0123456789'), 'half a ke');
    await recover();
    expect(await keyFiles()).toEqual(['admin.key']);
    expect(await verified(await readKey())).toEqual(isAdmin);
    expect((await open().bootstrap()).created).toBe(false);
  });

  test('recover makes an administrator of whatever became of it', async () => {
    await open().bootstrap();
    const change = async (
      change: (admin: NonNullable<Awaited<ReturnType<typeof findPrincipal>>>) => object,
    ) => {
      const admin = (await findPrincipal(store, 'admin'))!;
      await store.transact((tx) => savePrincipal(tx, { ...admin, ...change(admin) }));
      await recover();
      const found = await open().verifier.verify(await readKey(), LOOPBACK);
      expect(found.allows('user.admin')).toBe(true);
      return (await findPrincipal(store, 'admin'))!;
    };
    const { version } = (await findPrincipal(store, 'admin'))!;
    expect((await change(() => ({ disabled: true }))).version).toBe(version + 1);
    expect((await change((admin) => tombstone(admin, clock.nowMs()))).deleted).toBe(false);
    expect((await change(() => ({ roles: ['viewer'] }))).roles).toEqual(['viewer', 'admin']);
    expect((await change((admin) => restored(admin, ['admin'], 0))).roles).toEqual(['admin']);
  });

  test('of two recoveries at once one key remains', async () => {
    await open().bootstrap();
    const other = await engine.createDatabase();
    try {
      const directories = [database.location.dataDir, other.location.dataDir];
      await Promise.all(directories.map((directory) => recover(store, directory)));
      const keys = await Promise.all(
        directories.map((directory) => readFile(join(directory, 'admin.key'), 'utf8')),
      );
      const bearers = await Promise.all(keys.map((key) => verified(key.trimEnd())));
      expect(bearers).toEqual(expect.arrayContaining([isAdmin, 'TOKEN_REVOKED']));
    } finally {
      await other.dispose();
    }
  });

  test('a key that another process replaced is refused within a second', async () => {
    const server = open();
    await server.bootstrap();
    await server.start();
    const before = await readKey();
    expect(await verified(before, server)).toEqual(isAdmin);
    await recover(await database.open());
    expect(await verified(before, server)).toEqual(isAdmin);
    const refused = async () => (await verified(before, server)) === 'TOKEN_REVOKED';
    const deadlineMs = performance.now() + 20_000;
    while (!(await refused())) {
      expect(performance.now()).toBeLessThan(deadlineMs);
      await clock.advance(CONFIG.pollIntervalMs);
    }
    await server.stop();
    expect(clock.pending()).toBe(0);
  });

  test('while the database is away a remembered key still counts, for half a minute', async () => {
    const server = open();
    await server.bootstrap();
    await server.start();
    const key = await readKey();
    await verified(key, server);
    await store.close();
    await clock.advance(1_000);
    await until(() => log.lines.join('').includes('could not be read'));
    expect(server.verifier.verify(key, LOOPBACK)).toEqual(isAdmin);
    expect(server.unavailable()).toEqual([]);
    await clock.advance(CONFIG.staleMs);
    expect(await verified(key, server)).toBe('REVOCATION_STALE');
    expect(server.unavailable()).toEqual(['REVOCATION_STALE']);
    await server.stop();
  });

  test('neither the key nor its secret is ever logged or returned', async () => {
    const identity = open();
    const results: unknown[] = [await identity.bootstrap()];
    await identity.start();
    const keys = [await readKey()];
    results.push(await recover());
    keys.push(await readKey());
    for (const key of keys) results.push(await verified(key, identity));
    await clock.advance(5_000);
    await identity.stop();
    const told = log.lines.join('') + JSON.stringify(results);
    expect(told).toContain('admin.key');
    for (const key of keys) expect(told).not.toContain(key.slice(-43));
  });
});
