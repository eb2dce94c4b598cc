/**
 * Says who a bearer token belongs to. Verified tokens are remembered by their digest for a minute, so that the usual
 * call costs one hash and one look into a map, synchronously; the token itself is never kept. Expiry is looked at on
 * every call, and `forget` makes a revocation count at once. Refused tokens are not remembered.
 */
import { hash } from 'node:crypto';
import type { Clock } from '../../clock.ts';
import { type ApiKey, isUsable, parseApiKey, type StoredKey, secretMatches } from './api-key.ts';
import { intersect, permissionsOf } from './roles.ts';

/** Who a token belongs to and what it allows; frozen and shared by the calls it makes. */
export interface Bearer {
  readonly id: string;
  readonly permissions: readonly string[];
}

export interface CredentialConfig {
  /** How long a verified token is remembered, monotonic; default 60,000. */
  readonly cacheMs: number;
  /** Most tokens remembered; the one remembered first gives way. Default 10,000. */
  readonly cacheEntriesMax: number;
}

export interface Credentials {
  /** The bearer, or undefined for anything that is not a usable key. A promise only when the token is not remembered. */
  verify(token: string): Bearer | undefined | Promise<Bearer | undefined>;
  /** Forgets every remembered token, so that each is looked up anew. */
  forget(): void;
  /** Tokens remembered. */
  readonly size: number;
}

interface Remembered {
  readonly bearer: Bearer;
  readonly untilMonotonicMs: number;
  readonly expiresAtMs: number;
}

/** Takes the place of text that is no key, so that it is refused after the same work. Its prefix is nobody's. */
const NO_KEY: ApiKey = { environment: 'live', prefix: '', secret: '' };

/** `find` reads the stored key of a prefix; what it rejects with, `verify` rejects with. */
export function createCredentials(deps: {
  readonly config: CredentialConfig;
  readonly clock: Clock;
  readonly find: (prefix: string) => Promise<StoredKey | undefined>;
}): Credentials {
  const { config, clock, find } = deps;
  const remembered = new Map<string, Remembered>();
  let generation = 0;

  const remember = (digest: string, stored: StoredKey): Bearer => {
    const permissions = Object.freeze([...intersect(stored.scopes, permissionsOf(stored.roles))]);
    const bearer = Object.freeze({ id: stored.principalId, permissions });
    remembered.delete(digest); // Set anew at the end: the map's order is the order of remembering.
    if (remembered.size >= config.cacheEntriesMax) remembered.delete(remembered.keys().next().value!);
    remembered.set(digest, {
      bearer,
      untilMonotonicMs: clock.monotonicMs() + config.cacheMs,
      expiresAtMs: stored.expiresAtMs ?? Number.POSITIVE_INFINITY,
    });
    return bearer;
  };

  const lookUp = async (token: string, digest: string): Promise<Bearer | undefined> => {
    const key = parseApiKey(token) ?? NO_KEY;
    const startedIn = generation;
    const stored = await find(key.prefix);
    if (!secretMatches(key.secret, stored) || !stored || !isUsable(stored, clock.nowMs())) return undefined;
    // A revocation while the row was being read may not be in it: look again.
    return startedIn === generation ? remember(digest, stored) : lookUp(token, digest);
  };

  return {
    verify(token) {
      const digest = hash('sha256', token, 'base64');
      const known = remembered.get(digest);
      if (known && clock.monotonicMs() < known.untilMonotonicMs)
        return clock.nowMs() < known.expiresAtMs ? known.bearer : undefined;
      return lookUp(token, digest);
    },
    forget() {
      generation++;
      remembered.clear();
    },
    get size() {
      return remembered.size;
    },
  };
}
