/**
 * Roles and permissions. A permission is `<noun>.<verb>`, either part `*` for any. A key's effective permissions are
 * its scopes cut down to what its principal's roles allow; what nothing allows is denied.
 */

/** What each role allows. */
const ROLES: ReadonlyMap<string, readonly string[]> = new Map([['admin', ['*.*']]]);

/** Everything the roles allow together; a role that is not known allows nothing. */
export function permissionsOf(roles: readonly string[]): readonly string[] {
  return [...new Set(roles.flatMap((role) => ROLES.get(role) ?? []))];
}

/** The permissions that both lists allow: `*.read` and `session.*` have `session.read` in common. */
export function intersect(scopes: readonly string[], allowed: readonly string[]): readonly string[] {
  const common = new Set<string>();
  for (const scope of scopes)
    for (const permission of allowed) {
      const both = commonPart(scope, permission);
      if (both !== undefined) common.add(both);
    }
  return [...common];
}

function commonPart(a: string, b: string): string | undefined {
  const [nounA, verbA] = a.split('.') as [string, string];
  const [nounB, verbB] = b.split('.') as [string, string];
  const noun = narrower(nounA, nounB);
  const verb = narrower(verbA, verbB);
  return noun === undefined || verb === undefined ? undefined : `${noun}.${verb}`;
}

function narrower(a: string, b: string): string | undefined {
  if (a === '*') return b;
  return b === '*' || a === b ? a : undefined;
}
