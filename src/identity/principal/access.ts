/**
 * What roles let somebody do. A permission is allowed when a rule of a role, its own or inherited at any depth, allows
 * it and none denies it; scopes of a credential cut that down further. What nothing allows is denied. Everything here
 * is pure and works on a graph that never changes.
 */
import { matches, meaningOf, PERMISSIONS } from './permission.ts';
import type { RoleGraph } from './role.ts';

/** What somebody may do. */
export interface Access {
  /**
   * Whether `<noun>.<verb>` is allowed. Cost: a look into a map, but for the first time. Answers are kept, so it is asked
   * only about permissions that the product names, never about text of a client.
   */
  allows(permission: string): boolean;
}

/** Who decides about a permission. */
export interface Explanation {
  readonly verdict: 'ALLOWED' | 'DENIED' | 'NOT_GRANTED';
  /** From a role of the principal to the one with the rule; empty where no rule decides. */
  readonly rolePath: readonly string[];
  /** The rule, as that role has it; empty where none decides. */
  readonly rule: string;
}

const NOT_GRANTED: Explanation = { verdict: 'NOT_GRANTED', rolePath: [], rule: '' };

/** Lets nobody do anything. */
export const NO_ACCESS: Access = { allows: () => false };

/** What these roles let somebody do whose credential has these scopes; undefined for no scopes of its own. */
export function accessOf(
  graph: RoleGraph,
  roles: readonly string[],
  scopes: readonly string[] | undefined,
): Access {
  const decided = new Map<string, boolean>();
  const decide = (permission: string) =>
    (scopes?.some((scope) => matches(scope, permission)) ?? true) &&
    explain(graph, roles, permission).verdict === 'ALLOWED';
  return Object.freeze({
    allows(permission: string) {
      let allowed = decided.get(permission);
      if (allowed === undefined) {
        allowed = decide(permission);
        decided.set(permission, allowed);
      }
      return allowed;
    },
  });
}

/** Which rule decides about a permission; of several the one with the shortest way to it. */
export function explain(graph: RoleGraph, roles: readonly string[], permission: string): Explanation {
  const denied = findRule(graph, roles, 'deny', permission);
  if (denied) return { verdict: 'DENIED', ...denied };
  const allowed = findRule(graph, roles, 'allow', permission);
  return allowed ? { verdict: 'ALLOWED', ...allowed } : NOT_GRANTED;
}

function findRule(
  graph: RoleGraph,
  roles: readonly string[],
  kind: 'allow' | 'deny',
  permission: string,
): Pick<Explanation, 'rolePath' | 'rule'> | undefined {
  const seen = new Set<string>();
  const paths = roles.map((role) => [role]);
  for (const rolePath of paths) {
    const role = graph.get(rolePath.at(-1)!);
    if (!role || seen.has(role.name)) continue;
    seen.add(role.name);
    const rule = role[kind].find((one) => matches(one, permission));
    if (rule !== undefined) return { rolePath, rule };
    for (const parent of role.inherits) paths.push([...rolePath, parent]);
  }
  return undefined;
}

/**
 * The first scope that is wider than what is allowed: it means a permission that is not, or none at all. A scope with
 * `*` is not quietly cut down, so that a credential never gains by what its principal is given later.
 */
export function firstBeyond(access: Access, scopes: readonly string[]): string | undefined {
  return scopes.find((scope) => {
    const meant = meaningOf(scope);
    return meant.length === 0 || !meant.every((permission) => access.allows(permission));
  });
}

/** The first scope that is wider than what these roles allow. */
export function firstExcess(
  graph: RoleGraph,
  roles: readonly string[],
  scopes: readonly string[],
): string | undefined {
  return firstBeyond(accessOf(graph, roles, undefined), scopes);
}

/** The first permission that somebody would gain by a change, though who makes the change does not have it. */
export function firstGainBeyond(changer: Access, before: Access, after: Access): string | undefined {
  return PERMISSIONS.find(
    (permission) => after.allows(permission) && !before.allows(permission) && !changer.allows(permission),
  );
}
