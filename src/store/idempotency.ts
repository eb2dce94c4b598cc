/**
 * Idempotent commands, one table for every context: (principal, method, key) -> digest of the request and response.
 * The row is written in the command's own transaction, so a key is remembered exactly when its command is committed,
 * and kept for 24 h. A refused command leaves no row: it may be tried again with the same key.
 */
import { createHash } from 'node:crypto';
import type { Migration, Queries, Tx } from './store.ts';

/** How long a key is remembered. */
export const IDEMPOTENCY_RETENTION_MS = 24 * 60 * 60 * 1000;

/** Rows deleted per transaction when old keys are dropped. */
const PRUNE_ROWS = 1_000;

interface IdempotencyTables {
  store_idempotency: {
    principal: string;
    method: string;
    key: string;
    request_digest: string;
    response: Uint8Array;
    created_at_ms: number;
  };
}

export const idempotencyMigrations: readonly Migration[] = [
  {
    id: 'store_001_idempotency',
    async up(schema, types) {
      await schema
        .createTable('store_idempotency')
        .addColumn('principal', types.text, (column) => column.notNull())
        .addColumn('method', types.text, (column) => column.notNull())
        .addColumn('key', types.text, (column) => column.notNull())
        .addColumn('request_digest', types.text, (column) => column.notNull())
        .addColumn('response', types.bytes, (column) => column.notNull())
        .addColumn('created_at_ms', types.integer, (column) => column.notNull())
        .addPrimaryKeyConstraint('store_idempotency_pk', ['principal', 'method', 'key'])
        .execute();
      await schema
        .createIndex('store_idempotency_created')
        .on('store_idempotency')
        .column('created_at_ms')
        .execute();
    },
  },
];

export interface IdempotentRequest {
  /** Who calls; keys of different principals never meet. */
  readonly principal: string;
  /** Full name of the method, `homeostat.session.v1.SessionService/CreateSession`. */
  readonly method: string;
  /** The caller's key; empty when it gave none, and then nothing is remembered. */
  readonly key: string;
  /** `requestDigest` of the encoded request. */
  readonly requestDigest: string;
  /** Wall time. */
  readonly nowMs: number;
}

export type IdempotentOutcome =
  /** `first`: `work` ran now. `repeat`: its response of then. */
  | { readonly outcome: 'first' | 'repeat'; readonly response: Uint8Array }
  /** The key belongs to another request: IDEMPOTENCY_KEY_REUSED. */
  | { readonly outcome: 'reused' };

/**
 * Runs `work` unless its key is known. The row is inserted before `work`, so of two commands with one key the second
 * waits for the first (PostgreSQL) or comes after it (SQLite), and `work` is committed once.
 */
export async function idempotent(
  tx: Tx,
  request: IdempotentRequest,
  work: () => Promise<Uint8Array>,
): Promise<IdempotentOutcome> {
  if (request.key === '') return { outcome: 'first', response: await work() };
  const known = await claim(tx.query(), request);
  if (known) {
    if (known.request_digest !== request.requestDigest) return { outcome: 'reused' };
    return { outcome: 'repeat', response: known.response };
  }
  const response = await work();
  await tx
    .query<IdempotencyTables>()
    .updateTable('store_idempotency')
    .set({ response })
    .where((row) => row.and(identity(request)))
    .execute();
  return { outcome: 'first', response };
}

const identity = ({ principal, method, key }: IdempotentRequest) => ({ principal, method, key });

/** Takes the key. Returns the row of whoever holds it already. */
async function claim(queries: Queries<IdempotencyTables>, request: IdempotentRequest) {
  const { requestDigest, nowMs } = request;
  const fresh = { request_digest: requestDigest, response: new Uint8Array(0), created_at_ms: nowMs };
  const inserted = await queries
    .insertInto('store_idempotency')
    .values({ ...identity(request), ...fresh })
    .onConflict((conflict) => conflict.doNothing())
    .executeTakeFirstOrThrow();
  if (inserted.numInsertedOrUpdatedRows === 1n) return undefined;
  const known = await queries
    .selectFrom('store_idempotency')
    .select(['request_digest', 'response', 'created_at_ms'])
    .where((row) => row.and(identity(request)))
    .executeTakeFirstOrThrow();
  if (known.created_at_ms > nowMs - IDEMPOTENCY_RETENTION_MS) return known;
  // Forgotten, though not pruned yet: the key is free again.
  await queries
    .updateTable('store_idempotency')
    .set(fresh)
    .where((row) => row.and(identity(request)))
    .execute();
  return undefined;
}

/** SHA-256 of an encoded request, in lower-case hexadecimal. */
export function requestDigest(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

/**
 * Drops up to about 1,000 of the keys older than 24 h (all those written in one millisecond go together). Returns
 * whether there are more.
 */
export async function pruneIdempotency(tx: Tx, nowMs: number): Promise<boolean> {
  const queries = tx.query<IdempotencyTables>();
  const forgottenMs = nowMs - IDEMPOTENCY_RETENTION_MS;
  const last = await queries
    .selectFrom('store_idempotency')
    .select('created_at_ms')
    .where('created_at_ms', '<=', forgottenMs)
    .orderBy('created_at_ms')
    .offset(PRUNE_ROWS)
    .limit(1)
    .executeTakeFirst();
  await queries
    .deleteFrom('store_idempotency')
    .where('created_at_ms', '<=', last?.created_at_ms ?? forgottenMs)
    .execute();
  return last !== undefined;
}
