/** What only a PostgreSQL server can do to the store: go away, come back, take no writes, not flush. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import pg from 'pg';
import { systemClock } from '../../src/clock.ts';
import { openStore } from '../../src/store/open.ts';
import type { Store } from '../../src/store/store.ts';
import {
  type PostgresqlCluster,
  postgresqlMissing,
  startPostgresqlCluster,
} from '../support/postgresql-cluster.ts';
import { silentLogger } from '../support/stores.ts';
import { addCounter, amounts, counterMigrations } from './counter-table.ts';

const missing = postgresqlMissing();
const describeHere = missing === undefined ? describe : describe.skip;

describeHere(`a PostgreSQL server${missing === undefined ? '' : ` (skipped: ${missing})`}`, () => {
  let cluster: PostgresqlCluster;
  let url: string;
  let store: Store;
  let databases = 0;

  const open = () => openStore({ databaseUrl: url, dataDir: '', clock: systemClock, logger: silentLogger });
  const administer = async (...statements: string[]) => {
    const client = new pg.Client({ connectionString: url });
    await client.connect();
    const results = [];
    for (const statement of statements) results.push(await client.query(statement));
    await client.end();
    return results.at(-1)!.rows;
  };

  beforeAll(async () => {
    cluster = await startPostgresqlCluster();
  });
  afterAll(() => cluster.dispose());
  beforeEach(async () => {
    url = await cluster.createDatabase(`special_${databases++}`);
    store = await open();
    await store.migrate(counterMigrations);
  });
  afterEach(() => store.close());

  test('that crashes makes commands fail as STORE_DOWN, and they work again once it is back', async () => {
    await store.transact((tx) => addCounter(tx, 'before'));
    await cluster.crash();
    try {
      expect(await store.readable()).toBe(false);
      await expect(store.transact((tx) => addCounter(tx, 'during'))).rejects.toMatchObject({
        domain: 'homeostat.edge',
        reason: 'STORE_DOWN',
      });
    } finally {
      await cluster.restart();
    }
    await store.transact((tx) => addCounter(tx, 'after'));
    expect(await amounts(store)).toEqual({ before: 0, after: 0 });
  });

  test('that ends the connection of a running command makes it fail, with nothing stored', async () => {
    const command = store.transact(async (tx) => {
      await addCounter(tx, 'a');
      await administer(
        'select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()',
      );
      await addCounter(tx, 'b');
    });
    await expect(command).rejects.toMatchObject({ reason: 'STORE_DOWN' });
    expect(await amounts(store)).toEqual({});
  });

  test('that takes no writes is STORE_READ_ONLY, and still answers reads', async () => {
    await administer(
      `alter database ${new URL(url).pathname.slice(1)} set default_transaction_read_only = on`,
    );
    const readOnly = await open();
    await expect(readOnly.transact((tx) => addCounter(tx, 'a'))).rejects.toMatchObject({
      domain: 'homeostat.edge',
      reason: 'STORE_READ_ONLY',
    });
    await expect(readOnly.migrate([])).rejects.toMatchObject({
      domain: 'homeostat.store',
      reason: 'DATABASE_READ_ONLY',
    });
    expect(await amounts(readOnly)).toEqual({});
    await readOnly.close();
  });

  test('whose default is not to flush commits is overruled', async () => {
    const settingOf = async (which: Store) => {
      interface Tables {
        pg_settings: { name: string; setting: string };
      }
      const row = await which
        .query<Tables>()
        .selectFrom('pg_settings')
        .select('setting')
        .where('name', '=', 'synchronous_commit')
        .executeTakeFirst();
      return row?.setting;
    };
    expect(await settingOf(store)).toBe('on');
    const name = new URL(url).pathname.slice(1);
    await administer(`alter database ${name} set synchronous_commit = off`);
    const overruling = await open();
    expect(await settingOf(overruling)).toBe('on');
    await overruling.close();
    await administer(`alter database ${name} set synchronous_commit = remote_apply`);
    const stronger = await open();
    expect(await settingOf(stronger)).toBe('remote_apply');
    await stronger.close();
  });

  test('that reports a statement left to itself as failed keeps nothing of its command', async () => {
    await store.transact((tx) => addCounter(tx, 'a'));
    const command = store.transact(async (tx) => {
      await addCounter(tx, 'b');
      // Not awaited: it fails between the end of the command and COMMIT.
      addCounter(tx, 'a').catch(() => undefined);
      await Promise.resolve();
    });
    await expect(command).rejects.toThrow();
    expect(await amounts(store)).toEqual({ a: 0 });
  });
});
