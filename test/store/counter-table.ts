/** The table that the store's tests write to. */
import type { Migration, Queries, Store, Tx } from '../../src/store/store.ts';

export interface CounterTables {
  test_counter: { id: string; amount: number; version: number };
}

export const counterMigrations: readonly Migration[] = [
  {
    id: 'test_001_counter',
    async up(schema, types) {
      await schema
        .createTable('test_counter')
        .addColumn('id', types.text, (column) => column.primaryKey())
        .addColumn('amount', types.integer, (column) => column.notNull())
        .addColumn('version', types.integer, (column) => column.notNull())
        .execute();
    },
  },
];

export function addCounter(tx: Tx, id: string, amount = 0): Promise<unknown> {
  return tx.query<CounterTables>().insertInto('test_counter').values({ id, amount, version: 1 }).execute();
}

/** Amount by id, of what `from` sees. */
export async function amounts(from: Store | Tx): Promise<Record<string, number>> {
  const queries: Queries<CounterTables> = from.query();
  const rows = await queries.selectFrom('test_counter').select(['id', 'amount']).orderBy('id').execute();
  return Object.fromEntries(rows.map((row) => [row.id, row.amount]));
}
