/**
 * Access tokens: JWTs of type `at+jwt` (RFC 9068), and what they claim. Roles are in them for whoever reads them
 * elsewhere; here a token allows what its principal's roles allow when it is used. Times are seconds since 1970, as in
 * the token.
 */

/** `typ` of the header, so that no other kind of JWT passes for one. */
export const TOKEN_TYPE = 'at+jwt';

/** No token lives longer, whoever it is for: after that, what it was revoked by can be forgotten. */
export const TOKEN_TTL_MS_MAX = 24 * 60 * 60_000;

export interface AccessClaims {
  /** Id of the principal. */
  readonly principalId: string;
  /** Unique id of the token. */
  readonly jti: string;
  readonly issuedAt: number;
  /** Exclusive. */
  readonly expiresAt: number;
  /** Roles of the principal when it was issued. */
  readonly roles: readonly string[];
  /** Cuts down what the roles allow; undefined where it was issued without. */
  readonly scopes: readonly string[] | undefined;
  /** The principal's epoch when it was issued. */
  readonly epoch: number;
  /** The login it descends from; empty for none. */
  readonly familyId: string;
  /** SHA-256 of the client certificate it is bound to, base64url (`x5t#S256`, RFC 8705); empty for none. */
  readonly certificateSha256: string;
}

/** What a new token is to claim. */
export interface NewToken {
  readonly jti: string;
  readonly principal: {
    readonly id: string;
    readonly roles: readonly string[];
    readonly epoch: number;
  };
  readonly scopes: readonly string[] | undefined;
  readonly familyId: string;
  readonly certificateSha256: string;
  readonly ttlMs: number;
  /** No later than this, wall milliseconds, where something else ends before. */
  readonly endsAtMs?: number | undefined;
}

/** The claims of a token issued at that time, in wall milliseconds. It may live up to a second less than `ttlMs`. */
export function newClaims(token: NewToken, nowMs: number): AccessClaims {
  const { principal, jti, scopes, familyId, certificateSha256, ttlMs, endsAtMs } = token;
  const endMs = Math.min(nowMs + Math.min(ttlMs, TOKEN_TTL_MS_MAX), endsAtMs ?? Number.POSITIVE_INFINITY);
  return {
    principalId: principal.id,
    jti,
    issuedAt: Math.floor(nowMs / 1000),
    expiresAt: Math.floor(endMs / 1000),
    roles: principal.roles,
    scopes,
    epoch: principal.epoch,
    familyId,
    certificateSha256,
  };
}

/** The claims as members of the token. */
export function payloadOf(claims: AccessClaims, issuer: string, audience: string): Record<string, unknown> {
  const { scopes, familyId, certificateSha256 } = claims;
  return {
    iss: issuer,
    aud: audience,
    sub: claims.principalId,
    jti: claims.jti,
    iat: claims.issuedAt,
    nbf: claims.issuedAt,
    exp: claims.expiresAt,
    roles: claims.roles,
    epoch: claims.epoch,
    ...(scopes && { scope: scopes.join(' ') }),
    ...(familyId !== '' && { fam: familyId }),
    ...(certificateSha256 !== '' && { cnf: { 'x5t#S256': certificateSha256 } }),
  };
}

/** What a token of ours claims; undefined where a member is missing or of another type. */
export function claimsOf(payload: Readonly<Record<string, unknown>>): AccessClaims | undefined {
  const { sub, jti, iat, exp, roles, epoch, scope, fam = '', cnf } = payload;
  const bound = cnf === undefined ? '' : (cnf as Record<string, unknown> | null)?.['x5t#S256'];
  const isText = typeof sub === 'string' && typeof jti === 'string' && typeof fam === 'string';
  const isTimed = typeof iat === 'number' && typeof exp === 'number' && typeof epoch === 'number';
  const isList = Array.isArray(roles) && roles.every((role) => typeof role === 'string');
  const isScoped = scope === undefined || typeof scope === 'string';
  if (!isText || !isTimed || !isList || !isScoped || typeof bound !== 'string') return undefined;
  return {
    principalId: sub,
    jti,
    issuedAt: iat,
    expiresAt: exp,
    roles,
    scopes: scope?.split(' '),
    epoch,
    familyId: fam,
    certificateSha256: bound,
  };
}

/** Whether a text has the form of a JWT: three parts of base64url. */
export function looksLikeJwt(text: string): boolean {
  return /^[\w-]+\.[\w-]+\.[\w-]*$/.test(text);
}
