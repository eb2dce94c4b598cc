/**
 * One SQLite connection through libsql. Every call is synchronous underneath: a statement has finished, and a commit
 * is on disk, when the call returns. Statements are prepared once and kept; bytes come back as Uint8Array.
 */

import type { CompiledQuery, QueryResult } from 'kysely';
import Database from 'libsql';
import { storageFull, storeDown, storeReadOnly } from './errors.ts';
import { checkParameters } from './parameters.ts';
import type { Connection } from './queries.ts';

export interface SqliteConnection extends Connection {
  /** Runs a statement without parameters; what it returns is dropped. */
  execute(sql: string): void;
  /** False once SQLite has rolled a transaction back on its own, as it does when the disk is full. */
  inTransaction(): boolean;
  /** Lets go of the kept statements and of the file. */
  close(): void;
}

/** Statements kept prepared; the oldest is dropped first. The product has some hundred distinct ones. */
const KEPT_STATEMENTS = 512;
/** A longer text is a bulk insert, of which every length is a statement of its own: not worth keeping. */
const KEPT_SQL_LENGTH = 8_192;

interface Prepared {
  /** Whether it gives rows. */
  readonly reader: boolean;
  all(parameters: readonly unknown[]): unknown[];
  run(parameters: readonly unknown[]): { changes: number };
}

/** Primary result codes (https://sqlite.org/rescode.html); the low byte of every extended code. */
export const SQLITE = {
  BUSY: 5,
  LOCKED: 6,
  NOMEM: 7,
  READONLY: 8,
  INTERRUPT: 9,
  IOERR: 10,
  CORRUPT: 11,
  FULL: 13,
  CANTOPEN: 14,
  PROTOCOL: 15,
  NOTADB: 26,
} as const;

/** SQLITE_IOERR_SHMSIZE: the index of the log cannot grow, which is how a full disk shows in WAL mode at first. */
const SHARED_MEMORY_FULL = 4874;

/** Codes of an engine that cannot do its work now, whatever the statement. */
const DOWN: ReadonlySet<number> = new Set([
  SQLITE.BUSY,
  SQLITE.LOCKED,
  SQLITE.NOMEM,
  SQLITE.INTERRUPT,
  SQLITE.IOERR,
  SQLITE.CORRUPT,
  SQLITE.CANTOPEN,
  SQLITE.PROTOCOL,
  SQLITE.NOTADB,
]);

/** The primary result code of a driver error; 0 for anything else. */
export function sqliteCode(error: unknown): number {
  return extendedCode(error) & 0xff;
}

function extendedCode(error: unknown): number {
  const raw = (error as { rawCode?: unknown } | null | undefined)?.rawCode;
  return typeof raw === 'number' ? raw : 0;
}

/** The refusal for a driver error; an error of the statement itself (a constraint, a typing error) stays as it is. */
export function sqliteError(error: unknown): unknown {
  const code = sqliteCode(error);
  if (code === SQLITE.FULL || extendedCode(error) === SHARED_MEMORY_FULL) return storageFull(error);
  if (code === SQLITE.READONLY) return storeReadOnly(error);
  return DOWN.has(code) ? storeDown(error) : error;
}

/** Opens the file (making it where needed). Driver errors are thrown as they are; `executeQuery` gives refusals. */
export function openSqliteConnection(path: string, busyTimeoutMs: number): SqliteConnection {
  const database = new Database(path, { timeout: busyTimeoutMs });
  const statements = new Map<string, Prepared>();
  let open = true;

  const prepare = (sql: string): Prepared => {
    const kept = statements.get(sql);
    if (kept) return kept;
    if (!open) throw storeDown(undefined);
    const statement = database.prepare(sql);
    const prepared: Prepared = {
      reader: statement.reader,
      all: (parameters) => statement.all(parameters),
      run: (parameters) => statement.run(parameters),
    };
    if (sql.length > KEPT_SQL_LENGTH) return prepared;
    if (statements.size >= KEPT_STATEMENTS) statements.delete(statements.keys().next().value!);
    statements.set(sql, prepared);
    return prepared;
  };
  return {
    execute(sql) {
      const statement = prepare(sql);
      if (statement.reader) statement.all([]);
      else statement.run([]);
    },
    async executeQuery<Row>({ sql, parameters }: CompiledQuery): Promise<QueryResult<Row>> {
      checkParameters(parameters);
      try {
        const statement = prepare(sql);
        if (statement.reader) return { rows: withBytes(statement.all(parameters)) as Row[] };
        return { rows: [], numAffectedRows: BigInt(statement.run(parameters).changes) };
      } catch (error) {
        throw sqliteError(error);
      }
    },
    inTransaction: () => database.inTransaction,
    close() {
      open = false;
      statements.clear();
      database.close();
    },
  };
}

/** Turns the driver's ArrayBuffers into Uint8Arrays, in place and without copying. */
function withBytes(rows: unknown[]): unknown[] {
  for (const row of rows as Record<string, unknown>[])
    for (const column in row) {
      const value = row[column];
      if (typeof value === 'object' && value !== null) row[column] = new Uint8Array(value as ArrayBuffer);
    }
  return rows;
}
