/**
 * Principals in SQL. Transactions are serializable: what one of them has read still holds when it commits, so a rule
 * checked by reading ("somebody who may administer is left") holds among servers. Times are wall milliseconds; lists
 * are JSON arrays.
 */
import type { Migration, Tx } from '../../store/store.ts';
import type { PrincipalKind, StoredPrincipal, Tier } from './principal.ts';

interface PrincipalTables {
  identity_principal: PrincipalRow;
}

interface PrincipalRow {
  id: string;
  username: string;
  kind: PrincipalKind;
  roles: string;
  tier: Tier;
  disabled: number;
  deleted: number;
  epoch: number;
  certificate_uri: string | null;
  version: number;
  created_at_ms: number;
  updated_at_ms: number | null;
}

/** The store, for what is committed, or a transaction, for what it sees. */
export type Reader = Pick<Tx, 'query'>;

/** Databases from before this have one principal, the administrator that bootstrap made: the defaults describe it. */
export const principalMigration: Migration = {
  id: 'identity_002_principals',
  async up(schema, types) {
    const table = () => schema.alterTable('identity_principal');
    const text = (name: string, value: string) =>
      table()
        .addColumn(name, types.text, (column) => column.notNull().defaultTo(value))
        .execute();
    const integer = (name: string, value: number) =>
      table()
        .addColumn(name, types.integer, (column) => column.notNull().defaultTo(value))
        .execute();
    await text('username', 'admin');
    await text('kind', 'USER');
    await text('tier', 'ENTERPRISE');
    await integer('disabled', 0);
    await integer('deleted', 0);
    await integer('epoch', 1);
    await table().addColumn('certificate_uri', types.text).execute();
    await integer('version', 1);
    await table().addColumn('updated_at_ms', types.integer).execute();
    for (const column of ['username', 'certificate_uri'])
      await schema
        .createIndex(`identity_principal_${column}`)
        .unique()
        .on('identity_principal')
        .column(column)
        .execute();
  },
};

/** The principal of an id, deleted ones included. */
export function findPrincipal(from: Reader, id: string): Promise<StoredPrincipal | undefined> {
  return findBy(from, 'id', id);
}

/** The principal of a name, deleted ones included. */
export function findPrincipalByName(from: Reader, username: string): Promise<StoredPrincipal | undefined> {
  return findBy(from, 'username', username);
}

/** The principal that a certificate with this URI names. */
export function findPrincipalByCertificateUri(
  from: Reader,
  uri: string,
): Promise<StoredPrincipal | undefined> {
  return findBy(from, 'certificate_uri', uri);
}

async function findBy(
  from: Reader,
  column: 'id' | 'username' | 'certificate_uri',
  value: string,
): Promise<StoredPrincipal | undefined> {
  const row = await from
    .query<PrincipalTables>()
    .selectFrom('identity_principal')
    .selectAll()
    .where(column, '=', value)
    .executeTakeFirst();
  return row && principalOf(row);
}

/** Which principals are wanted. Deleted ones never are. */
export interface PrincipalFilter {
  /** Only those with this role; undefined for all. */
  readonly role: string | undefined;
  readonly kind: PrincipalKind | undefined;
  readonly disabled: boolean | undefined;
  /** Only those whose name comes after this one; empty for all. */
  readonly after: string;
  readonly limit: number;
}

/** Principals in the order of their names. */
export async function listPrincipals(from: Reader, filter: PrincipalFilter): Promise<StoredPrincipal[]> {
  let query = live(from).selectAll().where('username', '>', filter.after);
  if (filter.kind !== undefined) query = query.where('kind', '=', filter.kind);
  if (filter.disabled !== undefined) query = query.where('disabled', '=', Number(filter.disabled));
  const { role } = filter;
  if (role !== undefined) query = query.where((row) => hasRole(row, role));
  const rows = await query.orderBy('username').limit(filter.limit).execute();
  return rows.map(principalOf);
}

/** How many principals have a role. Cost: one pass over them. */
export async function countHolders(from: Reader, role: string): Promise<number> {
  const row = await live(from)
    .select(({ fn }) => fn.countAll().as('count'))
    .where((row) => hasRole(row, role))
    .executeTakeFirstOrThrow();
  return Number(row.count);
}

/** Each set of roles that some principal has whose credentials are not refused. Cost: one pass over them. */
export async function listRoleSets(from: Reader): Promise<(readonly string[])[]> {
  const rows = await live(from).select('roles').distinct().where('disabled', '=', 0).execute();
  return rows.map((row) => JSON.parse(row.roles));
}

/** Adds a principal; false when its id, name or certificate is taken. Of several at once only one gets true. */
export async function addPrincipal(tx: Tx, principal: StoredPrincipal): Promise<boolean> {
  const result = await tx
    .query<PrincipalTables>()
    .insertInto('identity_principal')
    .values({ id: principal.id, ...rowOf(principal), epoch: principal.epoch })
    .onConflict((conflict) => conflict.doNothing())
    .executeTakeFirst();
  return Number(result.numInsertedOrUpdatedRows ?? 0n) === 1;
}

/** Stores a principal that is there, all but its epoch. */
export async function savePrincipal(tx: Tx, principal: StoredPrincipal): Promise<void> {
  await tx
    .query<PrincipalTables>()
    .updateTable('identity_principal')
    .set(rowOf(principal))
    .where('id', '=', principal.id)
    .execute();
}

/** Makes every access token issued before worthless. Returns the epoch from now on. */
export async function raiseEpoch(tx: Tx, id: string): Promise<number> {
  const row = await tx
    .query<PrincipalTables>()
    .updateTable('identity_principal')
    .set((current) => ({ epoch: current('epoch', '+', 1) }))
    .where('id', '=', id)
    .returning('epoch')
    .executeTakeFirstOrThrow();
  return row.epoch;
}

function live(from: Reader) {
  return from.query<PrincipalTables>().selectFrom('identity_principal').where('deleted', '=', 0);
}

type Row = Parameters<
  Extract<Parameters<ReturnType<typeof live>['where']>[0], (...parameters: never[]) => unknown>
>[0];

/** The role is in the list when the list changes without it; names of roles hold no quotes. */
function hasRole(row: Row, role: string) {
  return row(
    row.fn<string>('replace', ['roles', row.val(JSON.stringify(role)), row.val('')]),
    '!=',
    row.ref('roles'),
  );
}

function rowOf(principal: StoredPrincipal): Omit<PrincipalRow, 'id' | 'epoch'> {
  return {
    username: principal.username,
    kind: principal.kind,
    roles: JSON.stringify(principal.roles),
    tier: principal.tier,
    disabled: Number(principal.disabled),
    deleted: Number(principal.deleted),
    certificate_uri: principal.certificateUri || null,
    version: principal.version,
    created_at_ms: principal.createdAtMs,
    updated_at_ms: principal.updatedAtMs,
  };
}

function principalOf(row: PrincipalRow): StoredPrincipal {
  return {
    id: row.id,
    username: row.username,
    kind: row.kind,
    roles: JSON.parse(row.roles),
    tier: row.tier,
    disabled: row.disabled !== 0,
    deleted: row.deleted !== 0,
    epoch: row.epoch,
    certificateUri: row.certificate_uri ?? '',
    version: row.version,
    createdAtMs: row.created_at_ms,
    updatedAtMs: row.updated_at_ms ?? row.created_at_ms,
  };
}
