/**
 * Group commit: the commands of one tick share one `BEGIN IMMEDIATE ... COMMIT`, so they share one flush to disk.
 *
 * Commands run one after the other, each in its own SAVEPOINT: a throw rolls back that command alone. The group opens
 * after the poll phase of the event loop, so that every command of the tick has arrived; commands that arrive while
 * it runs join it until it is full. A command's promise settles only after COMMIT; when COMMIT fails, or SQLite rolls
 * the transaction back on its own (a full disk), every command of the group rejects. Since a command awaits nothing
 * but SQL, and SQL here is synchronous, no I/O of the process runs inside a group.
 */
import { type Clock, delay } from '../clock.ts';
import type { Logger } from '../observability.ts';
import { announceCommit, type Outcome, runCommand, type Work } from './command.ts';
import type { CommitTimes } from './engine.ts';
import { storeDown } from './errors.ts';
import type { Dialect } from './queries.ts';
import { SQLITE, type SqliteConnection, sqliteCode, sqliteError } from './sqlite-connection.ts';

export interface GroupCommitOptions {
  readonly connection: SqliteConnection;
  readonly dialect: Dialect;
  readonly clock: Clock;
  readonly commitTimes: CommitTimes;
  readonly logger: Logger;
}

/** Bounds of one group: it takes no further command after either, so the event loop is not held for long. */
const GROUP_COMMANDS = 256;
const GROUP_MS = 5;

/** A group open for longer holds a command that awaits something other than SQL; it is reported. */
const STUCK_MS = 5_000;

/** How often and how long apart a write lock held by another process is asked for, before STORE_DOWN. */
const BUSY_ATTEMPTS = 50;
const BUSY_DELAY_MS = 100;

interface Command {
  readonly work: Work<unknown>;
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: unknown) => void;
}

export class GroupCommit {
  readonly #options: GroupCommitOptions;
  #queue: Command[] = [];
  /** Settles when the queue has run dry; undefined while nothing runs. Never rejects. */
  #pump: Promise<void> | undefined;
  #closed = false;

  constructor(options: GroupCommitOptions) {
    this.#options = options;
  }

  /** Runs a command in the next group. */
  submit<Result>(work: Work<Result>): Promise<Result> {
    if (this.#closed) return Promise.reject(storeDown(new Error('the store is closed')));
    return new Promise<Result>((resolve, reject) => {
      this.#queue.push({ work, resolve: resolve as (value: unknown) => void, reject });
      this.#pump ??= this.#run();
    });
  }

  /** Refuses new commands and resolves once those taken have ended. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#pump;
  }

  async #run(): Promise<void> {
    do {
      await new Promise<void>((resolve) => setImmediate(resolve));
      await this.#runGroup();
    } while (this.#queue.length > 0);
    this.#pump = undefined;
  }

  async #runGroup(): Promise<void> {
    const { connection, clock } = this.#options;
    const refusal = await this.#begin();
    if (refusal !== undefined) {
      for (const command of this.#queue.splice(0)) command.reject(refusal);
      return;
    }
    const stuck = clock.after(STUCK_MS, () => this.#reportStuck(), true);
    const startMs = clock.monotonicMs();
    const commands: Command[] = [];
    const outcomes: Outcome<unknown>[] = [];
    do {
      const command = this.#queue.shift()!;
      commands.push(command);
      outcomes.push(await this.#runOne(command));
    } while (
      this.#queue.length > 0 &&
      commands.length < GROUP_COMMANDS &&
      connection.inTransaction() &&
      clock.monotonicMs() - startMs < GROUP_MS
    );
    stuck.cancel();
    const lost = this.#commit(outcomes);
    if (lost === undefined) outcomes.forEach(announceCommit);
    commands.forEach((command, i) => {
      const outcome = outcomes[i]!;
      if (!outcome.ok) command.reject(outcome.error);
      else if (lost !== undefined) command.reject(lost);
      else command.resolve(outcome.value);
    });
  }

  #reportStuck(): void {
    this.#options.logger.error(
      { waiting: this.#queue.length },
      'a command holds its transaction open: inside transact it awaits something other than its own SQL',
    );
  }

  /** Takes the write lock, waiting for another process that holds it. Returns the refusal when it cannot be had. */
  async #begin(): Promise<unknown> {
    for (let attempt = 1; ; attempt++) {
      try {
        this.#options.connection.execute('begin immediate');
        return undefined;
      } catch (error) {
        if (sqliteCode(error) !== SQLITE.BUSY || attempt === BUSY_ATTEMPTS) return sqliteError(error);
      }
      await delay(this.#options.clock, BUSY_DELAY_MS);
    }
  }

  async #runOne(command: Command): Promise<Outcome<unknown>> {
    const { connection, dialect } = this.#options;
    try {
      connection.execute('savepoint command');
      const outcome = await runCommand(dialect, connection, command.work);
      if (!connection.inTransaction()) return outcome;
      if (!outcome.ok) connection.execute('rollback to command');
      connection.execute('release command');
      return outcome;
    } catch (error) {
      // A savepoint that cannot be ended may leave half a command behind, so the whole group goes.
      this.#rollback();
      const refusal = sqliteError(error);
      return { ok: false, error: refusal, cause: refusal };
    }
  }

  /** Commits. Returns why it failed; then nothing of the group is stored. */
  #commit(outcomes: readonly Outcome<unknown>[]): unknown {
    const { connection, clock, commitTimes } = this.#options;
    if (!connection.inTransaction()) {
      const culprit = outcomes.findLast((outcome) => !outcome.ok);
      return culprit?.cause ?? storeDown(undefined);
    }
    const startMs = clock.monotonicMs();
    try {
      connection.execute('commit');
      commitTimes.note(startMs);
      return undefined;
    } catch (error) {
      this.#rollback();
      return sqliteError(error);
    }
  }

  #rollback(): void {
    const { connection, logger } = this.#options;
    try {
      if (connection.inTransaction()) connection.execute('rollback');
    } catch (error) {
      // Nothing is committed either way; the next BEGIN fails and says so to its commands.
      logger.error({ err: error }, 'a transaction could not be rolled back');
    }
  }
}
