/**
 * ApiKeyService: everybody's own keys, and others' with `key.admin`. A key never allows more than its owner's roles nor
 * more than the credential it was asked for with, so nobody gets by a key what the caller could not do already.
 */
import type { Duration } from '@bufbuild/protobuf/wkt';
import { timestampFromMs } from '@bufbuild/protobuf/wkt';
import type { Bus } from '../../bus/bus.ts';
import type { Clock } from '../../clock.ts';
import { type FieldViolation, fieldError } from '../../errors.ts';
import {
  ApiKeyService,
  type CreateApiKeyRequest,
  type RotateApiKeyRequest,
} from '../../gen/homeostat/identity/v1/api_key_service_pb.ts';
import { runCommand } from '../../rpc/command.ts';
import { identityError as callError } from '../../rpc/errors.ts';
import { type Call, type Handlers, type ServiceBinding, serviceBinding } from '../../rpc/handler.ts';
import type { Sealer } from '../../sealing.ts';
import type { Secrets } from '../../secrets.ts';
import type { Store, Tx } from '../../store/store.ts';
import type { Changes } from '../changes.ts';
import { environmentFromProto, keyToProto } from '../contract.ts';
import { identityError } from '../errors.ts';
import { accessOf, firstBeyond, firstGainBeyond, NO_ACCESS } from '../principal/access.ts';
import { keyed, requirePrincipal } from '../principal/change-service.ts';
import { findPrincipal } from '../principal/principal-store.ts';
import { loadRoles } from '../principal/role-store.ts';
import { authorOf, recordKeyRevoked } from '../publish.ts';
import { textViolations } from '../text.ts';
import { issueKey, isUsable, KEY_BYTES, type KeyTerms, type StoredKey } from './api-key.ts';
import { addKey, countUsable, expireKey, findKey, listKeys, revokeKeys } from './key-store.ts';
import { isRange } from './source-range.ts';

/** Keys an owner may have that are good. */
export const KEYS_PER_OWNER_MAX = 50;

const EXPIRES_IN_MS = 90 * 24 * 60 * 60 * 1000;
const PAGE_SIZE = 50;

/** Commands on anybody's keys; without it a caller commands its own. */
const ADMIN = 'key.admin';

export interface KeyServiceDeps {
  readonly store: Store;
  readonly bus: Pick<Bus, 'record'>;
  readonly clock: Clock;
  readonly secrets: Secrets;
  /** Seals the replies that show a key, where they are remembered. */
  readonly sealer: Sealer;
  readonly changes: Pick<Changes, 'note'>;
}

export function createKeyService(deps: KeyServiceDeps): ServiceBinding {
  const { store, sealer } = deps;
  const handlers: Handlers<typeof ApiKeyService> = {
    async createApiKey(request, call) {
      refuse(creationViolations(request));
      const owner = ownerOf(request, call);
      return runCommand(deps, call, {
        method: ApiKeyService.method.createApiKey,
        request,
        ...shown(request, sealer),
        work: (tx) => createKey(deps, tx, call, owner, request),
      });
    },

    async listApiKeys(request, call) {
      const owner = ownerOf(request, call);
      const { pageToken = '', pageSize = PAGE_SIZE } = request.page ?? {};
      const after = pageToken === '' ? undefined : await findKey(store, pageToken);
      if (pageToken !== '' && after?.principalId !== owner)
        refuse([{ field: 'page.page_token', description: 'must be the token of the page before' }]);
      const keys = await listKeys(store, owner, after, pageSize + 1);
      const page = keys.slice(0, pageSize);
      const more = keys.length > page.length;
      return { apiKeys: page.map(keyToProto), nextPageToken: more ? page.at(-1)!.prefix : '' };
    },

    async rotateApiKey(request, call) {
      return runCommand(deps, call, {
        method: ApiKeyService.method.rotateApiKey,
        request,
        ...shown(request, sealer),
        work: (tx) => rotateKey(deps, tx, call, request),
      });
    },

    async revokeApiKey(request, call) {
      refuse(textViolations({ reason: request.reason }));
      return runCommand(deps, call, {
        method: ApiKeyService.method.revokeApiKey,
        request,
        ...keyed(''),
        resource: () => `key/${request.keyId}`,
        work: async (tx) => {
          const key = await findCommanded(tx, request.keyId, call);
          const atMs = key.revokedAtMs ?? deps.clock.nowMs();
          await revokeKey(deps, tx, call, key, { reason: request.reason, atMs });
          return { effectiveAt: timestampFromMs(atMs) };
        },
      });
    },
  };
  return serviceBinding(ApiKeyService, handlers);
}

