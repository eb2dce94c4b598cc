/**
 * Tables of logins and their refresh tokens. Of a refresh token only its SHA-256 is stored. A family stays until every
 * access token that descends from it has expired (`kept_until_ms`), so that a missing one means a dead one; its refresh
 * tokens stay as long, spent or not, so that reuse is always noticed.
 */
import type { Migration, Tx } from '../../store/store.ts';
import { TOKEN_TTL_MS_MAX } from './access-token.ts';
import type { Family } from './family.ts';

type Reader = Pick<Tx, 'query'>;

interface FamilyTables {
  identity_family: FamilyRow;
  identity_refresh: {
    token_digest: string;
    family_id: string;
    created_at_ms: number;
    spent_at_ms: number | null;
  };
}

interface FamilyRow {
  id: string;
  principal_id: string;
  /** JSON array; null for all. */
  scopes: string | null;
  certificate_sha256: string;
  created_at_ms: number;
  ends_at_ms: number;
  idle_at_ms: number;
  revoked_at_ms: number | null;
  kept_until_ms: number;
}

/** Beyond the longest life of a token: clocks of servers differ, and tokens are taken a little after their time. */
const KEPT_MS = TOKEN_TTL_MS_MAX + 10 * 60_000;

/** Families removed in one transaction. */
const PRUNE_ROWS = 100;

export const familyMigrations: readonly Migration[] = [
  {
    id: 'identity_010_families',
    async up(schema, types) {
      await schema
        .createTable('identity_family')
        .addColumn('id', types.text, (column) => column.primaryKey())
        .addColumn('principal_id', types.text, (column) => column.notNull())
        .addColumn('scopes', types.text)
        .addColumn('certificate_sha256', types.text, (column) => column.notNull())
        .addColumn('created_at_ms', types.integer, (column) => column.notNull())
        .addColumn('ends_at_ms', types.integer, (column) => column.notNull())
        .addColumn('idle_at_ms', types.integer, (column) => column.notNull())
        .addColumn('revoked_at_ms', types.integer)
        .addColumn('kept_until_ms', types.integer, (column) => column.notNull())
        .execute();
      await schema
        .createTable('identity_refresh')
        .addColumn('token_digest', types.text, (column) => column.primaryKey())
        .addColumn('family_id', types.text, (column) => column.notNull())
        .addColumn('created_at_ms', types.integer, (column) => column.notNull())
        .addColumn('spent_at_ms', types.integer)
        .execute();
      for (const [table, column] of [
        ['identity_family', 'principal_id'],
        ['identity_family', 'kept_until_ms'],
        ['identity_refresh', 'family_id'],
      ] as const)
        await schema.createIndex(`${table}_${column}`).on(table).column(column).execute();
    },
  },
];

/** Stores a family, new or not. */
export async function saveFamily(tx: Tx, family: Family): Promise<void> {
  const row = rowOf(family);
  await tx
    .query<FamilyTables>()
    .insertInto('identity_family')
    .values(row)
    .onConflict((conflict) => conflict.column('id').doUpdateSet(row))
    .execute();
}

/** The family of an id; undefined once it is forgotten. */
export async function findFamily(from: Reader, id: string): Promise<Family | undefined> {
  const row = await from
    .query<FamilyTables>()
    .selectFrom('identity_family')
    .selectAll()
    .where('id', '=', id)
    .executeTakeFirst();
  return row && familyOf(row);
}

/** Adds a refresh token to a family. */
export async function addRefresh(tx: Tx, familyId: string, digest: string, nowMs: number): Promise<void> {
  await tx
    .query<FamilyTables>()
    .insertInto('identity_refresh')
    .values({ token_digest: digest, family_id: familyId, created_at_ms: nowMs, spent_at_ms: null })
    .execute();
}

/** The family of a refresh token and whether the token is spent; undefined for an unknown one. */
export async function findRefresh(
  from: Reader,
  digest: string,
): Promise<{ readonly family: Family; readonly spent: boolean } | undefined> {
  const row = await from
    .query<FamilyTables>()
    .selectFrom('identity_refresh as refresh')
    .innerJoin('identity_family as family', 'family.id', 'refresh.family_id')
    .selectAll('family')
    .select('refresh.spent_at_ms')
    .where('refresh.token_digest', '=', digest)
    .executeTakeFirst();
  return row && { family: familyOf(row), spent: row.spent_at_ms !== null };
}

/** Spends a refresh token. */
export async function spendRefresh(tx: Tx, digest: string, nowMs: number): Promise<void> {
  await tx
    .query<FamilyTables>()
    .updateTable('identity_refresh')
    .set({ spent_at_ms: nowMs })
    .where('token_digest', '=', digest)
    .execute();
}

/** Revokes one family; false when it was revoked before. */
export async function revokeFamily(tx: Tx, id: string, nowMs: number): Promise<boolean> {
  return (await revokeBy(tx, 'id', id, nowMs)).length === 1;
}

/** Revokes all families of a principal and returns the ids of those that were open. */
export async function revokeFamiliesOf(tx: Tx, principalId: string, nowMs: number): Promise<string[]> {
  const revoked = await revokeBy(tx, 'principal_id', principalId, nowMs);
  return revoked.filter((row) => row.idle_at_ms > nowMs).map((row) => row.id);
}

/** The same, for who only counts them. Whoever calls notes the change of the principal. */
export async function revokeFamilies(tx: Tx, principalId: string, nowMs: number): Promise<number> {
  return (await revokeFamiliesOf(tx, principalId, nowMs)).length;
}

/** Those whose time is over are revoked as well: an access token of theirs may live on for a while. */
function revokeBy(tx: Tx, column: 'id' | 'principal_id', value: string, nowMs: number) {
  return tx
    .query<FamilyTables>()
    .updateTable('identity_family')
    .set({ revoked_at_ms: nowMs })
    .where(column, '=', value)
    .where('revoked_at_ms', 'is', null)
    .returning(['id', 'idle_at_ms'])
    .execute();
}

/** Removes families that no token descends from any more, a bounded number of them. Whether there may be more. */
export async function pruneFamilies(tx: Tx, nowMs: number): Promise<boolean> {
  const queries = tx.query<FamilyTables>();
  const rows = await queries
    .selectFrom('identity_family')
    .select('id')
    .where('kept_until_ms', '<=', nowMs)
    .limit(PRUNE_ROWS)
    .execute();
  if (rows.length === 0) return false;
  const ids = rows.map((row) => row.id);
  await queries.deleteFrom('identity_refresh').where('family_id', 'in', ids).execute();
  await queries.deleteFrom('identity_family').where('id', 'in', ids).execute();
  return rows.length === PRUNE_ROWS;
}

function rowOf(family: Family): FamilyRow {
  return {
    id: family.id,
    principal_id: family.principalId,
    scopes: family.scopes ? JSON.stringify(family.scopes) : null,
    certificate_sha256: family.certificateSha256,
    created_at_ms: family.createdAtMs,
    ends_at_ms: family.endsAtMs,
    idle_at_ms: family.idleAtMs,
    revoked_at_ms: family.revokedAtMs ?? null,
    kept_until_ms: family.idleAtMs + KEPT_MS,
  };
}

function familyOf(row: FamilyRow): Family {
  return {
    id: row.id,
    principalId: row.principal_id,
    scopes: row.scopes === null ? undefined : JSON.parse(row.scopes),
    certificateSha256: row.certificate_sha256,
    createdAtMs: row.created_at_ms,
    endsAtMs: row.ends_at_ms,
    idleAtMs: row.idle_at_ms,
    revokedAtMs: row.revoked_at_ms ?? undefined,
  };
}
