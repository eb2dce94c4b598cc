/** The roles that were made here, in SQL; the built-in ones are not stored. Lists are JSON arrays. */
import type { Migration, Tx } from '../../store/store.ts';
import type { Reader } from './principal-store.ts';
import { type Role, type RoleGraph, roleGraph } from './role.ts';

interface RoleTables {
  identity_role: { name: string; inherits: string; allow: string; deny: string; version: number };
}

export const roleMigration: Migration = {
  id: 'identity_003_roles',
  async up(schema, types) {
    await schema
      .createTable('identity_role')
      .addColumn('name', types.text, (column) => column.primaryKey())
      .addColumn('inherits', types.text, (column) => column.notNull())
      .addColumn('allow', types.text, (column) => column.notNull())
      .addColumn('deny', types.text, (column) => column.notNull())
      .addColumn('version', types.integer, (column) => column.notNull())
      .execute();
  },
};

/** Every role, the built-in ones first, then by name. Cost: one pass over the stored ones. */
export async function loadRoles(from: Reader): Promise<RoleGraph> {
  const rows = await from
    .query<RoleTables>()
    .selectFrom('identity_role')
    .selectAll()
    .orderBy('name')
    .execute();
  return roleGraph(
    rows.map(({ name, inherits, allow, deny, version }) => ({
      name,
      inherits: JSON.parse(inherits),
      allow: JSON.parse(allow),
      deny: JSON.parse(deny),
      version,
    })),
  );
}

/** Stores a role, new or not. */
export async function saveRole(tx: Tx, role: Role): Promise<void> {
  const rules = {
    inherits: JSON.stringify(role.inherits),
    allow: JSON.stringify(role.allow),
    deny: JSON.stringify(role.deny),
    version: role.version,
  };
  await tx
    .query<RoleTables>()
    .insertInto('identity_role')
    .values({ name: role.name, ...rules })
    .onConflict((conflict) => conflict.column('name').doUpdateSet(rules))
    .execute();
}

/** Removes a role; nothing happens when there is none of that name. */
export async function removeRole(tx: Tx, name: string): Promise<void> {
  await tx.query<RoleTables>().deleteFrom('identity_role').where('name', '=', name).execute();
}