async function createKey(
  deps: KeyServiceDeps,
  tx: Tx,
  call: Call,
  owner: string,
  request: CreateApiKeyRequest,
) {
  const principal = await requirePrincipal(tx, owner);
  const nowMs = deps.clock.nowMs();
  const scopes = [...new Set(request.scopes)];
  const ofOwner = accessOf(await loadRoles(tx), principal.roles, undefined);
  const excess = firstBeyond(ofOwner, scopes) ?? firstBeyond(call.principal, scopes);
  if (excess !== undefined) throw identityError('SCOPE_EXCEEDS', { scope: excess });
  return issue(deps, tx, nowMs, {
    principalId: owner,
    label: request.label,
    scopes,
    sourceRanges: request.sourceRanges,
    environment: environmentFromProto(request.environment),
    expiresAtMs: nowMs + durationMs(request.expiresIn, EXPIRES_IN_MS),
  });
}

/** Makes a key on the terms of another, which ends now or after the overlap. An expired key is as good as a revoked one. */
async function rotateKey(deps: KeyServiceDeps, tx: Tx, call: Call, request: RotateApiKeyRequest) {
  const key = await findCommanded(tx, request.keyId, call);
  const nowMs = deps.clock.nowMs();
  if (!isUsable(key, nowMs)) throw identityError('KEY_REVOKED', { key_id: key.prefix });
  const owner = await findPrincipal(tx, key.principalId);
  const allowed = accessOf(await loadRoles(tx), owner?.roles ?? [], key.scopes);
  const excess = firstGainBeyond(call.principal, NO_ACCESS, allowed);
  if (excess !== undefined) throw identityError('SCOPE_EXCEEDS', { scope: excess });
  const overlapMs = durationMs(request.overlap, 0);
  if (overlapMs === 0) await revokeKey(deps, tx, call, key, { reason: 'rotated', atMs: nowMs });
  else {
    await expireKey(tx, key.prefix, Math.min(key.expiresAtMs ?? Number.POSITIVE_INFINITY, nowMs + overlapMs));
    await deps.changes.note(tx, { kind: 'key', id: key.prefix });
  }
  return issue(deps, tx, nowMs, key);
}

async function issue(deps: KeyServiceDeps, tx: Tx, nowMs: number, terms: KeyTerms) {
  if ((await countUsable(tx, terms.principalId, nowMs)) >= KEYS_PER_OWNER_MAX)
    throw identityError('TOO_MANY_KEYS', { limit: KEYS_PER_OWNER_MAX }, { retryAfterMs: -1 });
  const { principalId, label, scopes, sourceRanges, environment, expiresAtMs } = terms;
  const { text, stored } = issueKey(
    { principalId, label, scopes, sourceRanges, environment, expiresAtMs },
    deps.secrets.bytes(KEY_BYTES),
    nowMs,
  );
  await addKey(tx, stored);
  return { key: text, apiKey: keyToProto(stored) };
}

/** Revokes a key that is not yet; it is announced once. */
async function revokeKey(
  deps: KeyServiceDeps,
  tx: Tx,
  call: Call,
  { principalId, prefix }: StoredKey,
  about: { readonly reason: string; readonly atMs: number },
): Promise<void> {
  const revoked = await revokeKeys(tx, { principalId, prefix }, about.atMs);
  if (revoked.length === 0) return;
  await recordKeyRevoked(deps.bus, tx, { prefix, ...about }, authorOf(call));
  await deps.changes.note(tx, { kind: 'key', id: prefix });
}

/** Whose keys a call is about. Throws NO_PERMISSION where it may not be. */
function ownerOf({ owner }: { readonly owner: string }, call: Call): string {
  const { principal } = call;
  if (owner === '' || owner === principal.id) return principal.id;
  if (!principal.allows(ADMIN)) throw callError('NO_PERMISSION', { permission: ADMIN });
  return owner;
}

async function findCommanded(tx: Tx, prefix: string, call: Call): Promise<StoredKey> {
  const key = await findKey(tx, prefix);
  if (!key) throw identityError('KEY_NOT_FOUND', { key_id: prefix });
  ownerOf({ owner: key.principalId }, call);
  return key;
}

/** What commands that show a key have in common. */
function shown({ idempotencyKey }: { readonly idempotencyKey: string }, sealer: Sealer) {
  return {
    ...keyed(idempotencyKey),
    sealer,
    resource: (reply: { readonly apiKey?: { readonly keyId: string } | undefined }) =>
      `key/${reply.apiKey?.keyId ?? ''}`,
  };
}

function creationViolations(request: CreateApiKeyRequest): FieldViolation[] {
  const ranges = request.sourceRanges.flatMap((range, i) =>
    isRange(range)
      ? []
      : [{ field: `source_ranges[${i}]`, description: 'must be an IP address or a range in CIDR notation' }],
  );
  return [...textViolations({ label: request.label }), ...ranges];
}

function refuse(violations: readonly FieldViolation[]): void {
  if (violations.length > 0) throw fieldError(identityError.domain, violations);
}

function durationMs(duration: Duration | undefined, absentMs: number): number {
  return duration ? Number(duration.seconds) * 1000 + Math.floor(duration.nanos / 1e6) : absentMs;
}
