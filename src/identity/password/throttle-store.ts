/**
 * Admits attempts at passwords. Failures of names lie in SQL, so that all servers hold a name to them together; windows
 * of addresses are each server's own. An attempt counts as a failure before it is looked at and is forgiven when it was
 * right, so that any number at once are no better than one after the other. A name is stored as its SHA-256: any text
 * can be one, also a password typed into the wrong field. Rows are at most as many as attempts pass in 15 minutes.
 */
import { hash } from 'node:crypto';
import type { Clock } from '../../clock.ts';
import type { Migration, Store, Tx } from '../../store/store.ts';
import { identityError } from '../errors.ts';
import { type Failures, oneMore, QUIET_MS, SlidingLimit, waitOf } from './throttle.ts';

interface ThrottleTables {
  identity_throttle: { name_digest: string; failures: number; last_ms: number };
}

export const throttleMigrations: readonly Migration[] = [
  {
    id: 'identity_007_throttle',
    async up(schema, types) {
      await schema
        .createTable('identity_throttle')
        .addColumn('name_digest', types.text, (column) => column.primaryKey())
        .addColumn('failures', types.integer, (column) => column.notNull())
        .addColumn('last_ms', types.integer, (column) => column.notNull())
        .execute();
      await schema.createIndex('identity_throttle_last').on('identity_throttle').column('last_ms').execute();
    },
  },
];

export interface Attempts {
  /**
   * Lets one attempt at a name's password through and counts it as failed. Rejects with LOGIN_THROTTLED and when to try
   * again; then the password must not be looked at.
   */
  admit(username: string, address: string): Promise<void>;
  /** Forgets the failures of a name: its password was right. */
  forgive(tx: Tx, username: string): Promise<void>;
}

const ALL_LIMIT = 50;
const ALL_WINDOW_MS = 1_000;
const ADDRESS_LIMIT = 20;
const ADDRESS_WINDOW_MS = 60_000;

/** More than attempts fit into an address's window, so whoever gives way has nothing to remember. */
const ADDRESSES_MAX = 2 * ALL_LIMIT * (ADDRESS_WINDOW_MS / ALL_WINDOW_MS);

/** Rows removed in one transaction. */
const PRUNE_ROWS = 1_000;

export function createAttempts(deps: { readonly store: Store; readonly clock: Clock }): Attempts {
  const { store, clock } = deps;
  const all = new SlidingLimit(ALL_LIMIT, ALL_WINDOW_MS);
  /** The one that tried last at the end. */
  const addresses = new Map<string, SlidingLimit>();

  const takeWindows = (address: string) => {
    const nowMs = clock.monotonicMs();
    const own = addresses.get(address) ?? new SlidingLimit(ADDRESS_LIMIT, ADDRESS_WINDOW_MS);
    refuseFor(Math.max(all.waitOf(nowMs), own.waitOf(nowMs)));
    all.take(nowMs);
    own.take(nowMs);
    addresses.delete(address);
    addresses.set(address, own);
    if (addresses.size > ADDRESSES_MAX) addresses.delete(addresses.keys().next().value!);
  };

  return {
    async admit(username, address) {
      takeWindows(address);
      const digest = digestOf(username);
      // Read first: a name under attack costs no transaction while it waits.
      refuseFor(waitOf(await findFailures(store, digest), clock.nowMs()));
      const waitMs = await store.transact(async (tx) => {
        const nowMs = clock.nowMs();
        const failures = await findFailures(tx, digest);
        const wait = waitOf(failures, nowMs);
        if (wait === 0) await saveFailures(tx, digest, oneMore(failures, nowMs));
        return wait;
      });
      refuseFor(waitMs);
    },
    async forgive(tx, username) {
      await tx
        .query<ThrottleTables>()
        .deleteFrom('identity_throttle')
        .where('name_digest', '=', digestOf(username))
        .execute();
    },
  };
}

/** Removes failures that no longer count, a bounded number of them. Whether there may be more. */
export async function pruneThrottle(tx: Tx, nowMs: number): Promise<boolean> {
  const { numDeletedRows } = await tx
    .query<ThrottleTables>()
    .deleteFrom('identity_throttle')
    .where('name_digest', 'in', (inner) =>
      inner
        .selectFrom('identity_throttle')
        .select('name_digest')
        .where('last_ms', '<=', nowMs - QUIET_MS)
        .limit(PRUNE_ROWS),
    )
    .executeTakeFirstOrThrow();
  return Number(numDeletedRows) === PRUNE_ROWS;
}

function refuseFor(waitMs: number): void {
  if (waitMs > 0) throw identityError('LOGIN_THROTTLED', {}, { retryAfterMs: Math.ceil(waitMs) });
}

function digestOf(username: string): string {
  return hash('sha256', username, 'base64url');
}

async function findFailures(from: Pick<Store | Tx, 'query'>, digest: string): Promise<Failures | undefined> {
  const row = await from
    .query<ThrottleTables>()
    .selectFrom('identity_throttle')
    .select(['failures', 'last_ms'])
    .where('name_digest', '=', digest)
    .executeTakeFirst();
  return row && { count: row.failures, lastMs: row.last_ms };
}

async function saveFailures(tx: Tx, digest: string, { count, lastMs }: Failures): Promise<void> {
  const values = { failures: count, last_ms: lastMs };
  await tx
    .query<ThrottleTables>()
    .insertInto('identity_throttle')
    .values({ name_digest: digest, ...values })
    .onConflict((conflict) => conflict.column('name_digest').doUpdateSet(values))
    .execute();
}
