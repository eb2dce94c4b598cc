/** What group commit on SQLite adds to the contract of every store. */

import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import Database from 'libsql';
import type { Logger } from '../../src/observability.ts';
import { openStore } from '../../src/store/open.ts';
import type { Store } from '../../src/store/store.ts';
import { createFakeClock } from '../support/fake-clock.ts';
import { openTestStore, silentLogger, type TestStore } from '../support/stores.ts';
import { addCounter, amounts, type CounterTables, counterMigrations } from './counter-table.ts';

describe('group commit', () => {
  let opened: TestStore;
  let store: Store;

  beforeEach(async () => {
    opened = await openTestStore(counterMigrations);
    store = opened.store;
  });
  afterEach(() => opened.dispose());

  const commits = () => store.recentCommitSeconds().length;

  test('commands of one tick share one commit', async () => {
    const before = commits();
    await Promise.all(
      Array.from({ length: 100 }, (_, i) => store.transact((tx) => addCounter(tx, `row_${i}`))),
    );
    expect(commits() - before).toBeLessThan(100 / 4);
    expect(Object.keys(await amounts(store))).toHaveLength(100);
  });

  /** The store anew, on a clock that stands still: a group is then bounded by its commands alone. */
  const reopen = async () => {
    await opened.dispose();
    opened = await openTestStore(counterMigrations, createFakeClock());
    store = opened.store;
  };

  test('commands of different callbacks of one poll phase share a commit too', async () => {
    await reopen();
    const before = commits();
    const immediate = () => new Promise<void>((resolve) => setImmediate(resolve));
    await Promise.all(
      Array.from({ length: 10 }, async (_, i) => {
        await immediate();
        await store.transact((tx) => addCounter(tx, `row_${i}`));
      }),
    );
    expect(commits() - before).toBe(1);
  });

  test('commands run in the order they were given, each to its end before the next', async () => {
    await reopen();
    const steps: string[] = [];
    await Promise.all(
      ['a', 'b', 'c'].map((id) =>
        store
          .transact(async (tx) => {
            steps.push(`${id} begins`);
            await addCounter(tx, id);
            await amounts(tx);
            steps.push(`${id} ends`);
          })
          .then(() => steps.push(`${id} resolves`)),
      ),
    );
    expect(steps).toEqual([
      ...['a begins', 'a ends', 'b begins', 'b ends', 'c begins', 'c ends'],
      ...['a resolves', 'b resolves', 'c resolves'],
    ]);
  });

  test('a later command of the group sees what an earlier one wrote, but not what a failed one wrote', async () => {
    const [, , seen] = await Promise.allSettled([
      store.transact((tx) => addCounter(tx, 'a', 1)),
      store.transact(async (tx) => {
        await addCounter(tx, 'b', 2);
        throw new Error('refused');
      }),
      store.transact((tx) => amounts(tx)),
    ]);
    expect(seen).toEqual({ status: 'fulfilled', value: { a: 1 } });
  });

  test('a COMMIT that fails rejects every command of its group, announces none, and the next group works', async () => {
    // A deferred foreign key is checked by COMMIT itself, so it makes a healthy engine refuse one.
    const database = new Database(join(opened.dataDir, 'homeostat.db'));
    database.exec(
      'create table test_child (id text references test_counter (id) deferrable initially deferred) strict',
    );
    database.close();
    interface Tables extends CounterTables {
      test_child: { id: string };
    }
    let announced = 0;
    const results = await Promise.allSettled(
      ['a', 'orphan', 'c'].map((id) =>
        store.transact(async (tx) => {
          tx.afterCommit(() => announced++);
          if (id === 'orphan') await tx.query<Tables>().insertInto('test_child').values({ id }).execute();
          else await addCounter(tx, id);
        }),
      ),
    );
    expect(results.map((result) => result.status)).toEqual(['rejected', 'rejected', 'rejected']);
    expect(announced).toBe(0);
    expect(await amounts(store)).toEqual({});
    await store.transact((tx) => addCounter(tx, 'd'));
    expect(await amounts(store)).toEqual({ d: 0 });
  });

  test('the connection that commits flushes every commit, in WAL mode, and enforces foreign keys', async () => {
    interface Pragmas {
      pragma_synchronous: { synchronous: number };
      pragma_journal_mode: { journal_mode: string };
      pragma_foreign_keys: { foreign_keys: number };
    }
    const settings = await store.transact((tx) =>
      tx
        .query<Pragmas>()
        .selectFrom(['pragma_synchronous', 'pragma_journal_mode', 'pragma_foreign_keys'])
        .selectAll()
        .executeTakeFirst(),
    );
    expect(settings).toEqual({ synchronous: 2, journal_mode: 'wal', foreign_keys: 1 });
  });

  test('a command that awaits something other than SQL is reported, since all others wait for it', async () => {
    const clock = createFakeClock();
    const reports: string[] = [];
    const logger: Logger = Object.create(silentLogger, {
      error: { value: (_: unknown, text: string) => reports.push(text) },
    });
    const slow = await openStore({ dataDir: join(opened.dataDir, 'slow'), clock, logger });
    let release!: () => void;
    const begun = new Promise<void>((resolve) => {
      void slow.transact(async () => {
        resolve();
        await new Promise<void>((done) => {
          release = done;
        });
      });
    });
    await begun;
    await clock.advance(4_999);
    expect(reports).toEqual([]);
    await clock.advance(1);
    expect(reports).toEqual([expect.stringContaining('holds its transaction open')]);
    release();
    await slow.transact(async () => undefined);
    await slow.close();
    expect(clock.pending()).toBe(0);
  });

  test('a write lock held by another process is waited for', async () => {
    const other = new Database(join(opened.dataDir, 'homeostat.db'));
    other.exec('begin immediate');
    const command = store.transact((tx) => addCounter(tx, 'a'));
    const early = await Promise.race([
      command.then(() => 'done'),
      store.readable().then(() => 'reads answer'),
    ]);
    expect(early).toBe('reads answer');
    other.exec('commit');
    other.close();
    await command;
    expect(await amounts(store)).toEqual({ a: 0 });
  });

  test('a write lock that never comes free is STORE_DOWN, for all that waited', async () => {
    const clock = createFakeClock();
    const waiting = await openTestStore(counterMigrations, clock);
    const other = new Database(join(waiting.dataDir, 'homeostat.db'));
    other.exec('begin immediate');
    const commands = Promise.allSettled(
      ['a', 'b'].map((id) => waiting.store.transact((tx) => addCounter(tx, id))),
    );
    let settled = false;
    void commands.then(() => {
      settled = true;
    });
    while (!settled) await clock.advance(100);
    const refusal = { status: 'rejected', reason: { domain: 'homeostat.edge', reason: 'STORE_DOWN' } };
    expect(await commands).toMatchObject([refusal, refusal]);
    other.exec('rollback');
    other.close();
    await waiting.store.transact((tx) => addCounter(tx, 'c'));
    await waiting.dispose();
    expect(clock.pending()).toBe(0);
  });

  test('commands given in any rhythm leave what running them one after the other leaves', async () => {
    const command = fc.record({
      write: fc.array(fc.tuple(fc.constantFrom('a', 'b', 'c', 'd'), fc.integer({ min: 0, max: 99 })), {
        maxLength: 3,
      }),
      fails: fc.boolean(),
      pause: fc.constantFrom('none', 'microtask', 'tick'),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(command, { maxLength: 12 }), async (commands) => {
        await store.transact((tx) => tx.query<CounterTables>().deleteFrom('test_counter').execute());
        const model: Record<string, number> = {};
        const running: Promise<unknown>[] = [];
        for (const { write, fails, pause } of commands) {
          const attempt = store.transact(async (tx) => {
            for (const [id, amount] of write)
              await tx
                .query<CounterTables>()
                .insertInto('test_counter')
                .values({ id, amount, version: 1 })
                .onConflict((conflict) => conflict.column('id').doUpdateSet({ amount }))
                .execute();
            if (fails) throw new Error('refused');
            return await amounts(tx);
          });
          if (!fails) Object.assign(model, Object.fromEntries(write));
          const expected = { ...model };
          running.push(
            fails ? expect(attempt).rejects.toThrow('refused') : expect(attempt).resolves.toEqual(expected),
          );
          if (pause === 'microtask') await Promise.resolve();
          if (pause === 'tick') await new Promise<void>((resolve) => setImmediate(resolve));
        }
        await Promise.all(running);
        expect(await amounts(store)).toEqual(model);
      }),
      { numRuns: 60 },
    );
  });
});
