/**
 * The log's name and key, made at the first start and kept for good: what was signed under them is out of the house. Of
 * several servers that start together one makes them. The seed lies sealed in SQL and is nowhere else but in memory.
 */
import type { Sealer } from '../../sealing.ts';
import type { Secrets } from '../../secrets.ts';
import type { Store } from '../../store/store.ts';
import { ledgerStartError } from '../errors.ts';
import { LOG, type Reader } from '../store.ts';
import { findLogKey, type NoteTables } from './checkpoint-store.ts';
import { KEY_BYTES } from './key.ts';

const PURPOSE = 'ledger.seed';
const RANDOM_NAME_BYTES = 4;
const ORIGIN = /^[!-*,-~]{1,200}$/;

export interface LogKey {
  readonly origin: string;
  /** 32 bytes. */
  readonly seed: Uint8Array;
}

export interface LogKeyDeps {
  readonly store: Store;
  readonly secrets: Secrets;
  readonly sealer: Sealer;
  /** The name wanted; empty for the stored one, or one made up. */
  readonly origin: string;
}

/**
 * The key of this database. Throws ORIGIN_INVALID, ORIGIN_DIFFERS when the log has another name than is wanted, and
 * SECRET_FOREIGN (domain `homeostat.edge`) when the seed was sealed under another secret.
 */
export async function openLogKey({ store, secrets, sealer, origin }: LogKeyDeps): Promise<LogKey> {
  if (origin !== '' && !ORIGIN.test(origin)) throw ledgerStartError('ORIGIN_INVALID', { origin });
  const seed = secrets.bytes(KEY_BYTES);
  const randomName = Buffer.from(secrets.bytes(RANDOM_NAME_BYTES)).toString('hex');
  const fresh = {
    origin: origin || `homeostat.local/${randomName}`,
    sealed_seed: sealer.seal(PURPOSE, seed),
  };
  const stored =
    (await findLogKey(store)) ??
    (await store.transact(async (tx) => {
      await tx
        .query<NoteTables>()
        .insertInto('ledger_key')
        .values({ name: LOG, ...fresh })
        .onConflict((conflict) => conflict.doNothing())
        .execute();
      return findLogKey(tx);
    }));
  if (!stored) throw new Error('the key of the log was stored and is not there');
  if (origin !== '' && stored.origin !== origin)
    throw ledgerStartError('ORIGIN_DIFFERS', { configured: origin, stored: stored.origin });
  return { origin: stored.origin, seed: sealer.open(PURPOSE, stored.sealed_seed) };
}

/** Whether SQL still holds this key. */
export async function holdsLogKey(reader: Reader, sealer: Sealer, key: LogKey): Promise<boolean> {
  const stored = await findLogKey(reader);
  if (stored?.origin !== key.origin) return false;
  try {
    return Buffer.compare(sealer.open(PURPOSE, stored.sealed_seed), key.seed) === 0;
  } catch {
    return false; // Whatever keeps it from being opened: it is not the key.
  }
}
