/**
 * Ties Kysely's typed builders to a connection. One `Queries` belongs to one connection (or to one transaction on it)
 * and costs two small objects, so every command gets its own and cannot reach into another's transaction.
 */
import {
  type CompiledQuery,
  type ConnectionProvider,
  createFunctionModule,
  type DatabaseConnection,
  DefaultQueryExecutor,
  type DialectAdapter,
  type FunctionModule,
  type KyselyPlugin,
  QueryCreator,
  type QueryCompiler,
  type QueryResult,
  SchemaModule,
} from 'kysely';
import type { Queries } from './store.ts';

/** How one SQL dialect is written down. */
export interface Dialect {
  readonly compiler: QueryCompiler;
  readonly adapter: DialectAdapter;
  readonly plugins: readonly KyselyPlugin[];
}

/** Typed builders bound to a connection. */
export class BoundQueries<Tables> extends QueryCreator<Tables> implements Queries<Tables> {
  readonly #executor: DefaultQueryExecutor;

  constructor(executor: DefaultQueryExecutor) {
    super({ executor });
    this.#executor = executor;
  }

  get fn(): FunctionModule<Tables, keyof Tables> {
    return createFunctionModule();
  }

  get schema(): SchemaModule {
    return new SchemaModule(this.#executor);
  }
}

export function bindQueries(dialect: Dialect, provider: ConnectionProvider): BoundQueries<unknown> {
  return new BoundQueries(
    new DefaultQueryExecutor(dialect.compiler, dialect.adapter, provider, [...dialect.plugins]),
  );
}

/** Executes statements; both engines implement it. Refusals are AppError or ConflictError. */
export interface Connection {
  executeQuery<Row>(query: CompiledQuery): Promise<QueryResult<Row>>;
}

/**
 * Cursors are refused: SQLite's would hold a snapshot open across ticks, PostgreSQL's needs a transaction. Lists are
 * read in pages by key.
 */
export function refuseStream(): never {
  throw new Error('query streams are not supported: read pages by key');
}

/** Hands one connection to every query. */
export function singleProvider(connection: Connection): ConnectionProvider {
  const full: DatabaseConnection = {
    executeQuery: (query) => connection.executeQuery(query),
    streamQuery: refuseStream,
  };
  return { provideConnection: (consumer) => consumer(full) };
}

/** How a command ended inside its transaction, before the transaction itself ends. */
export type Outcome<Result> =
  | { readonly ok: true; readonly value: Result }
  /** `error` is what the caller gets; `cause` is the first statement that failed, where one did. */
  | { readonly ok: false; readonly error: unknown; readonly cause: unknown };

/**
 * Runs one command on a connection whose transaction (or savepoint) is open. A statement that failed dooms the
 * command even if it caught the error: PostgreSQL aborts the transaction there, and both engines must agree. A query
 * issued after the command has ended is refused, so nothing leaks into the next command's transaction.
 */
export async function runCommand<Result>(
  dialect: Dialect,
  connection: Connection,
  work: (session: BoundQueries<unknown>) => Promise<Result>,
): Promise<Outcome<Result>> {
  let over = false;
  let failed = false;
  let cause: unknown;
  const guarded: Connection = {
    async executeQuery<Row>(query: CompiledQuery): Promise<QueryResult<Row>> {
      if (over) throw new Error('a query was issued after its transaction had ended');
      try {
        return await connection.executeQuery<Row>(query);
      } catch (error) {
        if (!failed) cause = error;
        failed = true;
        throw error;
      }
    },
  };
  try {
    const value = await work(bindQueries(dialect, singleProvider(guarded)));
    return failed ? { ok: false, error: cause, cause } : { ok: true, value };
  } catch (error) {
    return { ok: false, error, cause };
  } finally {
    over = true;
  }
}
