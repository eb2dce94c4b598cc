/**
 * Opens the store: SQLite in the data directory, or the PostgreSQL-compatible server of a URL. The one place that
 * turns an engine into the `Store` that contexts see, and that drops forgotten idempotency keys in the background.
 */
import type { Clock } from '../clock.ts';
import { AppError } from '../errors.ts';
import type { Logger } from '../observability.ts';
import type { Engine } from './engine.ts';
import { openingError, storeDown } from './errors.ts';
import { idempotencyMigrations, pruneIdempotency } from './idempotency.ts';
import { applyMigrations, learnMigrations } from './migrate.ts';
import { openPostgresql } from './postgresql.ts';
import { openSqlite } from './sqlite.ts';
import type { Queries, Store, Tx } from './store.ts';

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
 * Opens the database and brings the store's own tables up to date. Throws AppError of domain `homeostat.store` whose
 * message is one sentence for the operator: DATABASE_UNREACHABLE, DATABASE_URL_INVALID, DATABASE_READ_ONLY,
 * DATABASE_FULL, DATABASE_DAMAGED; `migrate` adds DATABASE_NEWER.
 */
export async function openStore(options: StoreOptions): Promise<Store> {
  const { databaseUrl, dataDir, clock, logger } = options;
  const engine =
    databaseUrl === undefined
      ? openSqlite({ dataDir, clock })
      : await openPostgresql({ databaseUrl, clock, logger });
  return createStore(engine, clock, logger);
}
