/**
 * Hashes passwords with argon2id (RFC 9106). A hash takes some 20 MiB and 20 ms of a thread, so few are made at a time
 * and few wait; who comes then is told to come again. Invariant: looking at a password costs the same whether there is
 * such a user or not. Parameters never go below those OWASP recommends (19 MiB, 2 passes, 1 lane). Nothing here keeps
 * a password.
 */
import argon2 from 'argon2';
import type { Secrets } from '../../secrets.ts';
import { identityError } from '../errors.ts';

export interface PasswordConfig {
  /** Memory of one hash in KiB, at least 19,456, which is the default. */
  readonly passwordMemoryKib: number;
  /** Passes over it, at least 2, which is the default. */
  readonly passwordPasses: number;
}

export const PASSWORD_MEMORY_KIB_MIN = 19_456;
export const PASSWORD_PASSES_MIN = 2;

export interface Passwords {
  /** The hash of a password in its normal form. Rejects with LOGIN_THROTTLED when too many wait. */
  hash(password: string): Promise<string>;
  /**
   * Whether a password, in its normal form, is the one of the hash; WRONG after equal work where there is no hash.
   * Rejects with LOGIN_THROTTLED when too many wait.
   */
  verify(hash: string | undefined, password: string): Promise<'RIGHT' | 'WRONG'>;
  /** Whether the hash was made with less work than is asked for now. */
  needsRehash(hash: string): boolean;
  /** Throws LOGIN_THROTTLED when too many wait, before anything was spent on an attempt. */
  assertRoom(): void;
}

const SALT_BYTES = 16;
const HASH_BYTES = 32;
/** As argon2 writes them. */
const PARAMETERS = /^\$argon2id\$v=19\$m=(\d+),p=1,t=(\d+)\$/;

/** When to come again after a full queue: about the time it takes to empty. */
const RETRY_MS = 1_000;

/**
 * `parallel` hashes at a time (default 4), `queueMax` waiting (default 64). Throws RangeError for parameters below the
 * least allowed.
 */
export function createPasswords(deps: {
  readonly config: PasswordConfig;
  readonly secrets: Secrets;
  readonly parallel?: number;
  readonly queueMax?: number;
}): Passwords {
  const { secrets, parallel = 4, queueMax = 64 } = deps;
  const { passwordMemoryKib: memoryCost, passwordPasses: timeCost } = deps.config;
  if (!(memoryCost >= PASSWORD_MEMORY_KIB_MIN) || !(timeCost >= PASSWORD_PASSES_MIN))
    throw new RangeError(
      `argon2id with less than ${PASSWORD_MEMORY_KIB_MIN} KiB or ${PASSWORD_PASSES_MIN} passes`,
    );
  const base64 = (count: number) => Buffer.from(secrets.bytes(count)).toString('base64').replaceAll('=', '');
  // The hash of nobody's password, of the parameters that hashes are made with.
  const nobody = `$argon2id$v=19$m=${memoryCost},p=1,t=${timeCost}$${base64(SALT_BYTES)}$${base64(HASH_BYTES)}`;

  const waiting: (() => void)[] = [];
  let running = 0;
  const assertRoom = () => {
    if (running === parallel && waiting.length >= queueMax)
      throw identityError('LOGIN_THROTTLED', {}, { retryAfterMs: RETRY_MS });
  };
  const inTurn = async <Result>(work: () => Promise<Result>): Promise<Result> => {
    assertRoom();
    if (running === parallel) await new Promise<void>((resolve) => waiting.push(resolve));
    else running++;
    try {
      return await work();
    } finally {
      const next = waiting.shift(); // Takes over the place, so that nobody comes between.
      if (next) next();
      else running--;
    }
  };

  return {
    assertRoom,
    hash: (password) =>
      inTurn(() =>
        argon2.hash(password, {
          type: argon2.argon2id,
          memoryCost,
          timeCost,
          parallelism: 1,
          hashLength: HASH_BYTES,
          salt: Buffer.from(secrets.bytes(SALT_BYTES)),
        }),
      ),
    async verify(hash, password) {
      const equal = await inTurn(() => argon2.verify(hash ?? nobody, password));
      return equal && hash !== undefined ? 'RIGHT' : 'WRONG';
    },
    needsRehash(hash) {
      const [, memory, passes] = PARAMETERS.exec(hash) ?? [];
      return memory === undefined || Number(memory) < memoryCost || Number(passes) < timeCost;
    },
  };
}
