/** Crosses the contract: principals, roles and API keys to their messages, and what requests say about them. */
import type { MessageInitShape } from '@bufbuild/protobuf';
import { timestampFromMs } from '@bufbuild/protobuf/wkt';
import {
  type ApiKeySchema,
  KeyEnvironment as KeyEnvironmentProto,
} from '../gen/homeostat/identity/v1/api_key_service_pb.ts';
import {
  PrincipalKind as PrincipalKindProto,
  type RoleSchema,
  Tier as TierProto,
  type UserSchema,
} from '../gen/homeostat/identity/v1/user_service_pb.ts';
import type { KeyEnvironment, StoredKey } from './key/api-key.ts';
import type { PrincipalKind, StoredPrincipal, Tier } from './principal/principal.ts';
import { isBuiltIn, type Role } from './principal/role.ts';

const KINDS: Readonly<Record<PrincipalKind, PrincipalKindProto>> = {
  USER: PrincipalKindProto.USER,
  SERVICE: PrincipalKindProto.SERVICE,
  NODE: PrincipalKindProto.NODE,
};

const TIERS: Readonly<Record<Tier, TierProto>> = {
  FREE: TierProto.FREE,
  PRO: TierProto.PRO,
  ENTERPRISE: TierProto.ENTERPRISE,
};

/** The domain's kind; undefined for UNSPECIFIED. */
export function kindFromProto(kind: PrincipalKindProto): PrincipalKind | undefined {
  return (Object.keys(KINDS) as PrincipalKind[]).find((name) => KINDS[name] === kind);
}

/** The domain's tier; undefined for UNSPECIFIED. */
export function tierFromProto(tier: TierProto): Tier | undefined {
  return (Object.keys(TIERS) as Tier[]).find((name) => TIERS[name] === tier);
}

/** The domain's environment; `live` for UNSPECIFIED. */
export function environmentFromProto(environment: KeyEnvironmentProto): KeyEnvironment {
  return environment === KeyEnvironmentProto.TEST ? 'test' : 'live';
}

/** A principal, and whether it has a password. */
export function userToProto(
  principal: StoredPrincipal,
  hasPassword: boolean,
): MessageInitShape<typeof UserSchema> {
  return {
    id: principal.id,
    username: principal.username,
    kind: KINDS[principal.kind],
    roles: [...principal.roles],
    tier: TIERS[principal.tier],
    disabled: principal.disabled,
    version: BigInt(principal.version),
    createdAt: timestampFromMs(principal.createdAtMs),
    updatedAt: timestampFromMs(principal.updatedAtMs),
    certificateUri: principal.certificateUri,
    hasPassword,
  };
}

export function roleToProto(role: Role): MessageInitShape<typeof RoleSchema> {
  return {
    name: role.name,
    inherits: [...role.inherits],
    allow: [...role.allow],
    deny: [...role.deny],
    version: BigInt(role.version),
    builtIn: isBuiltIn(role.name),
  };
}

/** What may be told of a key: everything but its secret's hash. */
export function keyToProto(key: StoredKey): MessageInitShape<typeof ApiKeySchema> {
  const { expiresAtMs, lastUsedAtMs, revokedAtMs } = key;
  return {
    keyId: key.prefix,
    owner: key.principalId,
    label: key.label,
    scopes: [...key.scopes],
    sourceRanges: [...key.sourceRanges],
    createdAt: timestampFromMs(key.createdAtMs),
    ...(expiresAtMs !== undefined && { expiresAt: timestampFromMs(expiresAtMs) }),
    ...(lastUsedAtMs !== undefined && { lastUsedAt: timestampFromMs(lastUsedAtMs) }),
    ...(revokedAtMs !== undefined && { revokedAt: timestampFromMs(revokedAtMs) }),
  };
}
