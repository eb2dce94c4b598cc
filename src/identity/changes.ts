/**
 * The log of what makes remembered credentials worth less: every revocation and every change of principals, keys, roles
 * and signing keys adds a row in its own transaction. This server's caches hear of its own changes as soon as they are
 * committed; other servers read the log several times a second. Revisions follow each other without a gap in the order
 * of their commits, because each takes the next one from the one row of the head. Whoever missed part of the log is told
 * to forget everything; whoever has not read it for `staleMs` knows that it does not know (`stale`). Revisions count
 * from 1, times are wall milliseconds, staleness is monotonic.
 */
import type { Clock, Timer } from '../clock.ts';
import { describeError } from '../errors.ts';
import type { Logger } from '../observability.ts';
import type { Migration, Store, Tx } from '../store/store.ts';

export type ChangeKind = 'token' | 'family' | 'principal' | 'key' | 'role' | 'signing-key';

/** Something that changed, by its id: of the token, login or principal, prefix, name of the role, kid. */
export interface Change {
  readonly kind: ChangeKind;
  readonly id: string;
}

/** Hears of changes after their commit. Called synchronously; must not throw. */
export type ChangeListener = (changes: readonly Change[] | 'EVERYTHING') => void;

export interface ChangesConfig {
  /** How often the log is read; default 250. */
  readonly pollIntervalMs: number;
  /** How long it may have been unread before credentials are refused; default 30,000. */
  readonly staleMs: number;
}

export interface Changes {
  /** Adds a row in the caller's transaction; the listeners here hear of it once that is committed. */
  note(tx: Tx, change: Change, nowMs?: number): Promise<void>;
  subscribe(listener: ChangeListener): void;
  /** Whether the log has not been read for too long. Cost: a look at the clock. */
  stale(): boolean;
  /** Begins to read the log from its end. */
  start(): Promise<void>;
  stop(): Promise<void>;
}

interface ChangeTables {
  identity_change: { revision: number; kind: string; subject: string; at_ms: number };
  identity_change_head: { id: number; revision: number };
}

export const changeMigrations: readonly Migration[] = [
  {
    id: 'identity_005_changes',
    async up(schema, types) {
      await schema
        .createTable('identity_change')
        .addColumn('revision', types.integer, (column) => column.primaryKey())
        .addColumn('kind', types.text, (column) => column.notNull())
        .addColumn('subject', types.text, (column) => column.notNull())
        .addColumn('at_ms', types.integer, (column) => column.notNull())
        .execute();
      await schema
        .createTable('identity_change_head')
        .addColumn('id', types.integer, (column) => column.primaryKey())
        .addColumn('revision', types.integer, (column) => column.notNull())
        .execute();
    },
  },
];

/** The only row of the head. */
const HEAD = 1;

/** Most changes read at once; who is further behind forgets everything. */
const READ_ROWS = 1_000;

/** How long changes are kept: far longer than a server may go on without having read them. */
const RETENTION_MS = 60 * 60_000;

/** Adds a change to the log, for all servers to read. */
export async function noteChange(tx: Tx, change: Change, nowMs: number): Promise<void> {
  const { revision } = await tx
    .query<ChangeTables>()
    .insertInto('identity_change_head')
    .values({ id: HEAD, revision: 1 })
    .onConflict((conflict) =>
      conflict
        .column('id')
        .doUpdateSet((row) => ({ revision: row('identity_change_head.revision', '+', 1) })),
    )
    .returning('revision')
    .executeTakeFirstOrThrow();
  await tx
    .query<ChangeTables>()
    .insertInto('identity_change')
    .values({ revision, kind: change.kind, subject: change.id, at_ms: nowMs })
    .execute();
}

export function createChanges(deps: {
  readonly config: ChangesConfig;
  readonly store: Store;
  readonly clock: Clock;
  readonly logger: Logger;
}): Changes {
  const { config, store, clock, logger } = deps;
  const listeners: ChangeListener[] = [];
  const tell: ChangeListener = (changes) => {
    for (const listener of listeners) listener(changes);
  };
  /** Last revision heard of. */
  let heard = 0;
  /** When the last reading that succeeded began. */
  let readAtMs = clock.monotonicMs();
  let reading: Promise<void> | undefined;
  let timer: Timer | undefined;

  const stale = () => clock.monotonicMs() - readAtMs > config.staleMs;
  const read = async () => {
    const startedMs = clock.monotonicMs();
    const head = await findHead(store);
    if (head !== heard || stale()) {
      const changes = head > heard ? await listChanges(store, heard) : [];
      const complete = !stale() && changes[0]?.revision === heard + 1 && changes.at(-1)!.revision >= head;
      tell(complete ? changes : 'EVERYTHING');
      heard = Math.max(head, changes.at(-1)?.revision ?? 0);
    }
    readAtMs = startedMs;
  };
  const readOnce = () => {
    reading ??= read()
      // Remembered credentials count on until the log is stale; then `stale` says so.
      .catch((error) =>
        logger.warn({ cause: describeError(error) }, 'changes of credentials could not be read'),
      )
      .finally(() => {
        reading = undefined;
      });
  };

  return {
    async note(tx, change, nowMs = clock.nowMs()) {
      await noteChange(tx, change, nowMs);
      tx.afterCommit(() => tell([change]));
    },
    subscribe: (listener) => void listeners.push(listener),
    stale,
    async start() {
      await read();
      timer = clock.every(config.pollIntervalMs, readOnce);
    },
    async stop() {
      timer?.cancel();
      await reading;
    },
  };
}

/** Removes changes that everybody has heard of, a bounded number of them. Whether there may be more. */
export async function pruneChanges(tx: Tx, nowMs: number): Promise<boolean> {
  const { numDeletedRows } = await tx
    .query<ChangeTables>()
    .deleteFrom('identity_change')
    .where('revision', 'in', (inner) =>
      inner
        .selectFrom('identity_change')
        .select('revision')
        .where('at_ms', '<=', nowMs - RETENTION_MS)
        .orderBy('revision')
        .limit(READ_ROWS),
    )
    .executeTakeFirstOrThrow();
  return Number(numDeletedRows) === READ_ROWS;
}

async function findHead(store: Store): Promise<number> {
  const row = await store
    .query<ChangeTables>()
    .selectFrom('identity_change_head')
    .select('revision')
    .where('id', '=', HEAD)
    .executeTakeFirst();
  return row?.revision ?? 0;
}

async function listChanges(store: Store, after: number): Promise<(Change & { readonly revision: number })[]> {
  const rows = await store
    .query<ChangeTables>()
    .selectFrom('identity_change')
    .select(['revision', 'kind', 'subject'])
    .where('revision', '>', after)
    .orderBy('revision')
    .limit(READ_ROWS)
    .execute();
  return rows.map(({ revision, kind, subject }) => ({ revision, kind: kind as ChangeKind, id: subject }));
}
