import { mkdtemp, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { systemClock } from '../../src/clock.ts';
import { openStore } from '../../src/store/open.ts';
import { tmpfsMissing } from '../support/namespace.ts';
import { silentLogger } from '../support/stores.ts';
import { runOnTmpfs, runScript } from './child.ts';
import { amounts, counterMigrations } from './counter-table.ts';

describe('a store that cannot be opened says why in one sentence', () => {
  let dataDir: string;

  beforeEach(async () => {
    dataDir = await mkdtemp(join(tmpdir(), 'homeostat-store-'));
  });
  afterEach(() => rm(dataDir, { recursive: true, force: true }));

  const open = (databaseUrl?: string, folder = dataDir) =>
    openStore({
      dataDir: folder,
      ...(databaseUrl && { databaseUrl }),
      clock: systemClock,
      logger: silentLogger,
    });

  test('when no server answers at its URL, and the password stays out of it', async () => {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as { port: number };
    await new Promise((resolve) => server.close(resolve));
    const refused = open(`postgresql://user:hunter2@127.0.0.1:${port}/fleet`);
    await expect(refused).rejects.toMatchObject({
      domain: 'homeostat.store',
      reason: 'DATABASE_UNREACHABLE',
      message: `the database 127.0.0.1:${port}/fleet cannot be reached (ECONNREFUSED)`,
    });
  });

  test.each(['mysql://host/name', 'no url', ''.padEnd(3, '/')])('when its URL is %p', async (url) => {
    await expect(open(url)).rejects.toMatchObject({ reason: 'DATABASE_URL_INVALID' });
  });

  test('when the folder is a file', async () => {
    const file = join(dataDir, 'file');
    await writeFile(file, '');
    await expect(open(undefined, file)).rejects.toMatchObject({
      reason: 'DATABASE_UNREACHABLE',
      message: expect.stringMatching(/cannot be reached \((EEXIST|ENOTDIR)\)$/),
    });
  });

  test('when the file is no database', async () => {
    await writeFile(join(dataDir, 'homeostat.db'), 'this is no database '.repeat(1_000));
    const path = join(dataDir, 'homeostat.db');
    await expect(open()).rejects.toMatchObject({
      domain: 'homeostat.store',
      reason: 'DATABASE_DAMAGED',
      message: `the database ${path} is damaged or not a database: restore it from a backup`,
    });
  });

  test.each([2, 8, 100])('when all but 1/%d of the file is lost', async (part) => {
    const path = join(dataDir, 'homeostat.db');
    // Written and read by processes of their own: as long as one has the file open, others trust its page count.
    expect(runScript('open-or-explain.ts', dataDir)).toBeNull();
    await truncate(path, Math.floor((await stat(path)).size / part));
    expect(runScript('open-or-explain.ts', dataDir)).toMatchObject({ reason: 'DATABASE_DAMAGED' });
  });

  const onTmpfs = tmpfsMissing() === undefined ? test : test.skip;
  const unless = tmpfsMissing() === undefined ? '' : ` (skipped: ${tmpfsMissing()})`;

  onTmpfs(`when the folder is on a read-only file system${unless}`, () => {
    expect(runOnTmpfs(dataDir, 'ro', 'open-or-explain.ts', dataDir)).toEqual({
      domain: 'homeostat.store',
      reason: 'DATABASE_READ_ONLY',
      message: `the database ${join(dataDir, 'homeostat.db')} is read-only`,
    });
  });

  onTmpfs(`when the disk is full${unless}`, () => {
    expect(runOnTmpfs(dataDir, 'size=8k', 'open-or-explain.ts', dataDir)).toEqual({
      domain: 'homeostat.store',
      reason: 'DATABASE_FULL',
      message: `the disk of the database ${join(dataDir, 'homeostat.db')} is full`,
    });
  });

  onTmpfs(`and opens where there is room${unless}`, () => {
    expect(runOnTmpfs(dataDir, 'size=4m', 'open-or-explain.ts', dataDir)).toBeNull();
  });

  onTmpfs(
    `a disk that fills up refuses writes, keeps all that was acknowledged, and recovers${unless}`,
    () => {
      const outcome = runOnTmpfs(dataDir, 'size=3m', 'fill-disk.ts', dataDir);
      expect(outcome).toEqual({
        acknowledged: expect.any(Number),
        acknowledgedOfTheFullGroup: 0,
        reasons: ['homeostat.edge STORAGE_FULL'],
        storedIsAcknowledged: true,
        acknowledgedAfterwards: 16,
        aroundTooLarge: ['STORAGE_FULL', 'STORAGE_FULL', 'committed'],
        storedAroundTooLarge: ['2'],
      });
      expect((outcome as { acknowledged: number }).acknowledged).toBeGreaterThan(16);
    },
  );

  test('makes its folder and a private file where there is none', async () => {
    const folder = join(dataDir, 'deep', 'er');
    const store = await open(undefined, folder);
    await store.migrate(counterMigrations);
    expect(await amounts(store)).toEqual({});
    await store.close();
    expect((await stat(join(folder, 'homeostat.db'))).mode & 0o777).toBe(0o600);
    expect((await stat(folder)).mode & 0o777).toBe(0o700);
  });
});
