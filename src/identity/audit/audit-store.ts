/**
 * Tables of the audit trail. `identity_audit` is the chain. `identity_audit_end` has two rows: `head` is the newest
 * entry, `stub` the one before the oldest that is kept (absent while none was removed). `identity_audit_anchor` says
 * which heads are in the ledger, and where. Entries are added and removed in serializable transactions that read and
 * write these rows, so the chain never forks, whatever else is under way. Times are wall milliseconds.
 */
import type { Migration, Tx } from '../../store/store.ts';
import type { Anchor } from './anchor.ts';
import { type Draft, type Entry, type Link, link, ORIGIN } from './entry.ts';

interface EntryRow {
  sequence: number;
  occurred_at_ms: number;
  principal: string;
  method: string;
  resource: string;
  code: string;
  reason: string;
  request_digest: Uint8Array;
  peer: string;
  request_id: string;
  count: number;
  previous_hash: Uint8Array;
  hash: Uint8Array;
}

export interface AuditTables {
  identity_audit: EntryRow;
  identity_audit_end: { name: 'head' | 'stub'; sequence: number; hash: Uint8Array };
  identity_audit_anchor: { sequence: number; hash: Uint8Array; ledger_index: number };
}

/** Where the trail is read: in the store, or in a transaction that sees its own changes too. */
export type Reader = Pick<Tx, 'query'>;

export const auditMigrations: readonly Migration[] = [
  {
    id: 'identity_008_audit',
    async up(schema, types) {
      await schema
        .createTable('identity_audit')
        .addColumn('sequence', types.integer, (column) => column.primaryKey())
        .addColumn('occurred_at_ms', types.integer, (column) => column.notNull())
        .addColumn('principal', types.text, (column) => column.notNull())
        .addColumn('method', types.text, (column) => column.notNull())
        .addColumn('resource', types.text, (column) => column.notNull())
        .addColumn('code', types.text, (column) => column.notNull())
        .addColumn('reason', types.text, (column) => column.notNull())
        .addColumn('request_digest', types.bytes, (column) => column.notNull())
        .addColumn('peer', types.text, (column) => column.notNull())
        .addColumn('request_id', types.text, (column) => column.notNull())
        .addColumn('count', types.integer, (column) => column.notNull())
        .addColumn('previous_hash', types.bytes, (column) => column.notNull())
        .addColumn('hash', types.bytes, (column) => column.notNull())
        .execute();
      await schema
        .createIndex('identity_audit_time')
        .on('identity_audit')
        .columns(['occurred_at_ms', 'sequence'])
        .execute();
      await schema
        .createTable('identity_audit_end')
        .addColumn('name', types.text, (column) => column.primaryKey())
        .addColumn('sequence', types.integer, (column) => column.notNull())
        .addColumn('hash', types.bytes, (column) => column.notNull())
        .execute();
      await schema
        .createTable('identity_audit_anchor')
        .addColumn('sequence', types.integer, (column) => column.primaryKey())
        .addColumn('hash', types.bytes, (column) => column.notNull())
        .addColumn('ledger_index', types.integer, (column) => column.notNull())
        .execute();
    },
  },
];

/** Rows of one INSERT: with 13 columns far below what either engine binds. */
const INSERT_ROWS = 100;

/** The newest entry's place; ORIGIN while there is none. */
export function findHead(reader: Reader): Promise<Link> {
  return findEnd(reader, 'head');
}

/** The place before the oldest entry that is kept: ORIGIN, or that of an anchored entry removed for its age. */
export function findStub(reader: Reader): Promise<Link> {
  return findEnd(reader, 'stub');
}

async function findEnd(reader: Reader, name: 'head' | 'stub'): Promise<Link> {
  const row = await reader
    .query<AuditTables>()
    .selectFrom('identity_audit_end')
    .select(['sequence', 'hash'])
    .where('name', '=', name)
    .executeTakeFirst();
  return row ?? ORIGIN;
}

/** Moves an end of the chain. */
export async function saveEnd(tx: Tx, name: 'head' | 'stub', { sequence, hash }: Link): Promise<void> {
  await tx
    .query<AuditTables>()
    .insertInto('identity_audit_end')
    .values({ name, sequence, hash })
    .onConflict((conflict) => conflict.column('name').doUpdateSet({ sequence, hash }))
    .execute();
}

/**
 * Adds entries to the chain in the caller's transaction (`transactInTurn`), in this order, and returns the new head.
 * The head is written first: of two transactions at once one meets a conflict there, which the store repeats, and none
 * gets as far as the same sequence.
 */
export async function appendEntries(tx: Tx, drafts: readonly Draft[]): Promise<Link> {
  let head = await findHead(tx);
  const rows: EntryRow[] = [];
  for (const draft of drafts) {
    const entry = link(head, draft);
    rows.push(rowOf(entry));
    head = { sequence: entry.sequence, hash: entry.hash };
  }
  await saveEnd(tx, 'head', head);
  for (let start = 0; start < rows.length; start += INSERT_ROWS)
    await tx
      .query<AuditTables>()
      .insertInto('identity_audit')
      .values(rows.slice(start, start + INSERT_ROWS))
      .execute();
  return head;
}

