import { timestampMs } from '@bufbuild/protobuf/wkt';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { anchorPayload } from '../../../src/identity/audit/anchor.ts';
import { auditMigrations, findHead } from '../../../src/identity/audit/audit-store.ts';
import { verifyExport } from '../../../src/identity/audit/verify.ts';
import type { Store } from '../../../src/store/store.ts';
import { createFakeClock, type FakeClock } from '../../support/fake-clock.ts';
import { describeOnStores, type TestDatabase } from '../../support/stores.ts';
import { type AuditWorld, createAuditWorld, instant } from './audit-world.ts';

const START_MS = Date.UTC(2026, 0, 1);

describeOnStores('AuditService', (engine) => {
  let database: TestDatabase;
  let store: Store;
  let clock: FakeClock;
  let world: AuditWorld;

  beforeEach(async () => {
    database = await engine.createDatabase();
    store = await database.open(auditMigrations);
    clock = createFakeClock(START_MS);
    world = createAuditWorld({ store, clock });
  });
  afterEach(async () => {
    await world.audit.stop();
    expect(clock.pending()).toBe(0);
    await database.dispose();
  });

  const query = async (request: Parameters<AuditWorld['query']>[0] = {}) => {
    const { entries, nextPageToken } = await world.query(request);
    return { sequences: entries.map(({ sequence }) => Number(sequence)), nextPageToken };
  };
  /** Adds entries one second apart. */
  const addApart = async (count: number) => {
    for (let i = 0; i < count; i++) {
      await world.add({ requestId: `r${i}` });
      await clock.advance(1_000);
    }
  };
  /** Runs what waits for the ledger while time passes. */
  const meanwhile = async <Result>(result: Promise<Result>): Promise<Result> => {
    let isOver = false;
    const over = () => {
      isOver = true;
    };
    result.then(over, over);
    const deadlineMs = performance.now() + 20_000;
    while (!isOver && performance.now() < deadlineMs) await clock.advance(100);
    return await result;
  };

  test('lists what was stored, newest first, page by page', async () => {
    await addApart(7);
    const [newest] = (await world.query()).entries;
    expect(newest).toMatchObject({ sequence: 7n, principal: 'ada', code: 'OK', count: 1n, requestId: 'r6' });
    expect(newest!.hash).toEqual((await findHead(store)).hash);
    expect(timestampMs(newest!.occurredAt!)).toBe(START_MS + 6_000);
    const first = await query({ page: { pageSize: 3 } });
    expect(first.sequences).toEqual([7, 6, 5]);
    await world.add();
    const second = await query({ page: { pageSize: 3, pageToken: first.nextPageToken } });
    expect(second.sequences).toEqual([4, 3, 2]);
    const third = await query({ page: { pageSize: 3, pageToken: second.nextPageToken } });
    expect(third).toEqual({ sequences: [1], nextPageToken: '' });
    expect(await query({ page: { pageSize: 8 } })).toMatchObject({ nextPageToken: '' });
  });

  test('filters by principal, method, code and span of time', async () => {
    await world.add({ principal: '' });
    await world.add({ method: 'a.v1.A/Read' });
    await world.add({ code: 'UNAVAILABLE', reason: 'DRAINING' });
    await clock.advance(1_000);
    await world.add({ principal: 'bob' });
    expect((await query({ principal: '' })).sequences).toEqual([1]);
    expect((await query({ principal: 'ada' })).sequences).toEqual([3, 2]);
    expect((await query({ method: 'a.v1.A/Read' })).sequences).toEqual([2]);
    expect((await query({ code: 'UNAVAILABLE' })).sequences).toEqual([3]);
    const later = instant(START_MS + 1_000);
    expect((await query({ range: { start: later } })).sequences).toEqual([4]);
    expect((await query({ range: { end: later } })).sequences).toEqual([3, 2, 1]);
    expect((await query({ range: { end: later }, principal: 'bob' })).sequences).toEqual([]);
    const justAfter = { seconds: later.seconds, nanos: 1 };
    expect((await query({ range: { start: justAfter } })).sequences).toEqual([]);
    expect((await query({ range: { end: justAfter } })).sequences).toEqual([4, 3, 2, 1]);
  });

  test('refuses spans, tokens and names that are none', async () => {
    const early = { range: { start: instant(5), end: instant(5) } };
    const refusals = [
      [early, 'range.end'],
      [{ page: { pageToken: 'x' } }, 'page.page_token'],
      [{ page: { pageToken: '9999999999999999.1' } }, 'page.page_token'],
      [{ principal: 'a\u0000b' }, 'principal'],
      [{ method: 'a b' }, 'method'],
    ] as const;
    for (const [request, field] of refusals)
      await expect(world.query(request)).rejects.toMatchObject({
        domain: 'homeostat.identity',
        reason: 'FIELD_INVALID',
        violations: [{ field }],
      });
    const huge = { start: { seconds: 10n ** 17n, nanos: 0 } };
    expect((await world.query({ range: huge })).entries).toEqual([]);
  });

  test('a filter that matches little looks through more entries than a part of them', async () => {
    await world.add({ principal: 'rare' });
    const many = Array.from({ length: 9_000 }, (_, i) => world.add({ requestId: `r${i}` }));
    await Promise.all(many);
    expect((await query({ principal: 'rare' })).sequences).toEqual([1]);
    const sequences: number[] = [];
    let pageToken = '';
    do {
      const page = await query({ principal: 'ada', page: { pageSize: 500, pageToken } });
      sequences.push(...page.sequences);
      pageToken = page.nextPageToken;
    } while (pageToken !== '');
    expect(sequences).toEqual(Array.from({ length: 9_000 }, (_, i) => 9_001 - i));
  }, 60_000);

  test('the head is the newest entry, with the newest anchor that can be proven', async () => {
    expect(await world.head()).toMatchObject({ sequence: 0n, hash: new Uint8Array(32) });
    await world.audit.start();
    await addApart(1);
    await anchoredAfter(60_000, 1);
    world.ledger.publish();
    const anchored = await findHead(store);
    await addApart(1);
    await anchoredAfter(60_000, 2);
    await addApart(1);
    const head = await world.head();
    expect(head.sequence).toBe(3n);
    expect(head.hash).toEqual((await findHead(store)).hash);
    expect(head.anchor).toMatchObject({ sequence: 1n, hash: anchored.hash, checkpoint: { treeSize: 1n } });
    expect(head.anchor!.entry!.payload).toEqual(anchorPayload(anchored));
    world.ledger.publish();
    expect((await world.head()).anchor!.sequence).toBe(2n);
  });

  /** Lets time pass until the ledger has so many entries; rejects when it does not within 20 s. */
  const anchoredAfter = async (ms: number, count: number) => {
    const deadlineMs = performance.now() + 20_000;
    await clock.advance(ms);
    while (world.ledger.entries.length < count && performance.now() < deadlineMs) await clock.advance(15_000);
    expect(world.ledger.entries).toHaveLength(count);
  };

  test('exports a span and what leads on to the anchor, which is made and proven first', async () => {
    await addApart(5);
    world.ledger.publish(true);
    const range = { start: instant(START_MS + 1_000), end: instant(START_MS + 3_000) };
    const items = await world.export({ range });
    // Entry 6 is the export's own.
    expect(items.map(({ item }) => [item.case, Number(item.value?.sequence)])).toEqual([
      ...[2, 3, 4, 5, 6].map((sequence) => ['entry', sequence]),
      ['anchor', 6],
    ]);
    expect((await world.entries())[5]!.resource).toBe(`audit/${START_MS + 1_000}..${START_MS + 3_000}`);
    const verdict = verifyExport(items);
    expect(verdict.findings.map(({ outcome }) => outcome)).toEqual(['ok', 'ok']);
    expect(verdict.anchor).toMatchObject({ sequence: 6n, checkpoint: expect.anything() });
    // Once there is an anchor behind the span, it is the one.
    const again = await world.export({ range });
    expect(again.at(-1)!.item.value).toMatchObject({ sequence: 6n });
    expect(world.ledger.entries).toHaveLength(1);
  });

  test('an export waits for the proof, and is refused when none comes', async () => {
    await addApart(1);
    const waiting = world.export();
    await clock.advance(3_000);
    world.ledger.publish(true);
    expect(await meanwhile(waiting)).toHaveLength(3);
    world.ledger.publish();
    await addApart(1);
    await expect(meanwhile(world.export({ range: { start: instant(START_MS) } }))).rejects.toMatchObject({
      reason: 'AUDIT_UNAVAILABLE',
      retryAfterMs: 1_000,
    });
  });

  test('an export holds every entry of its span, even those committed out of the order of time', async () => {
    await world.audit.start();
    await clock.advance(59_000);
    world.audit.sink.count({
      principal: '',
      method: 'm',
      code: 'UNAUTHENTICATED',
      reason: 'BAD_TOKEN',
      peer: 'p',
    });
    await world.audit.stop();
    // The sum bears a time before that of the entry in front of it.
    const later = createAuditWorld({
      store,
      clock: createFakeClock(START_MS + 60_000),
      ledger: world.ledger,
    });
    await later.add();
    const earlier = createAuditWorld({
      store,
      clock: createFakeClock(START_MS + 30_000),
      ledger: world.ledger,
    });
    await earlier.add();
    world.ledger.publish(true);
    const items = await world.export({
      range: { start: instant(START_MS + 59_500), end: instant(START_MS + 60_500) },
    });
    expect(Number(items[0]!.item.value!.sequence)).toBe(2);
    const around = await world.export({
      range: { start: instant(START_MS + 30_000), end: instant(START_MS + 59_500) },
    });
    expect(around.slice(0, 3).map(({ item }) => Number(item.value!.sequence))).toEqual([1, 2, 3]);
    expect((await query()).sequences).toEqual([2, 5, 4, 1, 3]);
  });

  test('an empty span exports nothing', async () => {
    await addApart(1);
    expect(await world.export({ range: { end: instant(START_MS) } })).toEqual([]);
  });

  test('a whole trail verifies, its progress told every 10,000 entries', async () => {
    world.ledger.publish(true);
    await Promise.all(Array.from({ length: 10_300 }, () => world.add()));
    const progress = await world.verify();
    expect(progress.map(({ done }) => done)).toEqual([false, true]);
    expect(progress[0]!.checked).toBeGreaterThanOrEqual(10_000n);
    expect(progress[1]!).toMatchObject({ checked: 10_300n });
    expect(progress[1]!.anchors).toBeGreaterThanOrEqual(1n);
  }, 60_000);

  test('a part of the trail verifies, and parts that are not there are refused', async () => {
    expect(await world.verify()).toMatchObject([{ checked: 0n, done: true }]);
    await addApart(6);
    expect(await world.verify({ start: 3n, end: 5n })).toMatchObject([{ checked: 3n, done: true }]);
    for (const request of [{ start: 7n }, { end: 7n }, { start: 4n, end: 3n }, { start: 2n ** 60n }])
      await expect(world.verify(request)).rejects.toMatchObject({ reason: 'FIELD_INVALID' });
  });

  test('entries that come while it runs do not disturb a verification', async () => {
    world.ledger.publish(true);
    await Promise.all(Array.from({ length: 1_000 }, () => world.add()));
    const adding = Promise.all(Array.from({ length: 100 }, () => world.add()));
    expect((await world.verify()).at(-1)).toMatchObject({ done: true });
    await adding;
    expect((await world.verify()).at(-1)).toMatchObject({ checked: 1_100n });
  });
});
