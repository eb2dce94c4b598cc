/**
 * Logins: a password becomes a family of tokens, and a refresh token becomes the next one of its family. What decides is
 * read in the transaction that stores the outcome; the access token is signed after it, with claims from inside it, so
 * that a token never knows more than what was committed. Whoever has no such name, another password or a disabled
 * principal gets one answer after equal work.
 */
import { hash } from 'node:crypto';
import { timestampFromMs } from '@bufbuild/protobuf/wkt';
import type { Bus } from '../../bus/bus.ts';
import { topics } from '../../bus/topics.ts';
import type { Clock } from '../../clock.ts';
import type { NewId } from '../../ids.ts';
import type { Logger } from '../../observability.ts';
import type { AuditRecord, AuditSink } from '../../rpc/audit.ts';
import { identityError as edgeIdentityError } from '../../rpc/errors.ts';
import type { Call } from '../../rpc/handler.ts';
import type { Secrets } from '../../secrets.ts';
import type { Store, Tx } from '../../store/store.ts';
import type { Changes } from '../changes.ts';
import { identityError } from '../errors.ts';
import { maySignIn, normalizePassword, type StoredPassword } from '../password/password.ts';
import type { Passwords } from '../password/password-service.ts';
import { findPassword, replaceHash, spendPassword } from '../password/password-store.ts';
import type { Attempts } from '../password/throttle-store.ts';
import type { StoredPrincipal } from '../principal/principal.ts';
import { findPrincipal, findPrincipalByName } from '../principal/principal-store.ts';
import { type AccessClaims, newClaims } from './access-token.ts';
import { type Family, type FamilyTerms, judge, newFamily, REFRESH_BYTES, used } from './family.ts';
import { addRefresh, findRefresh, revokeFamily, saveFamily, spendRefresh } from './family-store.ts';
import type { Signing } from './signing-service.ts';

export interface LoginConfig extends FamilyTerms {
  /** Life of an access token; default 30 min, at most 24 h. */
  readonly accessTtlMs: number;
}

export interface LoginDeps {
  readonly config: LoginConfig;
  readonly store: Store;
  readonly clock: Clock;
  readonly bus: Pick<Bus, 'record'>;
  readonly logger: Logger;
  readonly secrets: Secrets;
  readonly newId: NewId;
  readonly audit: Pick<AuditSink, 'record'>;
  readonly changes: Pick<Changes, 'note'>;
  readonly passwords: Passwords;
  readonly attempts: Attempts;
  readonly signing: Pick<Signing, 'sign'>;
}

/** Tokens as they are handed out. */
export interface Tokens {
  readonly accessToken: string;
  readonly refreshToken: string;
  readonly claims: AccessClaims;
}

/** What tokens of a one-time password are good for: to choose another. */
const ONE_TIME_SCOPES = ['self.write'];

const USERNAME = /^[a-z0-9][a-z0-9_.-]{0,62}$/;

/** What was stored of new tokens. */
interface Stored {
  readonly claims: AccessClaims;
  readonly refreshToken: string;
}

/** Throws INVALID_CREDENTIALS or LOGIN_THROTTLED. */
export async function logIn(
  deps: LoginDeps,
  call: Call,
  given: { readonly username: string; readonly password: string },
): Promise<Tokens & { readonly passwordChangeRequired: boolean }> {
  const { store, passwords, attempts, clock } = deps;
  passwords.assertRoom();
  await attempts.admit(given.username, call.peer.address);
  const username = USERNAME.test(given.username) ? given.username : '';
  const password = normalizePassword(given.password);
  const principal = await findPrincipalByName(store, username);
  const seen = await findPassword(store, principal?.id ?? '');
  const verdict = await passwords.verify(seen?.hash, password);
  if (verdict === 'WRONG' || !principal || !seen || !mayLogIn(principal, seen, clock.nowMs()))
    throw identityError('INVALID_CREDENTIALS', {});
  const rehashed = passwords.needsRehash(seen.hash) ? await passwords.hash(password) : undefined;

  const stored = await store.transactInTurn(async (tx) => {
    const nowMs = clock.nowMs();
    // Anything may have happened while the password was looked at.
    const now = await findPrincipal(tx, principal.id);
    const current = await findPassword(tx, principal.id);
    if (!now || current?.hash !== seen.hash || !mayLogIn(now, current, nowMs)) return undefined;
    await attempts.forgive(tx, given.username);
    if (current.oneTime) await spendPassword(tx, now.id, nowMs);
    if (rehashed !== undefined) await replaceHash(tx, now.id, rehashed);
    const family = newFamily(
      {
        id: deps.newId(),
        principalId: now.id,
        scopes: current.oneTime && ONE_TIME_SCOPES,
        certificateSha256: call.peer.certificate?.sha256 ?? '',
        ...(current.oneTime && { endsAtMs: current.oneTime.untilMs }),
      },
      deps.config,
      nowMs,
    );
    return storeTokens(deps, tx, call, now, family, nowMs);
  });
  if (!stored) throw identityError('INVALID_CREDENTIALS', {});
  return { ...(await signed(deps, stored)), passwordChangeRequired: seen.oneTime !== undefined };
}

