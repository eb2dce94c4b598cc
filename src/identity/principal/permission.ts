/**
 * Permissions: `<noun>.<verb>`. The table below is the whole of them; a rule is a permission with `*` for either part
 * and means the permissions of the table that it matches. So what a rule means is finite, and one that matches nothing
 * is a mistake.
 */

const READ_WRITE = ['read', 'write'];

/** Verbs of each noun, by the context that owns it. */
const VERBS: Readonly<Record<string, Readonly<Record<string, readonly string[]>>>> = {
  telemetry: { telemetry: READ_WRITE },
  energy: { energy: ['read', 'compute', 'operate', 'admin'], proof: ['read', 'issue'] },
  diffusion: { diffusion: ['read', 'sample', 'fit'] },
  resilience: { resilience: ['read', 'analyze', 'operate', 'admin'] },
  autonomic: {
    incident: ['read', 'write', 'operate', 'admin'],
    policy: ['read', 'operate', 'admin'],
    memory: ['read', 'write', 'admin'],
    twin: READ_WRITE,
  },
  node: {
    node: ['read', 'write', 'operate', 'admin'],
    pool: READ_WRITE,
    work: ['read', 'admin'],
    payout: ['read', 'operate'],
    agent: ['write'],
  },
  market: { market: ['read', 'write', 'operate'] },
  session: {
    session: ['read', 'write', 'operate', 'admin'],
    recording: ['read', 'write', 'export'],
    desktop: ['read', 'write', 'operate'],
    credential: ['write'],
  },
  ledger: { entry: READ_WRITE, witness: ['write'] },
  identity: {
    self: ['write'],
    token: ['read', 'admin'],
    user: ['read', 'admin'],
    key: ['admin'],
    audit: ['read', 'export'],
  },
};

function permissionsOf(context: string): string[] {
  return Object.entries(VERBS[context]!).flatMap(([noun, verbs]) => verbs.map((verb) => `${noun}.${verb}`));
}

/** Every permission there is, in the order of the table. */
export const PERMISSIONS: readonly string[] = Object.keys(VERBS).flatMap(permissionsOf);

/** Everything that can be read, but for what identity keeps. */
export const READS_OUTSIDE_IDENTITY: readonly string[] = Object.keys(VERBS)
  .filter((context) => context !== 'identity')
  .flatMap(permissionsOf)
  .filter((permission) => permission.endsWith('.read'));

/** Whether a rule (`*.read`) means a permission (`energy.read`). */
export function matches(rule: string, permission: string): boolean {
  if (rule === permission || rule === '*.*') return true;
  const [noun, verb] = rule.split('.');
  if (noun === '*') return permission.endsWith(`.${verb}`);
  return verb === '*' && permission.startsWith(`${noun}.`);
}

/** The permissions that a rule means; none for a rule about nothing there is. */
export function meaningOf(rule: string): readonly string[] {
  return PERMISSIONS.filter((permission) => matches(rule, permission));
}
