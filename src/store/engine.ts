/** What an SQL engine gives the store: reads, transactions and the time its commits take. */
import type { Clock } from '../clock.ts';
import type { Work } from './command.ts';
import type { BoundQueries } from './queries.ts';
import type { ColumnTypes } from './store.ts';

export interface Engine {
  readonly dialect: 'sqlite' | 'postgresql';
  readonly columnTypes: ColumnTypes;
  /** The database in words, without secrets: a path or `host:port/name`. */
  readonly address: string;
  /** Reads of committed data. */
  readonly reader: BoundQueries<unknown>;
  readonly commitTimes: CommitTimes;
  /** Runs and commits one command; see `Store.transact`. */
  transact<Result>(work: Work<Result>): Promise<Result>;
  /** The same, while no other server does it. */
  transactAlone<Result>(work: Work<Result>): Promise<Result>;
  /** Finishes what runs, refuses what comes, lets go of the database. */
  close(): Promise<void>;
}

/** The last 256 commits, in seconds. */
export interface CommitTimes {
  /** Notes a commit that began at `startMs` of the monotonic clock. */
  note(startMs: number): void;
  /** Most recent first. */
  recent(): readonly number[];
}

const KEPT_COMMITS = 256;

export function createCommitTimes(clock: Clock): CommitTimes {
  const ring = new Float64Array(KEPT_COMMITS);
  let count = 0;
  return {
    note(startMs) {
      ring[count % KEPT_COMMITS] = (clock.monotonicMs() - startMs) / 1000;
      count++;
    },
    recent: () =>
      Array.from({ length: Math.min(count, KEPT_COMMITS) }, (_, i) => ring[(count - 1 - i) % KEPT_COMMITS]!),
  };
}
