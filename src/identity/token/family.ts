/**
 * Logins and their refresh tokens. A login is a family of tokens: each refresh token is good once and gives the next.
 * Family: open -> revoked (logout, revocation, reuse) or over (7 days unused, 30 days in all); neither is ever left.
 * Refresh token: fresh -> spent. A spent one of an open family presented again means that there are two holders, and
 * nobody can tell which is the right one: the family is revoked, without a grace. Pure; times are wall milliseconds.
 */

export interface Family {
  readonly id: string;
  readonly principalId: string;
  /** What its tokens are good for; undefined for all the principal may do. */
  readonly scopes: readonly string[] | undefined;
  /** Client certificate its tokens are bound to, SHA-256 in base64url; empty for none. */
  readonly certificateSha256: string;
  readonly createdAtMs: number;
  /** End of the family, however much it is used. */
  readonly endsAtMs: number;
  /** End of the family unless it is used before. */
  readonly idleAtMs: number;
  readonly revokedAtMs: number | undefined;
}

export interface FamilyTerms {
  /** Time from the last use; default 7 days. */
  readonly refreshIdleMs: number;
  /** Time from the login; default 30 days. */
  readonly refreshMaxMs: number;
}

/** Bytes of a refresh token: 256 bits, so that a plain hash of it can be stored. */
export const REFRESH_BYTES = 32;

/** A family as it begins; `endsAtMs` where it is to end before its time. */
export function newFamily(
  about: Pick<Family, 'id' | 'principalId' | 'scopes' | 'certificateSha256'> & { readonly endsAtMs?: number },
  terms: FamilyTerms,
  nowMs: number,
): Family {
  const endsAtMs = Math.min(nowMs + terms.refreshMaxMs, about.endsAtMs ?? Number.POSITIVE_INFINITY);
  const idleAtMs = Math.min(nowMs + terms.refreshIdleMs, endsAtMs);
  return { ...about, createdAtMs: nowMs, endsAtMs, idleAtMs, revokedAtMs: undefined };
}

/** Whether its tokens may still be refreshed. */
export function isOpen(family: Family, nowMs: number): boolean {
  return family.revokedAtMs === undefined && nowMs < family.idleAtMs;
}

/** What a refresh token is worth that its family knows. */
export function judge(family: Family, spent: boolean, nowMs: number): 'GOOD' | 'REUSED' | 'INVALID' {
  if (!isOpen(family, nowMs)) return 'INVALID';
  return spent ? 'REUSED' : 'GOOD';
}

/** The family after a use. */
export function used(family: Family, terms: FamilyTerms, nowMs: number): Family {
  return { ...family, idleAtMs: Math.min(nowMs + terms.refreshIdleMs, family.endsAtMs) };
}
