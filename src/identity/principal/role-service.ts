/** The part of UserService about roles: reading and changing them, and explaining what they let a principal do. */
import {
  AccessVerdict,
  type DeleteRoleRequest,
  type PutRoleRequest,
  UserService,
} from '../../gen/homeostat/identity/v1/user_service_pb.ts';
import { runCommand } from '../../rpc/command.ts';
import type { Call } from '../../rpc/handler.ts';
import type { Tx } from '../../store/store.ts';
import { roleToProto } from '../contract.ts';
import { identityError } from '../errors.ts';
import { authorOf, recordRoleChanged } from '../publish.ts';
import { accessOf, type Explanation, explain } from './access.ts';
import { keyed, refuseGain, refuseLastAdmin, requirePrincipal } from './change-service.ts';
import { countHolders, listRoleSets } from './principal-store.ts';
import {
  findCycle,
  firstUnknownRole,
  firstUnknownRule,
  isBuiltIn,
  type Role,
  type RoleGraph,
} from './role.ts';
import { loadRoles, removeRole, saveRole } from './role-store.ts';
import type { UserHandlers, UserServiceDeps } from './user-service.ts';

const VERDICTS: Readonly<Record<Explanation['verdict'], AccessVerdict>> = {
  ALLOWED: AccessVerdict.ALLOWED,
  DENIED: AccessVerdict.DENIED,
  NOT_GRANTED: AccessVerdict.NOT_GRANTED,
};

export function roleHandlers(
  deps: UserServiceDeps,
): Pick<UserHandlers, 'listRoles' | 'putRole' | 'deleteRole' | 'explainAccess'> {
  const { store, methods } = deps;
  const { method } = UserService;
  return {
    async listRoles() {
      return { roles: [...(await loadRoles(store)).values()].map(roleToProto) };
    },

    async putRole(request, call) {
      return runCommand(deps, call, {
        method: method.putRole,
        request,
        ...keyed(''),
        resource: () => `role/${request.name}`,
        work: async (tx) => ({ role: roleToProto(await putRole(deps, tx, call, request)) }),
      });
    },

    async deleteRole(request, call) {
      return runCommand(deps, call, {
        method: method.deleteRole,
        request,
        ...keyed(''),
        resource: () => `role/${request.name}`,
        work: async (tx) => {
          await deleteRole(deps, tx, call, request);
          return {};
        },
      });
    },

    async explainAccess(request) {
      const principal = await requirePrincipal(store, request.principalId);
      const needed = methods.get(request.method);
      if (!needed) throw identityError('METHOD_NOT_FOUND', { method: request.method });
      if (needed.public) return { verdict: AccessVerdict.PUBLIC };
      const { permission } = needed;
      if (principal.disabled) return { verdict: AccessVerdict.DISABLED, permission };
      const explanation = explain(await loadRoles(store), principal.roles, permission);
      const { verdict, rolePath, rule } = explanation;
      return { verdict: VERDICTS[verdict], permission, rolePath: [...rolePath], rule };
    },
  };
}

async function putRole(deps: UserServiceDeps, tx: Tx, call: Call, request: PutRoleRequest): Promise<Role> {
  const { name, allow, deny } = request;
  const graph = await loadRoles(tx);
  const version = nextVersion(graph, name, request.version);
  const inherits = [...new Set(request.inherits)];
  const path = findCycle(graph, name, inherits);
  if (path) throw identityError('ROLE_CYCLE', { path: path.join(' > ') });
  const unknownRole = firstUnknownRole(graph, inherits);
  if (unknownRole !== undefined) throw identityError('ROLE_NOT_FOUND', { role: unknownRole });
  const unknownRule = firstUnknownRule([...allow, ...deny]);
  if (unknownRule !== undefined) throw identityError('UNKNOWN_PERMISSION', { permission: unknownRule });

  const role: Role = { name, inherits, allow: [...new Set(allow)], deny: [...new Set(deny)], version };
  const after = new Map([...graph, [name, role]]);
  for (const roles of await listRoleSets(tx)) {
    const could = accessOf(graph, roles, undefined);
    const can = accessOf(after, roles, undefined);
    refuseGain(call.principal, could, can);
    await refuseLastAdmin(tx, after, could, can);
  }
  await saveRole(tx, role);
  await announce(deps, tx, call, role, false);
  return role;
}

/** Version that a role gets by a change of who has seen `seen`; 0 creates it. */
function nextVersion(graph: RoleGraph, name: string, seen: bigint): number {
  if (isBuiltIn(name)) throw identityError('BUILT_IN', { role: name });
  const current = graph.get(name)?.version ?? 0;
  if (current === 0 && seen !== 0n) throw identityError('ROLE_NOT_FOUND', { role: name });
  if (BigInt(current) !== seen) throw identityError('VERSION_CONFLICT', { current });
  return current + 1;
}

async function deleteRole(
  deps: UserServiceDeps,
  tx: Tx,
  call: Call,
  { name, version }: DeleteRoleRequest,
): Promise<void> {
  if (isBuiltIn(name)) throw identityError('BUILT_IN', { role: name });
  const graph = await loadRoles(tx);
  const role = graph.get(name);
  if (!role) throw identityError('ROLE_NOT_FOUND', { role: name });
  if (BigInt(role.version) !== version) throw identityError('VERSION_CONFLICT', { current: role.version });
  const heirs = [...graph.values()].filter((other) => other.inherits.includes(name)).length;
  const count = heirs + (await countHolders(tx, name));
  if (count > 0) throw identityError('ROLE_IN_USE', { role: name, count });
  await removeRole(tx, name);
  await announce(deps, tx, call, role, true);
}

async function announce(
  { bus, clock, changes }: UserServiceDeps,
  tx: Tx,
  call: Call,
  role: Role,
  deleted: boolean,
): Promise<void> {
  await recordRoleChanged(bus, tx, role, { deleted, atMs: clock.nowMs() }, authorOf(call));
  await changes.note(tx, { kind: 'role', id: role.name });
}
