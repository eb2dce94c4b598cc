/**
 * Who calls: `authorization: Bearer <token>`, where the token is an API key or an access token. What a token is worth
 * is identity's to say, behind the port `CredentialVerifier`.
 */
import { identityError } from './errors.ts';
import type { Principal } from './handler.ts';

export interface CredentialVerifier {
  /**
   * Says who a token belongs to; undefined for an unknown one. Answers at once where it can: each call asks. May throw
   * an AppError that says more.
   */
  verify(token: string): Principal | undefined | Promise<Principal | undefined>;
}

/** The caller of public methods. */
export const NOBODY: Principal = { id: '', permissions: [] };

const SCHEME = /^Bearer +([!-~]+) *$/i;

/**
 * The principal of a request whose `authorization` is `header`. Throws MISSING_CREDENTIALS or BAD_TOKEN; rejects with
 * BAD_TOKEN where the verifier answers later.
 */
export function authenticate(
  verifier: CredentialVerifier,
  header: string | Uint8Array | undefined,
): Principal | Promise<Principal> {
  if (typeof header !== 'string' || header === '') throw identityError('MISSING_CREDENTIALS', {});
  const token = SCHEME.exec(header)?.[1];
  if (token === undefined) throw identityError('BAD_TOKEN', {});
  const found = verifier.verify(token);
  return found instanceof Promise ? found.then(known) : known(found);
}

function known(principal: Principal | undefined): Principal {
  if (!principal) throw identityError('BAD_TOKEN', {});
  return principal;
}
