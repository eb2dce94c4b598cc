import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import {
  accessOf,
  explain,
  firstBeyond,
  firstExcess,
  firstGainBeyond,
  NO_ACCESS,
} from '../../../src/identity/principal/access.ts';
import { matches, PERMISSIONS } from '../../../src/identity/principal/permission.ts';
import { findCycle, type Role, type RoleGraph } from '../../../src/identity/principal/role.ts';

const NOUNS = ['*', 'energy', 'session', 'user'];
const VERBS = ['*', 'read', 'write', 'admin'];
const rule = fc
  .tuple(fc.constantFrom(...NOUNS), fc.constantFrom(...VERBS))
  .map(([noun, verb]) => `${noun}.${verb}`);
const rules = fc.array(rule, { maxLength: 3 });

/** Graphs without cycles: each role inherits only from those before it. */
const graphs: fc.Arbitrary<RoleGraph> = fc
  .array(
    fc.record({
      allow: rules,
      deny: fc.oneof({ weight: 2, arbitrary: fc.constant([]) }, rules),
      links: fc.nat(),
    }),
    {
      minLength: 1,
      maxLength: 6,
    },
  )
  .map(
    (drafts) =>
      new Map(
        drafts.map(({ allow, deny, links }, i) => {
          const inherits = drafts.slice(0, i).flatMap((_, j) => ((links >> j) & 1 ? [`r${j}`] : []));
          return [`r${i}`, { name: `r${i}`, inherits, allow, deny, version: 1 }];
        }),
      ),
  );
const names = fc.uniqueArray(
  fc.nat({ max: 6 }).map((i) => `r${i}`),
  { maxLength: 3 },
);

/** The definition in sets, as plain as can be: everything allowed anywhere, less everything denied anywhere. */
function allowedSet(graph: RoleGraph, roles: readonly string[]): Set<string> {
  const all = new Set<Role>();
  const collect = (name: string) => {
    const role = graph.get(name);
    if (!role) return;
    all.add(role);
    role.inherits.forEach(collect);
  };
  roles.forEach(collect);
  const meant = (list: readonly string[]) =>
    list.flatMap((text) => {
      const [noun, verb] = text.split('.');
      return PERMISSIONS.filter((permission) => {
        const [ownNoun, ownVerb] = permission.split('.');
        return (noun === '*' || noun === ownNoun) && (verb === '*' || verb === ownVerb);
      });
    });
  const allowed = new Set([...all].flatMap((role) => meant(role.allow)));
  for (const role of all) for (const permission of meant(role.deny)) allowed.delete(permission);
  return allowed;
}

const allowedBy = (access: { allows(permission: string): boolean }) =>
  new Set(PERMISSIONS.filter((permission) => access.allows(permission)));

