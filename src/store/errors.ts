/**
 * What the SQL edge may refuse. At run time: the three reasons of `homeostat.edge` that any call may meet. At start:
 * reasons of `homeostat.store`, each one sentence for the operator; they never travel. Everything is told apart by
 * driver codes (SQLite result codes, SQLSTATE, errno), never by message text.
 */
import { AppError, defineErrors, reason } from '../errors.ts';

/** Reasons of a running store, in domain `homeostat.edge`. */
export const storeError = defineErrors('homeostat.edge', {
  STORE_DOWN: reason('UNAVAILABLE', [], () => 'the database does not answer'),
  STORE_READ_ONLY: reason('UNAVAILABLE', [], () => 'the database takes no writes'),
  STORAGE_FULL: reason('RESOURCE_EXHAUSTED', [], () => 'the disk of the database is full'),
});

/** Reasons why a store does not open; `database` is a path or `host:port/name`, never with a password. */
export const storeOpenError = defineErrors('homeostat.store', {
  DATABASE_UNREACHABLE: reason(
    'UNAVAILABLE',
    ['database', 'code'],
    ({ database, code }) => `the database ${database} cannot be reached (${code})`,
  ),
  DATABASE_URL_INVALID: reason(
    'INVALID_ARGUMENT',
    [],
    () => 'the database URL is not of the form postgresql://user:password@host:port/name',
  ),
  DATABASE_READ_ONLY: reason(
    'FAILED_PRECONDITION',
    ['database'],
    ({ database }) => `the database ${database} is read-only`,
  ),
  DATABASE_FULL: reason(
    'RESOURCE_EXHAUSTED',
    ['database'],
    ({ database }) => `the disk of the database ${database} is full`,
  ),
  DATABASE_DAMAGED: reason(
    'DATA_LOSS',
    ['database'],
    ({ database }) => `the database ${database} is damaged or not a database: restore it from a backup`,
  ),
  DATABASE_NEWER: reason(
    'FAILED_PRECONDITION',
    ['database', 'migration'],
    ({ database, migration }) =>
      `the database ${database} was written by a newer version (it holds the unknown migration ${migration})`,
  ),
});

const STORE_DOWN_RETRY_MS = 1_000;
const STORE_READ_ONLY_RETRY_MS = 5_000;
const STORAGE_FULL_RETRY_MS = 10_000;

export function storeDown(cause: unknown): AppError {
  return storeError('STORE_DOWN', {}, { retryAfterMs: STORE_DOWN_RETRY_MS, cause });
}

export function storeReadOnly(cause: unknown): AppError {
  return storeError('STORE_READ_ONLY', {}, { retryAfterMs: STORE_READ_ONLY_RETRY_MS, cause });
}

export function storageFull(cause: unknown): AppError {
  return storeError('STORAGE_FULL', {}, { retryAfterMs: STORAGE_FULL_RETRY_MS, cause });
}

/** A conflict that running the command again can solve. Never leaves the store: the last one becomes STORE_DOWN. */
export class ConflictError extends Error {
  constructor(cause: unknown) {
    super('the command conflicts with another one', { cause });
    this.name = 'ConflictError';
  }
}

/** Codes of a damaged database: SHORT_READ is a file cut off, XX001 and XX002 are PostgreSQL's data and index damage. */
const DAMAGED = /^(SQLITE_CORRUPT|SQLITE_NOTADB|SQLITE_IOERR_SHORT_READ$|XX001$|XX002$)/;

/** The sentence for a run-time refusal that was met while the store was opened; anything else is passed through. */
export function openingError(database: string, error: unknown): unknown {
  if (!(error instanceof AppError) || error.domain !== storeError.domain) return error;
  const details = { cause: error.cause };
  if (error.reason === 'STORAGE_FULL') return storeOpenError('DATABASE_FULL', { database }, details);
  if (error.reason === 'STORE_READ_ONLY') return storeOpenError('DATABASE_READ_ONLY', { database }, details);
  const code = codeOf(error.cause);
  if (DAMAGED.test(code)) return storeOpenError('DATABASE_DAMAGED', { database }, details);
  return storeOpenError('DATABASE_UNREACHABLE', { database, code }, details);
}

/** The driver's code of an error, for texts meant for operators. */
export function codeOf(error: unknown): string {
  const code = (error as { code?: unknown } | null | undefined)?.code;
  return typeof code === 'string' ? code : 'no answer';
}
