/**
 * The part of UserService about passwords. A password is hashed before the transaction that stores it; nothing of it
 * is remembered, returned or announced, but for a one-time password, which is shown once.
 */
import { timestampFromMs } from '@bufbuild/protobuf/wkt';
import { fieldError } from '../../errors.ts';
import {
  type ChangePasswordRequest,
  type ResetPasswordRequest,
  UserService,
} from '../../gen/homeostat/identity/v1/user_service_pb.ts';
import { runCommand } from '../../rpc/command.ts';
import type { Call } from '../../rpc/handler.ts';
import type { Secrets } from '../../secrets.ts';
import type { Tx } from '../../store/store.ts';
import { identityError } from '../errors.ts';
import { mayBeReplaced, normalizePassword, ONE_TIME_MS, passwordFault } from '../password/password.ts';
import { findPassword, setPassword } from '../password/password-store.ts';
import { authorOf } from '../publish.ts';
import { accessOf, NO_ACCESS } from './access.ts';
import {
  commitPrincipal,
  endTokens,
  keyed,
  refuseGain,
  requirePrincipal,
  requireVersion,
} from './change-service.ts';
import { changed } from './principal.ts';
import { loadRoles } from './role-store.ts';
import type { UserHandlers, UserServiceDeps } from './user-service.ts';

/** Characters of a one-time password: 5 bits each, 120 in all. */
const ONE_TIME_LENGTH = 24;
const ONE_TIME_ALPHABET = 'abcdefghijkmnpqrstuvwxyz23456789'; // 32 characters that cannot be taken for each other.

export function passwordHandlers(
  deps: UserServiceDeps,
): Pick<UserHandlers, 'changePassword' | 'resetPassword'> {
  const { method } = UserService;
  return {
    async changePassword(request, call) {
      const { verified, hash } = await judge(deps, call, request);
      const { id } = call.principal;
      return runCommand(deps, call, {
        method: method.changePassword,
        request,
        ...keyed(''),
        resource: () => `principal/${id}`,
        work: async (tx) => {
          const { username } = await requirePrincipal(tx, id);
          // Somebody may have replaced it since it was looked at.
          if ((await findPassword(tx, id))?.hash !== verified) throw identityError('INVALID_CREDENTIALS', {});
          await deps.attempts.forgive(tx, username);
          await setPassword(tx, id, hash, {}, deps.clock.nowMs());
          return { familiesRevoked: await endTokens(deps, tx, id, authorOf(call), 'password changed') };
        },
      });
    },

    async resetPassword(request, call) {
      const user = await requirePrincipal(deps.store, request.id);
      if (user.kind !== 'USER')
        throw fieldError(identityError.domain, [{ field: 'id', description: 'must be the id of a user' }]);
      const password = oneTimePassword(deps.secrets);
      const hash = await deps.passwords.hash(password);
      return runCommand(deps, call, {
        method: method.resetPassword,
        request,
        ...keyed(''),
        resource: () => `principal/${request.id}`,
        work: async (tx) => {
          const untilMs = await storeOneTime(deps, tx, call, request, hash);
          return { oneTimePassword: password, expiresAt: timestampFromMs(untilMs) };
        },
      });
    },
  };
}

/** Looks at both passwords of a change. Resolves with the hash the current one is stored as, and that of the new one. */
async function judge(
  deps: UserServiceDeps,
  call: Call,
  request: ChangePasswordRequest,
): Promise<{ readonly verified: string; readonly hash: string }> {
  const { store, passwords, attempts, clock } = deps;
  const { id, username } = await requirePrincipal(store, call.principal.id);
  const next = normalizePassword(request.new);
  const rule = passwordFault(next, username);
  if (rule !== undefined) throw identityError('WEAK_PASSWORD', { rule });
  passwords.assertRoom();
  await attempts.admit(username, call.peer.address);
  const stored = await findPassword(store, id);
  const verdict = await passwords.verify(stored?.hash, normalizePassword(request.current));
  if (verdict === 'WRONG' || !stored || !mayBeReplaced(stored, clock.nowMs()))
    throw identityError('INVALID_CREDENTIALS', {});
  return { verified: stored.hash, hash: await passwords.hash(next) };
}

/** Puts a one-time password in the place of a user's. Returns until when it is good. */
async function storeOneTime(
  deps: UserServiceDeps,
  tx: Tx,
  call: Call,
  request: ResetPasswordRequest,
  hash: string,
): Promise<number> {
  const before = await requireVersion(tx, request.id, request.version);
  // Who knows the password can do what the user can.
  const graph = await loadRoles(tx);
  refuseGain(call.principal, NO_ACCESS, accessOf(graph, before.roles, undefined));
  const nowMs = deps.clock.nowMs();
  const oneTimeUntilMs = nowMs + ONE_TIME_MS;
  await setPassword(tx, before.id, hash, { oneTimeUntilMs }, nowMs);
  await commitPrincipal(deps, tx, changed(before, {}, nowMs), authorOf(call), 'password reset');
  return oneTimeUntilMs;
}

function oneTimePassword(secrets: Secrets): string {
  return Array.from(secrets.bytes(ONE_TIME_LENGTH), (byte) => ONE_TIME_ALPHABET[byte & 31]).join('');
}
