/**
 * Says who a caller is: by access token, API key, client certificate, or a certificate beside one of the others. What
 * was verified is remembered by the SHA-256 of the text for a minute, so that the usual call costs one hash and one look
 * into a map, synchronously; the text itself is never kept. Looked at on every call: whether changes are known
 * (`changes.stale`), expiry, and, for credentials that are tied to a peer, the peer. A change of what stands behind a
 * credential forgets it at once here, and elsewhere as soon as the log of changes is read. Refusals are not remembered;
 * calls that bring the same unknown text at once share one look-up.
 */
import { hash } from 'node:crypto';
import type { Clock } from '../clock.ts';
import type { CredentialVerifier } from '../rpc/authenticate.ts';
import { identityError } from '../rpc/errors.ts';
import type { ClientCertificate, Peer, Principal } from '../rpc/handler.ts';
import type { Store } from '../store/store.ts';
import type { Change, ChangeListener, Changes } from './changes.ts';
import { type ApiKey, isUsable, parseApiKey, secretMatches } from './key/api-key.ts';
import { findKey } from './key/key-store.ts';
import { isWithin } from './key/source-range.ts';
import { accessOf } from './principal/access.ts';
import type { StoredPrincipal } from './principal/principal.ts';
import { findPrincipal, findPrincipalByCertificateUri } from './principal/principal-store.ts';
import { loadRoles } from './principal/role-store.ts';
import { looksLikeJwt } from './token/access-token.ts';
import { findFamily } from './token/family-store.ts';
import { isTokenRevoked } from './token/revocation-store.ts';
import type { Signing } from './token/signing-service.ts';

export interface CredentialConfig {
  /** How long a verified credential is remembered, monotonic; default 60,000. */
  readonly cacheMs: number;
  /** Most credentials remembered; the one remembered first gives way. Default 10,000. */
  readonly cacheEntriesMax: number;
  /** How long after its time an access token is still taken; default 60,000. */
  readonly skewMs: number;
}

/** What a credential is, beyond who its principal is and what it allows. */
export interface Credential {
  readonly kind: 'TOKEN' | 'API_KEY' | 'CERTIFICATE';
  /** Id of the token, prefix of the key; empty for a certificate. */
  readonly id: string;
  readonly issuedAtMs: number;
  /** Undefined for never. For a token its own time, without the skew. */
  readonly expiresAtMs: number | undefined;
  /** Roles of its principal now. */
  readonly roles: readonly string[];
  /** What it was issued for; undefined for all its principal may do. */
  readonly scopes: readonly string[] | undefined;
  readonly familyId: string;
  /** Certificate it is bound to; empty for none. */
  readonly certificateSha256: string;
  /** Addresses it is taken from; empty for any. */
  readonly sourceRanges: readonly string[];
}

export interface Credentials extends CredentialVerifier {
  /** What stands behind a token or key now, whoever holds it. Rejects as `verify` does. */
  inspect(token: string): Promise<{ readonly principal: Principal; readonly credential: Credential }>;
  /** The credential of a principal that `verify` returned; undefined for any other. */
  credentialOf(principal: Principal): Credential | undefined;
  /** Credentials remembered. */
  readonly size: number;
}

export interface CredentialDeps {
  readonly config: CredentialConfig;
  readonly store: Store;
  readonly clock: Clock;
  readonly signing: Pick<Signing, 'verify'>;
  readonly changes: Pick<Changes, 'subscribe' | 'stale'>;
  /** Told of a key whenever it is looked up: at most once per `cacheMs` and server, but for changes. */
  readonly keyUsed: (prefix: string) => void;
}

interface Known {
  readonly principal: Principal;
  readonly credential: Credential;
  /** Exclusive, skew included. */
  readonly refusedFromMs: number;
  /** Whether the peer matters even where it has no certificate. */
  readonly isTied: boolean;
}

interface Remembered extends Known {
  readonly untilMonotonicMs: number;
}

/** Takes the place of text that is no key, so that it is refused after the same work. Its prefix is nobody's. */
const NO_KEY: ApiKey = { environment: 'live', prefix: '', secret: '' };

/** Looked up again that often when changes come in between; then it is answered and not remembered. */
const LOOK_UPS_MAX = 3;

/** How soon staleness may have passed. */
const STALE_RETRY_MS = 1_000;

