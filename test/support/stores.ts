/**
 * Stores for tests. `openTestStore` gives one SQLite store in a temporary directory. `describeOnStores` runs a suite on
 * every engine: SQLite always, PostgreSQL in a database of its own where a server is installed, else named as skipped.
 */
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, test } from '@jest/globals';
import { type Clock, systemClock } from '../../src/clock.ts';
import { createLogger, type Logger } from '../../src/observability.ts';
import { openStore } from '../../src/store/open.ts';
import type { Migration, Store } from '../../src/store/store.ts';
import {
  type PostgresqlDatabases,
  postgresqlMissing,
  sharedPostgresqlDatabases,
} from './postgresql-cluster.ts';

export const silentLogger: Logger = createLogger('silent');

export interface TestStore {
  readonly store: Store;
  readonly dataDir: string;
  /** Closes the store and removes its directory. */
  dispose(): Promise<void>;
}

/** A SQLite store of its own, with these migrations applied. */
export async function openTestStore(
  migrations: readonly Migration[] = [],
  clock: Clock = systemClock,
): Promise<TestStore> {
  const dataDir = await mkdtemp(join(tmpdir(), 'homeostat-store-'));
  const store = await openStore({ dataDir, clock, logger: silentLogger });
  await store.migrate(migrations);
  return {
    store,
    dataDir,
    async dispose() {
      await store.close();
      await rm(dataDir, { recursive: true, force: true });
    },
  };
}

/** One database that several stores may be opened on, one after the other or at once. */
export interface TestDatabase {
  readonly location: { readonly dataDir: string; readonly databaseUrl?: string };
  /** Opens it and applies the migrations, if any are given. The caller may close it; `dispose` does otherwise. */
  open(migrations?: readonly Migration[], clock?: Clock): Promise<Store>;
  dispose(): Promise<void>;
}

/** The engine a suite runs on. */
export interface TestEngine {
  readonly name: 'SQLite' | 'PostgreSQL';
  createDatabase(): Promise<TestDatabase>;
}

/** Declares a suite once per engine. */
export function describeOnStores(name: string, suite: (engine: TestEngine) => void): void {
  describe(`${name} on SQLite`, () => {
    suite({ name: 'SQLite', createDatabase: () => createDatabase() });
  });
  const missing = postgresqlMissing();
  if (missing !== undefined) {
    describe(`${name} on PostgreSQL`, () => {
      test.skip(`skipped: ${missing}`, () => undefined);
    });
    return;
  }
  describe(`${name} on PostgreSQL`, () => {
    let databases: PostgresqlDatabases;
    const names: string[] = [];
    /** URLs of empty ones. */
    const idle: string[] = [];
    beforeAll(async () => {
      databases = await sharedPostgresqlDatabases();
    });
    const create = () => {
      const name = `test_${randomBytes(8).toString('hex')}`;
      names.push(name);
      return databases.createDatabase(name);
    };
    suite({
      name: 'PostgreSQL',
      async createDatabase() {
        const databaseUrl = idle.pop() ?? (await create());
        return createDatabase({
          url: databaseUrl,
          async giveBack() {
            await databases.emptyDatabase(databaseUrl);
            idle.push(databaseUrl);
          },
        });
      },
    });
    // Behind those of the suite, which may give a database back.
    afterAll(async () => {
      for (const name of names) await databases.dropDatabase(name);
    });
  });
}

async function createDatabase(lent?: {
  readonly url: string;
  giveBack(): Promise<void>;
}): Promise<TestDatabase> {
  const dataDir = await mkdtemp(join(tmpdir(), 'homeostat-store-'));
  const location = { dataDir, ...(lent !== undefined && { databaseUrl: lent.url }) };
  const opened: Store[] = [];
  return {
    location,
    async open(migrations, clock = systemClock) {
      const store = await openStore({ ...location, clock, logger: silentLogger });
      opened.push(store);
      if (migrations) await store.migrate(migrations);
      return store;
    },
    async dispose() {
      for (const store of opened) await store.close();
      await lent?.giveBack();
      await rm(dataDir, { recursive: true, force: true });
    },
  };
}
