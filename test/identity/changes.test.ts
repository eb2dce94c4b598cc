import { afterEach, beforeEach, expect, test } from '@jest/globals';
import {
  type Change,
  type Changes,
  changeMigrations,
  createChanges,
  pruneChanges,
} from '../../src/identity/changes.ts';
import type { Store } from '../../src/store/store.ts';
import { createFakeClock, type FakeClock, settle } from '../support/fake-clock.ts';
import { describeOnStores, silentLogger, type TestDatabase } from '../support/stores.ts';

const CONFIG = { pollIntervalMs: 250, staleMs: 30_000 };
const HOUR_MS = 3_600_000;

interface Server {
  readonly changes: Changes;
  /** What its listener heard, in order. */
  readonly heard: (string | 'EVERYTHING')[];
}

describeOnStores('the log of changes', (engine) => {
  let database: TestDatabase;
  let store: Store;
  let clock: FakeClock;
  const servers: Server[] = [];

  const open = async (on: Store = store, config = CONFIG) => {
    const changes = createChanges({ config, store: on, clock, logger: silentLogger });
    const heard: Server['heard'] = [];
    changes.subscribe((told) => {
      if (told === 'EVERYTHING') heard.push(told);
      else heard.push(...told.map(({ kind, id }) => `${kind} ${id}`));
    });
    await changes.start();
    servers.push({ changes, heard });
    heard.length = 0;
    return { changes, heard };
  };
  const note = (changes: Changes, ...noted: Change[]) =>
    store.transact(async (tx) => {
      for (const change of noted) await changes.note(tx, change);
    });
  const key = (id: string): Change => ({ kind: 'key', id });
  /** Lets the clock run by one poll, and SQL answer it. */
  const polled = async (server: Server, count: number) => {
    await clock.advance(CONFIG.pollIntervalMs);
    const giveUpMs = performance.now() + 10_000;
    while (server.heard.length < count && performance.now() < giveUpMs) await settle();
    return server.heard;
  };

  beforeEach(async () => {
    database = await engine.createDatabase();
    store = await database.open(changeMigrations);
    clock = createFakeClock();
  });
  afterEach(async () => {
    for (const { changes } of servers.splice(0)) await changes.stop();
    expect(clock.pending()).toBe(0);
    await database.dispose();
  });

  test('is heard of here at the commit, elsewhere at the next reading, in order', async () => {
    const here = await open();
    const there = await open(await database.open());
    await note(here.changes, key('a'), { kind: 'role', id: 'b' });
    expect(here.heard).toEqual(['key a', 'role b']);
    expect(there.heard).toEqual([]);
    expect(await polled(there, 2)).toEqual(['key a', 'role b']);
    await note(there.changes, { kind: 'signing-key', id: 'c' });
    expect(await polled(here, 5)).toEqual(['key a', 'role b', 'key a', 'role b', 'signing-key c']);
  });

  test('holds nothing of what was rolled back', async () => {
    const here = await open();
    const failed = store.transact(async (tx) => {
      await here.changes.note(tx, key('a'));
      throw new Error('no');
    });
    await expect(failed).rejects.toThrow('no');
    await note(here.changes, key('b'));
    expect(here.heard).toEqual(['key b']);
    expect(await polled(here, 2)).toEqual(['key b', 'key b']);
  });

  test('loses nothing when many servers write at once', async () => {
    const writers = [await open(), await open(await database.open()), await open(await database.open())];
    const reader = await open();
    const ids = Array.from({ length: 30 }, (_, i) => `k${i}`);
    await Promise.all(ids.map((id, i) => note(writers[i % 3]!.changes, key(id))));
    const heard = await polled(reader, 30);
    expect(heard).toHaveLength(30);
    expect(new Set(heard)).toEqual(new Set(ids.map((id) => `key ${id}`)));
  });

  test('of more than 1,000 changes since the last reading one forgets everything', async () => {
    const here = await open();
    const there = await open(await database.open());
    await note(here.changes, ...Array.from({ length: 1_001 }, (_, i) => key(`k${i}`)));
    expect(await polled(there, 1)).toEqual(['EVERYTHING']);
    await note(here.changes, key('next'));
    expect(await polled(there, 2)).toEqual(['EVERYTHING', 'key next']);
  });

  test('whoever slept while changes came and went forgets everything', async () => {
    const here = await open();
    await note(here.changes, key('a'));
    const sleeper = await open(await database.open(), { ...CONFIG, pollIntervalMs: 2 * HOUR_MS });
    await note(here.changes, key('b'), key('c'));
    await store.transact((tx) => pruneChanges(tx, clock.nowMs() + HOUR_MS));
    sleeper.heard.length = 0;
    await sleeper.changes.stop();
    await sleeper.changes.start();
    expect(sleeper.heard).toEqual(['EVERYTHING']);
  });

  test('is kept for an hour', async () => {
    const here = await open();
    await note(here.changes, key('a'));
    const rows = async () => {
      const query = store.query<{ identity_change: { revision: number } }>();
      return (await query.selectFrom('identity_change').select('revision').execute()).length;
    };
    await store.transact((tx) => pruneChanges(tx, clock.nowMs() + HOUR_MS - 1));
    expect(await rows()).toBe(1);
    await store.transact((tx) => pruneChanges(tx, clock.nowMs() + HOUR_MS));
    expect(await rows()).toBe(0);
  });

  test('unread for 30 s is stale, and everything is forgotten when it can be read again', async () => {
    let away = false;
    const flaky: Store = {
      ...store,
      query() {
        if (away) throw new Error('database away');
        return store.query();
      },
    };
    const here = await open(flaky);
    expect(here.changes.stale()).toBe(false);
    away = true;
    await clock.advance(30_000);
    expect(here.changes.stale()).toBe(false);
    await clock.advance(250);
    expect(here.changes.stale()).toBe(true);
    expect(here.heard).toEqual([]);
    away = false;
    expect(await polled(here, 1)).toEqual(['EVERYTHING']);
    await settle();
    expect(here.changes.stale()).toBe(false);
  });
});
