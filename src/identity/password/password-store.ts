/**
 * Table of passwords: one per principal that has one. Replacing it takes the place of the row, so that nothing of the
 * password before is left.
 */
import type { Migration, Store, Tx } from '../../store/store.ts';
import type { StoredPassword } from './password.ts';

interface PasswordTables {
  identity_password: {
    principal_id: string;
    hash: string;
    /** When a one-time password ends; null for one that its owner chose. */
    one_time_until_ms: number | null;
    spent_at_ms: number | null;
    changed_at_ms: number;
  };
}

export const passwordMigrations: readonly Migration[] = [
  {
    id: 'identity_006_passwords',
    async up(schema, types) {
      await schema
        .createTable('identity_password')
        .addColumn('principal_id', types.text, (column) => column.primaryKey())
        .addColumn('hash', types.text, (column) => column.notNull())
        .addColumn('one_time_until_ms', types.integer)
        .addColumn('spent_at_ms', types.integer)
        .addColumn('changed_at_ms', types.integer, (column) => column.notNull())
        .execute();
    },
  },
];

/** Gives a principal a password, instead of the one before where there is one. */
export async function setPassword(
  tx: Tx,
  principalId: string,
  hash: string,
  options: { readonly oneTimeUntilMs?: number },
  nowMs: number,
): Promise<void> {
  const values = {
    hash,
    one_time_until_ms: options.oneTimeUntilMs ?? null,
    spent_at_ms: null,
    changed_at_ms: nowMs,
  };
  await tx
    .query<PasswordTables>()
    .insertInto('identity_password')
    .values({ principal_id: principalId, ...values })
    .onConflict((conflict) => conflict.column('principal_id').doUpdateSet(values))
    .execute();
}

/** The password of a principal; undefined where it has none. */
export async function findPassword(
  from: Pick<Store | Tx, 'query'>,
  principalId: string,
): Promise<StoredPassword | undefined> {
  const row = await from
    .query<PasswordTables>()
    .selectFrom('identity_password')
    .select(['hash', 'one_time_until_ms', 'spent_at_ms'])
    .where('principal_id', '=', principalId)
    .executeTakeFirst();
  if (!row) return undefined;
  const { hash, one_time_until_ms: untilMs, spent_at_ms: spentAtMs } = row;
  return { hash, oneTime: untilMs === null ? undefined : { untilMs, spent: spentAtMs !== null } };
}

/** Stores the same password hashed with more work; it stays what it was. */
export async function replaceHash(tx: Tx, principalId: string, hash: string): Promise<void> {
  await tx
    .query<PasswordTables>()
    .updateTable('identity_password')
    .set({ hash })
    .where('principal_id', '=', principalId)
    .execute();
}

/** Notes that somebody has logged in with a one-time password. */
export async function spendPassword(tx: Tx, principalId: string, nowMs: number): Promise<void> {
  await tx
    .query<PasswordTables>()
    .updateTable('identity_password')
    .set({ spent_at_ms: nowMs })
    .where('principal_id', '=', principalId)
    .execute();
}

/** Removes a principal's password; nothing happens where there is none. */
export async function deletePassword(tx: Tx, principalId: string): Promise<void> {
  await tx
    .query<PasswordTables>()
    .deleteFrom('identity_password')
    .where('principal_id', '=', principalId)
    .execute();
}
