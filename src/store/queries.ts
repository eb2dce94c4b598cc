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
  type QueryCompiler,
  QueryCreator,
  type QueryResult,
  SchemaModule,
  SelectQueryNode,
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

/** The connection for reads outside transactions: anything but a SELECT belongs into `transact`. */
export function readOnly(connection: Connection): Connection {
  return {
    async executeQuery<Row>(query: CompiledQuery): Promise<QueryResult<Row>> {
      if (!SelectQueryNode.is(query.query)) throw new Error('a write outside a transaction: use transact');
      return await connection.executeQuery<Row>(query);
    },
  };
}

/** Hands one connection to every query. */
export function singleProvider(connection: Connection): ConnectionProvider {
  const full: DatabaseConnection = {
    executeQuery: (query) => connection.executeQuery(query),
    streamQuery: refuseStream,
  };
  return { provideConnection: (consumer) => consumer(full) };
}
