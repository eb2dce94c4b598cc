/**
 * Signs and verifies access tokens with the keys in SQL, and turns the keys over. The ring of keys is read from SQL when
 * somebody needs it, after every change of a key on any server, and every minute; this server's own rotation takes its
 * place at the commit. Private keys are unsealed into the ring only for those that may sign. Every server looks every
 * minute whether the next key is due; whichever is first makes it.
 */
import { createPrivateKey, createPublicKey, type KeyObject } from 'node:crypto';
import { timestampFromMs } from '@bufbuild/protobuf/wkt';
import { errors, jwtVerify, SignJWT } from 'jose';
import type { Bus } from '../../bus/bus.ts';
import { topics } from '../../bus/topics.ts';
import type { Clock } from '../../clock.ts';
import type { Sealer } from '../../sealing.ts';
import type { Secrets } from '../../secrets.ts';
import type { Store, Tx } from '../../store/store.ts';
import type { Changes } from '../changes.ts';
import { type AccessClaims, claimsOf, payloadOf, TOKEN_TTL_MS_MAX, TOKEN_TYPE } from './access-token.ts';
import {
  type Algorithm,
  keyPairOf,
  nextDue,
  outlived,
  PRIVATE_KEY_BYTES,
  publishedAt,
  type RotationTerms,
  type SigningKey,
  signerAt,
} from './signing-key.ts';
import {
  addSigningKey,
  dropSigningKeys,
  listSigningKeys,
  revokeBefore,
  type StoredSigningKey,
} from './signing-key-store.ts';

export interface SigningConfig extends RotationTerms {
  /** `iss` of the tokens: this installation. */
  readonly issuer: string;
  /** `aud` of the tokens: who takes them. */
  readonly audience: string;
  /** How much later than its time a token is taken, and how much earlier; default 60,000. */
  readonly skewMs: number;
}

/** What a token turned out to be. */
export type Verified =
  | { readonly claims: AccessClaims }
  /** BAD: none of ours, or changed. REVOKED: its key was. */
  | { readonly refused: 'BAD' | 'EXPIRED' | 'REVOKED' };

export interface Signing {
  sign(claims: AccessClaims): Promise<string>;
  /** Looks at signature, type, issuer, audience and times; whether it was revoked by id, login or principal is not its. */
  verify(token: string): Promise<Verified>;
  /** The keys that tokens are verified with, the one that signs first. */
  published(): Promise<readonly SigningKey[]>;
  /**
   * Makes a new key in the caller's transaction; once that is committed it signs. A key that was published and has not
   * signed yet is given up. `by` and `traceparent` are of whoever asked.
   */
  rotate(
    tx: Tx,
    how: {
      readonly algorithm: Algorithm;
      readonly revokePrevious: boolean;
      readonly traceparent?: string | undefined;
    },
  ): Promise<SigningKey>;
  /** Makes the key that is due, and drops those no living token is signed with. The first key of all as well. */
  maintain(): Promise<void>;
}

export interface SigningDeps {
  readonly config: SigningConfig;
  readonly clock: Clock;
  readonly store: Store;
  readonly bus: Pick<Bus, 'record'>;
  readonly secrets: Secrets;
  readonly sealer: Sealer;
  readonly changes: Pick<Changes, 'note' | 'subscribe'>;
}

/** A key as it is used: the private half only where it may sign. */
interface RingKey extends SigningKey {
  readonly verifies: KeyObject;
  readonly signs: KeyObject | undefined;
}

const PURPOSE = 'identity.signing-key';
const ALGORITHMS: Algorithm[] = ['EdDSA', 'ES256'];

/** An unknown key is looked for in SQL at most this often: another server may have made it just now. */
const RELOAD_MS = 1_000;

/** The keys in memory. */
interface Ring {
  get(): Promise<readonly RingKey[]>;
  /** The key of an id, looked for in SQL where it is not in the ring. */
  find(kid: string | undefined): Promise<RingKey | undefined>;
  /** Lets the next who needs it read it anew. */
  drop(): void;
  replace(keys: readonly RingKey[]): void;
}

function createRing(deps: SigningDeps): Ring {
  const { clock, store } = deps;
  let loading: Promise<readonly RingKey[]> | undefined;
  let loadedAtMs = 0;

  const get = () => {
    if (loading) return loading;
    loadedAtMs = clock.monotonicMs();
    const started: Promise<readonly RingKey[]> = listSigningKeys(store)
      .then((keys) => ringOf(deps, keys))
      .catch((error) => {
        if (loading === started) loading = undefined; // Asked again, it is tried again.
        throw error;
      });
    loading = started;
    return started;
  };
  const drop = () => {
    loading = undefined;
  };
  deps.changes.subscribe((changes) => {
    if (changes === 'EVERYTHING' || changes.some((change) => change.kind === 'signing-key')) drop();
  });
  return {
    get,
    drop,
    async find(kid) {
      const known = (await get()).find((key) => key.kid === kid);
      if (known || clock.monotonicMs() - loadedAtMs < RELOAD_MS) return known;
      drop();
      return (await get()).find((key) => key.kid === kid);
    },
    replace(keys) {
      loading = Promise.resolve(keys);
    },
  };
}