export function createCredentials(deps: CredentialDeps): Credentials {
  const { config, clock, changes } = deps;
  const remembered = new Map<string, Remembered>();
  const underWay = new Map<string, Promise<Known>>();
  const credentials = new WeakMap<Principal, Credential>();
  /** Counts changes heard of: what was read before one may not be remembered after it. */
  let generation = 0;

  const forget: ChangeListener = (heard) => {
    generation++;
    underWay.clear(); // Whoever asks from now on must see the change.
    if (heard === 'EVERYTHING' || heard.some(({ kind }) => kind === 'role' || kind === 'signing-key'))
      remembered.clear();
    else
      for (const [name, known] of remembered)
        if (heard.some((one) => concerns(one, known))) remembered.delete(name);
  };
  changes.subscribe(forget);

  const remember = (name: string, known: Known): void => {
    remembered.delete(name); // Set anew at the end: the map's order is the order of remembering.
    if (remembered.size >= config.cacheEntriesMax) remembered.delete(remembered.keys().next().value!);
    remembered.set(name, { ...known, untilMonotonicMs: clock.monotonicMs() + config.cacheMs });
  };
  const lookUp = async (name: string, read: () => Promise<Known>): Promise<Known> => {
    for (let count = 1; ; count++) {
      const startedIn = generation;
      const known = await read();
      credentials.set(known.principal, known.credential);
      if (startedIn === generation) remember(name, known);
      if (startedIn === generation || count === LOOK_UPS_MAX) return known;
    }
  };
  /** Reads what is behind a name; whoever asks meanwhile waits for the same answer. */
  const find = (name: string, read: () => Promise<Known>): Promise<Known> => {
    const looking = underWay.get(name);
    if (looking) return looking;
    const started = lookUp(name, read).finally(() => {
      if (underWay.get(name) === started) underWay.delete(name);
    });
    underWay.set(name, started);
    return started;
  };
  const recall = (name: string): Known | undefined => {
    const known = remembered.get(name);
    return known && clock.monotonicMs() < known.untilMonotonicMs ? known : undefined;
  };
  const findToken = (token: string): Known | Promise<Known> => {
    const name = hash('sha256', token, 'base64');
    return (
      recall(name) ?? find(name, () => (looksLikeJwt(token) ? readToken(deps, token) : readKey(deps, token)))
    );
  };
  const findCertificate = (certificate: ClientCertificate): Known | Promise<Known> => {
    const name = `certificate:${certificate.sha256}`;
    return recall(name) ?? find(name, () => readCertificate(deps, certificate));
  };

  const admit = (known: Known, peer: Peer): Principal | Promise<Principal> => {
    if (clock.nowMs() >= known.refusedFromMs) throw identityError('TOKEN_EXPIRED', {});
    if (!known.isTied && peer.certificate === undefined) return known.principal;
    assertTied(known.credential, peer);
    if (peer.certificate === undefined) return known.principal;
    const shown = findCertificate(peer.certificate);
    return shown instanceof Promise ? shown.then((other) => same(known, other)) : same(known, shown);
  };

  return {
    verify(token, peer) {
      if (changes.stale()) throw identityError('REVOCATION_STALE', {}, { retryAfterMs: STALE_RETRY_MS });
      if (token === undefined) {
        const shown = findCertificate(peer.certificate!);
        return shown instanceof Promise ? shown.then(({ principal }) => principal) : shown.principal;
      }
      const known = findToken(token);
      return known instanceof Promise ? known.then((found) => admit(found, peer)) : admit(known, peer);
    },
    async inspect(token) {
      if (changes.stale()) throw identityError('REVOCATION_STALE', {}, { retryAfterMs: STALE_RETRY_MS });
      const { principal, credential, refusedFromMs } = await findToken(token);
      if (clock.nowMs() >= refusedFromMs) throw identityError('TOKEN_EXPIRED', {});
      return { principal, credential };
    },
    credentialOf: (principal) => credentials.get(principal),
    get size() {
      return remembered.size;
    },
  };
}

/** Whether a change may be about what is remembered. */
function concerns(change: Change, { principal, credential }: Known): boolean {
  if (change.kind === 'principal') return principal.id === change.id;
  if (change.kind === 'family') return credential.familyId === change.id;
  const kind = change.kind === 'token' ? 'TOKEN' : 'API_KEY';
  return credential.kind === kind && credential.id === change.id;
}

/** Throws when the peer is not one that the credential may come from. */
function assertTied({ certificateSha256, sourceRanges }: Credential, peer: Peer): void {
  if (certificateSha256 !== '' && peer.certificate?.sha256 !== certificateSha256)
    throw identityError('CERTIFICATE_MISMATCH', {});
  if (sourceRanges.length > 0 && !isWithin(sourceRanges, peer.address)) throw identityError('BAD_TOKEN', {});
}

