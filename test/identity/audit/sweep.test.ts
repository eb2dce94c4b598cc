import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { anchorPayload } from '../../../src/identity/audit/anchor.ts';
import {
  auditMigrations,
  findHead,
  findStub,
  listAnchors,
  saveEnd,
} from '../../../src/identity/audit/audit-store.ts';
import { anchorHead } from '../../../src/identity/audit/sweep.ts';
import type { Store } from '../../../src/store/store.ts';
import { createFakeClock, type FakeClock } from '../../support/fake-clock.ts';
import { describeOnStores, type TestDatabase } from '../../support/stores.ts';
import { type AuditWorld, createAuditWorld, createMemoryLedger, DAY_MS } from './audit-world.ts';

/** A quarter of the interval. */
const LOOK_MS = 15_000;

const NO_EVENTS = { record: async () => undefined };

describeOnStores('the sweep of the audit trail', (engine) => {
  let database: TestDatabase;
  let store: Store;
  let clock: FakeClock;
  let world: AuditWorld;

  const open = async (config: Parameters<typeof createAuditWorld>[0]['config'] = {}) => {
    const opened = createAuditWorld({ store, clock, config });
    await opened.audit.start();
    return opened;
  };
  beforeEach(async () => {
    database = await engine.createDatabase();
    store = await database.open(auditMigrations);
    clock = createFakeClock();
    world = await open({ anchorEntriesMax: 10 });
  });
  afterEach(async () => {
    await world.audit.stop();
    expect(clock.pending()).toBe(0);
    await database.dispose();
  });

  const anchors = () =>
    listAnchors(store, { from: 0, to: Number.MAX_SAFE_INTEGER, limit: 1_000, order: 'asc' });
  /** Lets looks follow each other until the condition holds; rejects when it does not within 20 s. */
  const until = async (condition: () => Promise<boolean>) => {
    const deadlineMs = performance.now() + 20_000;
    while (!(await condition())) {
      if (performance.now() > deadlineMs) throw new Error('the condition was not met in time');
      await clock.advance(LOOK_MS);
    }
  };
  const anchored = (count: number) => until(async () => (await anchors()).length >= count);

  test('the head enters the ledger before an entry has waited for a minute', async () => {
    await world.add();
    await clock.advance(44_999);
    expect(await anchors()).toEqual([]);
    await world.add();
    await clock.advance(15_000);
    await anchored(1);
    const head = await findHead(store);
    expect(head.sequence).toBe(2);
    expect(await anchors()).toEqual([{ ...head, ledgerIndex: 0 }]);
    expect(world.ledger.entries).toEqual([{ key: '2', payload: anchorPayload(head) }]);
    expect(world.anchored).toMatchObject([{ sequence: 2n, hash: head.hash, ledgerIndex: 0n }]);
  });

  test('nothing enters the ledger while nothing is added', async () => {
    await clock.advance(300_000);
    expect(world.ledger.entries).toEqual([]);
    await world.add();
    await clock.advance(600_000);
    await anchored(1);
    await clock.advance(600_000);
    expect(world.ledger.entries).toHaveLength(1);
  });

  test('the head enters the ledger at once when enough entries wait', async () => {
    for (let i = 0; i < 9; i++) await world.add();
    await clock.advance(0);
    expect(await anchors()).toEqual([]);
    await world.add();
    await anchored(1);
    expect((await anchors())[0]!.sequence).toBe(10);
  });

  test('a ledger that takes nothing is asked again, and the trail goes on meanwhile', async () => {
    world.ledger.broken = new Error('read only');
    for (let i = 0; i < 25; i++) await world.add();
    await clock.advance(120_000);
    expect(await anchors()).toEqual([]);
    expect(world.anchored).toEqual([]);
    world.ledger.broken = undefined;
    await clock.advance(15_000);
    await anchored(1);
    expect((await anchors())[0]!.sequence).toBe(25);
    expect((await world.entries()).length).toBe(25);
  });

  test('of servers on one database one anchors a head', async () => {
    const ledger = createMemoryLedger();
    const stores = [store, await database.open(), await database.open()];
    await world.add();
    const found = await Promise.all(stores.map((one) => anchorHead({ store: one, bus: NO_EVENTS, ledger })));
    expect(new Set(found.map((anchor) => anchor!.ledgerIndex)).size).toBe(1);
    expect(ledger.entries).toHaveLength(1);
    expect(await anchors()).toHaveLength(1);
  });

  /** Adds entries and anchors the last; resolves with the new head's sequence. */
  const anchoredBlock = async (count: number) => {
    await Promise.all(Array.from({ length: count }, () => world.add()));
    return (await anchorHead({ store, bus: NO_EVENTS, ledger: world.ledger }))!.sequence;
  };

  /** The next start of the server, `ms` later; time does not pass for a running one, which would look all the while. */
  const restartAfter = async (ms: number, config: Parameters<typeof open>[0] = {}) => {
    await world.audit.stop();
    await clock.advance(ms);
    world = createAuditWorld({ store, clock, config, ledger: world.ledger });
    await world.audit.start();
  };

  test('entries older than the retention go up to an anchor, and verification goes on from there', async () => {
    world.ledger.publish(true);
    const first = await anchoredBlock(5);
    await restartAfter(DAY_MS);
    const second = await anchoredBlock(4);
    await restartAfter(DAY_MS);
    await anchoredBlock(3);
    await world.add();

    await restartAfter(363.5 * DAY_MS);
    await until(async () => (await world.entries())[0]!.sequence === first + 1);
    expect((await findStub(store)).sequence).toBe(first);
    expect((await anchors())[0]!.sequence).toBe(first);
    const [done] = await world.verify();
    expect(done).toMatchObject({ checked: 8n, done: true });
    expect(Number(done!.anchors)).toBe((await anchors()).length);
    await expect(world.verify({ start: 5n })).rejects.toMatchObject({ reason: 'FIELD_INVALID' });

    await restartAfter(DAY_MS);
    await until(async () => (await world.entries())[0]!.sequence === second + 1);
    expect((await findStub(store)).sequence).toBe(second);
    expect((await world.query()).entries.map((entry) => Number(entry.sequence))).toEqual([13, 12, 11, 10]);
    expect(await world.verify()).toMatchObject([{ checked: 4n, done: true }]);
  });

  test('entries before a young one stay, whatever the clock said then', async () => {
    await anchoredBlock(2);
    await restartAfter(400 * DAY_MS);
    await world.add();
    await world.audit.stop();
    // A clock that was a year behind, and has been set since.
    world = createAuditWorld({ store, clock: createFakeClock(), ledger: world.ledger });
    await anchoredBlock(2);
    await restartAfter(0);
    await until(async () => (await findStub(store)).sequence === 2);
    await clock.advance(2 * 3_600_000);
    expect((await world.entries()).map(({ sequence }) => sequence)).toEqual([3, 4, 5]);
  });

  test('a removal cut short is finished, over several transactions', async () => {
    const count = 2_500;
    await restartAfter(0, { anchorEntriesMax: 100_000 });
    await anchoredBlock(count);
    await world.add();
    world.ledger.publish(true);
    const [anchor] = await anchors();
    // A server that was killed right after it had moved the stub.
    await store.transact((tx) => saveEnd(tx, 'stub', anchor!));
    expect(await world.verify()).toMatchObject([{ checked: 1n, anchors: 1n, done: true }]);
    expect((await world.query()).entries).toHaveLength(1);
    await until(async () => (await world.entries()).length === 1);
    expect((await world.entries())[0]!.sequence).toBe(count + 1);
  });
});
