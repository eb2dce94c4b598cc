/**
 * Tables of session. `session_event` is the history; a row of `session_session` caches its fold and is written in the
 * same transaction. The one row of `session_defense` holds the last defense level of the fleet. Transactions are
 * serializable: what one of them read still holds when it commits. Times are wall milliseconds; lists are JSON arrays.
 */
import type { Migration, Tx } from '../store/store.ts';
import { LOWEST_LEVEL, type Occupancy } from './admission.ts';
import {
  ADMITTED_STATES,
  type Priority,
  type Session,
  type SessionEvent,
  type SessionState,
} from './session.ts';

export interface SessionTables {
  session_session: SessionRow;
  session_tag: { tag: string; session_id: string };
  session_event: { session_id: string; version: number; event: string };
  session_defense: {
    scope: string;
    level: number;
    sequence: number;
    recorded_at_ms: number;
  };
}

interface SessionRow {
  session_id: string;
  owner: string;
  name: string;
  description: string;
  project: string;
  environment: string;
  tags: string;
  priority: Priority;
  node_id: string | null;
  state: SessionState;
  version: number;
  created_at_ms: number;
  updated_at_ms: number;
  start_by_ms: number | null;
  end_reason: string;
}

export const sessionMigrations: readonly Migration[] = [
  {
    id: 'session_001_sessions',
    async up(schema, types) {
      await schema
        .createTable('session_session')
        .addColumn('session_id', types.text, (column) => column.primaryKey())
        .addColumn('owner', types.text, (column) => column.notNull())
        .addColumn('name', types.text, (column) => column.notNull())
        .addColumn('description', types.text, (column) => column.notNull())
        .addColumn('project', types.text, (column) => column.notNull())
        .addColumn('environment', types.text, (column) => column.notNull())
        .addColumn('tags', types.text, (column) => column.notNull())
        .addColumn('priority', types.text, (column) => column.notNull())
        .addColumn('node_id', types.text)
        .addColumn('state', types.text, (column) => column.notNull())
        .addColumn('version', types.integer, (column) => column.notNull())
        .addColumn('created_at_ms', types.integer, (column) => column.notNull())
        .addColumn('updated_at_ms', types.integer, (column) => column.notNull())
        .addColumn('start_by_ms', types.integer)
        .addColumn('end_reason', types.text, (column) => column.notNull())
        .execute();
      await schema
        .createIndex('session_session_due')
        .on('session_session')
        .columns(['state', 'start_by_ms'])
        .execute();
      await schema
        .createIndex('session_session_owner')
        .on('session_session')
        .columns(['owner', 'session_id'])
        .execute();
      await schema
        .createTable('session_tag')
        .addColumn('tag', types.text, (column) => column.notNull())
        .addColumn('session_id', types.text, (column) => column.notNull())
        .addPrimaryKeyConstraint('session_tag_pk', ['tag', 'session_id'])
        .execute();
      await schema
        .createTable('session_event')
        .addColumn('session_id', types.text, (column) => column.notNull())
        .addColumn('version', types.integer, (column) => column.notNull())
        .addColumn('event', types.text, (column) => column.notNull())
        .addPrimaryKeyConstraint('session_event_pk', ['session_id', 'version'])
        .execute();
      await schema
        .createTable('session_defense')
        .addColumn('scope', types.text, (column) => column.primaryKey())
        .addColumn('level', types.integer, (column) => column.notNull())
        .addColumn('sequence', types.integer, (column) => column.notNull())
        .addColumn('recorded_at_ms', types.integer, (column) => column.notNull())
        .execute();
    },
  },
];

/** What is read from: the store for what is committed, a transaction for what it sees. */
export type Reader = Pick<Tx, 'query'>;

const FLEET = 'fleet';

/**
 * Stores a change: the row first, then the event that leads to it. In this order two changes at once meet at the row,
 * which is a conflict that the store repeats, and never at the event's key. The caller has read the session in this
 * transaction.
 */
export async function saveChange(tx: Tx, session: Session, event: SessionEvent): Promise<void> {
  const { sessionId: session_id, version } = session;
  if (event.kind === 'Created') await insertSession(tx, session);
  else await updateSession(tx, session);
  await tx
    .query<SessionTables>()
    .insertInto('session_event')
    .values({ session_id, version, event: JSON.stringify(event) })
    .execute();
}

async function insertSession(tx: Tx, session: Session): Promise<void> {
  await tx.query<SessionTables>().insertInto('session_session').values(rowOf(session)).execute();
  const tags = [...new Set(session.about.tags)].map((tag) => ({ tag, session_id: session.sessionId }));
  if (tags.length > 0) await tx.query<SessionTables>().insertInto('session_tag').values(tags).execute();
}

async function updateSession(tx: Tx, session: Session): Promise<void> {
  const { state, version, updated_at_ms, start_by_ms, end_reason } = rowOf(session);
  await tx
    .query<SessionTables>()
    .updateTable('session_session')
    .set({ state, version, updated_at_ms, start_by_ms, end_reason })
    .where('session_id', '=', session.sessionId)
    .execute();
}

/** One session as committed or as this transaction sees it. */
export async function findSession(reader: Reader, sessionId: string): Promise<Session | undefined> {
  const row = await reader
    .query<SessionTables>()
    .selectFrom('session_session')
    .selectAll()
    .where('session_id', '=', sessionId)
    .executeTakeFirst();
  return row && sessionOf(row);
}

