/**
 * UserService: principals, their passwords and their roles; here the principals. Whoever may administer principals gives
 * nobody more than the credential of the call allows (`refuseGain`), and never takes the last administrator away.
 */
import type { MessageInitShape } from '@bufbuild/protobuf';
import { timestampFromMs } from '@bufbuild/protobuf/wkt';
import { type FieldViolation, fieldError } from '../../errors.ts';
import {
  type CreateUserRequest,
  type ListUsersRequest,
  type UpdateUserRequest,
  type UserSchema,
  UserService,
} from '../../gen/homeostat/identity/v1/user_service_pb.ts';
import type { NewId } from '../../ids.ts';
import { runCommand } from '../../rpc/command.ts';
import { type Call, type Handlers, type ServiceBinding, serviceBinding } from '../../rpc/handler.ts';
import type { Sealer } from '../../sealing.ts';
import type { Secrets } from '../../secrets.ts';
import type { Store, Tx } from '../../store/store.ts';
import { kindFromProto, tierFromProto, userToProto } from '../contract.ts';
import { identityError } from '../errors.ts';
import { revokeKeys } from '../key/key-store.ts';
import { normalizePassword, passwordFault } from '../password/password.ts';
import type { Passwords } from '../password/password-service.ts';
import { deletePassword, findPassword, setPassword } from '../password/password-store.ts';
import type { Attempts } from '../password/throttle-store.ts';
import { authorOf, recordPrincipalChanged } from '../publish.ts';
import { accessOf, NO_ACCESS } from './access.ts';
import {
  type ChangeDeps,
  commitPrincipal,
  keyed,
  refuseGain,
  refuseLastAdmin,
  requirePrincipal,
  requireVersion,
} from './change-service.ts';
import type { MethodsAccess } from './matrix.ts';
import {
  changed,
  effectiveRoles,
  endsTokens,
  newPrincipal,
  type StoredPrincipal,
  tombstone,
} from './principal.ts';
import {
  addPrincipal,
  findPrincipalByCertificateUri,
  findPrincipalByName,
  listPrincipals,
  type PrincipalFilter,
} from './principal-store.ts';
import { firstUnknownRole, type RoleGraph } from './role.ts';
import { roleHandlers } from './role-service.ts';
import { loadRoles } from './role-store.ts';
import { passwordHandlers } from './user-password-service.ts';

const PAGE_SIZE = 50;
const USERNAME = /^[a-z0-9][a-z0-9_.-]{0,62}$/;

export interface UserServiceDeps extends ChangeDeps {
  readonly store: Store;
  readonly secrets: Secrets;
  readonly sealer: Sealer;
  readonly newId: NewId;
  readonly passwords: Passwords;
  readonly attempts: Attempts;
  /** What each RPC of the server needs. */
  readonly methods: MethodsAccess;
}

/** Handlers of a part of UserService. */
export type UserHandlers = Handlers<typeof UserService>;

export function createUserService(deps: UserServiceDeps): ServiceBinding {
  return serviceBinding(UserService, {
    ...principalHandlers(deps),
    ...passwordHandlers(deps),
    ...roleHandlers(deps),
  });
}

function principalHandlers(
  deps: UserServiceDeps,
): Pick<UserHandlers, 'createUser' | 'getUser' | 'listUsers' | 'updateUser' | 'deleteUser'> {
  const { store } = deps;
  const { method } = UserService;
  return {
    async createUser(request, call) {
      refuse(creationViolations(request));
      const passwordHash = await hashOf(deps, request);
      return runCommand(deps, call, {
        method: method.createUser,
        request,
        ...keyed(request.idempotencyKey),
        sealer: deps.sealer,
        resource: (reply) => `principal/${reply.user?.id ?? ''}`,
        work: async (tx) => ({ user: await createPrincipal(deps, tx, call, request, passwordHash) }),
      });
    },

    async getUser({ id }) {
      return { user: await described(store, await requirePrincipal(store, id)) };
    },

    async listUsers(request) {
      const filter = filterOf(request);
      const found = await listPrincipals(store, { ...filter, limit: filter.limit + 1 });
      const page = found.slice(0, filter.limit);
      const users = await Promise.all(page.map((principal) => described(store, principal)));
      return { users, nextPageToken: found.length > page.length ? page.at(-1)!.username : '' };
    },

    async updateUser(request, call) {
      return runCommand(deps, call, {
        method: method.updateUser,
        request,
        ...keyed(''),
        resource: () => `principal/${request.id}`,
        work: async (tx) => ({ user: await updatePrincipal(deps, tx, call, request) }),
      });
    },

    async deleteUser(request, call) {
      return runCommand(deps, call, {
        method: method.deleteUser,
        request,
        ...keyed(''),
        resource: () => `principal/${request.id}`,
        work: async (tx) => {
          const before = await requireVersion(tx, request.id, request.version);
          const after = tombstone(before, deps.clock.nowMs());
          await deletePassword(tx, before.id);
          await revokeKeys(tx, { principalId: before.id }, after.updatedAtMs);
          await commitPrincipal(deps, tx, after, authorOf(call), 'deleted');
          const graph = await loadRoles(tx);
          await refuseLastAdmin(tx, graph, accessOf(graph, effectiveRoles(before), undefined), NO_ACCESS);
          return { deletedAt: timestampFromMs(after.updatedAtMs) };
        },
      });
    },
  };
}

