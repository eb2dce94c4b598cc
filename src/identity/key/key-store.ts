/**
 * API keys in SQL: the hash of each secret, never the secret. Rows are never removed, so that a prefix is never given
 * twice. Times are wall milliseconds; lists are JSON arrays.
 */
import type { Migration, Tx } from '../../store/store.ts';
import type { Reader } from '../principal/principal-store.ts';
import type { KeyEnvironment, StoredKey } from './api-key.ts';

interface KeyTables {
  identity_api_key: KeyRow;
}

interface KeyRow {
  prefix: string;
  secret_hash: Uint8Array;
  principal_id: string;
  label: string;
  scopes: string;
  source_ranges: string;
  environment: KeyEnvironment;
  created_at_ms: number;
  expires_at_ms: number | null;
  revoked_at_ms: number | null;
  last_used_at_ms: number | null;
}

/** Principals and their keys as they were at first; what came later is added by the migrations after it. */
export const firstMigration: Migration = {
  id: 'identity_001_keys',
  async up(schema, types) {
    await schema
      .createTable('identity_principal')
      .addColumn('id', types.text, (column) => column.primaryKey())
      .addColumn('roles', types.text, (column) => column.notNull())
      .addColumn('created_at_ms', types.integer, (column) => column.notNull())
      .execute();
    await schema
      .createTable('identity_api_key')
      .addColumn('prefix', types.text, (column) => column.primaryKey())
      .addColumn('secret_hash', types.bytes, (column) => column.notNull())
      .addColumn('principal_id', types.text, (column) => column.notNull().references('identity_principal.id'))
      .addColumn('label', types.text, (column) => column.notNull())
      .addColumn('scopes', types.text, (column) => column.notNull())
      .addColumn('created_at_ms', types.integer, (column) => column.notNull())
      .addColumn('expires_at_ms', types.integer)
      .addColumn('revoked_at_ms', types.integer)
      .execute();
  },
};

export const keyMigration: Migration = {
  id: 'identity_004_key_use',
  async up(schema, types) {
    const text = (name: string, value: string) =>
      schema
        .alterTable('identity_api_key')
        .addColumn(name, types.text, (column) => column.notNull().defaultTo(value))
        .execute();
    await text('source_ranges', '[]');
    await text('environment', 'live');
    await schema.alterTable('identity_api_key').addColumn('last_used_at_ms', types.integer).execute();
    await schema
      .createIndex('identity_api_key_principal')
      .on('identity_api_key')
      .columns(['principal_id', 'created_at_ms', 'prefix'])
      .execute();
  },
};

/** The key of a prefix, whether it is good or not. */
export async function findKey(from: Reader, prefix: string): Promise<StoredKey | undefined> {
  const row = await keys(from).where('prefix', '=', prefix).executeTakeFirst();
  return row && keyOf(row);
}

/** Keys of an owner, newest first, that come after one of them; `after` undefined for the first. */
export async function listKeys(
  from: Reader,
  principalId: string,
  after: StoredKey | undefined,
  limit: number,
): Promise<StoredKey[]> {
  let query = keys(from).where('principal_id', '=', principalId);
  if (after)
    query = query.where((row) =>
      row.or([
        row('created_at_ms', '<', after.createdAtMs),
        row.and([row('created_at_ms', '=', after.createdAtMs), row('prefix', '<', after.prefix)]),
      ]),
    );
  const rows = await query.orderBy('created_at_ms', 'desc').orderBy('prefix', 'desc').limit(limit).execute();
  return rows.map(keyOf);
}

/** How many keys of an owner are good at that time. */
export async function countUsable(from: Reader, principalId: string, nowMs: number): Promise<number> {
  const row = await from
    .query<KeyTables>()
    .selectFrom('identity_api_key')
    .select(({ fn }) => fn.countAll().as('count'))
    .where('principal_id', '=', principalId)
    .where('revoked_at_ms', 'is', null)
    .where((row) => row.or([row('expires_at_ms', 'is', null), row('expires_at_ms', '>', nowMs)]))
    .executeTakeFirstOrThrow();
  return Number(row.count);
}

/** Adds a key. */
export async function addKey(tx: Tx, key: StoredKey): Promise<void> {
  await tx
    .query<KeyTables>()
    .insertInto('identity_api_key')
    .values({
      prefix: key.prefix,
      secret_hash: key.secretHash,
      principal_id: key.principalId,
      label: key.label,
      scopes: JSON.stringify(key.scopes),
      source_ranges: JSON.stringify(key.sourceRanges),
      environment: key.environment,
      created_at_ms: key.createdAtMs,
      expires_at_ms: key.expiresAtMs ?? null,
      revoked_at_ms: key.revokedAtMs ?? null,
      last_used_at_ms: key.lastUsedAtMs ?? null,
    })
    .execute();
}

/** Which keys of an owner are to be revoked: one, those of a label, or all where neither is given. */
export interface KeyChoice {
  readonly principalId: string;
  readonly prefix?: string;
  readonly label?: string;
}

/** Revokes keys and returns their prefixes; those revoked before keep their time and are not among them. */
export async function revokeKeys(tx: Tx, choice: KeyChoice, nowMs: number): Promise<string[]> {
  let update = tx
    .query<KeyTables>()
    .updateTable('identity_api_key')
    .set({ revoked_at_ms: nowMs })
    .where('principal_id', '=', choice.principalId)
    .where('revoked_at_ms', 'is', null);
  if (choice.prefix !== undefined) update = update.where('prefix', '=', choice.prefix);
  if (choice.label !== undefined) update = update.where('label', '=', choice.label);
  const rows = await update.returning('prefix').execute();
  return rows.map((row) => row.prefix);
}

/** Lets a key expire at that time. */
export async function expireKey(tx: Tx, prefix: string, expiresAtMs: number): Promise<void> {
  await tx
    .query<KeyTables>()
    .updateTable('identity_api_key')
    .set({ expires_at_ms: expiresAtMs })
    .where('prefix', '=', prefix)
    .execute();
}

/** Notes when a key was used, unless a later use is known. */
export async function noteLastUse(tx: Tx, prefix: string, usedAtMs: number): Promise<void> {
  await tx
    .query<KeyTables>()
    .updateTable('identity_api_key')
    .set({ last_used_at_ms: usedAtMs })
    .where('prefix', '=', prefix)
    .where((row) => row.or([row('last_used_at_ms', 'is', null), row('last_used_at_ms', '<', usedAtMs)]))
    .execute();
}

function keys(from: Reader) {
  return from.query<KeyTables>().selectFrom('identity_api_key').selectAll();
}

function keyOf(row: KeyRow): StoredKey {
  return {
    prefix: row.prefix,
    secretHash: row.secret_hash,
    principalId: row.principal_id,
    label: row.label,
    scopes: JSON.parse(row.scopes),
    sourceRanges: JSON.parse(row.source_ranges),
    environment: row.environment,
    createdAtMs: row.created_at_ms,
    expiresAtMs: row.expires_at_ms ?? undefined,
    revokedAtMs: row.revoked_at_ms ?? undefined,
    lastUsedAtMs: row.last_used_at_ms ?? undefined,
  };
}
