/**
 * Credentials on a real store: AuthService with everything behind it, a bus that keeps what is committed, an audit trail
 * that does the same. Worlds with one secret and one database are replicas of one server.
 */
import { createPublicKey, type KeyObject } from 'node:crypto';
import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { expect } from '@jest/globals';
import {
  AuthService,
  type IntrospectTokenResponse,
  IntrospectTokenResponseSchema,
  type IssueTokenRequestSchema,
  type IssueTokenResponse,
  type JsonWebKey,
  JsonWebKeySchema,
  type LoginResponse,
  LoginResponseSchema,
  type RefreshResponse,
  RefreshResponseSchema,
  type RevokeTokenRequestSchema,
  type RotateSigningKeyRequestSchema,
} from '../../../src/gen/homeostat/identity/v1/auth_service_pb.ts';
import { normalizePassword } from '../../../src/identity/password/password.ts';
import { setPassword } from '../../../src/identity/password/password-store.ts';
import { newPrincipal, type StoredPrincipal } from '../../../src/identity/principal/principal.ts';
import { addPrincipal, savePrincipal } from '../../../src/identity/principal/principal-store.ts';
import {
  type Auth,
  type AuthConfig,
  type AuthDeps,
  createAuth,
} from '../../../src/identity/token/context.ts';
import { createIds } from '../../../src/ids.ts';
import type { AuditRecord } from '../../../src/rpc/audit.ts';
import { NOBODY } from '../../../src/rpc/authenticate.ts';
import type { Call, Handlers, Peer, Principal } from '../../../src/rpc/handler.ts';
import { createSealer, type Sealer } from '../../../src/sealing.ts';
import { systemSecrets } from '../../../src/secrets.ts';
import type { Store } from '../../../src/store/store.ts';
import { callOf, LOOPBACK } from '../../support/calls.ts';
import { createFakeClock, type FakeClock } from '../../support/fake-clock.ts';
import { silentLogger } from '../../support/stores.ts';

export const CONFIG: AuthConfig = {
  issuer: 'https://homeostat.test',
  audience: 'homeostat',
  accessTtlMs: 30 * 60_000,
  refreshIdleMs: 7 * 86_400_000,
  refreshMaxMs: 30 * 86_400_000,
  keyRotationMs: 30 * 86_400_000,
  keyAnnounceMs: 86_400_000,
  skewMs: 60_000,
  cacheMs: 60_000,
  cacheEntriesMax: 10_000,
  pollIntervalMs: 250,
  staleMs: 30_000,
  passwordMemoryKib: 19_456,
  passwordPasses: 2,
};

export const PASSWORD = 'correct horse battery';

/** The same on every replica. */
export const SEALER: Sealer = createSealer(new Uint8Array(32).fill(7), systemSecrets);

/** An event as it was recorded. */
export interface RecordedEvent {
  readonly topic: string;
  readonly key: string;
  readonly message: Record<string, unknown>;
}

type Request<Schema extends Parameters<typeof create>[0]> = Omit<MessageInitShape<Schema>, '$typeName'>;

export interface Caller {
  readonly call: Call;
  logout(all?: boolean): Promise<number>;
  issue(request?: Request<typeof IssueTokenRequestSchema>): Promise<IssueTokenResponse>;
  revoke(subject: Request<typeof RevokeTokenRequestSchema>['subject'], reason?: string): Promise<unknown>;
  introspect(token: string): Promise<IntrospectTokenResponse>;
  rotate(request?: Request<typeof RotateSigningKeyRequestSchema>): Promise<string>;
}

export interface AuthWorld {
  readonly auth: Auth;
  readonly store: Store;
  readonly events: RecordedEvent[];
  readonly audited: (Partial<AuditRecord> & { readonly resource: string })[];
  readonly keysUsed: string[];
  /** Adds a principal; with a password where one is given. */
  add(
    id: string,
    about?: Partial<StoredPrincipal> & { readonly password?: string; readonly oneTimeUntilMs?: number },
  ): Promise<StoredPrincipal>;
  change(principal: StoredPrincipal): Promise<void>;
  login(username: string, password?: string, peer?: Peer): Promise<LoginResponse>;
  refresh(refreshToken: string, peer?: Peer): Promise<RefreshResponse>;
  jwks(): Promise<JsonWebKey[]>;
  verify(token: string | undefined, peer?: Peer): Promise<Principal>;
  /** A caller with that token, verified. */
  by(token: string | undefined, peer?: Peer): Promise<Caller>;
}

