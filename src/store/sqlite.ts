/**
 * The SQLite engine: `homeostat.db` in the data directory. One connection writes through group commit; another, which
 * cannot write, reads, and in WAL mode it sees exactly what is committed. `synchronous=FULL` flushes the log on every
 * commit, so an acknowledged command survives a crash of the process and of the machine.
 */
import { closeSync, mkdirSync, openSync } from 'node:fs';
import { join } from 'node:path';
import {
  CreateTableNode,
  type KyselyPlugin,
  RawNode,
  type RootOperationNode,
  SqliteAdapter,
  SqliteQueryCompiler,
} from 'kysely';
import type { Clock } from '../clock.ts';
import type { Logger } from '../observability.ts';
import { createCommitTimes, type Engine } from './engine.ts';
import { codeOf, openingError, storeOpenError } from './errors.ts';
import { GroupCommit } from './group-commit.ts';
import { bindQueries, type Dialect, readOnly, singleProvider } from './queries.ts';
import { openSqliteConnection, type SqliteConnection, sqliteError } from './sqlite-connection.ts';

/** Name of the database in the data directory. */
export const FILE = 'homeostat.db';

/** How long SQLite itself waits for a lock. The wait holds the event loop, so it is short; group commit waits on. */
const BUSY_TIMEOUT_MS = 20;

/** `case_sensitive_like` makes LIKE mean what it means on PostgreSQL. */
const PRAGMAS = [
  'journal_mode = wal',
  'synchronous = full',
  'foreign_keys = on',
  'case_sensitive_like = on',
  `journal_size_limit = ${64 * 1024 * 1024}`,
];

/** Makes every table STRICT, so SQLite refuses a value of the wrong type as PostgreSQL does. */
const strictTables: KyselyPlugin = {
  transformQuery({ node }): RootOperationNode {
    if (!CreateTableNode.is(node)) return node;
    return { ...node, endModifiers: [...(node.endModifiers ?? []), RawNode.createWithSql('strict')] };
  },
  transformResult: async ({ result }) => result,
};

const dialect: Dialect = {
  compiler: new SqliteQueryCompiler(),
  adapter: new SqliteAdapter(),
  plugins: [strictTables],
};

export interface SqliteOptions {
  readonly dataDir: string;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** Opens the database of a data directory. Throws AppError of domain `homeostat.store` with one sentence. */
export function openSqlite(options: SqliteOptions): Engine {
  const { clock, logger } = options;
  const path = join(options.dataDir, FILE);
  makeFile(options.dataDir, path);
  const { writer, reading } = connect(path);
  const commitTimes = createCommitTimes(clock);
  const groups = new GroupCommit({ connection: writer, dialect, clock, commitTimes, logger });
  return {
    dialect: 'sqlite',
    columnTypes: { text: 'text', integer: 'integer', real: 'real', bytes: 'blob' },
    address: path,
    reader: bindQueries(dialect, singleProvider(readOnly(reading))),
    commitTimes,
    transact: (work) => groups.submit(work),
    // The write lock of BEGIN IMMEDIATE keeps other servers away already.
    transactAlone: (work) => groups.submit(work),
    async close() {
      await groups.close();
      reading.close();
      emptyLog(writer);
      writer.close();
    },
  };
}

/** Moves the log into the database file, so that a stopped server leaves one whole file. */
function emptyLog(writer: SqliteConnection): void {
  try {
    writer.execute('pragma wal_checkpoint(truncate)');
  } catch {
    // Nothing is lost: the log holds every commit, and the next start reads it.
  }
}

/** Makes the file, mode 0600, and proves that it can be written: libsql gives no code for a file it cannot open. */
function makeFile(dataDir: string, path: string): void {
  try {
    mkdirSync(dataDir, { recursive: true, mode: 0o700 });
    closeSync(openSync(path, 'a+', 0o600));
  } catch (error) {
    const code = codeOf(error);
    const details = { cause: error };
    if (code === 'EROFS' || code === 'EACCES' || code === 'EPERM')
      throw storeOpenError('DATABASE_READ_ONLY', { database: path }, details);
    if (code === 'ENOSPC' || code === 'EDQUOT')
      throw storeOpenError('DATABASE_FULL', { database: path }, details);
    throw storeOpenError('DATABASE_UNREACHABLE', { database: path, code }, details);
  }
}

function connect(path: string): { writer: SqliteConnection; reading: SqliteConnection } {
  const opened: SqliteConnection[] = [];
  const open = () => {
    const connection = openSqliteConnection(path, BUSY_TIMEOUT_MS);
    opened.push(connection);
    for (const pragma of PRAGMAS) connection.execute(`pragma ${pragma}`);
    return connection;
  };
  try {
    const writer = open();
    // Reads the first page: a file that is no database is found here, not at the first query.
    writer.execute('select count(*) from sqlite_schema');
    const reading = open();
    reading.execute('pragma query_only = on');
    return { writer, reading };
  } catch (error) {
    for (const connection of opened) connection.close();
    throw openingError(path, sqliteError(error));
  }
}
