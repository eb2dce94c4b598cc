/**
 * Looks at a database without changing anything: what is wrong with it, and which steps of the schema it holds. For
 * `homeostat doctor`. SQLite is opened so that not even the index of its log is written; PostgreSQL is only asked.
 */
import { access, constants, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import Database from 'libsql/promise';
import { Client } from 'pg';
import type { Clock } from '../clock.ts';
import { AppError } from '../errors.ts';
import { codeOf, openingError } from './errors.ts';
import { idempotencyMigrations } from './idempotency.ts';
import { addressOf, postgresqlError } from './postgresql.ts';
import { FILE } from './sqlite.ts';
import { SQLITE, sqliteCode, sqliteError } from './sqlite-connection.ts';
import type { Migration } from './store.ts';

/** Which steps of the schema a database lacks, and which it holds that this version does not know. */
export interface SchemaView {
  /** Steps it holds; 0 when nothing was ever written to it. */
  readonly appliedCount: number;
  readonly pending: readonly string[];
  readonly unknown: readonly string[];
}

/** Why a database cannot be looked at: an AppError with a sentence without secrets, else the driver's own error. */
export interface DatabaseFailure {
  readonly failure: Error;
}

export interface SqliteView {
  readonly failure?: undefined;
  readonly path: string;
  /** Of the database file and its log. */
  readonly bytes: number;
  readonly journalMode: string;
  readonly schema: SchemaView;
  /** What `PRAGMA quick_check` found, at most ten texts; undefined when the signal ended it before it was done. */
  readonly damage: readonly string[] | undefined;
}

export interface InspectSqliteOptions {
  readonly dataDir: string;
  /** Whether a server has the database open now: it is then read as one reader more. */
  readonly inUse: boolean;
  /** Every step of the schema this version has, but the store's own. */
  readonly migrations: readonly Migration[];
  /** Ends the search for damage. */
  readonly signal: AbortSignal;
}

/** Rows of a table that may not be there. */
type Ask = (sql: string) => Promise<ReadonlyArray<Readonly<Record<string, unknown>>>>;

const DAMAGE_MAX = 10;

/** Looks at the SQLite database of a data directory; undefined when there is none. Costs a read of the whole file. */
export async function inspectSqlite(
  options: InspectSqliteOptions,
): Promise<SqliteView | DatabaseFailure | undefined> {
  const path = join(options.dataDir, FILE);
  let database: Database | undefined;
  try {
    const bytes = await sizeOf(path);
    if (bytes === undefined) return undefined;
    const logBytes = (await sizeOf(`${path}-wal`)) ?? 0;
    await access(path, constants.R_OK);
    const opened = new Database(
      `${pathToFileURL(path).href}?mode=ro${readerOf(options.inUse, logBytes)}`,
      {},
    );
    database = opened;
    const ask: Ask = async (sql) => (await opened.prepare(sql)).all();
    const [mode] = await ask('pragma journal_mode');
    const present = (await ask("select name from sqlite_schema where name = 'store_migration'")).length > 0;
    const schema = await lookAtSchema(present ? ask : undefined, options.migrations);
    const damage = await findDamage(opened, ask, options.signal);
    return { path, bytes: bytes + logBytes, journalMode: String(mode?.['journal_mode']), schema, damage };
  } catch (error) {
    return { failure: asError(openingError(path, sqliteError(error))) };
  } finally {
    database?.close();
  }
}

/**
 * How to read without leaving a trace (https://sqlite.org/uri.html). Beside a server: as any reader. With a log that a
 * crash left: the log is read too, its index rebuilt in memory. Otherwise the file is whole, and nobody changes it.
 */
function readerOf(inUse: boolean, logBytes: number): string {
  if (inUse) return '';
  return logBytes > 0 ? '&readonly_shm=1' : '&immutable=1';
}

async function findDamage(
  database: Database,
  ask: Ask,
  signal: AbortSignal,
): Promise<readonly string[] | undefined> {
  if (signal.aborted) return undefined;
  const interrupt = () => database.interrupt();
  signal.addEventListener('abort', interrupt);
  try {
    const rows = await ask(`pragma quick_check(${DAMAGE_MAX})`);
    const texts = rows.map((row) => String(row['quick_check']));
    return texts.length === 1 && texts[0] === 'ok' ? [] : texts;
  } catch (error) {
    if (sqliteCode(error) === SQLITE.INTERRUPT) return undefined;
    throw error;
  } finally {
    signal.removeEventListener('abort', interrupt);
  }
}

async function sizeOf(path: string): Promise<number | undefined> {
  try {
    return (await stat(path)).size;
  } catch (error) {
    if (codeOf(error) === 'ENOENT' || codeOf(error) === 'ENOTDIR') return undefined;
    throw error;
  }
}

async function lookAtSchema(ask: Ask | undefined, migrations: readonly Migration[]): Promise<SchemaView> {
  const rows = (await ask?.('select id from store_migration order by id')) ?? [];
  const applied = new Set(rows.map((row) => String(row['id'])));
  const wanted = [...idempotencyMigrations, ...migrations].map(({ id }) => id);
  return {
    appliedCount: applied.size,
    pending: wanted.filter((id) => !applied.has(id)),
    unknown: [...applied].filter((id) => !wanted.includes(id)),
  };
}

export interface PostgresqlView {
  readonly failure?: undefined;
  /** `host:port/name`, without a secret. */
  readonly address: string;
  readonly version: string;
  /** Whether a crash of its host loses commits. */
  readonly fsyncOff: boolean;
  /** A standby, or a server whose default it is. */
  readonly readOnly: boolean;
  /** Whether this user may make tables. */
  readonly mayCreate: boolean;
  readonly schema: SchemaView;
  /** The database's wall time, read between two readings of ours. */
  readonly time: { readonly askedMs: number; readonly theirsMs: number; readonly answeredMs: number };
}

export interface InspectPostgresqlOptions {
  readonly databaseUrl: string;
  readonly migrations: readonly Migration[];
  readonly clock: Clock;
  /** Bound of connecting and of each query, ms. */
  readonly timeoutMs: number;
}

const SETTINGS = `select current_setting('server_version') as version,
  coalesce(current_setting('fsync', true), 'on') as fsync,
  current_setting('transaction_read_only') as read_only,
  coalesce(has_schema_privilege(current_schema(), 'CREATE'), false) as may_create,
  to_regclass('store_migration') is not null as present`;

/** Looks at a PostgreSQL database over one connection of its own. */
export async function inspectPostgresql(
  options: InspectPostgresqlOptions,
): Promise<PostgresqlView | DatabaseFailure> {
  const { databaseUrl, migrations, clock, timeoutMs } = options;
  let client: Client | undefined;
  let address = '';
  try {
    address = addressOf(databaseUrl);
    client = new Client({
      connectionString: databaseUrl,
      connectionTimeoutMillis: timeoutMs,
      query_timeout: timeoutMs,
      application_name: 'homeostat doctor',
    });
    const connected = client;
    // What was being asked rejects; unheard, the event would end the process.
    client.on('error', () => undefined);
    await client.connect();
    const ask: Ask = async (sql) => (await connected.query(sql)).rows;
    const askedMs = clock.nowMs();
    const [now] = await ask('select extract(epoch from clock_timestamp()) * 1000 as now_ms');
    const time = { askedMs, theirsMs: Number(now?.['now_ms']), answeredMs: clock.nowMs() };
    const [settings] = await ask(SETTINGS);
    return {
      address,
      version: String(settings?.['version']),
      fsyncOff: settings?.['fsync'] === 'off',
      readOnly: settings?.['read_only'] === 'on',
      mayCreate: settings?.['may_create'] === true,
      schema: await lookAtSchema(settings?.['present'] === true ? ask : undefined, migrations),
      time,
    };
  } catch (error) {
    const failure = error instanceof AppError ? error : openingError(address, postgresqlError(error));
    return { failure: asError(failure) };
  } finally {
    await client?.end();
  }
}

function asError(thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new Error(String(thrown));
}