export function createSigning(deps: SigningDeps): Signing {
  const { config, clock, store } = deps;
  const ring = createRing(deps);

  return {
    async sign(claims) {
      const key = signerAt(await ring.get(), clock.nowMs());
      if (!key?.signs) throw new Error('there is no key to sign with');
      return new SignJWT(payloadOf(claims, config.issuer, config.audience))
        .setProtectedHeader({ alg: key.algorithm, typ: TOKEN_TYPE, kid: key.kid })
        .sign(key.signs);
    },

    async verify(token) {
      let key: RingKey | undefined;
      try {
        const { payload } = await jwtVerify(
          token,
          async (header) => {
            key = await ring.find(header.kid);
            if (!key || key.algorithm !== header.alg) throw new errors.JWKSNoMatchingKey();
            return key.verifies;
          },
          {
            algorithms: ALGORITHMS,
            typ: TOKEN_TYPE,
            issuer: config.issuer,
            audience: config.audience,
            clockTolerance: config.skewMs / 1000,
            currentDate: new Date(clock.nowMs()),
          },
        );
        if (key?.revokedAtMs !== undefined) return { refused: 'REVOKED' };
        const claims = claimsOf(payload);
        return claims ? { claims } : { refused: 'BAD' };
      } catch (error) {
        if (error instanceof errors.JWTExpired) return { refused: 'EXPIRED' };
        if (error instanceof errors.JOSEError) return { refused: 'BAD' };
        throw error;
      }
    },

    published: async () => publishedAt(await ring.get(), clock.nowMs()),

    async rotate(tx, { algorithm, revokePrevious, traceparent }) {
      const nowMs = clock.nowMs();
      const before = await listSigningKeys(tx);
      const given = before.filter((key) => key.signsFromMs > nowMs && key !== signerAt(before, nowMs));
      const key = await addNext(deps, tx, before, { algorithm, signsFromMs: nowMs });
      await dropSigningKeys(
        tx,
        given.map(({ generation }) => generation),
      );
      if (revokePrevious) await revokeBefore(tx, key.generation, nowMs);
      await announce(deps, tx, key, revokePrevious, traceparent);
      const after = ringOf(deps, await listSigningKeys(tx));
      tx.afterCommit(() => ring.replace(after));
      return key;
    },

    async maintain() {
      ring.drop();
      const known = await ring.get();
      if (nothingDue(config, known, clock.nowMs())) return;
      await store.transact((tx) => turnOver(deps, tx));
      ring.drop();
    },
  };
}

function nothingDue(config: SigningConfig, keys: readonly SigningKey[], nowMs: number): boolean {
  return nextDue(keys, nowMs, config) === undefined && outlivedAt(config, keys, nowMs).length === 0;
}

function outlivedAt(config: SigningConfig, keys: readonly SigningKey[], nowMs: number): SigningKey[] {
  return outlived(keys, nowMs, TOKEN_TTL_MS_MAX + config.skewMs);
}

/** Makes the key that is due, of the algorithm of the one that signs, and drops those that have outlived their tokens. */
async function turnOver(deps: SigningDeps, tx: Tx): Promise<void> {
  const { config, clock, changes } = deps;
  const nowMs = clock.nowMs();
  const keys = await listSigningKeys(tx);
  const signsFromMs = nextDue(keys, nowMs, config);
  if (signsFromMs !== undefined) {
    const algorithm = signerAt(keys, nowMs)?.algorithm ?? 'EdDSA';
    const key = await addNext(deps, tx, keys, { algorithm, signsFromMs });
    // The first key of all takes nobody's place.
    if (keys.length > 0) await announce(deps, tx, key, false, undefined);
    else await changes.note(tx, { kind: 'signing-key', id: key.kid });
  }
  await dropSigningKeys(
    tx,
    outlivedAt(config, keys, nowMs).map(({ generation }) => generation),
  );
}

/** Adds the next generation. */
async function addNext(
  deps: Pick<SigningDeps, 'secrets' | 'sealer'>,
  tx: Tx,
  keys: readonly SigningKey[],
  about: Pick<SigningKey, 'algorithm' | 'signsFromMs'>,
): Promise<StoredSigningKey> {
  for (;;) {
    const privateKey = deps.secrets.bytes(PRIVATE_KEY_BYTES);
    const pair = keyPairOf(about.algorithm, privateKey);
    if (!pair) continue;
    const key = {
      ...about,
      ...pair,
      generation: (keys.at(-1)?.generation ?? 0) + 1,
      revokedAtMs: undefined,
      sealed: deps.sealer.seal(PURPOSE, privateKey),
    };
    if (!(await addSigningKey(tx, key))) throw new Error('two keys of one generation in one transaction');
    return key;
  }
}

/** Tells everybody who keeps keys, here and elsewhere. */
async function announce(
  deps: Pick<SigningDeps, 'bus' | 'changes'>,
  tx: Tx,
  key: SigningKey,
  previousRevoked: boolean,
  traceparent: string | undefined,
): Promise<void> {
  await deps.changes.note(tx, { kind: 'signing-key', id: key.kid });
  const message = { kid: key.kid, previousRevoked, rotatedAt: timestampFromMs(key.signsFromMs) };
  await deps.bus.record(tx, topics.signingKeyRotated, key.kid, message, traceparent);
}

function ringOf({ sealer }: Pick<SigningDeps, 'sealer'>, keys: readonly StoredSigningKey[]): RingKey[] {
  return keys.map(({ sealed, ...key }, i) => {
    const jwk = { ...key.publicKey };
    // Only the last two can have to sign: the one that does and the one after it.
    const maySign = key.revokedAtMs === undefined && i >= keys.length - 2;
    const d = maySign ? Buffer.from(sealer.open(PURPOSE, sealed)).toString('base64url') : undefined;
    return {
      ...key,
      verifies: createPublicKey({ key: jwk, format: 'jwk' }),
      signs: d === undefined ? undefined : createPrivateKey({ key: { ...jwk, d }, format: 'jwk' }),
    };
  });
}