/** The principal of a token, when the certificate beside it names the same one. */
function same(known: Known, shown: Known): Principal {
  if (known.principal.id !== shown.principal.id) throw identityError('CERTIFICATE_MISMATCH', {});
  return known.principal;
}

async function readToken(deps: CredentialDeps, token: string): Promise<Known> {
  const { store, signing, config } = deps;
  const verified = await signing.verify(token);
  if ('refused' in verified) {
    if (verified.refused === 'EXPIRED') throw identityError('TOKEN_EXPIRED', {});
    throw identityError(verified.refused === 'REVOKED' ? 'TOKEN_REVOKED' : 'BAD_TOKEN', {});
  }
  const { claims } = verified;
  const { jti, familyId, certificateSha256, scopes } = claims;
  const principal = await findPrincipal(store, claims.principalId);
  if (!principal || claims.epoch !== principal.epoch) throw identityError('TOKEN_REVOKED', {});
  if (await isTokenRevoked(store, jti)) throw identityError('TOKEN_REVOKED', {});
  if (familyId !== '') {
    const family = await findFamily(store, familyId);
    if (!family || family.revokedAtMs !== undefined) throw identityError('TOKEN_REVOKED', {});
  }
  const expiresAtMs = claims.expiresAt * 1000;
  const times = { issuedAtMs: claims.issuedAt * 1000, expiresAtMs };
  const about = {
    kind: 'TOKEN',
    id: jti,
    ...times,
    scopes,
    familyId,
    certificateSha256,
    sourceRanges: [],
  } as const;
  return knownOf(deps, principal, about, expiresAtMs + config.skewMs);
}

async function readKey(deps: CredentialDeps, token: string): Promise<Known> {
  const { store, clock, keyUsed } = deps;
  const key = parseApiKey(token) ?? NO_KEY;
  const stored = await findKey(store, key.prefix);
  if (!secretMatches(key.secret, stored) || !stored) throw identityError('BAD_TOKEN', {});
  if (stored.revokedAtMs !== undefined) throw identityError('TOKEN_REVOKED', {});
  if (!isUsable(stored, clock.nowMs())) throw identityError('TOKEN_EXPIRED', {});
  const principal = await findPrincipal(store, stored.principalId);
  if (!principal) throw identityError('TOKEN_REVOKED', {});
  const { expiresAtMs, scopes, sourceRanges } = stored;
  const times = { issuedAtMs: stored.createdAtMs, expiresAtMs };
  const about = { kind: 'API_KEY', id: stored.prefix, ...times, scopes, sourceRanges, ...UNBOUND } as const;
  const known = await knownOf(deps, principal, about, expiresAtMs ?? Number.POSITIVE_INFINITY);
  keyUsed(stored.prefix);
  return known;
}

async function readCertificate(deps: CredentialDeps, certificate: ClientCertificate): Promise<Known> {
  const named = new Map<string, StoredPrincipal>();
  for (const uri of certificate.uris) {
    const principal = await findPrincipalByCertificateUri(deps.store, uri);
    if (principal) named.set(principal.id, principal);
  }
  const [principal] = named.values();
  if (!principal || named.size > 1) throw identityError('CERTIFICATE_MISMATCH', {});
  const times = { issuedAtMs: 0, expiresAtMs: undefined };
  const about = {
    kind: 'CERTIFICATE',
    id: '',
    ...times,
    scopes: undefined,
    sourceRanges: [],
    ...UNBOUND,
  } as const;
  return knownOf(deps, principal, about, Number.POSITIVE_INFINITY);
}

const UNBOUND = { familyId: '', certificateSha256: '' } as const;

/** Puts together what calls are given. Throws TOKEN_REVOKED for a principal whose credentials are refused. */
async function knownOf(
  deps: CredentialDeps,
  stored: StoredPrincipal,
  about: Omit<Credential, 'roles'>,
  refusedFromMs: number,
): Promise<Known> {
  if (stored.disabled || stored.deleted) throw identityError('TOKEN_REVOKED', {});
  const { kind, id, familyId, scopes, certificateSha256, sourceRanges } = about;
  const { allows } = accessOf(await loadRoles(deps.store), stored.roles, scopes);
  const credential = Object.freeze({ kind, id, familyId });
  return {
    principal: Object.freeze({ id: stored.id, tier: stored.tier, credential, allows }),
    credential: { ...about, roles: stored.roles },
    refusedFromMs,
    isTied: certificateSha256 !== '' || sourceRanges.length > 0,
  };
}
