/**
 * Tables of what is signed. `ledger_checkpoint` has one row for each published size, never changed; its digest covers
 * what the note does not. `ledger_cosignature` keeps one line of each witness under a checkpoint, with the key it was
 * verified with. `ledger_key` has one row: the log's name and its sealed seed.
 */
import { createHash } from 'node:crypto';
import type { Migration } from '../../store/store.ts';
import { LOG, type Reader } from '../store.ts';

export interface NoteTables {
  ledger_checkpoint: CheckpointRow;
  ledger_cosignature: CosignatureRow;
  ledger_key: { name: string; origin: string; sealed_seed: Uint8Array };
}

export interface CheckpointRow {
  tree_size: number;
  /** With the log's own signature alone. */
  note: string;
  signed_at_ms: number;
  digest: Uint8Array;
}

export interface CosignatureRow {
  tree_size: number;
  vkey: string;
  line: string;
}

export const noteMigration: Migration = {
  id: 'ledger_002_checkpoints',
  async up(schema, types) {
    await schema
      .createTable('ledger_checkpoint')
      .addColumn('tree_size', types.integer, (column) => column.primaryKey())
      .addColumn('note', types.text, (column) => column.notNull())
      .addColumn('signed_at_ms', types.integer, (column) => column.notNull())
      .addColumn('digest', types.bytes, (column) => column.notNull())
      .execute();
    await schema
      .createTable('ledger_cosignature')
      .addColumn('tree_size', types.integer, (column) => column.notNull())
      .addColumn('vkey', types.text, (column) => column.notNull())
      .addColumn('line', types.text, (column) => column.notNull())
      .addPrimaryKeyConstraint('ledger_cosignature_pk', ['tree_size', 'vkey'])
      .execute();
    await schema
      .createTable('ledger_key')
      .addColumn('name', types.text, (column) => column.primaryKey())
      .addColumn('origin', types.text, (column) => column.notNull())
      .addColumn('sealed_seed', types.bytes, (column) => column.notNull())
      .execute();
  },
};

/** What a row's digest must be. */
export function rowDigest(row: Omit<CheckpointRow, 'digest'>): Uint8Array {
  return createHash('sha256').update(`${row.tree_size}\n${row.signed_at_ms}\n${row.note}`).digest();
}

/** The row of a published size. */
export async function findCheckpoint(reader: Reader, size: number): Promise<CheckpointRow | undefined> {
  return reader
    .query<NoteTables>()
    .selectFrom('ledger_checkpoint')
    .selectAll()
    .where('tree_size', '=', size)
    .executeTakeFirst();
}

/** Rows of the largest sizes, largest first. */
export async function listLatestCheckpoints(reader: Reader, limit: number): Promise<CheckpointRow[]> {
  return reader
    .query<NoteTables>()
    .selectFrom('ledger_checkpoint')
    .selectAll()
    .orderBy('tree_size', 'desc')
    .limit(limit)
    .execute();
}

/** Rows of sizes above `size`, smallest first. */
export async function listCheckpointsAfter(
  reader: Reader,
  size: number,
  limit: number,
): Promise<CheckpointRow[]> {
  return reader
    .query<NoteTables>()
    .selectFrom('ledger_checkpoint')
    .selectAll()
    .where('tree_size', '>', size)
    .orderBy('tree_size')
    .limit(limit)
    .execute();
}

/** Cosignatures of a checkpoint, in the order of their keys. */
export async function listCosignatures(reader: Reader, size: number): Promise<CosignatureRow[]> {
  return reader
    .query<NoteTables>()
    .selectFrom('ledger_cosignature')
    .selectAll()
    .where('tree_size', '=', size)
    .orderBy('vkey')
    .execute();
}

/** Cosignatures after one, in the order of their sizes and keys. */
export async function listCosignaturesAfter(
  reader: Reader,
  after: Pick<CosignatureRow, 'tree_size' | 'vkey'>,
  limit: number,
): Promise<CosignatureRow[]> {
  const { tree_size: size, vkey } = after;
  return reader
    .query<NoteTables>()
    .selectFrom('ledger_cosignature')
    .selectAll()
    .where((row) =>
      row.or([row('tree_size', '>', size), row.and([row('tree_size', '=', size), row('vkey', '>', vkey)])]),
    )
    .orderBy('tree_size')
    .orderBy('vkey')
    .limit(limit)
    .execute();
}

/** The log's name and its sealed seed; undefined before the first start. */
export async function findLogKey(reader: Reader) {
  return reader
    .query<NoteTables>()
    .selectFrom('ledger_key')
    .select(['origin', 'sealed_seed'])
    .where('name', '=', LOG)
    .executeTakeFirst();
}
