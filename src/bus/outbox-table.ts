/** The table of the outbox and what the relay asks of it. */
import type { Migration, Store, Tx } from '../store/store.ts';

/** Columns of `bus_outbox`. */
export interface OutboxRow {
  readonly id: string;
  /** Order of recording: microseconds of wall time, raised where needed so that it never repeats or steps back. */
  readonly place: number;
  readonly subject: string;
  /** Full protobuf name. */
  readonly type: string;
  readonly recorded_ms: number;
  readonly traceparent: string | null;
  readonly payload: Uint8Array;
  /** Place in the EVENTS stream; null until the broker acknowledged it. */
  readonly sequence: number | null;
}

export interface OutboxTables {
  bus_outbox: OutboxRow;
}

export const outboxMigrations: readonly Migration[] = [
  {
    id: 'bus_001_outbox',
    up: async (schema, types) => {
      await schema
        .createTable('bus_outbox')
        .addColumn('id', types.text, (column) => column.primaryKey())
        .addColumn('place', types.integer, (column) => column.notNull())
        .addColumn('subject', types.text, (column) => column.notNull())
        .addColumn('type', types.text, (column) => column.notNull())
        .addColumn('recorded_ms', types.integer, (column) => column.notNull())
        .addColumn('traceparent', types.text)
        .addColumn('payload', types.bytes, (column) => column.notNull())
        .addColumn('sequence', types.integer)
        .execute();
      await schema
        .createIndex('bus_outbox_pending')
        .on('bus_outbox')
        .columns(['sequence', 'place'])
        .execute();
      await schema.createIndex('bus_outbox_age').on('bus_outbox').column('recorded_ms').execute();
    },
  },
];

/** Place of the row recorded last; 0 when there is none. */
export async function latestPlace(store: Store): Promise<number> {
  const row = await store
    .query<OutboxTables>()
    .selectFrom('bus_outbox')
    .select((expression) => expression.fn.max('place').as('place'))
    .executeTakeFirst();
  return row?.place ?? 0;
}

/** Adds a row; one of the same id stays as it is. */
export async function insertRow(tx: Tx, row: OutboxRow): Promise<void> {
  await tx
    .query<OutboxTables>()
    .insertInto('bus_outbox')
    .values(row)
    .onConflict((conflict) => conflict.column('id').doNothing())
    .execute();
}

/** The first rows, in order of recording, that the broker has not acknowledged. */
export function unpublishedRows(store: Store, limit: number): Promise<readonly OutboxRow[]> {
  return store
    .query<OutboxTables>()
    .selectFrom('bus_outbox')
    .selectAll()
    .where('sequence', 'is', null)
    .orderBy('place')
    .orderBy('id')
    .limit(limit)
    .execute();
}

/** Writes down the place in the stream of rows by their id. */
export async function markPublished(store: Store, sequences: ReadonlyMap<string, number>): Promise<void> {
  await store.transact(async (tx) => {
    for (const [id, sequence] of sequences)
      await tx
        .query<OutboxTables>()
        .updateTable('bus_outbox')
        .set({ sequence })
        .where('id', '=', id)
        .execute();
  });
}

/** Makes the rows beyond the stream's end unpublished again; resolves with their number. */
export function freeRowsBeyond(store: Store, lastSequence: number): Promise<number> {
  return store.transact(async (tx) => {
    const result = await tx
      .query<OutboxTables>()
      .updateTable('bus_outbox')
      .set({ sequence: null })
      .where('sequence', '>', lastSequence)
      .executeTakeFirst();
    return Number(result.numUpdatedRows);
  });
}

/** Drops the rows recorded before a time that the broker has acknowledged. */
export async function dropPublished(store: Store, beforeMs: number): Promise<void> {
  await store.transact(async (tx) => {
    await tx
      .query<OutboxTables>()
      .deleteFrom('bus_outbox')
      .where('recorded_ms', '<', beforeMs)
      .where('sequence', 'is not', null)
      .execute();
  });
}
