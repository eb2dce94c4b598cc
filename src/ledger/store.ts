/**
 * Tables of the log itself. `ledger_entry` is the log; `ledger_tile` holds the hashes over each 256 neighbors, and the
 * one row of `ledger_frontier` the size and the roots of the perfect subtrees, from which appending goes on. They are
 * written by appends, in one transaction. The one row of `ledger_scrub` says when everything was looked at last, and
 * what was found. Times are wall milliseconds.
 */
import { CompactRange, HASH_BYTES, subtreesOf } from '../numeric/merkle.ts';
import type { Migration, Tx } from '../store/store.ts';
import type { Finding } from './damage.ts';
import type { TilePlace } from './tree/edge.ts';
import type { Entry } from './tree/entry.ts';

export interface LedgerTables {
  ledger_entry: EntryRow;
  ledger_tile: { level: number; index: number; hashes: Uint8Array; root: Uint8Array };
  ledger_frontier: { name: string; size: number; hashes: Uint8Array };
  ledger_scrub: {
    name: string;
    ended_at_ms: number;
    damage_start: number | null;
    damage_end: number | null;
    detail: string;
  };
}

export interface EntryRow {
  index: number;
  kind: string;
  key: string;
  at_ms: number;
  payload: Uint8Array | null;
  payload_hash: Uint8Array;
  leaf_hash: Uint8Array;
}

export const logMigration: Migration = {
  id: 'ledger_001_log',
  async up(schema, types) {
    await schema
      .createTable('ledger_entry')
      .addColumn('index', types.integer, (column) => column.primaryKey())
      .addColumn('kind', types.text, (column) => column.notNull())
      .addColumn('key', types.text, (column) => column.notNull())
      .addColumn('at_ms', types.integer, (column) => column.notNull())
      .addColumn('payload', types.bytes)
      .addColumn('payload_hash', types.bytes, (column) => column.notNull())
      .addColumn('leaf_hash', types.bytes, (column) => column.notNull())
      .addUniqueConstraint('ledger_entry_name', ['kind', 'key'])
      .execute();
    await schema.createIndex('ledger_entry_kind').on('ledger_entry').columns(['kind', 'index']).execute();
    await schema
      .createTable('ledger_tile')
      .addColumn('level', types.integer, (column) => column.notNull())
      .addColumn('index', types.integer, (column) => column.notNull())
      .addColumn('hashes', types.bytes, (column) => column.notNull())
      .addColumn('root', types.bytes, (column) => column.notNull())
      .addPrimaryKeyConstraint('ledger_tile_pk', ['level', 'index'])
      .execute();
    await schema
      .createTable('ledger_frontier')
      .addColumn('name', types.text, (column) => column.primaryKey())
      .addColumn('size', types.integer, (column) => column.notNull())
      .addColumn('hashes', types.bytes, (column) => column.notNull())
      .execute();
    await schema
      .createTable('ledger_scrub')
      .addColumn('name', types.text, (column) => column.primaryKey())
      .addColumn('ended_at_ms', types.integer, (column) => column.notNull())
      .addColumn('damage_start', types.integer)
      .addColumn('damage_end', types.integer)
      .addColumn('detail', types.text, (column) => column.notNull())
      .execute();
  },
};

/** Where rows are read: a store gives what is committed, a transaction what it has written as well. */
export type Reader = Pick<Tx, 'query'>;

/** Name of the one row of the tables that have one. */
export const LOG = 'log';

/** What is said of a frontier that no tree has. */
export const FRONTIER_BROKEN = 'the frontier has a wrong number of hashes';

/** Where appending goes on. */
export interface Frontier {
  readonly size: number;
  /** Undefined where the stored hashes are not as many as the size says. */
  readonly range: CompactRange | undefined;
}

/** The frontier; undefined before the first append. */
export async function findFrontier(reader: Reader): Promise<Frontier | undefined> {
  const row = await reader
    .query<LedgerTables>()
    .selectFrom('ledger_frontier')
    .select(['size', 'hashes'])
    .where('name', '=', LOG)
    .executeTakeFirst();
  if (!row) return undefined;
  const { size, hashes } = row;
  const isWhole = size >= 0 && hashes.length === subtreesOf(0, size).length * HASH_BYTES;
  const range = isWhole ? new CompactRange(size, splitHashes(hashes)) : undefined;
  return { size, range };
}