describe('access', () => {
  test('identity.R3 what roles allow is what is allowed at any depth, less what is denied at any depth', () => {
    fc.assert(
      fc.property(graphs, names, (graph, roles) => {
        expect(allowedBy(accessOf(graph, roles, undefined))).toEqual(allowedSet(graph, roles));
      }),
      { numRuns: 500 },
    );
  });

  test('identity.R3 with scopes it is what both allow', () => {
    fc.assert(
      fc.property(graphs, names, rules, (graph, roles, scopes) => {
        const both = [...allowedSet(graph, roles)].filter((one) =>
          scopes.some((scope) => matches(scope, one)),
        );
        expect(allowedBy(accessOf(graph, roles, scopes))).toEqual(new Set(both));
      }),
    );
  });

  test('identity.R3 one denial far up beats every allowance', () => {
    const role = (name: string, inherits: string[], allow: string[], deny: string[]): [string, Role] => [
      name,
      { name, inherits, allow, deny, version: 1 },
    ];
    const graph = new Map([
      role('far', [], [], ['energy.read']),
      ...Array.from({ length: 20 }, (_, i) =>
        role(`r${i}`, [i === 0 ? 'far' : `r${i - 1}`], ['energy.read'], []),
      ),
      role('all', [], ['*.*'], []),
    ]);
    expect(accessOf(graph, ['all'], undefined).allows('energy.read')).toBe(true);
    expect(accessOf(graph, ['all', 'r19'], undefined).allows('energy.read')).toBe(false);
    expect(explain(graph, ['all', 'r2'], 'energy.read')).toEqual({
      verdict: 'DENIED',
      rolePath: ['r2', 'r1', 'r0', 'far'],
      rule: 'energy.read',
    });
  });

  test('an explanation agrees with the verdict and names a rule that its last role has, along links that are there', () => {
    fc.assert(
      fc.property(graphs, names, fc.constantFrom(...PERMISSIONS), (graph, roles, permission) => {
        const { verdict, rolePath, rule } = explain(graph, roles, permission);
        expect(verdict === 'ALLOWED').toBe(allowedSet(graph, roles).has(permission));
        if (verdict === 'NOT_GRANTED') return expect([rolePath, rule]).toEqual([[], '']);
        expect(roles).toContain(rolePath[0]);
        for (const [i, name] of rolePath.slice(1).entries())
          expect(graph.get(rolePath[i]!)!.inherits).toContain(name);
        const last = graph.get(rolePath.at(-1)!)!;
        expect(verdict === 'DENIED' ? last.deny : last.allow).toContain(rule);
        return expect(matches(rule, permission)).toBe(true);
      }),
    );
  });

  test('a role that does not exist lets nobody do anything', () => {
    expect(allowedBy(accessOf(new Map(), ['gone'], undefined)).size).toBe(0);
  });

  test('scopes exceed roles exactly when they mean something that is not allowed, or nothing', () => {
    fc.assert(
      fc.property(graphs, names, rules, (graph, roles, scopes) => {
        const allowed = allowedSet(graph, roles);
        const wide = scopes.find((scope) => {
          const meant = PERMISSIONS.filter((permission) => matches(scope, permission));
          return meant.length === 0 || meant.some((permission) => !allowed.has(permission));
        });
        expect(firstExcess(graph, roles, scopes)).toBe(wide);
      }),
    );
    expect(firstBeyond(accessOf(new Map(), [], undefined), ['nothing.here'])).toBe('nothing.here');
  });

  test('a gain beyond somebody is a permission that is new and that this somebody lacks', () => {
    const admin = { allows: () => true };
    const reader = { allows: (permission: string) => permission === 'energy.read' };
    expect(firstGainBeyond(admin, NO_ACCESS, admin)).toBeUndefined();
    expect(firstGainBeyond(reader, NO_ACCESS, reader)).toBeUndefined();
    expect(firstGainBeyond(NO_ACCESS, reader, reader)).toBeUndefined();
    expect(firstGainBeyond(NO_ACCESS, NO_ACCESS, reader)).toBe('energy.read');
    expect(firstGainBeyond(reader, NO_ACCESS, admin)).toBe(PERMISSIONS.find((one) => one !== 'energy.read'));
  });
});

describe('role graphs', () => {
  test('identity.R3 a change makes a cycle exactly when the role could be reached from what it inherits', () => {
    fc.assert(
      fc.property(graphs, fc.nat({ max: 6 }), names, (graph, i, inherits) => {
        const name = `r${i}`;
        const reached = new Set<string>();
        const reach = (one: string) => {
          if (reached.has(one)) return;
          reached.add(one);
          if (one !== name) graph.get(one)?.inherits.forEach(reach);
        };
        inherits.forEach(reach);
        const path = findCycle(graph, name, inherits);
        expect(path !== undefined).toBe(reached.has(name));
        if (!path) return;
        expect([path[0], path.at(-1)]).toEqual([name, name]);
        const after = new Map<string, { readonly inherits: readonly string[] }>([
          ...graph,
          [name, { inherits }],
        ]);
        for (const [j, next] of path.slice(1).entries())
          expect(after.get(path[j]!)!.inherits).toContain(next);
      }),
      { numRuns: 500 },
    );
  });
});
