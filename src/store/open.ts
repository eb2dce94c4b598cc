/**
 * Opens the store: SQLite in the data directory, or the PostgreSQL-compatible server of a URL. The one place that
 * turns an engine into the `Store` that contexts see, and that drops forgotten idempotency keys in the background.
 */
import type { Clock } from '../clock.ts';
import type { Logger } from '../observability.ts';
import type { Engine } from './engine.ts';
import { openingError, storeDown } from './errors.ts';
import { idempotencyMigrations, pruneIdempotency } from './idempotency.ts';
import { applyMigrations, learnMigrations } from './migrate.ts';
import { openPostgresql } from './postgresql.ts';
import { openSqlite } from './sqlite.ts';
import type { Queries, Store } from './store.ts';

export interface StoreOptions {
  /** `postgresql://user:password@host:port/name`; without it SQLite in `dataDir`. */
  readonly databaseUrl?: string;
  readonly dataDir: string;
  readonly clock: Clock;
  readonly logger: Logger;
}

const PRUNE_INTERVAL_MS = 10 * 60 * 1000;
const READABLE_TIMEOUT_MS = 2_000;

/**
 * Opens the database. `migrate` comes next, with every migration there is (the store adds its own). Both throw
 * AppError of domain `homeostat.store` whose message is one sentence for the operator: DATABASE_UNREACHABLE,
 * DATABASE_URL_INVALID, DATABASE_READ_ONLY, DATABASE_FULL, DATABASE_DAMAGED, DATABASE_NEWER.
 */
export async function openStore(options: StoreOptions): Promise<Store> {
  const { databaseUrl, dataDir, clock, logger } = options;
  const engine =
    databaseUrl === undefined
      ? openSqlite({ dataDir, clock, logger })
      : await openPostgresql({ databaseUrl, clock, logger });
  return createStore(engine, clock, logger);
}

function createStore(engine: Engine, clock: Clock, logger: Logger): Store {
  const known = new Set<string>();
  let closing = false;
  let pruning: Promise<void> = Promise.resolve();

  const transact: Store['transact'] = async (work) => {
    if (closing) throw storeDown(new Error('the store is closed'));
    return await engine.transact(({ queries, afterCommit }) =>
      work({ query: <Tables>() => queries as unknown as Queries<Tables>, afterCommit }),
    );
  };

  const inTurn = engine.dialect === 'postgresql' ? createTurn() : undefined;

  const prune = async () => {
    try {
      while (!closing && (await transact((tx) => pruneIdempotency(tx, clock.nowMs()))));
    } catch (error) {
      // The keys stay a little longer; the next round tries again.
      logger.warn({ err: error }, 'forgotten idempotency keys could not be dropped');
    }
  };
  const timer = clock.every(PRUNE_INTERVAL_MS, () => {
    // Before the first migration there is no table, and so nothing to forget.
    if (known.size > 0) pruning = pruning.then(prune);
  });

  return {
    dialect: engine.dialect,
    query: <Tables>() => engine.reader as unknown as Queries<Tables>,
    transact,
    transactInTurn: (work) => (inTurn ? inTurn(() => transact(work)) : transact(work)),
    async migrate(migrations) {
      const all = [...idempotencyMigrations, ...migrations];
      learnMigrations(known, all);
      try {
        await applyMigrations(engine, all, known, clock.nowMs());
      } catch (error) {
        throw openingError(engine.address, error);
      }
    },
    readable: () => answers(engine, clock),
    recentCommitSeconds: () => engine.commitTimes.recent(),
    async close() {
      if (closing) return;
      closing = true;
      timer.cancel();
      await pruning;
      await engine.close();
    },
  };
}

/** Runs what it is given one after the other. */
function createTurn() {
  let last: Promise<unknown> = Promise.resolve();
  return <Result>(run: () => Promise<Result>): Promise<Result> => {
    const result = last.then(run);
    last = result.catch(() => undefined); // The caller has the rejection; the next one in turn does not care.
    return result;
  };
}

/** Whether one row can be read in time. */
function answers(engine: Engine, clock: Clock): Promise<boolean> {
  return new Promise((resolve) => {
    const timer = clock.after(READABLE_TIMEOUT_MS, () => resolve(false), true);
    engine.reader
      .selectNoFrom((row) => row.lit(1).as('one'))
      .execute()
      .then(
        () => resolve(true),
        // Any failure is the answer "no"; whoever needs the cause meets it in the next query.
        () => resolve(false),
      )
      .finally(() => timer.cancel());
  });
}