async function createPrincipal(
  deps: UserServiceDeps,
  tx: Tx,
  call: Call,
  request: CreateUserRequest,
  passwordHash: string | undefined,
): Promise<MessageInitShape<typeof UserSchema>> {
  const { username, roles, certificateUri } = request;
  const graph = await knownRoles(tx, roles);
  refuseGain(call.principal, NO_ACCESS, accessOf(graph, roles, undefined));
  if (await findPrincipalByName(tx, username)) throw identityError('USERNAME_TAKEN', { username });
  if (certificateUri !== '' && (await findPrincipalByCertificateUri(tx, certificateUri)))
    refuse([{ field: 'certificate_uri', description: 'must not name another principal' }]);
  const about = {
    id: deps.newId(),
    username,
    kind: kindFromProto(request.kind) ?? 'USER',
    roles,
    tier: tierFromProto(request.tier) ?? 'FREE',
    certificateUri,
  };
  const principal = newPrincipal(about, deps.clock.nowMs());
  if (!(await addPrincipal(tx, principal))) throw identityError('USERNAME_TAKEN', { username });
  if (passwordHash !== undefined)
    await setPassword(tx, principal.id, passwordHash, {}, principal.createdAtMs);
  await recordPrincipalChanged(deps.bus, tx, principal, passwordHash !== undefined, authorOf(call));
  return userToProto(principal, passwordHash !== undefined);
}

async function updatePrincipal(
  deps: UserServiceDeps,
  tx: Tx,
  call: Call,
  request: UpdateUserRequest,
): Promise<MessageInitShape<typeof UserSchema>> {
  const before = await requireVersion(tx, request.id, request.version);
  const graph = await knownRoles(tx, request.roles?.names ?? []);
  const { tier, disabled } = request;
  const change = { roles: request.roles?.names, tier: tierFromProto(tier), disabled };
  const after = changed(before, change, deps.clock.nowMs());
  const could = accessOf(graph, effectiveRoles(before), undefined);
  const can = accessOf(graph, effectiveRoles(after), undefined);
  refuseGain(call.principal, could, can);
  const ends = endsTokens(before, after) ? 'changed' : undefined;
  const hasPassword = await commitPrincipal(deps, tx, after, authorOf(call), ends);
  await refuseLastAdmin(tx, graph, could, can);
  return userToProto(after, hasPassword);
}

/** All roles; throws ROLE_NOT_FOUND when one of these is not among them. */
async function knownRoles(tx: Tx, names: readonly string[]): Promise<RoleGraph> {
  const graph = await loadRoles(tx);
  const unknown = firstUnknownRole(graph, names);
  if (unknown !== undefined) throw identityError('ROLE_NOT_FOUND', { role: unknown });
  return graph;
}

async function described(
  store: Store,
  principal: StoredPrincipal,
): Promise<MessageInitShape<typeof UserSchema>> {
  return userToProto(principal, (await findPassword(store, principal.id)) !== undefined);
}

/** The hash of the password of a new user; undefined for none. Throws WEAK_PASSWORD. */
async function hashOf(
  { passwords }: UserServiceDeps,
  { username, password }: CreateUserRequest,
): Promise<string | undefined> {
  if (password === '') return undefined;
  const normal = normalizePassword(password);
  const rule = passwordFault(normal, username);
  if (rule !== undefined) throw identityError('WEAK_PASSWORD', { rule });
  return passwords.hash(normal);
}

function creationViolations({ kind, password }: CreateUserRequest): FieldViolation[] {
  const name = kindFromProto(kind) ?? 'USER';
  if (name === 'NODE')
    return [{ field: 'kind', description: 'must be USER or SERVICE: nodes register themselves' }];
  if (name !== 'USER' && password !== '')
    return [{ field: 'password', description: 'must be empty: only a user has one' }];
  return [];
}

function filterOf(request: ListUsersRequest): PrincipalFilter {
  const { pageToken = '', pageSize = PAGE_SIZE } = request.page ?? {};
  if (pageToken !== '' && !USERNAME.test(pageToken))
    refuse([{ field: 'page.page_token', description: 'must be the token of the page before' }]);
  return {
    role: request.role || undefined,
    kind: kindFromProto(request.kind),
    disabled: request.disabled,
    after: pageToken,
    limit: pageSize,
  };
}

function refuse(violations: readonly FieldViolation[]): void {
  if (violations.length > 0) throw fieldError(identityError.domain, violations);
}
