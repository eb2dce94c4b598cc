/**
 * The door of identity: who a caller is. For now principals have API keys and the only one is the admin made at first
 * start. A revocation counts here at once when it is made here, and within `pollIntervalMs` when another process made
 * it in the same database.
 */
import type { Clock, Timer } from '../clock.ts';
import { describeError } from '../errors.ts';
import type { Logger } from '../observability.ts';
import type { Principal, ServiceBinding } from '../rpc/handler.ts';
import type { Secrets } from '../secrets.ts';
import type { Store } from '../store/store.ts';
import { type CredentialConfig, createCredentials } from './access/credentials.ts';
import { type BootstrapResult, bootstrap, recover } from './bootstrap.ts';
import { countRevokedKeys, findKey } from './store.ts';

export { identityMigrations } from './store.ts';

export interface IdentityConfig extends CredentialConfig {
  /** How often the database is asked whether a key was revoked elsewhere; default 1,000. */
  readonly pollIntervalMs: number;
}

export interface IdentityDeps {
  readonly config: IdentityConfig;
  /** Where `admin.key` lies; exists and is writable. */
  readonly dataDir: string;
  readonly store: Store;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly secrets: Secrets;
}

export interface Identity {
  readonly services: readonly ServiceBinding[];
  /** Says who a bearer token belongs to: synchronously when it was seen within the last minute. */
  readonly verifier: { verify(token: string): Principal | undefined | Promise<Principal | undefined> };
  /**
   * Makes the admin and its key if the database has none, and says where the key's file lies. Nothing of the key is
   * returned or logged. Throws AppError ADMIN_KEY_FOREIGN when `admin.key` belongs to another database.
   */
  bootstrap(): Promise<BootstrapResult>;
  /** Replaces the admin's key and its file; the key before is refused from then on. Resolves with the file's path. */
  recover(): Promise<string>;
  /** Begins to watch for revocations made by other processes. */
  start(): Promise<void>;
  stop(): Promise<void>;
}

export function createIdentity(deps: IdentityDeps): Identity {
  const { config, store, clock, logger } = deps;
  const credentials = createCredentials({ config, clock, find: (prefix) => findKey(store, prefix) });
  let revokedCount = 0;
  let polling: Promise<void> | undefined;
  let timer: Timer | undefined;

  const poll = async () => {
    const count = await countRevokedKeys(store);
    if (count !== revokedCount) credentials.forget();
    revokedCount = count;
  };
  const pollOnce = () => {
    polling ??= poll()
      // While the database is away remembered keys live on for at most `cacheMs`; unknown ones fail with its error.
      .catch((error) => logger.warn({ cause: describeError(error) }, 'revocations could not be read'))
      .finally(() => {
        polling = undefined;
      });
  };

  return {
    services: [],
    verifier: credentials,
    async bootstrap() {
      const result = await bootstrap(deps);
      if (result.created) logger.info({ path: result.path }, 'admin key written');
      return result;
    },
    async recover() {
      const path = await recover(deps);
      credentials.forget();
      return path;
    },
    async start() {
      revokedCount = await countRevokedKeys(store);
      timer = clock.every(config.pollIntervalMs, pollOnce);
    },
    async stop() {
      timer?.cancel();
      await polling;
    },
  };
}
