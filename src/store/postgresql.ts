/**
 * The PostgreSQL engine: any server that speaks its protocol, through `pg`.
 *
 * Every command is its own SERIALIZABLE transaction, so a command means the same here as on SQLite, where commands run
 * one after the other: a rule checked by reading ("at most 5 sessions per owner") cannot be broken by two commands
 * that each saw only the other's past, which REPEATABLE READ would allow. What that costs are serialization failures;
 * they and deadlocks are retried with back-off. A connection lost during COMMIT is not: nobody can tell whether the
 * commit happened, so the caller gets STORE_DOWN and repeats with its idempotency key.
 */
import { type CompiledQuery, PostgresAdapter, PostgresQueryCompiler, type QueryResult, sql } from 'kysely';
import { DatabaseError, Pool, type PoolClient, type QueryConfig, types } from 'pg';
import { type Clock, delay } from '../clock.ts';
import type { Logger } from '../observability.ts';
import { createRandom } from '../random.ts';
import { announceCommit, type Outcome, runCommand, type Work } from './command.ts';
import { type CommitTimes, createCommitTimes, type Engine } from './engine.ts';
import {
  ConflictError,
  openingError,
  storageFull,
  storeDown,
  storeOpenError,
  storeReadOnly,
} from './errors.ts';
import { checkParameters } from './parameters.ts';
import { bindQueries, type Connection, type Dialect, readOnly, singleProvider } from './queries.ts';

const POOL_CONNECTIONS = 16;
const CONNECT_TIMEOUT_MS = 5_000;
/** A statement that takes longer counts as a server that does not answer. */
const QUERY_TIMEOUT_MS = 30_000;

const ROLLBACK_TIMEOUT_MS = 2_000;

/** Conflicts: attempts of one command, and the back-off between them, doubling with full jitter. */
const ATTEMPTS = 20;
const BACKOFF_MS_MIN = 2;
const BACKOFF_MS_MAX = 500;

/** Key of the advisory lock under which one server at a time changes the schema ("homeosta" in ASCII). */
const SCHEMA_LOCK = '7525353784788350049';

const dialect: Dialect = {
  compiler: new PostgresQueryCompiler(),
  adapter: new PostgresAdapter(),
  plugins: [],
};

