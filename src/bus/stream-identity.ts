/**
 * Which TELEMETRY stream the checkpoints of a durable consumer refer to, by the time the broker created it. A stream
 * made anew counts from 1 again, so a checkpoint of the old one says nothing about it.
 */
import type { Migration, Store } from '../store/store.ts';

interface IdentityTables {
  bus_stream: { readonly durable: string; readonly created: string };
}

export const streamIdentityMigrations: readonly Migration[] = [
  {
    id: 'bus_002_stream',
    up: async (schema, types) => {
      await schema
        .createTable('bus_stream')
        .addColumn('durable', types.text, (column) => column.primaryKey())
        .addColumn('created', types.text, (column) => column.notNull())
        .execute();
    },
  },
];

export async function loadIdentity(store: Store, durable: string): Promise<string | undefined> {
  const row = await store
    .query<IdentityTables>()
    .selectFrom('bus_stream')
    .select('created')
    .where('durable', '=', durable)
    .executeTakeFirst();
  return row?.created;
}

export async function saveIdentity(store: Store, durable: string, created: string): Promise<void> {
  await store.transact(async (tx) => {
    await tx
      .query<IdentityTables>()
      .insertInto('bus_stream')
      .values({ durable, created })
      .onConflict((conflict) => conflict.column('durable').doUpdateSet({ created }))
      .execute();
  });
}
