/**
 * Roles: what they allow and deny, and whom they inherit from. Roles form a graph without cycles; those built in never
 * change. What a graph lets somebody do, `access.ts` says.
 */
import { meaningOf, READS_OUTSIDE_IDENTITY } from './permission.ts';

export interface Role {
  readonly name: string;
  /** Roles whose rules it has as well. */
  readonly inherits: readonly string[];
  /** Rules, `<noun>.<verb>` with `*` for either part. */
  readonly allow: readonly string[];
  /** Rules of the same form. One of them, at any depth, beats everything that is allowed. */
  readonly deny: readonly string[];
  /** One more at each change, from 1; built-in roles stay at 1. */
  readonly version: number;
}

/** All roles by name, the built-in ones first. */
export type RoleGraph = ReadonlyMap<string, Role>;

function writes(...nouns: readonly string[]): string[] {
  return nouns.map((noun) => `${noun}.write`);
}

function builtIn(
  name: string,
  inherits: readonly string[],
  allow: readonly string[],
  deny: string[] = [],
): Role {
  return Object.freeze({ name, inherits, allow, deny, version: 1 });
}

/** The roles that come with the product. */
export const BUILT_IN_ROLES: readonly Role[] = [
  builtIn('viewer', [], [...READS_OUTSIDE_IDENTITY, 'self.write']),
  builtIn(
    'researcher',
    ['viewer'],
    ['energy.compute', 'resilience.analyze', 'diffusion.sample', 'diffusion.fit', 'memory.write'],
  ),
  builtIn(
    'developer',
    ['researcher'],
    [
      ...writes('telemetry', 'session', 'desktop', 'credential', 'market', 'incident', 'twin', 'recording'),
      'recording.export',
      'proof.issue',
    ],
  ),
  builtIn(
    'operator',
    ['viewer'],
    [
      '*.operate',
      'session.admin',
      ...writes('session', 'desktop', 'credential', 'node', 'pool', 'market', 'incident', 'twin'),
      'energy.compute',
      'resilience.analyze',
      'proof.issue',
    ],
  ),
  builtIn('admin', ['developer', 'operator'], ['*.*']),
  builtIn(
    'node',
    [],
    [
      ...writes('agent', 'telemetry', 'recording', 'market'),
      ...['node', 'pool', 'work', 'payout', 'market', 'session'].map((noun) => `${noun}.read`),
    ],
    ['*.operate', '*.admin'],
  ),
  builtIn('service', ['developer'], [...writes('entry', 'witness'), 'token.read'], ['*.admin']),
];

const BUILT_IN_NAMES: ReadonlySet<string> = new Set(BUILT_IN_ROLES.map((role) => role.name));

/** Whether a role of that name comes with the product. */
export function isBuiltIn(name: string): boolean {
  return BUILT_IN_NAMES.has(name);
}

/** The graph of the built-in roles and these. */
export function roleGraph(stored: Iterable<Role>): RoleGraph {
  return new Map([...BUILT_IN_ROLES, ...stored].map((role) => [role.name, role]));
}

/** The first of these names that no role has. */
export function firstUnknownRole(graph: RoleGraph, names: readonly string[]): string | undefined {
  return names.find((name) => !graph.has(name));
}

/** The first of these rules that means no permission there is. */
export function firstUnknownRule(rules: readonly string[]): string | undefined {
  return rules.find((rule) => meaningOf(rule).length === 0);
}

/**
 * How a role would come to inherit itself if it inherited from these: the roles from it to itself. Undefined when it
 * would not. Cost: each role of the graph once.
 */
export function findCycle(
  graph: RoleGraph,
  name: string,
  inherits: readonly string[],
): readonly string[] | undefined {
  const seen = new Set<string>();
  const paths = inherits.map((parent) => [name, parent]);
  for (const path of paths) {
    const last = path.at(-1)!;
    if (last === name) return path;
    if (seen.has(last)) continue;
    seen.add(last);
    for (const parent of graph.get(last)?.inherits ?? []) paths.push([...path, parent]);
  }
  return undefined;
}
