/**
 * Table of signing keys. Of a private key only its sealed bytes are stored; a revoked key has none. The generation is
 * the primary key, so of servers that make the next key at once only one does.
 */
import type { Migration, Tx } from '../../store/store.ts';
import type { Algorithm, SigningKey } from './signing-key.ts';

interface SigningKeyTables {
  identity_signing_key: {
    generation: number;
    kid: string;
    algorithm: Algorithm;
    public_key: string;
    private_key: Uint8Array;
    signs_from_ms: number;
    revoked_at_ms: number | null;
  };
}

/** A key with its sealed private half; empty for a revoked one. */
export type StoredSigningKey = SigningKey & { readonly sealed: Uint8Array };

export const signingKeyMigrations: readonly Migration[] = [
  {
    id: 'identity_009_signing_keys',
    async up(schema, types) {
      await schema
        .createTable('identity_signing_key')
        .addColumn('generation', types.integer, (column) => column.primaryKey())
        .addColumn('kid', types.text, (column) => column.notNull().unique())
        .addColumn('algorithm', types.text, (column) => column.notNull())
        .addColumn('public_key', types.text, (column) => column.notNull())
        .addColumn('private_key', types.bytes, (column) => column.notNull())
        .addColumn('signs_from_ms', types.integer, (column) => column.notNull())
        .addColumn('revoked_at_ms', types.integer)
        .execute();
    },
  },
];

/** All keys, the oldest first. */
export async function listSigningKeys(from: Pick<Tx, 'query'>): Promise<StoredSigningKey[]> {
  const rows = await from
    .query<SigningKeyTables>()
    .selectFrom('identity_signing_key')
    .selectAll()
    .orderBy('generation')
    .execute();
  return rows.map((row) => ({
    generation: row.generation,
    kid: row.kid,
    algorithm: row.algorithm,
    publicKey: JSON.parse(row.public_key),
    signsFromMs: row.signs_from_ms,
    revokedAtMs: row.revoked_at_ms ?? undefined,
    sealed: row.private_key,
  }));
}

/** Adds a key; false when its generation is there already. */
export async function addSigningKey(tx: Tx, key: StoredSigningKey): Promise<boolean> {
  const { numInsertedOrUpdatedRows } = await tx
    .query<SigningKeyTables>()
    .insertInto('identity_signing_key')
    .values({
      generation: key.generation,
      kid: key.kid,
      algorithm: key.algorithm,
      public_key: JSON.stringify(key.publicKey),
      private_key: key.sealed,
      signs_from_ms: key.signsFromMs,
      revoked_at_ms: key.revokedAtMs ?? null,
    })
    .onConflict((conflict) => conflict.column('generation').doNothing())
    .executeTakeFirstOrThrow();
  return numInsertedOrUpdatedRows === 1n;
}

/** Revokes every key below a generation that is not revoked yet, and forgets its private half. */
export async function revokeBefore(tx: Tx, generation: number, nowMs: number): Promise<void> {
  await tx
    .query<SigningKeyTables>()
    .updateTable('identity_signing_key')
    .set({ revoked_at_ms: nowMs, private_key: new Uint8Array() })
    .where('generation', '<', generation)
    .where('revoked_at_ms', 'is', null)
    .execute();
}

/** Removes keys. */
export async function dropSigningKeys(tx: Tx, generations: readonly number[]): Promise<void> {
  if (generations.length === 0) return;
  await tx
    .query<SigningKeyTables>()
    .deleteFrom('identity_signing_key')
    .where('generation', 'in', generations)
    .execute();
}
