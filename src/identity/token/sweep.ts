/**
 * Housekeeping of credentials, every minute: signing keys are turned over, and what no living token needs any more is
 * removed, in steps of a bounded number of rows each. Several servers may do it at once; nothing is done twice.
 */
import type { Clock, Timer } from '../../clock.ts';
import { describeError } from '../../errors.ts';
import type { Logger } from '../../observability.ts';
import type { Store, Tx } from '../../store/store.ts';
import { pruneChanges } from '../changes.ts';
import { pruneThrottle } from '../password/throttle-store.ts';
import { pruneFamilies } from './family-store.ts';
import { pruneRevocations } from './revocation-store.ts';
import type { Signing } from './signing-service.ts';

export interface Sweep {
  /** Makes the first signing key where there is none, then goes on every minute. */
  start(): Promise<void>;
  stop(): Promise<void>;
}

const INTERVAL_MS = 60_000;

/** One step of a pruning; whether there may be more to remove. */
type Prune = (tx: Tx, nowMs: number) => Promise<boolean>;

const PRUNES: readonly Prune[] = [pruneFamilies, pruneRevocations, pruneThrottle, pruneChanges];

export function createSweep(deps: {
  readonly store: Store;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly signing: Pick<Signing, 'maintain'>;
}): Sweep {
  const { store, clock, logger, signing } = deps;
  let timer: Timer | undefined;
  let sweeping: Promise<void> | undefined;
  let stopping = false;

  const sweep = async () => {
    await signing.maintain();
    for (const prune of PRUNES)
      for (let more = true; more && !stopping; )
        more = await store.transact((tx) => prune(tx, clock.nowMs()));
  };
  const sweepOnce = () => {
    sweeping ??= sweep()
      // The next sweep finds what this one left.
      .catch((error) => logger.warn({ cause: describeError(error) }, 'credentials were not swept'))
      .finally(() => {
        sweeping = undefined;
      });
  };

  return {
    async start() {
      stopping = false;
      await signing.maintain();
      timer = clock.every(INTERVAL_MS, sweepOnce);
    },
    async stop() {
      stopping = true;
      timer?.cancel();
      await sweeping;
    },
  };
}