/** Ids of at most `limit` sessions that should have been started by now, longest overdue first. */
export async function listOverdue(reader: Reader, nowMs: number, limit: number): Promise<string[]> {
  const rows = await reader
    .query<SessionTables>()
    .selectFrom('session_session')
    .select('session_id')
    .where('state', '=', 'CREATED')
    .where('start_by_ms', '<=', nowMs)
    .orderBy('start_by_ms')
    .limit(limit)
    .execute();
  return rows.map((row) => row.session_id);
}

export interface SessionFilter {
  /** Empty: all. */
  readonly states: readonly SessionState[];
  /** Empty: all. */
  readonly owner: string;
  /** Empty: all. */
  readonly tag: string;
  /** Only sessions older than this one. */
  readonly before: string | undefined;
  readonly limit: number;
}

/** Sessions by descending id, which is newest first: the ids begin with the time of creation. */
export async function listSessions(reader: Reader, filter: SessionFilter): Promise<Session[]> {
  const { states, owner, tag, before, limit } = filter;
  const rows = await reader
    .query<SessionTables>()
    .selectFrom('session_session')
    .selectAll()
    .$if(states.length > 0, (query) => query.where('state', 'in', states))
    .$if(owner !== '', (query) => query.where('owner', '=', owner))
    .$if(tag !== '', (query) =>
      query.where('session_id', 'in', (inner) =>
        inner.selectFrom('session_tag').select('session_id').where('tag', '=', tag),
      ),
    )
    .$if(before !== undefined, (query) => query.where('session_id', '<', before!))
    .orderBy('session_id', 'desc')
    .limit(limit)
    .execute();
  return rows.map(sessionOf);
}

/** A session's history, oldest first. */
export async function listEvents(reader: Reader, sessionId: string): Promise<SessionEvent[]> {
  const rows = await reader
    .query<SessionTables>()
    .selectFrom('session_event')
    .select('event')
    .where('session_id', '=', sessionId)
    .orderBy('version')
    .execute();
  return rows.map((row) => JSON.parse(row.event));
}

/** Sessions per state that takes a place in the limits. */
export async function countAdmitted(reader: Reader): Promise<Map<SessionState, number>> {
  const rows = await reader
    .query<SessionTables>()
    .selectFrom('session_session')
    .select((row) => ['state', row.fn.countAll().as('count')])
    .where('state', 'in', ADMITTED_STATES)
    .groupBy('state')
    .execute();
  const counts = new Map<SessionState, number>(ADMITTED_STATES.map((state) => [state, 0]));
  for (const row of rows) counts.set(row.state, Number(row.count));
  return counts;
}

/** The defense level of the fleet seen last, and what tells whether another one is newer. */
export interface SeenLevel {
  /** 1..5. */
  readonly level: number;
  /** Greatest place in the event stream seen; 0 before any. */
  readonly sequence: number;
  /** Latest wall time of recording seen; 0 before any. */
  readonly recordedAtMs: number;
}

/** The level seen last; level 1 while none was. */
export async function findLevel(reader: Reader): Promise<SeenLevel> {
  const row = await reader
    .query<SessionTables>()
    .selectFrom('session_defense')
    .select(['level', 'sequence', 'recorded_at_ms'])
    .where('scope', '=', FLEET)
    .executeTakeFirst();
  if (!row) return { level: LOWEST_LEVEL, sequence: 0, recordedAtMs: 0 };
  return { level: row.level, sequence: row.sequence, recordedAtMs: row.recorded_at_ms };
}

/** Stores the level seen last. */
export async function saveLevel(tx: Tx, seen: SeenLevel): Promise<void> {
  const values = { level: seen.level, sequence: seen.sequence, recorded_at_ms: seen.recordedAtMs };
  await tx
    .query<SessionTables>()
    .insertInto('session_defense')
    .values({ scope: FLEET, ...values })
    .onConflict((conflict) => conflict.column('scope').doUpdateSet(values))
    .execute();
}

/** How full it is, and the level. Transactions are serializable, so the counts still hold at the commit. */
export async function findOccupancy(tx: Tx, owner: string): Promise<Occupancy> {
  const { level } = await findLevel(tx);
  const counts = await tx
    .query<SessionTables>()
    .selectFrom('session_session')
    .select((row) => [
      row.fn.countAll().as('server'),
      row.fn.count(row.case().when('owner', '=', owner).then(1).end()).as('owner'),
    ])
    .where('state', 'in', ADMITTED_STATES)
    .executeTakeFirstOrThrow();
  return { level, server: Number(counts.server), owner: Number(counts.owner) };
}

function rowOf(session: Session): SessionRow {
  const { about } = session;
  return {
    session_id: session.sessionId,
    owner: session.owner,
    name: about.name,
    description: about.description,
    project: about.project,
    environment: about.environment,
    tags: JSON.stringify(about.tags),
    priority: about.priority,
    node_id: session.nodeId ?? null,
    state: session.state,
    version: session.version,
    created_at_ms: session.createdAtMs,
    updated_at_ms: session.updatedAtMs,
    start_by_ms: session.startByMs ?? null,
    end_reason: session.endReason,
  };
}

function sessionOf(row: SessionRow): Session {
  return {
    sessionId: row.session_id,
    owner: row.owner,
    about: {
      name: row.name,
      description: row.description,
      project: row.project,
      environment: row.environment,
      tags: JSON.parse(row.tags),
      priority: row.priority,
    },
    nodeId: row.node_id ?? undefined,
    state: row.state,
    version: row.version,
    createdAtMs: row.created_at_ms,
    updatedAtMs: row.updated_at_ms,
    startByMs: row.start_by_ms ?? undefined,
    endReason: row.end_reason,
  };
}