function splitHashes(hashes: Uint8Array): Uint8Array[] {
  return Array.from({ length: hashes.length / HASH_BYTES }, (_, i) =>
    hashes.subarray(i * HASH_BYTES, (i + 1) * HASH_BYTES),
  );
}

export async function findEntry(reader: Reader, index: number): Promise<Entry | undefined> {
  const row = await reader
    .query<LedgerTables>()
    .selectFrom('ledger_entry')
    .selectAll()
    .where('index', '=', index)
    .executeTakeFirst();
  return row && entryOf(row);
}

export interface EntryFilter {
  /** First index wanted. */
  readonly start: number;
  /** Empty: all. */
  readonly kind: string;
  readonly limit: number;
}

/** Entries in the order of their index. */
export async function listEntries(reader: Reader, { start, kind, limit }: EntryFilter): Promise<Entry[]> {
  const rows = await reader
    .query<LedgerTables>()
    .selectFrom('ledger_entry')
    .selectAll()
    .where('index', '>=', start)
    .$if(kind !== '', (query) => query.where('kind', '=', kind))
    .orderBy('index')
    .limit(limit)
    .execute();
  return rows.map(entryOf);
}

/** Leaf hashes of entries `start` up to `end`, and their indices, in order. */
export async function listLeafHashes(reader: Reader, start: number, end: number) {
  return reader
    .query<LedgerTables>()
    .selectFrom('ledger_entry')
    .select(['index', 'leaf_hash as hash'])
    .where('index', '>=', start)
    .where('index', '<', end)
    .orderBy('index')
    .execute();
}

/** Roots of the tiles `start` up to `end` of a level, and their indices, in order. */
export async function listTileRoots(reader: Reader, level: number, start: number, end: number) {
  return reader
    .query<LedgerTables>()
    .selectFrom('ledger_tile')
    .select(['index', 'root as hash'])
    .where('level', '=', level)
    .where('index', '>=', start)
    .where('index', '<', end)
    .orderBy('index')
    .execute();
}

/** The stored hashes of a full tile and its root. */
export async function findTile(reader: Reader, { level, index }: TilePlace) {
  return reader
    .query<LedgerTables>()
    .selectFrom('ledger_tile')
    .select(['hashes', 'root'])
    .where('level', '=', level)
    .where('index', '=', index)
    .executeTakeFirst();
}

/** Removes an entry's payload; its leaf stands. True when there is such an entry. */
export async function erasePayload(tx: Tx, kind: string, key: string): Promise<boolean> {
  const erased = await tx
    .query<LedgerTables>()
    .updateTable('ledger_entry')
    .set({ payload: null })
    .where('kind', '=', kind)
    .where('key', '=', key)
    .executeTakeFirst();
  return erased.numUpdatedRows > 0n;
}

/** When everything was looked at last, and the damage that is known; `endedAtMs` is 0 before the first time. */
export interface ScrubState {
  readonly endedAtMs: number;
  readonly damage: Finding | undefined;
}

export async function findScrub(reader: Reader): Promise<ScrubState> {
  const row = await reader
    .query<LedgerTables>()
    .selectFrom('ledger_scrub')
    .selectAll()
    .where('name', '=', LOG)
    .executeTakeFirst();
  if (!row) return { endedAtMs: 0, damage: undefined };
  const { ended_at_ms: endedAtMs, damage_start: start, damage_end: end, detail } = row;
  return { endedAtMs, damage: start === null || end === null ? undefined : { start, end, detail } };
}

export async function saveScrub(tx: Tx, { endedAtMs, damage }: ScrubState): Promise<void> {
  const values = {
    ended_at_ms: endedAtMs,
    damage_start: damage?.start ?? null,
    damage_end: damage?.end ?? null,
    detail: damage?.detail ?? '',
  };
  await tx
    .query<LedgerTables>()
    .insertInto('ledger_scrub')
    .values({ name: LOG, ...values })
    .onConflict((conflict) => conflict.column('name').doUpdateSet(values))
    .execute();
}

function entryOf(row: EntryRow): Entry {
  return {
    index: row.index,
    kind: row.kind,
    key: row.key,
    atMs: row.at_ms,
    payload: row.payload ?? undefined,
    payloadHash: row.payload_hash,
    leafHash: row.leaf_hash,
  };
}
