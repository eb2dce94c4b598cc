/**
 * The schema's steps: each applied once, in the order of their list, all pending ones in one transaction, while no
 * other server does the same. A database that holds a step this version does not know is refused, never changed.
 */
import type { Engine } from './engine.ts';
import { storeOpenError } from './errors.ts';
import type { BoundQueries } from './queries.ts';
import type { Migration } from './store.ts';

interface MigrationTables {
  store_migration: { id: string; applied_at_ms: number };
}

/** Applies what is pending. `known` are all ids this version has, pending or not. Throws DATABASE_NEWER. */
export function applyMigrations(
  engine: Engine,
  migrations: readonly Migration[],
  known: ReadonlySet<string>,
  nowMs: number,
): Promise<void> {
  return engine.transactAlone(async ({ queries }) => {
    const { schema } = queries;
    const types = engine.columnTypes;
    await schema
      .createTable('store_migration')
      .ifNotExists()
      .addColumn('id', types.text, (column) => column.primaryKey())
      .addColumn('applied_at_ms', types.integer, (column) => column.notNull())
      .execute();
    const tables = queries as BoundQueries<MigrationTables>;
    const rows = await tables.selectFrom('store_migration').select('id').orderBy('id').execute();
    const applied = new Set(rows.map((row) => row.id));
    for (const id of applied)
      if (!known.has(id)) throw storeOpenError('DATABASE_NEWER', { database: engine.address, migration: id });
    for (const { id, up } of migrations) {
      if (applied.has(id)) continue;
      await up(schema, types);
      await tables.insertInto('store_migration').values({ id, applied_at_ms: nowMs }).execute();
    }
  });
}

/** Adds the ids of a list to those known. Throws when an id is there twice. */
export function learnMigrations(known: Set<string>, migrations: readonly Migration[]): void {
  const ids = new Set(migrations.map(({ id }) => id));
  if (ids.size !== migrations.length) throw new Error('two migrations have the same id');
  for (const id of ids) known.add(id);
}