export interface PostgresqlOptions {
  readonly databaseUrl: string;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** Opens the pool and proves that the server answers. Throws AppError of domain `homeostat.store`. */
export async function openPostgresql(options: PostgresqlOptions): Promise<Engine> {
  const { databaseUrl, clock, logger } = options;
  const address = addressOf(databaseUrl);
  const pool = await openPool(databaseUrl, address, logger);
  const commitTimes = createCommitTimes(clock);
  const commands = new Set<Promise<unknown>>();
  let closed = false;

  const tracked = <Result>(run: () => Promise<Result>): Promise<Result> => {
    if (closed) return Promise.reject(storeDown(new Error('the store is closed')));
    const command = run().finally(() => commands.delete(command));
    commands.add(command);
    return command;
  };
  const retry = createRetry(clock);
  const run = <Result>(begin: readonly string[], work: Work<Result>) =>
    tracked(() => retry(() => runOnce(pool, begin, commitTimes, clock, work)));
  return {
    dialect: 'postgresql',
    // Text compares by code point as SQLite's does, whatever the database's own collation.
    columnTypes: { text: sql`text collate "C"`, integer: 'bigint', real: 'double precision', bytes: 'bytea' },
    address,
    reader: bindQueries(dialect, singleProvider(readOnly({ executeQuery: (query) => read(pool, query) }))),
    commitTimes,
    transact: (work) => run(['begin isolation level serializable'], work),
    // Read committed: what another server did before it let go of the lock must be seen.
    transactAlone: (work) =>
      run(['begin isolation level read committed', `select pg_advisory_xact_lock(${SCHEMA_LOCK})`], work),
    async close() {
      closed = true;
      await Promise.allSettled(commands);
      await pool.end();
    },
  };
}

/** One attempt of a command, from BEGIN to COMMIT. */
async function runOnce<Result>(
  pool: Pool,
  begin: readonly string[],
  commitTimes: CommitTimes,
  clock: Clock,
  work: Work<Result>,
): Promise<Outcome<Result>> {
  const client = await connect(pool);
  let broken = true;
  try {
    for (const statement of begin) await statementOf(client, statement);
    const connection: Connection = { executeQuery: (query) => execute(client, query) };
    const outcome = await runCommand(dialect, connection, work);
    if (!outcome.ok) {
      broken = !(await rollback(client));
      return outcome;
    }
    const startMs = clock.monotonicMs();
    const { command } = await statementOf(client, 'commit');
    broken = false;
    // The server answers COMMIT of a failed transaction with ROLLBACK, and no error.
    if (command !== 'COMMIT') throw new Error('a statement failed that the command did not wait for');
    commitTimes.note(startMs);
    announceCommit(outcome);
    return outcome;
  } catch (error) {
    if (broken) broken = !(await rollback(client));
    return { ok: false, error, cause: error };
  } finally {
    client.release(broken);
  }
}

/** Repeats attempts that end in a conflict. */
function createRetry(clock: Clock) {
  const random = createRandom(Math.floor(clock.nowMs()), process.pid);
  return async <Result>(attempt: () => Promise<Outcome<Result>>): Promise<Result> => {
    for (let count = 1; ; count++) {
      const outcome = await attempt();
      if (outcome.ok) return outcome.value;
      if (!(outcome.cause instanceof ConflictError)) throw outcome.error;
      if (count === ATTEMPTS) throw storeDown(outcome.cause);
      const boundMs = Math.min(BACKOFF_MS_MAX, BACKOFF_MS_MIN * 2 ** count);
      await delay(clock, random.uniform() * boundMs);
    }
  };
}

async function connect(pool: Pool): Promise<PoolClient> {
  try {
    return await pool.connect();
  } catch (error) {
    throw postgresqlError(error);
  }
}

async function statementOf(client: PoolClient, statement: string): Promise<{ command: string }> {
  try {
    return await client.query(statement);
  } catch (error) {
    throw postgresqlError(error);
  }
}

/** Whether the connection can be used again. */
async function rollback(client: PoolClient): Promise<boolean> {
  try {
    await client.query({ text: 'rollback', query_timeout: ROLLBACK_TIMEOUT_MS } as QueryConfig);
    return true;
  } catch {
    // The server rolls back by itself once the connection, dropped because of this answer, is gone.
    return false;
  }
}

async function execute<Row>(on: Pool | PoolClient, query: CompiledQuery): Promise<QueryResult<Row>> {
  checkParameters(query.parameters);
  try {
    const { rows, rowCount } = await on.query(query.sql, [...query.parameters]);
    return { rows: rows as Row[], ...(rowCount !== null && { numAffectedRows: BigInt(rowCount) }) };
  } catch (error) {
    throw postgresqlError(error);
  }
}

/** A read outside any transaction. A standby may cancel it for a conflict; it is not repeated, the caller may. */
async function read<Row>(pool: Pool, query: CompiledQuery): Promise<QueryResult<Row>> {
  try {
    return await execute<Row>(pool, query);
  } catch (error) {
    throw error instanceof ConflictError ? storeDown(error) : error;
  }
}

/**
 * The refusal for a driver error, by SQLSTATE (https://www.postgresql.org/docs/current/errcodes-appendix.html). An
 * error without one comes from the connection, not from a statement.
 */
export function postgresqlError(error: unknown): unknown {
  if (!(error instanceof DatabaseError) || error.code === undefined) return storeDown(error);
  const code = error.code;
  if (code === '40001' || code === '40P01') return new ConflictError(error);
  if (code === '53100') return storageFull(error);
  if (code === '25006') return storeReadOnly(error);
  // 08 connection, 28 and 3D no longer let in, 53 out of resources, 55P03 and 57014 out of time, 57P shutdown and
  // recovery, 58 I/O, XX001 and XX002 damage.
  return /^(08|28|3D|53|55P03|57014|57P|58|XX00[12])/.test(code) ? storeDown(error) : error;
}

/** `host:port/name` of a URL, without the user and the password. Throws DATABASE_URL_INVALID. */
export function addressOf(databaseUrl: string): string {
  try {
    const url = new URL(databaseUrl);
    if (url.protocol === 'postgresql:' || url.protocol === 'postgres:')
      return `${url.host === '' ? (url.searchParams.get('host') ?? 'localhost') : url.host}${url.pathname}`;
  } catch (error) {
    throw storeOpenError('DATABASE_URL_INVALID', {}, { cause: error });
  }
  throw storeOpenError('DATABASE_URL_INVALID', {});
}

/** A pool whose sessions flush every commit to disk: a server whose default is not to is overruled. */
async function openPool(databaseUrl: string, address: string, logger: Logger): Promise<Pool> {
  const settings = {
    connectionString: databaseUrl,
    max: POOL_CONNECTIONS,
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    query_timeout: QUERY_TIMEOUT_MS,
    application_name: 'homeostat',
    types: { getTypeParser: typeParser },
  };
  const open = (options?: string) => {
    const pool = new Pool(options === undefined ? settings : { ...settings, options });
    pool.on('error', (error) => logger.warn({ err: error }, 'an idle connection to the database was lost'));
    // A connection lost while in use: whoever uses it gets the error, but unheard the event would end the process.
    pool.on('connect', (client) =>
      client.on('error', (error) => logger.debug({ err: error }, 'connection lost')),
    );
    return pool;
  };
  const pool = open();
  try {
    const { rows } = await pool.query(
      "select current_setting('synchronous_commit') as commit, current_setting('fsync', true) as fsync",
    );
    if (rows[0].fsync === 'off')
      logger.warn({ database: address }, 'the database runs with fsync off: a crash of its host loses data');
    if (rows[0].commit !== 'off') return pool;
    logger.warn({ database: address }, 'synchronous_commit is off by default here; it is on for this server');
    await pool.end();
    return open('-c synchronous_commit=on');
  } catch (error) {
    await pool.end();
    throw openingError(address, postgresqlError(error));
  }
}

const INT8 = 20;
const NUMERIC = 1700;
const BYTEA = 17;

/** How a column's text becomes a value: 64-bit integers (and their sums, NUMERIC) are numbers, bytes Uint8Array. */
function typeParser(type: number, format?: 'text' | 'binary'): (text: string) => unknown {
  if (type === INT8 || type === NUMERIC) return Number;
  if (type === BYTEA) return (text) => Uint8Array.from(types.getTypeParser(BYTEA)(text) as Buffer);
  return types.getTypeParser(type, format as 'text');
}
