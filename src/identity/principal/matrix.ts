/** Who may call what: every RPC against every role, as a table of Markdown. */
import { accessOf } from './access.ts';
import { type Role, roleGraph } from './role.ts';

/** What an RPC needs. */
export interface MethodAccess {
  /** `<noun>.<verb>`; empty for a public method. */
  readonly permission: string;
  /** Needs no credentials. */
  readonly public: boolean;
}

/** What RPCs need, by name (`homeostat.energy.v1.EnergyService/GetMap`). */
export type MethodsAccess = ReadonlyMap<string, MethodAccess>;

/**
 * The table: RPCs in the order of their names, a column for each of these roles, `yes` where principals with that role
 * alone are let in. A public RPC has `public` for its permission and lets everybody in.
 */
export function accessMatrix(methods: MethodsAccess, roles: readonly Role[]): string {
  const graph = roleGraph(roles);
  const accesses = roles.map((role) => accessOf(graph, [role.name], undefined));
  const rows = [...methods]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, method]) => [
      `\`${name}\``,
      method.public ? 'public' : `\`${method.permission}\``,
      ...accesses.map((access) => (method.public || access.allows(method.permission) ? 'yes' : '')),
    ]);
  const head = ['RPC', 'permission', ...roles.map((role) => role.name)];
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`;
  return `${[line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n')}\n`;
}
