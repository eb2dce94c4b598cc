/** What an attacker with write access to the database can do to the trail, and where it is found. */
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { type AuditTables, auditMigrations, saveEnd } from '../../../src/identity/audit/audit-store.ts';
import { entryHash, link, ORIGIN } from '../../../src/identity/audit/entry.ts';
import { anchorHead } from '../../../src/identity/audit/sweep.ts';
import type { Queries, Store } from '../../../src/store/store.ts';
import { createFakeClock, type FakeClock } from '../../support/fake-clock.ts';
import { openTestStore, type TestStore } from '../../support/stores.ts';
import { type AuditWorld, createAuditWorld, tamper } from './audit-world.ts';

const NO_EVENTS = { record: async () => undefined };

/** Entries in all; those up to `ANCHORED` are anchored. */
const COUNT = 8;
const ANCHORED = 6;

describe('a trail somebody has tampered with', () => {
  let opened: TestStore;
  let store: Store;
  let clock: FakeClock;
  let world: AuditWorld;

  beforeEach(async () => {
    opened = await openTestStore(auditMigrations);
    store = opened.store;
    clock = createFakeClock();
    world = createAuditWorld({ store, clock });
    world.ledger.publish(true);
    for (let i = 1; i <= COUNT; i++) {
      await world.add({ requestId: `r${i}`, code: 'OK', reason: 'none' });
      if (i === 3 || i === ANCHORED) await anchorHead({ store, bus: NO_EVENTS, ledger: world.ledger });
    }
    expect(await world.verify()).toMatchObject([{ checked: BigInt(COUNT), anchors: 2n, done: true }]);
  });
  afterEach(async () => {
    expect(clock.pending()).toBe(0);
    await opened.dispose();
  });

  const change = (work: (queries: Queries<AuditTables>) => Promise<unknown>) =>
    store.transact(async (tx) => void (await work(tx.query<AuditTables>())));
  /** The sequence that verification names; undefined when it finds nothing. */
  const firstBad = async (): Promise<number | undefined> => {
    try {
      await world.verify();
      return undefined;
    } catch (error) {
      expect(error).toMatchObject({ reason: 'CHAIN_BROKEN', kind: 'DATA_LOSS' });
      return Number((error as { metadata: { sequence: string } }).metadata.sequence);
    }
  };
  const flipped = (value: number | string | Uint8Array, seed: number) => {
    if (typeof value === 'number') return value ^ (1 << (seed % 20));
    if (typeof value === 'string') return `${value}${String.fromCharCode(97 + (seed % 26))}`;
    return value.map((byte, i) => (i === seed % value.length ? byte ^ (1 << (seed % 8)) : byte));
  };

  test('identity.U1 a flip in any column of any entry is found at that entry', async () => {
    const rows = await store.query<AuditTables>().selectFrom('identity_audit').selectAll().execute();
    let seed = 0;
    for (const row of rows)
      for (const [column, value] of Object.entries(row)) {
        if (column === 'sequence') continue;
        await tamper(store, row.sequence, { [column]: flipped(value, seed++) });
        expect({ column, bad: await firstBad() }).toEqual({ column, bad: row.sequence });
        await tamper(store, row.sequence, { [column]: value });
      }
    expect(seed).toBe(COUNT * 12);
    expect(await firstBad()).toBeUndefined();
  });

  test('identity.U1 an entry under another sequence is found where it is missing', async () => {
    for (let sequence = 1; sequence <= COUNT; sequence++) {
      await tamper(store, sequence, { sequence: sequence + 64 });
      // Without its last entry the chain is shorter than its head says, and one lies behind the head.
      expect(await firstBad()).toBe(sequence);
      await tamper(store, sequence + 64, { sequence });
    }
  });

  test('identity.U1 a dropped entry is found at its sequence, the last one too', async () => {
    for (let sequence = COUNT; sequence >= 1; sequence--) {
      await change((queries) =>
        queries.deleteFrom('identity_audit').where('sequence', '=', sequence).execute(),
      );
      expect(await firstBad()).toBe(sequence);
    }
  });

  test('identity.U1 swapped entries are found at the first of them', async () => {
    for (let sequence = 1; sequence < COUNT; sequence++) {
      const swap = async () => {
        await tamper(store, sequence, { sequence: 99 });
        await tamper(store, sequence + 1, { sequence });
        await tamper(store, 99, { sequence: sequence + 1 });
      };
      await swap();
      expect(await firstBad()).toBe(sequence);
      await swap();
    }
    expect(await firstBad()).toBeUndefined();
  });

  test('identity.U1 an inserted entry is found at it or behind it, however well it is made', async () => {
    const entries = await world.entries();
    for (let at = 1; at <= COUNT; at++) {
      const shift = async (by: 1 | -1) => {
        const moved = entries.filter(({ sequence }) => sequence >= at);
        for (const { sequence } of by === 1 ? moved.toReversed() : moved)
          await tamper(store, by === 1 ? sequence : sequence + 1, {
            sequence: by === 1 ? sequence + 1 : sequence,
          });
      };
      await shift(1);
      const forged = link(entries[at - 2] ?? ORIGIN, { ...entries[at - 1]!, requestId: 'forged' });
      await change((queries) => queries.insertInto('identity_audit').values(rowOf(forged)).execute());
      expect(await firstBad()).toBe(at + 1);
      await change((queries) => queries.deleteFrom('identity_audit').where('sequence', '=', at).execute());
      await shift(-1);
    }
    expect(await firstBad()).toBeUndefined();
  });

  test('identity.U1 a chain cut off is found by its head, and by its anchors where the head is cut off too', async () => {
    const entries = await world.entries();
    for (let last = COUNT - 1; last >= 0; last--) {
      await change((queries) => queries.deleteFrom('identity_audit').where('sequence', '>', last).execute());
      expect(await firstBad()).toBe(last + 1);
      if (last >= ANCHORED) continue;
      await store.transact((tx) => saveEnd(tx, 'head', entries[last - 1] ?? ORIGIN));
      expect(await firstBad()).toBe(last + 1);
      await store.transact((tx) => saveEnd(tx, 'head', entries[COUNT - 1]!));
    }
  });

  test('identity.U1 a chain made anew from some entry on is found at the next anchor', async () => {
    const entries = await world.entries();
    for (let from = 1; from <= ANCHORED; from++) {
      let previous = entries[from - 2] ?? ORIGIN;
      for (const entry of entries.slice(from - 1)) {
        const forged = link(previous, { ...entry, requestId: `forged-${from}` });
        await tamper(store, forged.sequence, rowOf(forged));
        previous = forged;
      }
      await store.transact((tx) => saveEnd(tx, 'head', previous));
      expect(await firstBad()).toBe(from <= 3 ? 3 : ANCHORED);
      for (const entry of entries) await tamper(store, entry.sequence, rowOf(entry));
      await store.transact((tx) => saveEnd(tx, 'head', entries[COUNT - 1]!));
    }
    expect(await firstBad()).toBeUndefined();
  });

  test('identity.U1 a head that says something else is found', async () => {
    const head = (await world.entries())[COUNT - 1]!;
    const heads = [
      [{ sequence: COUNT, hash: flipped(head.hash, 5) as Uint8Array }, COUNT],
      [{ sequence: COUNT + 1, hash: head.hash }, COUNT + 1],
      [{ sequence: COUNT - 1, hash: head.hash }, COUNT],
      [ORIGIN, 1],
    ] as const;
    for (const [forged, bad] of heads) {
      await store.transact((tx) => saveEnd(tx, 'head', forged));
      expect(await firstBad()).toBe(bad);
    }
    await change((queries) => queries.deleteFrom('identity_audit_end').execute());
    expect(await firstBad()).toBe(1);
  });

  test('identity.U1 a beginning cut off is found, unless an anchor vouches for it', async () => {
    const entries = await world.entries();
    for (const stub of entries.slice(0, COUNT - 1)) {
      await store.transact((tx) => saveEnd(tx, 'stub', stub));
      const isAnchored = stub.sequence === 3 || stub.sequence === ANCHORED;
      expect(await firstBad()).toBe(isAnchored ? undefined : stub.sequence);
      await store.transact((tx) => saveEnd(tx, 'stub', { ...stub, hash: new Uint8Array(32) }));
      expect(await firstBad()).toBeDefined();
    }
  });

  test('identity.U1 an anchor that says something else is found at its entry', async () => {
    const anchors = await store
      .query<AuditTables>()
      .selectFrom('identity_audit_anchor')
      .selectAll()
      .execute();
    const set = (sequence: number, changed: object) =>
      change((queries) =>
        queries.updateTable('identity_audit_anchor').set(changed).where('sequence', '=', sequence).execute(),
      );
    for (const { sequence, hash, ledger_index } of anchors) {
      await set(sequence, { hash: flipped(hash, sequence) });
      expect(await firstBad()).toBe(sequence);
      await set(sequence, { hash, ledger_index: ledger_index ^ 1 });
      expect(await firstBad()).toBe(sequence);
      await set(sequence, { ledger_index, sequence: sequence - 1 });
      expect(await firstBad()).toBe(sequence - 1);
      await set(sequence - 1, { sequence });
    }
    expect(await firstBad()).toBeUndefined();
  });

  test('identity.U1 a ledger that says something else is found at the entry that was anchored', async () => {
    const [first] = world.ledger.entries;
    const payload = first!.payload;
    for (let i = 0; i < payload.length; i++) {
      first!.payload = payload.map((byte, at) => (at === i ? byte ^ 1 : byte));
      expect(await firstBad()).toBe(3);
    }
  });

  test('an anchor that no checkpoint comes to cover is found', async () => {
    const other = createAuditWorld({ store, clock, ledger: world.ledger });
    world.ledger.publish();
    await other.add();
    await anchorHead({ store, bus: NO_EVENTS, ledger: world.ledger });
    const verdict = expect(other.verify()).rejects.toMatchObject({
      reason: 'CHAIN_BROKEN',
      metadata: { sequence: '9' },
    });
    for (let i = 0; i < 110; i++) await clock.advance(100);
    await verdict;
  });

  test('an export of a damaged span ends in CHAIN_BROKEN', async () => {
    await tamper(store, 4, { principal: 'eve' });
    await expect(world.export()).rejects.toMatchObject({
      reason: 'CHAIN_BROKEN',
      metadata: { sequence: '4' },
    });
  });
});

/** A row, hash included, as the trail would store it. */
function rowOf(entry: Awaited<ReturnType<AuditWorld['entries']>>[number]): AuditTables['identity_audit'] {
  return {
    sequence: entry.sequence,
    occurred_at_ms: entry.occurredAtMs,
    principal: entry.principal,
    method: entry.method,
    resource: entry.resource,
    code: entry.code,
    reason: entry.reason,
    request_digest: entry.requestDigest,
    peer: entry.peer,
    request_id: entry.requestId,
    count: entry.count,
    previous_hash: entry.previousHash,
    hash: entryHash(entry),
  };
}