export function createAuthWorld(options: {
  readonly store: Store;
  readonly clock: FakeClock;
  readonly config?: Partial<AuthConfig>;
  readonly changed?: Partial<AuthDeps>;
}): AuthWorld {
  const { store, clock } = options;
  const events: RecordedEvent[] = [];
  const audited: AuthWorld['audited'] = [];
  const keysUsed: string[] = [];
  const auth = createAuth({
    config: { ...CONFIG, ...options.config },
    store,
    clock,
    bus: {
      async record(tx, topic, key, message) {
        const event = { topic: topic.name, key, message: create(topic.schema, message) as never };
        tx.afterCommit(() => events.push(event));
      },
    },
    logger: silentLogger,
    secrets: systemSecrets,
    sealer: SEALER,
    newId: createIds(clock),
    audit: { record: async (tx, record) => tx.afterCommit(() => audited.push(record)) },
    keyUsed: (prefix) => keysUsed.push(prefix),
    ...options.changed,
  });
  const handlers = auth.service.handlers as unknown as Handlers<typeof AuthService>;
  const callBy = (principal: Principal, peer: Peer) =>
    callOf({
      principal,
      peer,
      audit: async (tx, resource) => tx.afterCommit(() => audited.push({ resource })),
    });
  const request = <Name extends keyof typeof AuthService.method>(name: Name, init: object) =>
    create(AuthService.method[name].input, init) as never;
  const verify: AuthWorld['verify'] = async (token, peer = LOOPBACK) => auth.credentials.verify(token, peer);
  let keys = 0;

  return {
    auth,
    store,
    events,
    audited,
    keysUsed,
    async add(id, { password, oneTimeUntilMs, ...about } = {}) {
      const made = newPrincipal(
        { id, username: id, kind: 'USER', roles: ['developer'], tier: 'PRO' },
        clock.nowMs(),
      );
      const principal = { ...made, ...about };
      const hash =
        password === undefined ? undefined : await auth.passwords.hash(normalizePassword(password));
      await store.transact(async (tx) => {
        expect(await addPrincipal(tx, principal)).toBe(true);
        const oneTime = oneTimeUntilMs === undefined ? {} : { oneTimeUntilMs };
        if (hash !== undefined) await setPassword(tx, id, hash, oneTime, clock.nowMs());
      });
      return principal;
    },
    change: (principal) =>
      store.transact(async (tx) => {
        await savePrincipal(tx, principal);
        await auth.changes.note(tx, { kind: 'principal', id: principal.id });
      }),
    async login(username, password = PASSWORD, peer = LOOPBACK) {
      const reply = await handlers.login(request('login', { username, password }), callBy(NOBODY, peer));
      return create(LoginResponseSchema, reply);
    },
    async refresh(refreshToken, peer = LOOPBACK) {
      const reply = await handlers.refresh(request('refresh', { refreshToken }), callBy(NOBODY, peer));
      return create(RefreshResponseSchema, reply);
    },
    async jwks() {
      const reply = await handlers.getJwks(request('getJwks', {}), callBy(NOBODY, LOOPBACK));
      return reply.keys!.map((key) => create(JsonWebKeySchema, key));
    },
    verify,
    async by(token, peer = LOOPBACK) {
      const call = callBy(await verify(token, peer), peer);
      return {
        call,
        logout: async (all = false) =>
          (await handlers.logout(request('logout', { all }), call)).familiesRevoked!,
        issue: async (init = {}) =>
          (await handlers.issueToken(
            request('issueToken', { idempotencyKey: `key-${keys++}`, ...init }),
            call,
          )) as IssueTokenResponse,
        revoke: async (subject, reason = 'lost') =>
          handlers.revokeToken(request('revokeToken', { subject, reason }), call),
        introspect: async (token) =>
          create(
            IntrospectTokenResponseSchema,
            await handlers.introspectToken(request('introspectToken', { token }), call),
          ),
        rotate: async (init = {}) =>
          (await handlers.rotateSigningKey(request('rotateSigningKey', init), call)).kid!,
      };
    },
  };
}

/** A fake clock that also jumps: wall and monotonic time go on, and no timer fires on the way. */
export interface JumpingClock extends FakeClock {
  jump(durationMs: number): void;
}

export function createJumpingClock(): JumpingClock {
  const clock = createFakeClock();
  let jumpedMs = 0;
  return {
    ...clock,
    nowMs: () => clock.nowMs() + jumpedMs,
    monotonicMs: () => clock.monotonicMs() + jumpedMs,
    jump(durationMs) {
      jumpedMs += durationMs;
    },
  };
}

/** A key as libraries take it. */
export const jwkOf = ({ kty, crv, x, y }: JsonWebKey) => ({ kty, crv, x, ...(y !== '' && { y }) });
/** A key as node:crypto takes it. */
export const keyOf = (key: JsonWebKey): KeyObject => createPublicKey({ key: jwkOf(key), format: 'jwk' });
/** The parts of a JWT, whether it is good or not. */
export const partsOf = (token: string) => {
  const [header, payload, signature] = token.split('.') as [string, string, string];
  const json = (part: string) => JSON.parse(Buffer.from(part, 'base64url').toString());
  return {
    header: json(header),
    payload: json(payload),
    signed: Buffer.from(`${header}.${payload}`),
    signature: Buffer.from(signature, 'base64url'),
  };
};

/** A refusal by its reason, for `rejects.toMatchObject`. */
export const refusal = (reason: string) => ({ name: 'AppError', reason });

/** A peer with a client certificate. */
export function peerWith(sha256: string, ...uris: readonly string[]): Peer {
  return { address: '192.0.2.1', certificate: { uris, sha256 } };
}
