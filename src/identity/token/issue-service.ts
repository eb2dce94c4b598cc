/**
 * Access tokens without a login: those that IssueToken gives, and those of nodes. An issued token is never wider than
 * its principal's roles. One for the caller itself, and any that was asked for with an access token, is not wider than
 * the caller's credential either; one asked for with an access token does not outlive that one and ends with its login
 * when it is for the same principal. Permission `token.admin` is the power to act as anybody else.
 */
import { durationMs } from '@bufbuild/protobuf/wkt';
import type { Clock } from '../../clock.ts';
import type { IssueTokenRequest } from '../../gen/homeostat/identity/v1/auth_service_pb.ts';
import type { NewId } from '../../ids.ts';
import { identityError as edgeIdentityError } from '../../rpc/errors.ts';
import type { Call } from '../../rpc/handler.ts';
import type { Store } from '../../store/store.ts';
import type { Credential } from '../credentials.ts';
import { identityError } from '../errors.ts';
import { firstBeyond, firstExcess } from '../principal/access.ts';
import { matches } from '../principal/permission.ts';
import type { StoredPrincipal } from '../principal/principal.ts';
import { findPrincipal } from '../principal/principal-store.ts';
import { loadRoles } from '../principal/role-store.ts';
import { type AccessClaims, newClaims, TOKEN_TTL_MS_MAX } from './access-token.ts';
import type { Signing } from './signing-service.ts';

export interface IssueDeps {
  readonly config: { readonly accessTtlMs: number };
  readonly store: Store;
  readonly clock: Clock;
  readonly newId: NewId;
  readonly signing: Pick<Signing, 'sign'>;
  /** What the caller called with. */
  readonly credentialOf: (principal: Call['principal']) => Credential | undefined;
}

export interface IssuedToken {
  readonly accessToken: string;
  readonly claims: AccessClaims;
}

const FOR_OTHERS = 'token.admin';

/** Throws NO_PERMISSION, PRINCIPAL_NOT_FOUND (also for one that is disabled) or SCOPE_EXCEEDS. */
export async function issue(deps: IssueDeps, call: Call, request: IssueTokenRequest): Promise<IssuedToken> {
  const caller = call.principal;
  const principalId = request.principalId || caller.id;
  const isOwn = principalId === caller.id;
  if (!isOwn && !caller.allows(FOR_OTHERS))
    throw edgeIdentityError('NO_PERMISSION', { permission: FOR_OTHERS });
  const principal = await findIssuable(deps, principalId);
  const used = deps.credentialOf(caller);
  const bounding = used && (isOwn || used.kind === 'TOKEN') ? used : undefined;
  const scopes = await grantedScopes(deps, principal, request.scopes, bounding);
  const parent = used?.kind === 'TOKEN' ? used : undefined;
  const claims = newClaims(
    {
      jti: deps.newId(),
      principal,
      scopes,
      familyId: (isOwn && parent?.familyId) || '',
      certificateSha256: (isOwn && call.peer.certificate?.sha256) || '',
      ttlMs: request.ttl ? durationMs(request.ttl) : deps.config.accessTtlMs,
      endsAtMs: parent?.expiresAtMs,
    },
    deps.clock.nowMs(),
  );
  return { accessToken: await deps.signing.sign(claims), claims };
}

/**
 * A token for a node that has proven its key: 24 h, bound to a client certificate where `certificateSha256` (base64url)
 * is given. Throws PRINCIPAL_NOT_FOUND.
 */
export async function issueForNode(
  deps: IssueDeps,
  principalId: string,
  certificateSha256 = '',
): Promise<IssuedToken> {
  const principal = await findIssuable(deps, principalId);
  const about = { principal, scopes: undefined, familyId: '', certificateSha256, ttlMs: TOKEN_TTL_MS_MAX };
  const claims = newClaims({ jti: deps.newId(), ...about }, deps.clock.nowMs());
  return { accessToken: await deps.signing.sign(claims), claims };
}

async function findIssuable(deps: IssueDeps, principalId: string): Promise<StoredPrincipal> {
  const principal = await findPrincipal(deps.store, principalId);
  if (!principal || principal.deleted || principal.disabled)
    throw identityError('PRINCIPAL_NOT_FOUND', { principal_id: principalId });
  return principal;
}

/** What the token is good for; undefined for all its principal may do. Throws SCOPE_EXCEEDS. */
async function grantedScopes(
  deps: IssueDeps,
  principal: StoredPrincipal,
  asked: readonly string[],
  bounding: Credential | undefined,
): Promise<readonly string[] | undefined> {
  if (asked.length === 0) return bounding?.scopes;
  const wanted = [...new Set(asked)];
  const roles = await loadRoles(deps.store);
  const bounds = bounding?.scopes;
  const excess =
    firstExcess(roles, principal.roles, wanted) ??
    (bounds &&
      firstBeyond({ allows: (permission) => bounds.some((scope) => matches(scope, permission)) }, wanted));
  if (excess !== undefined) throw identityError('SCOPE_EXCEEDS', { scope: excess });
  return wanted;
}
