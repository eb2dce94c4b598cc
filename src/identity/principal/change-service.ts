/**
 * Commits what was decided about a principal: its row, the end of what it was issued before, the events of both, and the
 * note that makes remembered credentials of it be looked up anew. Everything in the caller's transaction.
 */
import type { Bus } from '../../bus/bus.ts';
import type { Clock } from '../../clock.ts';
import { identityError as callError } from '../../rpc/errors.ts';
import type { Tx } from '../../store/store.ts';
import type { Changes } from '../changes.ts';
import { identityError } from '../errors.ts';
import { findPassword } from '../password/password-store.ts';
import { type Author, recordPrincipalChanged, recordTokensEnded } from '../publish.ts';
import { revokeFamilies } from '../token/family-store.ts';
import { type Access, accessOf, firstGainBeyond } from './access.ts';
import { newPrincipal, type StoredPrincipal } from './principal.ts';
import { addPrincipal, findPrincipal, listRoleSets, raiseEpoch, savePrincipal } from './principal-store.ts';
import type { RoleGraph } from './role.ts';

/** Who has this may make and change principals; somebody must always have it. */
const ADMINISTER = 'user.admin';

export interface ChangeDeps {
  readonly bus: Pick<Bus, 'record'>;
  readonly clock: Clock;
  readonly changes: Pick<Changes, 'note'>;
}

/** A principal that is there, as a transaction or the store sees it. Throws PRINCIPAL_NOT_FOUND. */
export async function requirePrincipal(from: Pick<Tx, 'query'>, id: string): Promise<StoredPrincipal> {
  const principal = await findPrincipal(from, id);
  if (!principal || principal.deleted) throw identityError('PRINCIPAL_NOT_FOUND', { principal_id: id });
  return principal;
}

/** The same for a change by somebody who has seen that version. Throws VERSION_CONFLICT as well. */
export async function requireVersion(tx: Tx, id: string, version: bigint): Promise<StoredPrincipal> {
  const principal = await requirePrincipal(tx, id);
  if (BigInt(principal.version) !== version)
    throw identityError('VERSION_CONFLICT', { current: principal.version });
  return principal;
}

/** How a command is told from another: by its idempotency key; empty for one that has none. */
export function keyed(idempotencyKey: string) {
  return {
    key: idempotencyKey,
    reused: () => identityError('IDEMPOTENCY_KEY_REUSED', { idempotency_key: idempotencyKey }),
  };
}

/**
 * Throws NO_PERMISSION where a change would let somebody do what its author may not: who may administer principals, and
 * no more, gets no further by way of others.
 */
export function refuseGain(author: Access, before: Access, after: Access): void {
  const permission = firstGainBeyond(author, before, after);
  if (permission !== undefined) throw callError('NO_PERMISSION', { permission });
}

/**
 * Throws LAST_ADMIN where a change takes the right to administer from somebody and, as the transaction sees it, nobody
 * has it any more. Cost: one pass over principals where somebody loses it.
 */
export async function refuseLastAdmin(
  tx: Tx,
  graph: RoleGraph,
  before: Access,
  after: Access,
): Promise<void> {
  if (!before.allows(ADMINISTER) || after.allows(ADMINISTER)) return;
  const sets = await listRoleSets(tx);
  if (!sets.some((roles) => accessOf(graph, roles, undefined).allows(ADMINISTER)))
    throw identityError('LAST_ADMIN', {});
}

/**
 * Stores a principal after its change, and announces it. `ends` says why its tokens end; undefined where they do not.
 * Returns whether it has a password.
 */
export async function commitPrincipal(
  deps: ChangeDeps,
  tx: Tx,
  after: StoredPrincipal,
  author: Author,
  ends: string | undefined,
): Promise<boolean> {
  await savePrincipal(tx, after);
  const hasPassword = (await findPassword(tx, after.id)) !== undefined;
  await recordPrincipalChanged(deps.bus, tx, after, hasPassword, author);
  if (ends !== undefined) await endTokens(deps, tx, after.id, author, ends);
  else await deps.changes.note(tx, { kind: 'principal', id: after.id });
  return hasPassword;
}

/** Makes every token and login of a principal worthless, and announces it. Returns how many logins have ended. */
export async function endTokens(
  deps: ChangeDeps,
  tx: Tx,
  principalId: string,
  author: Author,
  reason: string,
): Promise<number> {
  const atMs = deps.clock.nowMs();
  const epoch = await raiseEpoch(tx, principalId);
  const families = await revokeFamilies(tx, principalId, atMs);
  await recordTokensEnded(deps.bus, tx, { principalId, epoch, reason, atMs }, author);
  await deps.changes.note(tx, { kind: 'principal', id: principalId });
  return families;
}

/**
 * Makes the principal of a node, whose id is its name, in the caller's transaction. Rejects with USERNAME_TAKEN when
 * there is a principal of that id or name.
 */
export async function createNodePrincipal(deps: ChangeDeps, tx: Tx, nodeId: string): Promise<void> {
  const about = { id: nodeId, username: nodeId, kind: 'NODE', roles: ['node'], tier: 'PRO' } as const;
  const principal = newPrincipal(about, deps.clock.nowMs());
  if (!(await addPrincipal(tx, principal))) throw identityError('USERNAME_TAKEN', { username: nodeId });
  await recordPrincipalChanged(deps.bus, tx, principal, false, { by: '', traceparent: undefined });
}
