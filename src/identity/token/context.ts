/**
 * The door of credentials within identity: puts together what verifies them, what issues them and what ends them. The
 * parts that other nouns of identity use are members.
 */
import type { Bus } from '../../bus/bus.ts';
import type { Clock } from '../../clock.ts';
import type { NewId } from '../../ids.ts';
import type { Logger } from '../../observability.ts';
import type { AuditSink } from '../../rpc/audit.ts';
import type { ServiceBinding } from '../../rpc/handler.ts';
import type { Sealer } from '../../sealing.ts';
import type { Secrets } from '../../secrets.ts';
import type { Store } from '../../store/store.ts';
import { type Changes, type ChangesConfig, createChanges } from '../changes.ts';
import { type CredentialConfig, type Credentials, createCredentials } from '../credentials.ts';
import { createPasswords, type PasswordConfig, type Passwords } from '../password/password-service.ts';
import { type Attempts, createAttempts } from '../password/throttle-store.ts';
import { createAuthService } from './auth-service.ts';
import { type IssuedToken, issueForNode } from './issue-service.ts';
import type { LoginConfig } from './login-service.ts';
import { createSigning, type SigningConfig } from './signing-service.ts';
import { createSweep } from './sweep.ts';

export interface AuthConfig
  extends ChangesConfig,
    CredentialConfig,
    PasswordConfig,
    LoginConfig,
    SigningConfig {}

export interface AuthDeps {
  readonly config: AuthConfig;
  readonly store: Store;
  readonly clock: Clock;
  readonly bus: Pick<Bus, 'record'>;
  readonly logger: Logger;
  readonly secrets: Secrets;
  readonly sealer: Sealer;
  readonly newId: NewId;
  readonly audit: Pick<AuditSink, 'record'>;
  /** Told of an API key when it is used, about once a minute. */
  readonly keyUsed: (prefix: string) => void;
}

export interface Auth {
  readonly service: ServiceBinding;
  readonly credentials: Credentials;
  readonly changes: Changes;
  readonly passwords: Passwords;
  readonly attempts: Attempts;
  /**
   * An access token of 24 h for a node that has proven its key, bound to the client certificate whose SHA-256
   * (base64url) is given. Rejects with PRINCIPAL_NOT_FOUND.
   */
  issueNodeToken(
    principalId: string,
    options?: { readonly certificateSha256?: string },
  ): Promise<IssuedToken>;
  /** Reads the log of changes and makes the first signing key where there is none. */
  start(): Promise<void>;
  stop(): Promise<void>;
}

export function createAuth(deps: AuthDeps): Auth {
  const { config, store, clock, logger, secrets, newId } = deps;
  const changes = createChanges({ config, store, clock, logger });
  const signing = createSigning({ ...deps, changes });
  const credentials = createCredentials({ ...deps, signing, changes });
  const passwords = createPasswords({ config, secrets });
  const attempts = createAttempts({ store, clock });
  const issuing = { config, store, clock, newId, signing, credentialOf: credentials.credentialOf };
  const sweep = createSweep({ store, clock, logger, signing });
  return {
    service: createAuthService({ ...deps, ...issuing, changes, credentials, passwords, attempts }),
    credentials,
    changes,
    passwords,
    attempts,
    issueNodeToken: (principalId, { certificateSha256 = '' } = {}) =>
      issueForNode(issuing, principalId, certificateSha256),
    async start() {
      await changes.start();
      await sweep.start();
    },
    async stop() {
      await sweep.stop();
      await changes.stop();
    },
  };
}