/** At most `limit` entries after `sequence` up to and including `last`, in the order of the chain. */
export async function listEntries(
  reader: Reader,
  span: { readonly after: number; readonly last: number; readonly limit: number },
): Promise<Entry[]> {
  const rows = await reader
    .query<AuditTables>()
    .selectFrom('identity_audit')
    .selectAll()
    .where('sequence', '>', span.after)
    .where('sequence', '<=', span.last)
    .orderBy('sequence')
    .limit(span.limit)
    .execute();
  return rows.map(entryOf);
}

/** One entry by its place; undefined where there is none. */
export async function findEntry(reader: Reader, sequence: number): Promise<Entry | undefined> {
  const [entry] = await listEntries(reader, { after: sequence - 1, last: sequence, limit: 1 });
  return entry;
}

/** The ends of what is stored, read in one statement: what they say belongs together. */
export async function findExtent(
  reader: Reader,
): Promise<{ readonly head: Link; readonly newestEntry: number; readonly newestAnchor: number }> {
  const row = await reader
    .query<AuditTables>()
    .selectNoFrom((one) => [
      one.selectFrom('identity_audit_end').select('sequence').where('name', '=', 'head').as('sequence'),
      one.selectFrom('identity_audit_end').select('hash').where('name', '=', 'head').as('hash'),
      one
        .selectFrom('identity_audit')
        .select((entry) => entry.fn.max('sequence').as('newest'))
        .as('entry'),
      one
        .selectFrom('identity_audit_anchor')
        .select((anchor) => anchor.fn.max('sequence').as('newest'))
        .as('anchor'),
    ])
    .executeTakeFirstOrThrow();
  const { sequence, hash } = row;
  const head = sequence === null || hash === null ? ORIGIN : { sequence, hash };
  return { head, newestEntry: Number(row.entry ?? 0), newestAnchor: Number(row.anchor ?? 0) };
}

/** Says that a head is in the ledger. */
export async function addAnchor(tx: Tx, anchor: Anchor): Promise<void> {
  const { sequence, hash, ledgerIndex } = anchor;
  await tx
    .query<AuditTables>()
    .insertInto('identity_audit_anchor')
    .values({ sequence, hash, ledger_index: ledgerIndex })
    .execute();
}

/** Anchors from one sequence to another, both included, at most `limit`, in the order given. */
export async function listAnchors(
  reader: Reader,
  span: {
    readonly from: number;
    readonly to: number;
    readonly limit: number;
    readonly order: 'asc' | 'desc';
  },
): Promise<Anchor[]> {
  const rows = await reader
    .query<AuditTables>()
    .selectFrom('identity_audit_anchor')
    .selectAll()
    .where('sequence', '>=', span.from)
    .where('sequence', '<=', span.to)
    .orderBy('sequence', span.order)
    .limit(span.limit)
    .execute();
  return rows.map(({ sequence, hash, ledger_index }) => ({ sequence, hash, ledgerIndex: ledger_index }));
}

/** The newest anchor; undefined before the first. */
export async function findNewestAnchor(reader: Reader): Promise<Anchor | undefined> {
  const everything = { from: 0, to: Number.MAX_SAFE_INTEGER };
  const [anchor] = await listAnchors(reader, { ...everything, limit: 1, order: 'desc' });
  return anchor;
}

/** The first anchor at or after a sequence. */
export async function findAnchorFrom(reader: Reader, sequence: number): Promise<Anchor | undefined> {
  const after = { from: sequence, to: Number.MAX_SAFE_INTEGER };
  const [anchor] = await listAnchors(reader, { ...after, limit: 1, order: 'asc' });
  return anchor;
}

function rowOf(entry: Entry): EntryRow {
  return {
    sequence: entry.sequence,
    occurred_at_ms: entry.occurredAtMs,
    principal: entry.principal,
    method: entry.method,
    resource: entry.resource,
    code: entry.code,
    reason: entry.reason,
    request_digest: entry.requestDigest,
    peer: entry.peer,
    request_id: entry.requestId,
    count: entry.count,
    previous_hash: entry.previousHash,
    hash: entry.hash,
  };
}

/** The entry of a row. */
export function entryOf(row: EntryRow): Entry {
  return {
    sequence: row.sequence,
    occurredAtMs: row.occurred_at_ms,
    principal: row.principal,
    method: row.method,
    resource: row.resource,
    code: row.code,
    reason: row.reason,
    requestDigest: row.request_digest,
    peer: row.peer,
    requestId: row.request_id,
    count: row.count,
    previousHash: row.previous_hash,
    hash: row.hash,
  };
}
