/**
 * AuthService: requests to logins and tokens, and back. Login and Refresh are public: what they store and what the audit
 * trail says of it commit together, in their own transactions; the other commands run like any command.
 */
import { hash } from 'node:crypto';
import { type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import { durationFromMs, timestampFromMs } from '@bufbuild/protobuf/wkt';
import { AppError, type FieldViolation, fieldError } from '../../errors.ts';
import {
  AuthService,
  type IntrospectTokenResponseSchema,
  type JsonWebKeySchema,
  type RefreshRequest,
  RefreshRequestSchema,
  type RevokeTokenRequest,
  SigningAlgorithm,
} from '../../gen/homeostat/identity/v1/auth_service_pb.ts';
import type { AuditRecord } from '../../rpc/audit.ts';
import { runCommand } from '../../rpc/command.ts';
import { type Call, type Handlers, type ServiceBinding, serviceBinding } from '../../rpc/handler.ts';
import type { Sealer } from '../../sealing.ts';
import type { Tx } from '../../store/store.ts';
import type { Changes } from '../changes.ts';
import type { Credentials } from '../credentials.ts';
import { identityError } from '../errors.ts';
import { endTokens, keyed } from '../principal/change-service.ts';
import { PERMISSIONS } from '../principal/permission.ts';
import { findPrincipal } from '../principal/principal-store.ts';
import { authorOf } from '../publish.ts';
import { textViolations } from '../text.ts';
import { findFamily, revokeFamiliesOf, revokeFamily } from './family-store.ts';
import { type IssueDeps, issue } from './issue-service.ts';
import { type LoginDeps, logIn, refresh, type Tokens } from './login-service.ts';
import { recordRevoked } from './publish.ts';
import { revokeToken } from './revocation-store.ts';
import type { SigningKey } from './signing-key.ts';
import type { Signing } from './signing-service.ts';

export interface AuthServiceDeps extends Omit<LoginDeps, 'signing'>, Omit<IssueDeps, 'signing' | 'config'> {
  readonly signing: Signing;
  readonly changes: Pick<Changes, 'note'>;
  readonly credentials: Pick<Credentials, 'inspect'>;
  /** Seals issued tokens where the replies are remembered. */
  readonly sealer: Sealer;
}

/** How long others may keep the keys: far less than a key is published before it signs. */
const JWKS_MAX_AGE_MS = 300_000;

export function createAuthService(deps: AuthServiceDeps): ServiceBinding {
  return serviceBinding(AuthService, {
    ...loginHandlers(deps),
    ...tokenHandlers(deps),
    ...keyHandlers(deps),
  });
}

type AuthHandlers = Handlers<typeof AuthService>;

function loginHandlers(deps: AuthServiceDeps): Pick<AuthHandlers, 'login' | 'refresh' | 'logout'> {
  return {
    async login(request, call) {
      const { passwordChangeRequired, ...tokens } = await logIn(deps, call, request);
      return { ...tokensToProto(tokens), passwordChangeRequired };
    },

    async refresh(request, call) {
      const record = () => recordOf(request, call);
      return tokensToProto(await refresh(deps, call, { refreshToken: request.refreshToken, record }));
    },

    async logout(request, call) {
      const { id, credential } = call.principal;
      return runCommand(deps, call, {
        method: AuthService.method.logout,
        request,
        ...keyed(''),
        resource: () => (request.all ? `principal/${id}` : `family/${credential.familyId}`),
        work: async (tx) => {
          const nowMs = deps.clock.nowMs();
          const { familyId } = credential;
          const own = async () => ((await revokeFamily(tx, familyId, nowMs)) ? [familyId] : []);
          const ended = request.all ? await revokeFamiliesOf(tx, id, nowMs) : await own();
          for (const family of ended) await announceEnd(deps, tx, call, family, 'logout');
          return { familiesRevoked: ended.length };
        },
      });
    },
  };
}

function tokenHandlers(
  deps: AuthServiceDeps,
): Pick<AuthHandlers, 'issueToken' | 'revokeToken' | 'introspectToken'> {
  return {
    async issueToken(request, call) {
      const { accessToken, claims } = await issue(deps, call, request);
      return runCommand(deps, call, {
        method: AuthService.method.issueToken,
        request,
        ...keyed(request.idempotencyKey),
        resource: ({ jti }) => `token/${jti}`,
        sealer: deps.sealer,
        work: async () => ({
          accessToken,
          jti: claims.jti,
          expiresAt: timestampFromMs(claims.expiresAt * 1000),
        }),
      });
    },

    async revokeToken(request, call) {
      refuse(revocationViolations(request));
      return runCommand(deps, call, {
        method: AuthService.method.revokeToken,
        request,
        ...keyed(''),
        resource: () => `${RESOURCES[request.subject.case ?? 'jti']}/${request.subject.value}`,
        work: async (tx) => {
          await revoke(deps, tx, call, request);
          return { effectiveAt: timestampFromMs(deps.clock.nowMs()) };
        },
      });
    },

    async introspectToken({ token }) {
      try {
        return inspectionToProto(await deps.credentials.inspect(token));
      } catch (error) {
        if (error instanceof AppError && error.kind === 'UNAUTHENTICATED') return { active: false };
        throw error;
      }
    },
  };
}

function keyHandlers(deps: AuthServiceDeps): Pick<AuthHandlers, 'getJwks' | 'rotateSigningKey'> {
  return {
    async getJwks() {
      const keys = await deps.signing.published();
      return { keys: keys.map(keyToProto), maxAge: durationFromMs(JWKS_MAX_AGE_MS) };
    },

    async rotateSigningKey(request, call) {
      const algorithm = request.algorithm === SigningAlgorithm.ES256 ? 'ES256' : 'EdDSA';
      const { revokePrevious } = request;
      const { traceparent } = call;
      return runCommand(deps, call, {
        method: AuthService.method.rotateSigningKey,
        request,
        ...keyed(''),
        resource: ({ kid }) => `signing-key/${kid}`,
        work: async (tx) => {
          const { kid } = await deps.signing.rotate(tx, { algorithm, revokePrevious, traceparent });
          return { kid };
        },
      });
    },
  };
}

/** How the audit trail names what was revoked. */
const RESOURCES = { jti: 'token', familyId: 'family', principalId: 'principal' } as const;

/** Throws SUBJECT_NOT_FOUND. Which tokens were issued is not stored, so any id of one is taken. */
async function revoke(
  deps: AuthServiceDeps,
  tx: Tx,
  call: Call,
  { subject, reason }: RevokeTokenRequest,
): Promise<void> {
  const id = subject.value ?? '';
  const atMs = deps.clock.nowMs();
  if (subject.case === 'jti') {
    await revokeToken(tx, id, atMs);
    await deps.changes.note(tx, { kind: 'token', id });
    await recordRevoked(deps.bus, tx, { subject: 'TOKEN', id, reason, atMs }, authorOf(call));
  } else if (subject.case === 'familyId') {
    if (!(await findFamily(tx, id))) throw identityError('SUBJECT_NOT_FOUND', { subject: id });
    if (await revokeFamily(tx, id, atMs)) await announceEnd(deps, tx, call, id, reason);
  } else {
    const principal = await findPrincipal(tx, id);
    if (!principal || principal.deleted) throw identityError('SUBJECT_NOT_FOUND', { subject: id });
    await endTokens(deps, tx, id, authorOf(call), reason);
  }
}

/** Makes every server forget a login that was revoked, and announces it. */
async function announceEnd(
  deps: AuthServiceDeps,
  tx: Tx,
  call: Call,
  familyId: string,
  reason: string,
): Promise<void> {
  await deps.changes.note(tx, { kind: 'family', id: familyId });
  await recordRevoked(
    deps.bus,
    tx,
    { subject: 'FAMILY', id: familyId, reason, atMs: deps.clock.nowMs() },
    authorOf(call),
  );
}

/** The entry of the audit trail for a refusal that its own transaction commits. */
function recordOf(request: RefreshRequest, call: Call): AuditRecord {
  const { method } = AuthService;
  return {
    principal: call.principal.id,
    method: `${AuthService.typeName}/${method.refresh.name}`,
    code: '',
    reason: '',
    peer: call.peer.address,
    resource: '',
    requestDigest: new Uint8Array(hash('sha256', toBinary(RefreshRequestSchema, request), 'buffer')),
    requestId: call.requestId,
  };
}

function refuse(violations: readonly FieldViolation[]): void {
  if (violations.length > 0) throw fieldError(identityError.domain, violations);
}

function revocationViolations({ subject, reason }: RevokeTokenRequest): FieldViolation[] {
  const missing =
    subject.case === undefined || subject.value === ''
      ? [{ field: 'subject', description: 'must name a token, a login or a principal' }]
      : [];
  return [...missing, ...textViolations({ reason })];
}

function tokensToProto({ accessToken, refreshToken, claims }: Tokens) {
  const expiresAt = timestampFromMs(claims.expiresAt * 1000);
  return { accessToken, refreshToken, expiresAt, roles: [...claims.roles] };
}

function keyToProto({ kid, algorithm, publicKey }: SigningKey): MessageInitShape<typeof JsonWebKeySchema> {
  return { ...publicKey, kid, alg: algorithm, use: 'sig' };
}

function inspectionToProto({
  principal,
  credential,
}: Awaited<ReturnType<Credentials['inspect']>>): MessageInitShape<typeof IntrospectTokenResponseSchema> {
  const { expiresAtMs, scopes = [] } = credential;
  return {
    active: true,
    claims: {
      principalId: principal.id,
      tokenId: credential.id,
      issuedAt: timestampFromMs(credential.issuedAtMs),
      ...(expiresAtMs !== undefined && { expiresAt: timestampFromMs(expiresAtMs) }),
      roles: [...credential.roles],
      scopes: [...scopes],
      familyId: credential.familyId,
      certificateSha256: credential.certificateSha256,
    },
    permissions: PERMISSIONS.filter((permission) => principal.allows(permission)),
  };
}
