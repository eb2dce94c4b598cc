/**
 * Who calls: `authorization: Bearer <token>`, where the token is an API key or an access token, or the certificate of
 * the connection, or both. What they are worth is identity's to say, behind the port `CredentialVerifier`.
 */
import { identityError } from './errors.ts';
import type { Peer, Principal } from './handler.ts';

export interface CredentialVerifier {
  /**
   * Says who a caller is. `token` is undefined where none was sent; then the peer has a certificate. Answers at once
   * where it can: each call asks. Throws or rejects with BAD_TOKEN, TOKEN_EXPIRED, TOKEN_REVOKED, CERTIFICATE_MISMATCH
   * or REVOCATION_STALE of identity.
   */
  verify(token: string | undefined, peer: Peer): Principal | Promise<Principal>;
}

/** The caller of public methods. */
export const NOBODY: Principal = {
  id: '',
  tier: 'FREE',
  credential: { kind: 'NONE', id: '', familyId: '' },
  allows: () => false,
};

const SCHEME = /^Bearer +([!-~]+) *$/i;

/**
 * The principal of a request whose `authorization` is `header`. Throws MISSING_CREDENTIALS or BAD_TOKEN, and what the
 * verifier throws.
 */
export function authenticate(
  verifier: CredentialVerifier,
  header: string | Uint8Array | undefined,
  peer: Peer,
): Principal | Promise<Principal> {
  if (typeof header !== 'string' || header === '') {
    if (peer.certificate === undefined) throw identityError('MISSING_CREDENTIALS', {});
    return verifier.verify(undefined, peer);
  }
  const token = SCHEME.exec(header)?.[1];
  if (token === undefined) throw identityError('BAD_TOKEN', {});
  return verifier.verify(token, peer);
}
