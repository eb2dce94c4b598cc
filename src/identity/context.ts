/**
 * The door of identity: who calls, what they may do, and what they did. Everything that matters is in SQL, so any number
 * of servers may work on one database; memory holds verified credentials, which a change makes be looked up anew at once
 * here and within `pollIntervalMs` elsewhere, and the calls of the running minute that the audit trail sums.
 */
import type { Bus } from '../bus/bus.ts';
import type { Clock } from '../clock.ts';
import type { NewId } from '../ids.ts';
import type { Logger, Metrics } from '../observability.ts';
import type { AuditSink } from '../rpc/audit.ts';
import type { CredentialVerifier } from '../rpc/authenticate.ts';
import type { ServiceBinding } from '../rpc/handler.ts';
import type { Sealer } from '../sealing.ts';
import type { Secrets } from '../secrets.ts';
import type { Store, Tx } from '../store/store.ts';
import { type AuditConfig, createAudit } from './audit/context.ts';
import type { Ledger } from './audit/sweep.ts';
import { type BootstrapResult, bootstrap, recover } from './bootstrap.ts';
import { noteChange } from './changes.ts';
import { createKeyService } from './key/key-service.ts';
import { createKeyUse } from './key/key-use-service.ts';
import { createNodePrincipal } from './principal/change-service.ts';
import type { MethodsAccess } from './principal/matrix.ts';
import { PERMISSIONS } from './principal/permission.ts';
import { createUserService } from './principal/user-service.ts';
import { type Auth, type AuthConfig, createAuth } from './token/context.ts';

export type { Ledger } from './audit/sweep.ts';
export { type ExportVerdict, verifyExport } from './audit/verify.ts';
export { accessMatrix, type MethodsAccess } from './principal/matrix.ts';
export { BUILT_IN_ROLES } from './principal/role.ts';
export { identityMigrations } from './store.ts';

export interface IdentityConfig extends AuthConfig {
  readonly audit: AuditConfig;
}

export interface IdentityDeps {
  readonly config: IdentityConfig;
  /** Where `admin.key` lies; exists and is writable. */
  readonly dataDir: string;
  readonly store: Store;
  readonly bus: Pick<Bus, 'record'>;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: Metrics;
  readonly secrets: Secrets;
  /** Of the secret file: the same on every server of a database. */
  readonly sealer: Sealer;
  readonly newId: NewId;
  /** Keeps the head of the audit trail provable. */
  readonly ledger: Ledger;
  /** What each RPC of the server needs. */
  readonly methods: MethodsAccess;
}

/** Gives nodes their identity. */
export interface Principals {
  /** Makes the principal of a node in the caller's transaction. Rejects with USERNAME_TAKEN when it is there. */
  createNode(tx: Tx, nodeId: string): Promise<void>;
  readonly issueNodeToken: Auth['issueNodeToken'];
}

export interface Identity {
  readonly services: readonly ServiceBinding[];
  readonly verifier: CredentialVerifier;
  readonly audit: AuditSink;
  readonly principals: Principals;
  /** Why nobody's credentials can be trusted at the moment (`REVOCATION_STALE`); empty while they can. */
  unavailable(): readonly string[];
  /**
   * Makes the administrator and its key if the database has none, and says where the key's file lies. Nothing of the key
   * is returned or logged. Throws AppError ADMIN_KEY_FOREIGN when `admin.key` belongs to another database.
   */
  bootstrap(): Promise<BootstrapResult>;
  /** Makes the first signing key where there is none, and begins to follow what other servers change. */
  start(): Promise<void>;
  /** Writes what is noted and summed; after the last call was answered and before the store closes. */
  stop(): Promise<void>;
}

/** Throws Error when a method needs a permission that identity does not know. */
export function createIdentity(deps: IdentityDeps): Identity {
  const { config, store, bus, clock, logger, secrets, sealer, newId, methods } = deps;
  for (const [method, { permission }] of methods)
    if (permission !== '' && !PERMISSIONS.includes(permission))
      throw new Error(`${method} needs permission ${permission}, which identity does not know`);

  const audit = createAudit({ ...deps, config: config.audit });
  const keyUse = createKeyUse({ store, clock, logger });
  const auth = createAuth({ ...deps, audit: audit.sink, keyUsed: keyUse.note });
  const { changes, passwords, attempts } = auth;
  const committing = { store, bus, clock, secrets, changes };
  const unavailable = () => (changes.stale() ? ['REVOCATION_STALE'] : []);
  const services = [
    auth.service,
    createUserService({ ...committing, sealer, passwords, attempts, newId, methods }),
    createKeyService({ ...committing, sealer }),
    audit.service,
  ];
  return {
    services: services.map((service) => ({ ...service, unavailable })),
    verifier: auth.credentials,
    audit: audit.sink,
    principals: {
      createNode: (tx, nodeId) => createNodePrincipal(committing, tx, nodeId),
      issueNodeToken: auth.issueNodeToken,
    },
    unavailable,
    async bootstrap() {
      const result = await bootstrap({ ...deps, note: changes.note });
      if (result.created) logger.info({ path: result.path }, 'admin key written');
      return result;
    },
    async start() {
      await auth.start();
      await audit.start();
      keyUse.start();
    },
    async stop() {
      await keyUse.stop();
      await auth.stop();
      await audit.stop();
    },
  };
}

/**
 * Replaces the administrator's key and its file with access to the database and the data directory alone, and makes it
 * the administrator again whatever became of it. The key before is refused from then on, by running servers within
 * `pollIntervalMs`. Resolves with the file's path.
 */
export function recoverAdmin(deps: {
  readonly dataDir: string;
  readonly store: Store;
  readonly clock: Clock;
  readonly secrets: Secrets;
}): Promise<string> {
  return recover({ ...deps, note: (tx, change) => noteChange(tx, change, deps.clock.nowMs()) });
}
