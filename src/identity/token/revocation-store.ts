/** Table of single tokens that were revoked, each for as long as a token may live: then there is nothing left to refuse. */
import type { Migration, Tx } from '../../store/store.ts';
import { TOKEN_TTL_MS_MAX } from './access-token.ts';

interface RevocationTables {
  identity_revocation: { jti: string; revoked_at_ms: number; kept_until_ms: number };
}

/** The longest life of a token, and what clocks may differ. */
const KEPT_MS = TOKEN_TTL_MS_MAX + 10 * 60_000;

/** Rows that one transaction removes. */
const PRUNE_ROWS = 1_000;

export const revocationMigrations: readonly Migration[] = [
  {
    id: 'identity_011_revocations',
    async up(schema, types) {
      await schema
        .createTable('identity_revocation')
        .addColumn('jti', types.text, (column) => column.primaryKey())
        .addColumn('revoked_at_ms', types.integer, (column) => column.notNull())
        .addColumn('kept_until_ms', types.integer, (column) => column.notNull())
        .execute();
      await schema
        .createIndex('identity_revocation_kept')
        .on('identity_revocation')
        .column('kept_until_ms')
        .execute();
    },
  },
];

/** Revokes a token; one revoked before keeps its time. Any id is taken: which tokens were issued is not stored. */
export async function revokeToken(tx: Tx, jti: string, nowMs: number): Promise<void> {
  await tx
    .query<RevocationTables>()
    .insertInto('identity_revocation')
    .values({ jti, revoked_at_ms: nowMs, kept_until_ms: nowMs + KEPT_MS })
    .onConflict((conflict) => conflict.column('jti').doNothing())
    .execute();
}

/** Whether the token was revoked by its own id. */
export async function isTokenRevoked(from: Pick<Tx, 'query'>, jti: string): Promise<boolean> {
  const row = await from
    .query<RevocationTables>()
    .selectFrom('identity_revocation')
    .select('jti')
    .where('jti', '=', jti)
    .executeTakeFirst();
  return row !== undefined;
}

/** Removes revocations of tokens that have expired. Whether there may be more. */
export async function pruneRevocations(tx: Tx, nowMs: number): Promise<boolean> {
  const { numDeletedRows } = await tx
    .query<RevocationTables>()
    .deleteFrom('identity_revocation')
    .where('jti', 'in', (inner) =>
      inner
        .selectFrom('identity_revocation')
        .select('jti')
        .where('kept_until_ms', '<=', nowMs)
        .limit(PRUNE_ROWS),
    )
    .executeTakeFirstOrThrow();
  return Number(numDeletedRows) === PRUNE_ROWS;
}
