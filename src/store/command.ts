/** One command inside its transaction (or savepoint): what it sees, and how it ended before the transaction ends. */
import type { CompiledQuery, QueryResult } from 'kysely';
import { type BoundQueries, bindQueries, type Connection, type Dialect, singleProvider } from './queries.ts';

/** A command: awaits nothing but SQL, may run again after a conflict. */
export type Work<Result> = (session: Session) => Promise<Result>;

export interface Session {
  readonly queries: BoundQueries<unknown>;
  /** See `Tx.afterCommit`. */
  afterCommit(callback: () => void): void;
}

export type Outcome<Result> =
  | { readonly ok: true; readonly value: Result; readonly callbacks: readonly (() => void)[] }
  /** `error` is what the caller gets; `cause` is the first statement that failed, where one did. */
  | { readonly ok: false; readonly error: unknown; readonly cause: unknown };

/**
 * Runs one command on a connection whose transaction is open. Never rejects. A statement that failed dooms the command
 * even if it caught the error: PostgreSQL aborts the transaction there, and both engines must agree. A query issued
 * after the command has ended is refused, so nothing leaks into the next command's transaction.
 */
export async function runCommand<Result>(
  dialect: Dialect,
  connection: Connection,
  work: Work<Result>,
): Promise<Outcome<Result>> {
  let over = false;
  let failure: { readonly cause: unknown } | undefined;
  const callbacks: (() => void)[] = [];
  const guarded: Connection = {
    async executeQuery<Row>(query: CompiledQuery): Promise<QueryResult<Row>> {
      if (over) throw new Error('a query was issued after its transaction had ended');
      try {
        return await connection.executeQuery<Row>(query);
      } catch (error) {
        failure ??= { cause: error };
        throw error;
      }
    },
  };
  const failureNow = () => failure;
  try {
    const value = await work({
      queries: bindQueries(dialect, singleProvider(guarded)),
      afterCommit: (callback) => callbacks.push(callback),
    });
    const failed = failureNow();
    return failed ? { ok: false, error: failed.cause, cause: failed.cause } : { ok: true, value, callbacks };
  } catch (error) {
    return { ok: false, error, cause: failureNow()?.cause };
  } finally {
    over = true;
  }
}

/** Tells those who asked that the command is committed. A callback that throws ends the process, as any bug does. */
export function announceCommit(outcome: Outcome<unknown>): void {
  if (!outcome.ok) return;
  for (const callback of outcome.callbacks)
    try {
      callback();
    } catch (error) {
      queueMicrotask(() => {
        throw error;
      });
    }
}
