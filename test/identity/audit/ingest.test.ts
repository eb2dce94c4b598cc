import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { auditMigrations, findHead } from '../../../src/identity/audit/audit-store.ts';
import { linkFault, ORIGIN } from '../../../src/identity/audit/entry.ts';
import type { Store } from '../../../src/store/store.ts';
import { createFakeClock, type FakeClock } from '../../support/fake-clock.ts';
import { describeOnStores, type TestDatabase } from '../../support/stores.ts';
import { type AuditWorld, allEntries, createAuditWorld, recordOf } from './audit-world.ts';

describeOnStores('the sink of the audit trail', (engine) => {
  let database: TestDatabase;
  let store: Store;
  let clock: FakeClock;
  let world: AuditWorld;

  beforeEach(async () => {
    database = await engine.createDatabase();
    store = await database.open(auditMigrations);
    clock = createFakeClock();
    world = createAuditWorld({ store, clock });
    await world.audit.start();
  });
  afterEach(async () => {
    await world.audit.stop();
    expect(clock.pending()).toBe(0);
    await database.dispose();
  });

  /** Lets time pass until so many entries are stored; rejects when they are not within 20 s. */
  const until = async (count: number) => {
    const deadlineMs = performance.now() + 20_000;
    for (;;) {
      const entries = await world.entries();
      if (entries.length >= count) return entries;
      if (performance.now() > deadlineMs) throw new Error(`only ${entries.length} entries came`);
      await clock.advance(0);
    }
  };

  const refused = (peer: string, changed: object = {}) => ({
    principal: '',
    method: 'a.v1.A/Read',
    code: 'UNAUTHENTICATED',
    reason: 'BAD_TOKEN',
    peer,
    ...changed,
  });

  const chained = async () => {
    const entries = await world.entries();
    let previous = ORIGIN;
    for (const entry of entries) {
      expect(linkFault(previous, entry)).toBeUndefined();
      previous = { sequence: entry.sequence, hash: entry.hash };
    }
    expect(await findHead(store)).toEqual(previous);
    return entries;
  };

  test('keeps a call as it was told, at the time of its answer', async () => {
    const record = recordOf({ resource: 'session/é\n1' });
    await world.audit.sink.commit(record);
    await clock.advance(5);
    await world.add({ principal: '', requestDigest: new Uint8Array(0) });
    const entries = await chained();
    expect(entries).toMatchObject([
      { ...record, sequence: 1, occurredAtMs: Date.UTC(2026, 0, 1), count: 1 },
      { sequence: 2, occurredAtMs: Date.UTC(2026, 0, 1) + 5, principal: '' },
    ]);
    expect(entries[0]!.previousHash).toEqual(new Uint8Array(32));
  });

  test("an entry is committed with its command, and goes with a command's rollback", async () => {
    const commands = Array.from({ length: 30 }, (_, i) =>
      store.transactInTurn(async (tx) => {
        await world.audit.sink.record(tx, recordOf({ resource: `r/${i}` }));
        if (i % 3 === 0) throw new Error('rolled back');
        await world.audit.sink.record(tx, recordOf({ resource: `r/${i}/again` }));
      }),
    );
    const settled = await Promise.allSettled(commands);
    const expected = settled.flatMap(({ status }, i) =>
      status === 'fulfilled' ? [`r/${i}`, `r/${i}/again`] : [],
    );
    expect(expected).toHaveLength(40);
    expect((await chained()).map(({ resource }) => resource)).toEqual(expected);
    expect(await world.exposition()).toContain('homeostat_audit_entries_total 40');
  });

  test('entries of calls at once, of their own and of commands, make one chain', async () => {
    const calls = Array.from({ length: 200 }, (_, i) =>
      i % 4 === 0
        ? store.transactInTurn((tx) => world.audit.sink.record(tx, recordOf({ requestId: `r${i}` })))
        : world.audit.sink.commit(recordOf({ requestId: `r${i}` })),
    );
    await Promise.all(calls);
    const ids = (await chained()).map(({ requestId }) => requestId);
    expect(new Set(ids)).toEqual(new Set(Array.from({ length: 200 }, (_, i) => `r${i}`)));
    expect(ids).toHaveLength(200);
  });

  test('two servers on one database extend one chain', async () => {
    const other = createAuditWorld({ store: await database.open(), clock });
    await Promise.all(
      Array.from({ length: 60 }, (_, i) => (i % 2 === 0 ? world : other).add({ requestId: `r${i}` })),
    );
    await other.audit.stop();
    expect(await chained()).toHaveLength(60);
  });

  test('a call whose entry cannot be written is refused with AUDIT_UNAVAILABLE', async () => {
    await store.close();
    await expect(world.add()).rejects.toMatchObject({
      domain: 'homeostat.identity',
      reason: 'AUDIT_UNAVAILABLE',
      kind: 'UNAVAILABLE',
      retryAfterMs: 1_000,
    });
    store = await database.open();
    expect(await allEntries(store)).toEqual([]);
  });

  test('counted calls become one entry per sum at the end of their minute', async () => {
    await clock.advance(10_000);
    for (let i = 0; i < 5; i++) world.audit.sink.count(refused('192.0.2.1'));
    world.audit.sink.count(refused('192.0.2.2'));
    await clock.advance(49_999);
    expect(await world.entries()).toEqual([]);
    await clock.advance(1);
    expect(await until(2)).toMatchObject([
      { ...refused('192.0.2.1'), count: 5, occurredAtMs: Date.UTC(2026, 0, 1, 0, 1), resource: '' },
      { ...refused('192.0.2.2'), count: 1, requestId: '', requestDigest: new Uint8Array(0) },
    ]);
    world.audit.sink.count(refused('192.0.2.1'));
    await clock.advance(60_000);
    expect((await until(3))[2]).toMatchObject({ count: 1, occurredAtMs: Date.UTC(2026, 0, 1, 0, 2) });
    await chained();
  });

  test('a flood from many addresses adds a bounded number of entries a minute, and no call is lost', async () => {
    for (let i = 0; i < 50_000; i++) world.audit.sink.count(refused(`peer-${i}`));
    await clock.advance(60_000);
    const entries = await until(984);
    await world.audit.stop();
    expect(await world.entries()).toEqual(entries);
    expect(entries).toHaveLength(984);
    expect(entries.reduce((sum, { count }) => sum + count, 0)).toBe(50_000);
    expect(entries.at(-1)).toMatchObject({ principal: '*', method: '*', code: 'UNAUTHENTICATED', peer: '*' });
  });

  test('what was counted is written at stop, no later than the time it is', async () => {
    await clock.advance(90_000);
    world.audit.sink.count(refused('192.0.2.1'));
    await world.audit.stop();
    expect(await world.entries()).toMatchObject([{ count: 1, occurredAtMs: Date.UTC(2026, 0, 1, 0, 1, 30) }]);
  });

  test('a minute that cannot be written is summed with the next', async () => {
    let isDown = true;
    const flaky: Store = {
      ...store,
      query: store.query.bind(store),
      transactInTurn: (work) => (isDown ? Promise.reject(new Error('down')) : store.transactInTurn(work)),
    };
    const other = createAuditWorld({ store: flaky, clock });
    await other.audit.start();
    other.audit.sink.count(refused('192.0.2.1'));
    await clock.advance(60_000);
    other.audit.sink.count(refused('192.0.2.1'));
    isDown = false;
    await clock.advance(60_000);
    const entries = await until(1);
    await other.audit.stop();
    expect(entries).toMatchObject([{ count: 2, occurredAtMs: Date.UTC(2026, 0, 1, 0, 2) }]);
    expect(await world.entries()).toHaveLength(1);
  });
});
