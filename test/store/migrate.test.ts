import { afterEach, beforeEach, expect, test } from '@jest/globals';
import type { Migration } from '../../src/store/store.ts';
import { describeOnStores, type TestDatabase } from '../support/stores.ts';
import { amounts, counterMigrations } from './counter-table.ts';

describeOnStores('migrations', (engine) => {
  let database: TestDatabase;

  beforeEach(async () => {
    database = await engine.createDatabase();
  });
  afterEach(() => database.dispose());

  /** Steps that note each time they are applied. */
  const counting = (applied: string[]): Migration[] =>
    ['a_001_first', 'a_002_second', 'b_001_other'].map((id) => ({
      id,
      async up(schema, types) {
        applied.push(id);
        await schema.createTable(id).addColumn('id', types.text).execute();
      },
    }));

  test('are applied once, in order, among servers that start together', async () => {
    const applied: string[] = [];
    const servers = await Promise.all([1, 2, 3].map(() => database.open()));
    await Promise.all(servers.map((server) => server.migrate(counting(applied))));
    expect(applied).toEqual(['a_001_first', 'a_002_second', 'b_001_other']);
    await servers[0]!.migrate(counting(applied));
    expect(applied).toHaveLength(3);
  });

  test('that were added later are applied alone', async () => {
    const applied: string[] = [];
    const all = counting(applied);
    await (await database.open(all.slice(0, 1))).close();
    await database.open(all);
    expect(applied).toEqual(['a_001_first', 'a_002_second', 'b_001_other']);
  });

  test('that fail leave the database as it was', async () => {
    const broken: Migration = {
      id: 'z_001_broken',
      async up(schema) {
        await schema.dropTable('test_counter').execute();
        throw new Error('cannot go on');
      },
    };
    const store = await database.open(counterMigrations);
    await expect(store.migrate([broken])).rejects.toThrow('cannot go on');
    expect(await amounts(store)).toEqual({});
    await expect((await database.open()).migrate(counterMigrations)).resolves.toBeUndefined();
  });

  test('of a newer version make the database refused and untouched', async () => {
    const applied: string[] = [];
    const all = counting(applied);
    await (await database.open(all)).close();
    const older = await database.open();
    await expect(older.migrate([...all.slice(0, 2), ...counterMigrations])).rejects.toMatchObject({
      domain: 'homeostat.store',
      reason: 'DATABASE_NEWER',
      message: expect.stringMatching(
        /written by a newer version \(it holds the unknown migration b_001_other\)$/,
      ),
    });
    await expect(amounts(older)).rejects.toThrow();
  });

  test('with the same id twice are a mistake', async () => {
    const store = await database.open();
    await expect(store.migrate([...counterMigrations, ...counterMigrations])).rejects.toThrow('same id');
  });
});
