/**
 * When keys were last used, to the minute. Uses are noted in memory and written in the background, so that no call
 * waits for it; a crash loses at most the uses of the last interval. Bounded: a key has one entry, and once
 * `KEYS_MAX` wait, further ones are left out until the next write.
 */
import type { Clock, Timer } from '../../clock.ts';
import { describeError } from '../../errors.ts';
import type { Logger } from '../../observability.ts';
import type { Store } from '../../store/store.ts';
import { noteLastUse } from './key-store.ts';

/** How often uses are written. */
const WRITE_MS = 60_000;
/** Keys whose use waits to be written. */
const KEYS_MAX = 100_000;
/** Keys of one transaction. */
const BATCH_KEYS = 500;

export interface KeyUse {
  /** A key was used now. Cost: a look into a map. */
  note(prefix: string): void;
  start(): void;
  /** Writes what is noted and ends. */
  stop(): Promise<void>;
}

export function createKeyUse(deps: {
  readonly store: Store;
  readonly clock: Clock;
  readonly logger: Logger;
}): KeyUse {
  const { store, clock, logger } = deps;
  const noted = new Map<string, number>();
  let timer: Timer | undefined;
  let writing: Promise<void> | undefined;

  const write = async () => {
    while (noted.size > 0) {
      const batch = [...noted].slice(0, BATCH_KEYS);
      for (const [prefix] of batch) noted.delete(prefix);
      await store.transact(async (tx) => {
        for (const [prefix, usedAtMs] of batch) await noteLastUse(tx, prefix, usedAtMs);
      });
    }
  };
  const writeOnce = () => {
    writing ??= write()
      // The next use of these keys is noted anew.
      .catch((error) => logger.warn({ cause: describeError(error) }, 'uses of keys were not written'))
      .finally(() => {
        writing = undefined;
      });
    return writing;
  };

  return {
    note(prefix) {
      if (noted.size < KEYS_MAX || noted.has(prefix)) noted.set(prefix, clock.nowMs());
    },
    start() {
      timer = clock.every(WRITE_MS, writeOnce);
    },
    async stop() {
      timer?.cancel();
      await writing;
      await writeOnce();
    },
  };
}