/**
 * Throws REFRESH_INVALID; REFRESH_REUSED, once the family's end is committed; CERTIFICATE_MISMATCH on another
 * certificate than the family's, which spends nothing.
 */
export async function refresh(
  deps: LoginDeps,
  call: Call,
  given: { readonly refreshToken: string; readonly record: () => AuditRecord },
): Promise<Tokens> {
  const { store, clock, config } = deps;
  const digest = digestOf(given.refreshToken);
  // Read first: made-up tokens cost no transaction.
  if (!(await findRefresh(store, digest))) throw identityError('REFRESH_INVALID', {});
  const stored = await store.transactInTurn(async (tx): Promise<Stored | 'INVALID' | 'REUSED' | 'OTHER'> => {
    const nowMs = clock.nowMs();
    const found = await findRefresh(tx, digest);
    const principal = found && (await findPrincipal(tx, found.family.principalId));
    if (!found || !principal || !isEnabled(principal)) return 'INVALID';
    const { family } = found;
    const verdict = judge(family, found.spent, nowMs);
    if (verdict === 'REUSED') await endReused(deps, tx, call, family, given.record());
    if (verdict !== 'GOOD') return verdict;
    if (family.certificateSha256 !== '' && family.certificateSha256 !== call.peer.certificate?.sha256)
      return 'OTHER';
    await spendRefresh(tx, digest, nowMs);
    return storeTokens(deps, tx, call, principal, used(family, config, nowMs), nowMs);
  });
  if (stored === 'OTHER') throw edgeIdentityError('CERTIFICATE_MISMATCH', {});
  if (stored === 'INVALID') throw identityError('REFRESH_INVALID', {});
  if (stored === 'REUSED') throw identityError('REFRESH_REUSED', {});
  return signed(deps, stored);
}

/** The next tokens of a family, stored and audited. */
async function storeTokens(
  deps: LoginDeps,
  tx: Tx,
  call: Call,
  principal: StoredPrincipal,
  family: Family,
  nowMs: number,
): Promise<Stored> {
  const refreshToken = Buffer.from(deps.secrets.bytes(REFRESH_BYTES)).toString('base64url');
  await saveFamily(tx, family);
  await addRefresh(tx, family.id, digestOf(refreshToken), nowMs);
  await call.audit(tx, `principal/${principal.id}`);
  const { scopes, certificateSha256, endsAtMs } = family;
  const about = { jti: deps.newId(), principal, scopes, familyId: family.id, certificateSha256, endsAtMs };
  return { claims: newClaims({ ...about, ttlMs: deps.config.accessTtlMs }, nowMs), refreshToken };
}

/** Two hold a refresh token of this family: it ends, and everybody who listens hears why. */
async function endReused(
  deps: LoginDeps,
  tx: Tx,
  call: Call,
  family: Family,
  record: AuditRecord,
): Promise<void> {
  const { bus, clock, changes, audit, logger } = deps;
  const nowMs = clock.nowMs();
  await revokeFamily(tx, family.id, nowMs);
  await changes.note(tx, { kind: 'family', id: family.id }, nowMs);
  const message = {
    familyId: family.id,
    principalId: family.principalId,
    peer: call.peer.address,
    reusedAt: timestampFromMs(nowMs),
  };
  await bus.record(tx, topics.refreshReused, family.id, message, call.traceparent);
  await audit.record(tx, {
    ...record,
    principal: family.principalId,
    code: 'UNAUTHENTICATED',
    reason: 'REFRESH_REUSED',
    resource: `family/${family.id}`,
  });
  tx.afterCommit(() =>
    logger.warn(
      { family: family.id, principal: family.principalId },
      'a spent refresh token was presented again',
    ),
  );
}

async function signed(deps: LoginDeps, { claims, refreshToken }: Stored): Promise<Tokens> {
  return { accessToken: await deps.signing.sign(claims), refreshToken, claims };
}

function isEnabled(principal: StoredPrincipal): boolean {
  return !principal.disabled && !principal.deleted;
}

function mayLogIn(principal: StoredPrincipal, password: StoredPassword, nowMs: number): boolean {
  return isEnabled(principal) && maySignIn(password, nowMs);
}

function digestOf(refreshToken: string): string {
  return hash('sha256', refreshToken, 'base64url');
}
