/**
 * Tables of identity: principals and their API keys. A key's row holds the hash of its secret, never the secret.
 * Times are wall milliseconds; lists of names are JSON arrays.
 */
import type { Migration, Store, Tx } from '../store/store.ts';
import type { StoredKey } from './access/api-key.ts';

export interface IdentityTables {
  identity_principal: {
    id: string;
    roles: string;
    created_at_ms: number;
  };
  identity_api_key: {
    prefix: string;
    secret_hash: Uint8Array;
    principal_id: string;
    label: string;
    scopes: string;
    created_at_ms: number;
    expires_at_ms: number | null;
    revoked_at_ms: number | null;
  };
}

export const identityMigrations: readonly Migration[] = [
  {
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
        .addColumn('principal_id', types.text, (column) =>
          column.notNull().references('identity_principal.id'),
        )
        .addColumn('label', types.text, (column) => column.notNull())
        .addColumn('scopes', types.text, (column) => column.notNull())
        .addColumn('created_at_ms', types.integer, (column) => column.notNull())
        .addColumn('expires_at_ms', types.integer)
        .addColumn('revoked_at_ms', types.integer)
        .execute();
    },
  },
];

/** A key to store. */
export interface NewKey {
  readonly prefix: string;
  readonly secretHash: Uint8Array;
  readonly principalId: string;
  /** What the key is for, in its owner's words. */
  readonly label: string;
  readonly scopes: readonly string[];
  readonly createdAtMs: number;
  /** Never when undefined. */
  readonly expiresAtMs: number | undefined;
}

/** The stored key of a prefix with the roles its principal has now. */
export async function findKey(store: Store, prefix: string): Promise<StoredKey | undefined> {
  const row = await store
    .query<IdentityTables>()
    .selectFrom('identity_api_key as key')
    .innerJoin('identity_principal as principal', 'principal.id', 'key.principal_id')
    .select(['key.prefix', 'key.secret_hash', 'key.principal_id', 'key.scopes', 'principal.roles'])
    .select(['key.expires_at_ms', 'key.revoked_at_ms'])
    .where('key.prefix', '=', prefix)
    .executeTakeFirst();
  return (
    row && {
      prefix: row.prefix,
      secretHash: row.secret_hash,
      principalId: row.principal_id,
      scopes: JSON.parse(row.scopes),
      roles: JSON.parse(row.roles),
      expiresAtMs: row.expires_at_ms ?? undefined,
      revokedAtMs: row.revoked_at_ms ?? undefined,
    }
  );
}

/** Whether the principal exists. */
export async function hasPrincipal(store: Store, id: string): Promise<boolean> {
  const query = store
    .query<IdentityTables>()
    .selectFrom('identity_principal')
    .select('id')
    .where('id', '=', id);
  return (await query.executeTakeFirst()) !== undefined;
}

/** Adds a principal; false when it exists already. Of several transactions at once only one gets true. */
export async function addPrincipal(
  tx: Tx,
  principal: { readonly id: string; readonly roles: readonly string[]; readonly createdAtMs: number },
): Promise<boolean> {
  const result = await tx
    .query<IdentityTables>()
    .insertInto('identity_principal')
    .values({
      id: principal.id,
      roles: JSON.stringify(principal.roles),
      created_at_ms: principal.createdAtMs,
    })
    .onConflict((conflict) => conflict.column('id').doNothing())
    .executeTakeFirst();
  return Number(result.numInsertedOrUpdatedRows ?? 0n) === 1;
}

/** Stores a key. */
export async function addKey(tx: Tx, key: NewKey): Promise<void> {
  await tx
    .query<IdentityTables>()
    .insertInto('identity_api_key')
    .values({
      prefix: key.prefix,
      secret_hash: key.secretHash,
      principal_id: key.principalId,
      label: key.label,
      scopes: JSON.stringify(key.scopes),
      created_at_ms: key.createdAtMs,
      expires_at_ms: key.expiresAtMs ?? null,
      revoked_at_ms: null,
    })
    .execute();
}

/** Revokes the principal's keys of that label; those revoked before keep their time. */
export async function revokeKeys(tx: Tx, principalId: string, label: string, nowMs: number): Promise<void> {
  await tx
    .query<IdentityTables>()
    .updateTable('identity_api_key')
    .set({ revoked_at_ms: nowMs })
    .where('principal_id', '=', principalId)
    .where('label', '=', label)
    .where('revoked_at_ms', 'is', null)
    .execute();
}

/** How many keys were ever revoked. Rows are never removed, so it only grows. Cost: one pass over the keys. */
export async function countRevokedKeys(store: Store): Promise<number> {
  const row = await store
    .query<IdentityTables>()
    .selectFrom('identity_api_key')
    .select((row) => row.fn.countAll().as('count'))
    .where('revoked_at_ms', 'is not', null)
    .executeTakeFirstOrThrow();
  return Number(row.count);
}
