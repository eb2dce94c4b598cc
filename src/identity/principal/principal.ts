/**
 * Principals: users, services and nodes. A principal is changed by whoever has seen its version; a deleted one stays as
 * a stub, so that its id and name are never given to somebody else. Times are wall milliseconds.
 */

export type PrincipalKind = 'USER' | 'SERVICE' | 'NODE';

/** How many tokens per minute a principal has for its calls. */
export type Tier = 'FREE' | 'PRO' | 'ENTERPRISE';

export interface StoredPrincipal {
  readonly id: string;
  readonly username: string;
  readonly kind: PrincipalKind;
  readonly roles: readonly string[];
  readonly tier: Tier;
  /** Its credentials are refused. */
  readonly disabled: boolean;
  /** A stub: it exists for nobody, and has no roles. */
  readonly deleted: boolean;
  /** Access tokens of another epoch are worthless. */
  readonly epoch: number;
  /** URI that a client certificate names it by; empty for none. */
  readonly certificateUri: string;
  /** One more at each change, from 1. */
  readonly version: number;
  readonly createdAtMs: number;
  readonly updatedAtMs: number;
}

/** What is decided about a principal when it is made. */
export interface NewPrincipal {
  readonly id: string;
  readonly username: string;
  readonly kind: PrincipalKind;
  readonly roles: readonly string[];
  readonly tier: Tier;
  readonly certificateUri?: string;
}

export function newPrincipal(about: NewPrincipal, nowMs: number): StoredPrincipal {
  return {
    certificateUri: '',
    ...about,
    roles: [...new Set(about.roles)],
    disabled: false,
    deleted: false,
    epoch: 1,
    version: 1,
    createdAtMs: nowMs,
    updatedAtMs: nowMs,
  };
}

/** What may be changed about a principal; what is undefined stays. */
export interface PrincipalChange {
  readonly roles?: readonly string[] | undefined;
  readonly tier?: Tier | undefined;
  readonly disabled?: boolean | undefined;
}

/** The principal after a change. */
export function changed(principal: StoredPrincipal, change: PrincipalChange, nowMs: number): StoredPrincipal {
  return {
    ...principal,
    roles: [...new Set(change.roles ?? principal.roles)],
    tier: change.tier ?? principal.tier,
    disabled: change.disabled ?? principal.disabled,
    version: principal.version + 1,
    updatedAtMs: nowMs,
  };
}

/** What is left of a principal that is deleted. */
export function tombstone(principal: StoredPrincipal, nowMs: number): StoredPrincipal {
  return {
    ...principal,
    roles: [],
    disabled: true,
    deleted: true,
    certificateUri: '',
    version: principal.version + 1,
    updatedAtMs: nowMs,
  };
}

/** The principal as it was made, with these roles: whatever became of it, it is there and its credentials count. */
export function restored(
  principal: StoredPrincipal,
  roles: readonly string[],
  nowMs: number,
): StoredPrincipal {
  return { ...changed(principal, { roles, disabled: false }, nowMs), deleted: false };
}

/** The roles whose permissions a principal has now: none while its credentials are refused. */
export function effectiveRoles(principal: StoredPrincipal): readonly string[] {
  return principal.disabled || principal.deleted ? [] : principal.roles;
}

/** Whether a change makes worthless what the principal was issued before: other roles, or refused credentials. */
export function endsTokens(before: StoredPrincipal, after: StoredPrincipal): boolean {
  if (after.disabled || after.deleted) return true;
  const had = new Set(before.roles);
  return had.size !== after.roles.length || after.roles.some((role) => !had.has(role));
}
