/**
 * What contexts see of SQL: typed query builders, transactions, migrations. No driver, no dialect difference.
 *
 * Group commit. On SQLite the commands of one tick share a transaction, each in its own SAVEPOINT; on PostgreSQL each
 * command has its own. So inside `transact` a command awaits nothing but SQL, and memory changes only after the
 * returned promise has resolved (= committed to disk).
 */
import type { Expression, Kysely, SchemaModule } from 'kysely';

export { sql } from 'kysely';

/** Typed queries over a context's tables (`interface EnergyTables { energy_stream: {...} }`). */
export type Queries<Tables> = Pick<
  Kysely<Tables>,
  'selectFrom' | 'insertInto' | 'updateTable' | 'deleteFrom' | 'with' | 'fn' | 'selectNoFrom'
>;

/** One open transaction (or its savepoint). Never kept after the callback returns. */
export interface Tx {
  query<Tables>(): Queries<Tables>;
  /**
   * Calls back once, synchronously, after this command is committed to disk and before its `transact` resolves; never
   * when it is rolled back or repeated. The callback must not throw.
   */
  afterCommit(callback: () => void): void;
}

export interface Store {
  readonly dialect: 'sqlite' | 'postgresql';
  /** Reads of committed data outside any transaction. */
  query<Tables>(): Queries<Tables>;
  /**
   * Runs `work` in a transaction and resolves once it is committed to disk. A throw rolls back this command alone.
   * Conflicts that a repeat can solve (busy, serialization, deadlock) are retried, so `work` may run again.
   * Throws AppError STORE_DOWN, STORE_READ_ONLY or STORAGE_FULL (domain `homeostat.edge`). A statement that fails
   * fails the command, even when `work` catches its error.
   */
  transact<Result>(work: (tx: Tx) => Promise<Result>): Promise<Result>;
  /**
   * The same for commands that write a row which every such command writes (the head of a chain, a shared count). On
   * PostgreSQL this server runs them one after the other, since any two at once would conflict and one start again; on
   * SQLite commands run like that as it is, and those that wait together share a commit.
   */
  transactInTurn<Result>(work: (tx: Tx) => Promise<Result>): Promise<Result>;
  /**
   * Applies the migrations not yet applied, in order, each once even among several servers, all or none. The first
   * call names those of every context (later ones add to it): a database that holds others was written by a newer
   * version and is refused with AppError DATABASE_NEWER (domain `homeostat.store`).
   */
  migrate(migrations: readonly Migration[]): Promise<void>;
  /** Whether a trivial read answers now. */
  readable(): Promise<boolean>;
  /** Seconds per commit, most recent first, for metrics and health; at most 256. */
  recentCommitSeconds(): readonly number[];
  close(): Promise<void>;
}

/** One step of the schema. Ids sort in the order they are applied: `<context>_001_<what>`. */
export interface Migration {
  readonly id: string;
  readonly up: (schema: SchemaModule, types: ColumnTypes) => Promise<void>;
}

/**
 * Column types by meaning, for `addColumn('size', types.integer)`. 64-bit integers come back as `number` on both
 * engines (they stay below 2^53); bytes as `Uint8Array`.
 */
export interface ColumnTypes {
  /** Compared by code point on both engines. No U+0000. */
  readonly text: 'text' | Expression<unknown>;
  readonly integer: 'bigint' | 'integer';
  readonly real: 'double precision' | 'real';
  readonly bytes: 'bytea' | 'blob';
}
