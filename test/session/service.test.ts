import { timestampMs } from '@bufbuild/protobuf/wkt';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { RefusalCause } from '../../src/gen/homeostat/session/v1/session_events_pb.ts';
import { Priority, SessionState } from '../../src/gen/homeostat/session/v1/session_service_pb.ts';
import { type Placement, sessionMigrations } from '../../src/session/context.ts';
import { priorityToProto } from '../../src/session/contract.ts';
import { fold } from '../../src/session/session.ts';
import { findSession, listEvents } from '../../src/session/store.ts';
import type { Migration, Store, Tx } from '../../src/store/store.ts';
import { createFakeClock, type FakeClock } from '../support/fake-clock.ts';
import { describeOnStores, type TestDatabase } from '../support/stores.ts';
import { CONFIG, createSessionWorld, levelEvent, type SessionWorld } from './session-world.ts';

const NOBODY = '018f0000-0000-7000-8000-000000000001';

describeOnStores('SessionService', (engine) => {
  let database: TestDatabase;
  let store: Store;
  let clock: FakeClock;
  let world: SessionWorld;
  let keys = 0;
  const worlds: SessionWorld[] = [];

  const open = async (options: Partial<Parameters<typeof createSessionWorld>[0]> = {}) => {
    const opened = createSessionWorld({ store, clock, ...options });
    await opened.started.start();
    worlds.push(opened);
    return opened;
  };
  const request = (change: object = {}) => ({ idempotencyKey: `key-${keys++}`, name: 'work', ...change });
  const raiseLevel = (level: number, sequence = level) =>
    world.deliver(levelEvent(level, { sequence, recordedAtMs: clock.nowMs() + sequence }));

  /**
   * Lets sweeps run until the condition holds; rejects when it does not within 20 s. The clock moves on by one interval
   * a second at most: a slow database must not make sessions overdue that the test wants alive.
   */
  const sweptUntil = async (condition: () => Promise<boolean>) => {
    const startMs = performance.now();
    for (let sweeps = 0; !(await condition()); ) {
      const elapsedMs = performance.now() - startMs;
      if (elapsedMs > 20_000) throw new Error('the condition was not met in time');
      if (elapsedMs < sweeps * 1_000) await new Promise((resolve) => setTimeout(resolve, 10));
      else {
        sweeps++;
        await clock.advance(CONFIG.sweepIntervalMs);
      }
    }
  };

  beforeEach(async () => {
    database = await engine.createDatabase();
    store = await database.open(sessionMigrations);
    clock = createFakeClock();
    world = await open();
  });
  afterEach(async () => {
    for (const opened of worlds.splice(0)) await opened.started.stop();
    expect(clock.pending()).toBe(0);
    await database.dispose();
  });

  test('creates a session and returns it as it is read back', async () => {
    const metadata = { project: 'p', environment: 'prod', tags: ['b', 'a', 'b'], priority: Priority.HIGH };
    const session = await world.as('ada').create(request({ description: 'd\nΩ', metadata }));
    expect(session).toMatchObject({
      owner: 'ada',
      name: 'work',
      description: 'd\nΩ',
      metadata,
      state: SessionState.CREATED,
      version: 1n,
      endReason: '',
    });
    expect(session.sessionId).toMatch(/^[0-9a-f-]{14}7/);
    expect(timestampMs(session.createdAt!)).toBe(clock.nowMs());
    expect(timestampMs(session.expiresAt!)).toBe(clock.nowMs() + 3_600_000);
    expect(await world.as('bob').get(session.sessionId)).toMatchObject(session);
    expect(world.changes).toMatchObject([{ session, fromState: SessionState.UNSPECIFIED }]);
  });

  test('a priority that is not given is NORMAL', async () => {
    expect((await world.as('ada').create(request())).metadata!.priority).toBe(Priority.NORMAL);
    const metadata = { project: 'p' };
    expect((await world.as('ada').create(request({ metadata }))).metadata!.priority).toBe(Priority.NORMAL);
  });

  test('a repeated command returns the first response, another one under its key is refused', async () => {
    const first = request();
    const session = await world.as('ada').create(first);
    await world.as('ada').cancel({ sessionId: session.sessionId });
    expect(await world.as('ada').create(first)).toEqual(session);
    await expect(world.as('ada').create({ ...first, name: 'other' })).rejects.toMatchObject({
      reason: 'IDEMPOTENCY_KEY_REUSED',
      kind: 'ALREADY_EXISTS',
      metadata: { idempotency_key: first.idempotencyKey },
    });
    const others = await world.as('bob').create(first);
    expect(others.sessionId).not.toBe(session.sessionId);
    expect((await world.as('ada').list()).sessions).toHaveLength(2);
  });

  test('control characters are refused with the field that holds them', async () => {
    const metadata = { project: '\u0000', environment: '\u001b[31m', tags: ['fine', 'a\rb'] };
    await expect(
      world.as('ada').create(request({ name: 'a\u0000', description: '\u0007', metadata })),
    ).rejects.toMatchObject({
      reason: 'FIELD_INVALID',
      domain: 'homeostat.session',
      violations: ['name', 'description', 'metadata.project', 'metadata.environment', 'metadata.tags[1]'].map(
        (field) => expect.objectContaining({ field }),
      ),
    });
    await expect(world.as('ada').list({ tag: '\u0000' })).rejects.toMatchObject({ reason: 'FIELD_INVALID' });
    await expect(world.as('ada').cancel({ sessionId: NOBODY, reason: '\u0000' })).rejects.toMatchObject({
      violations: [{ field: 'reason' }],
    });
  });

  test('each level refuses its priorities, naming cause, level and when to retry', async () => {
    const admitted: string[] = [];
    for (let level = 1; level <= 5; level++) {
      await raiseLevel(level);
      for (const [name, priority] of Object.entries(priorityToProto)) {
        try {
          await world.as(`owner-${level}`).create(request({ metadata: { priority } }));
          admitted.push(`${level} ${name}`);
        } catch (error) {
          expect(error).toMatchObject({
            reason: 'ADMISSION_REFUSED',
            kind: 'RESOURCE_EXHAUSTED',
            metadata: { cause: 'DEFENSE_LEVEL', level: String(level) },
            retryAfterMs: 60_000,
          });
        }
      }
    }
    expect(admitted).toEqual([
      ...['1 LOW', '1 NORMAL', '1 HIGH', '1 CRITICAL'],
      ...['2 LOW', '2 NORMAL', '2 HIGH', '2 CRITICAL'],
      ...['3 NORMAL', '3 HIGH', '3 CRITICAL'],
      ...['4 HIGH', '4 CRITICAL'],
      '5 CRITICAL',
    ]);
    expect(world.refusals).toHaveLength(6);
    expect(world.refusals[0]).toMatchObject({
      owner: 'owner-3',
      cause: RefusalCause.DEFENSE_LEVEL,
      level: 3,
      priority: Priority.LOW,
    });
  });

  test('a refusal leaves nothing behind, and its key is free to try again', async () => {
    await raiseLevel(5);
    const refused = request();
    await expect(world.as('ada').create(refused)).rejects.toMatchObject({ reason: 'ADMISSION_REFUSED' });
    expect((await world.as('ada').list()).sessions).toEqual([]);
    expect(world.changes).toEqual([]);
    await raiseLevel(1, 6);
    const session = await world.as('ada').create(refused);
    expect(await world.as('ada').create(refused)).toEqual(session);
  });

  test('limits of server and owner are exact, and an ended session makes room', async () => {
    const small = await open({ config: { sessionsMax: 3, sessionsPerOwnerMax: 2 } });
    const first = await small.as('ada').create(request());
    await small.as('ada').create(request());
    const ownerLimit = { reason: 'ADMISSION_REFUSED', metadata: { cause: 'OWNER_LIMIT', level: '1' } };
    await expect(small.as('ada').create(request())).rejects.toMatchObject(ownerLimit);
    await small.as('bob').create(request());
    const serverLimit = { reason: 'ADMISSION_REFUSED', metadata: { cause: 'SERVER_LIMIT', level: '1' } };
    await expect(small.as('ada').create(request())).rejects.toMatchObject(serverLimit);
    await expect(small.as('eve').create(request())).rejects.toMatchObject(serverLimit);
    await small.as('ada').cancel({ sessionId: first.sessionId });
    await small.as('eve').create(request());
    expect(small.refusals.map((refusal) => refusal.cause)).toEqual([
      RefusalCause.OWNER_LIMIT,
      RefusalCause.SERVER_LIMIT,
      RefusalCause.SERVER_LIMIT,
    ]);
  });

  test('what placement reserved goes with the session: kept, given back, or never reserved', async () => {
    await store.migrate([reservationMigration]);
    const reserved = async () => {
      const rows = await store.query<Reservations>().selectFrom('reservation').selectAll().execute();
      return rows.map((row) => row.session_id);
    };
    const placement: Placement = {
      async reserve({ sessionId, owner, priority }, tx) {
        await tx.query<Reservations>().insertInto('reservation').values({ session_id: sessionId }).execute();
        expect(priority).toBe('NORMAL');
        if (owner === 'eve') return { placed: false, retryAfterMs: 5_000 };
        return owner === 'bob' ? { placed: false } : { placed: true, nodeId: 'node-7' };
      },
      async release(sessionId, tx) {
        await tx
          .query<Reservations>()
          .deleteFrom('reservation')
          .where('session_id', '=', sessionId)
          .execute();
      },
    };
    const placing = await open({ placement });
    const cancelled = await placing.as('ada').create(request());
    expect((await findSession(store, cancelled.sessionId))!.nodeId).toBe('node-7');
    const refused = { reason: 'ADMISSION_REFUSED', metadata: { cause: 'PLACEMENT', level: '1' } };
    await expect(placing.as('eve').create(request())).rejects.toMatchObject({
      ...refused,
      retryAfterMs: 5_000,
    });
    await expect(placing.as('bob').create(request())).rejects.toMatchObject({
      ...refused,
      retryAfterMs: 60_000,
    });
    expect(await reserved()).toEqual([cancelled.sessionId]);
    await placing.as('ada').cancel({ sessionId: cancelled.sessionId });
    expect(await reserved()).toEqual([]);
    await placing.as('ada').create(request());
    await world.started.stop();
    await clock.advance(3_600_000);
    await sweptUntil(async () => (await reserved()).length === 0);
  });

  test('cancels a session once, tells the ledger and the bus, and then allows nothing', async () => {
    const appended: { kind: string; key: string; bytes: Uint8Array }[] = [];
    const append = async (tx: Tx, kind: string, key: string, bytes: Uint8Array) =>
      tx.afterCommit(() => appended.push({ kind, key, bytes }));
    const logging = await open({ ledger: { append } });
    const { sessionId } = await logging.as('ada').create(request());
    await clock.advance(1_000);
    const session = await logging.as('ada').cancel({ sessionId, version: 1n, reason: 'no longer needed' });
    expect(session).toMatchObject({
      state: SessionState.CANCELLED,
      version: 2n,
      endReason: 'no longer needed',
    });
    expect(session.expiresAt).toBeUndefined();
    expect(timestampMs(session.updatedAt!)).toBe(clock.nowMs());
    expect(logging.changes[1]).toMatchObject({ session, fromState: SessionState.CREATED });
    expect(appended).toMatchObject([{ kind: 'cancelled', key: sessionId }]);
    expect(appended[0]!.bytes.length).toBeGreaterThan(0);
    await expect(logging.as('ada').cancel({ sessionId })).rejects.toMatchObject({
      reason: 'WRONG_STATE',
      kind: 'FAILED_PRECONDITION',
      metadata: { state: 'CANCELLED', allowed: '' },
    });
    expect(logging.changes).toHaveLength(2);
    expect(appended).toHaveLength(1);
  });

  test('a cancellation with a key can be repeated', async () => {
    const { sessionId } = await world.as('ada').create(request());
    const command = { sessionId, idempotencyKey: 'c', reason: 'r' };
    const session = await world.as('ada').cancel(command);
    expect(await world.as('ada').cancel(command)).toEqual(session);
    await expect(world.as('ada').cancel({ ...command, reason: 's' })).rejects.toMatchObject({
      reason: 'IDEMPOTENCY_KEY_REUSED',
    });
  });

  test("somebody else's session is cancelled only by who may operate sessions", async () => {
    const granted: string[] = [];
    for (const permission of [
      'session.write',
      'session.admin',
      'energy.operate',
      'session.operate',
      '*.operate',
      'session.*',
      '*.*',
    ]) {
      const { sessionId } = await world.as('ada').create(request());
      try {
        await world.as('bob', ['session.write', permission]).cancel({ sessionId });
        granted.push(permission);
      } catch (error) {
        expect(error).toMatchObject({ reason: 'NOT_OWNER', kind: 'PERMISSION_DENIED' });
        expect((await world.as('ada').get(sessionId)).state).toBe(SessionState.CREATED);
      }
    }
    expect(granted).toEqual(['session.operate', '*.operate', 'session.*', '*.*']);
  });

  test('a version the session does not have changes nothing', async () => {
    const { sessionId } = await world.as('ada').create(request());
    await expect(world.as('ada').cancel({ sessionId, version: 2n })).rejects.toMatchObject({
      reason: 'VERSION_CONFLICT',
      kind: 'ABORTED',
      metadata: { current: '1' },
    });
    await expect(world.as('ada').cancel({ sessionId, version: 2n ** 64n - 1n })).rejects.toMatchObject({
      reason: 'VERSION_CONFLICT',
    });
    expect((await world.as('ada').get(sessionId)).state).toBe(SessionState.CREATED);
  });

  test('a session that is not there is not found', async () => {
    const notFound = { reason: 'SESSION_NOT_FOUND', kind: 'NOT_FOUND', metadata: { session_id: NOBODY } };
    await expect(world.as('ada').get(NOBODY)).rejects.toMatchObject(notFound);
    await expect(world.as('ada').cancel({ sessionId: NOBODY })).rejects.toMatchObject(notFound);
  });

  test('a session not started within an hour expires, once, and makes room', async () => {
    const small = await open({ config: { sessionsPerOwnerMax: 1 } });
    const { sessionId } = await small.as('ada').create(request());
    await clock.advance(3_599_999);
    expect((await small.as('ada').get(sessionId)).state).toBe(SessionState.CREATED);
    await clock.advance(1);
    await sweptUntil(async () => (await small.as('ada').get(sessionId)).state === SessionState.EXPIRED);
    const expired = await small.as('ada').get(sessionId);
    expect(expired).toMatchObject({ version: 2n, endReason: 'not started in time' });
    expect(expired.expiresAt).toBeUndefined();
    await clock.advance(600_000);
    // Two servers sweep this database; together they told it once.
    const told = [...world.changes, ...small.changes].filter((one) => one.fromState === SessionState.CREATED);
    expect(told).toHaveLength(1);
    await small.as('ada').create(request());
    await expect(small.as('ada').cancel({ sessionId })).rejects.toMatchObject({
      metadata: { state: 'EXPIRED', allowed: '' },
    });
  });

  test('sessions overdue at a start are ended before it is done, however many', async () => {
    for (let i = 0; i < 120; i++) await world.as(`owner-${i % 10}`).create(request());
    for (const opened of worlds.splice(0)) await opened.started.stop();
    await clock.advance(3_600_000);
    const restarted = await open();
    const states = (await restarted.as('ada').list({ page: { pageSize: 500 } })).sessions.map(
      (one) => one.state,
    );
    expect(states).toEqual(Array(120).fill(SessionState.EXPIRED));
    expect(restarted.changes).toHaveLength(120);
  });

  test('lists sessions newest first, page by page, each once', async () => {
    const created: string[] = [];
    for (let i = 0; i < 7; i++) {
      created.unshift((await world.as('ada').create(request())).sessionId);
      if (i % 2) await clock.advance(5);
    }
    const listed: string[] = [];
    let pageToken = '';
    let pages = 0;
    do {
      const page = await world.as('ada').list({ page: { pageSize: 3, pageToken } });
      listed.push(...page.sessions.map((session) => session.sessionId));
      pageToken = page.nextPageToken;
      pages++;
    } while (pageToken !== '');
    expect(pages).toBe(3);
    expect(listed).toEqual(created);
    const exact = await world.as('ada').list({ page: { pageSize: 7 } });
    expect(exact.nextPageToken).toBe('');
    await expect(world.as('ada').list({ page: { pageToken: "' or 1=1" } })).rejects.toMatchObject({
      reason: 'FIELD_INVALID',
      violations: [{ field: 'page.page_token' }],
    });
  });

  test('filters by state, owner and tag, also together', async () => {
    const tagged = { metadata: { tags: ['x', 'y'] } };
    const a = await world.as('ada').create(request(tagged));
    const b = await world.as('ada').create(request());
    const c = await world.as('bob').create(request(tagged));
    await world.as('ada').cancel({ sessionId: a.sessionId });
    const ids = async (filter: Parameters<ReturnType<SessionWorld['as']>['list']>[0]) =>
      (await world.as('ada').list(filter)).sessions.map((session) => session.sessionId);
    const { CREATED, CANCELLED, EXPIRED, UNSPECIFIED } = SessionState;
    expect(await ids({})).toEqual([c, b, a].map((session) => session.sessionId));
    expect(await ids({ states: [CREATED] })).toEqual([c.sessionId, b.sessionId]);
    expect(await ids({ states: [CANCELLED, EXPIRED] })).toEqual([a.sessionId]);
    expect(await ids({ owner: 'ada' })).toEqual([b.sessionId, a.sessionId]);
    expect(await ids({ tag: 'x' })).toEqual([c.sessionId, a.sessionId]);
    expect(await ids({ tag: 'x', owner: 'ada', states: [CREATED] })).toEqual([]);
    expect(await ids({ tag: 'X' })).toEqual([]);
    await expect(ids({ states: [CREATED, UNSPECIFIED] })).rejects.toMatchObject({
      violations: [{ field: 'states[1]' }],
    });
  });

  test('counts sessions, changes and refusals', async () => {
    const small = await open({ config: { sessionsPerOwnerMax: 2 } });
    const { sessionId } = await small.as('ada').create(request());
    await small.as('ada').create(request());
    await expect(small.as('ada').create(request())).rejects.toMatchObject({ reason: 'ADMISSION_REFUSED' });
    await small.as('ada').cancel({ sessionId });
    await sweptUntil(async () =>
      (await small.exposition()).includes('homeostat_sessions{state="CREATED"} 1'),
    );
    const text = await small.exposition();
    expect(text).toContain('homeostat_session_changes_total{to="CREATED"} 2');
    expect(text).toContain('homeostat_session_changes_total{to="CANCELLED"} 1');
    expect(text).toContain('homeostat_session_refusals_total{cause="OWNER_LIMIT"} 1');
  });

  test('a sweep that cannot reach the database harms nothing, and stopping still works', async () => {
    await store.close();
    await clock.advance(3 * CONFIG.sweepIntervalMs);
    await world.started.stop();
    await expect(world.started.start()).rejects.toMatchObject({ reason: 'STORE_DOWN' });
    await world.started.stop();
  });

  describe('at once', () => {
    test('one of many takes the last place of an owner, and one of many the last place of the server', async () => {
      const config = { sessionsMax: 4, sessionsPerOwnerMax: 2 };
      const servers = [await open({ config }), await open({ config, store: await database.open() })];
      await servers[0]!.as('ada').create(request());
      const race = async (owner: string) => {
        const attempts = Array.from({ length: 8 }, (_, i) => servers[i % 2]!.as(owner).create(request()));
        const results = await Promise.allSettled(attempts);
        return results.filter((result) => result.status === 'fulfilled').length;
      };
      expect(await race('ada')).toBe(1);
      expect((await Promise.all(['bob', 'eve', 'kim'].map(race))).reduce((sum, won) => sum + won)).toBe(2);
      expect((await servers[0]!.as('ada').list()).sessions).toHaveLength(4);
    });

    test('the same command sent many times makes one session', async () => {
      const command = request();
      const replies = await Promise.all(Array.from({ length: 8 }, () => world.as('ada').create(command)));
      expect(new Set(replies.map((session) => session.sessionId)).size).toBe(1);
      expect((await world.as('ada').list()).sessions).toHaveLength(1);
      expect(world.changes).toHaveLength(1);
    });

    test('a session is cancelled by one of many and told once', async () => {
      const servers = [world, await open({ store: await database.open() })];
      for (let round = 0; round < 4; round++) {
        const { sessionId } = await world.as('ada').create(request());
        const results = await Promise.allSettled(
          Array.from({ length: 8 }, (_, i) => servers[i % 2]!.as('ada').cancel({ sessionId })),
        );
        expect(results.filter((result) => result.status === 'fulfilled')).toHaveLength(1);
        for (const result of results)
          if (result.status === 'rejected') expect(result.reason).toMatchObject({ reason: 'WRONG_STATE' });
        expect(fold(await listEvents(store, sessionId))).toEqual(await findSession(store, sessionId));
      }
      const told = servers.flatMap((server) => server.changes);
      expect(told.filter((one) => one.fromState === SessionState.CREATED)).toHaveLength(4);
    });

    test('a session that is cancelled while it expires ends once, one way or the other', async () => {
      const sessions = await Promise.all(Array.from({ length: 6 }, () => world.as('ada').create(request())));
      await world.started.stop();
      await clock.advance(3_600_000);
      const results = await Promise.allSettled([
        open({ store: await database.open() }),
        ...sessions.map(({ sessionId }) => world.as('ada').cancel({ sessionId })),
      ]);
      expect(results[0]!.status).toBe('fulfilled');
      for (const [i, { sessionId }] of sessions.entries()) {
        const cancelled = results[i + 1]!.status === 'fulfilled';
        const ended = await world.as('ada').get(sessionId);
        expect(ended.state).toBe(cancelled ? SessionState.CANCELLED : SessionState.EXPIRED);
        expect(ended.version).toBe(2n);
        expect(fold(await listEvents(store, sessionId))).toEqual(await findSession(store, sessionId));
      }
    });
  });
});

interface Reservations {
  reservation: { session_id: string };
}

const reservationMigration: Migration = {
  id: 'test_001_reservation',
  async up(schema, types) {
    await schema
      .createTable('reservation')
      .addColumn('session_id', types.text, (column) => column.primaryKey())
      .execute();
  },
};
