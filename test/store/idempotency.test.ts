import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { type IdempotentRequest, idempotent, requestDigest } from '../../src/store/idempotency.ts';
import type { Store } from '../../src/store/store.ts';
import { createFakeClock, settle } from '../support/fake-clock.ts';
import { describeOnStores, openTestStore, type TestDatabase } from '../support/stores.ts';
import { addCounter, amounts, counterMigrations } from './counter-table.ts';

const DAY_MS = 24 * 60 * 60 * 1000;
const bytes = (text: string) => Uint8Array.from(Buffer.from(text));

const request = (given: Partial<IdempotentRequest> = {}): IdempotentRequest => ({
  principal: 'user_1',
  method: 'homeostat.test.v1.TestService/Create',
  key: 'key 1',
  requestDigest: requestDigest(bytes('request')),
  nowMs: Date.UTC(2026, 0, 1),
  ...given,
});

describeOnStores('idempotency', (engine) => {
  let database: TestDatabase;
  let store: Store;

  beforeEach(async () => {
    database = await engine.createDatabase();
    store = await database.open(counterMigrations);
  });
  afterEach(() => database.dispose());

  /** A command that adds a counter and answers with its id. */
  const create = (id: string, given: Partial<IdempotentRequest> = {}) =>
    store.transact((tx) =>
      idempotent(tx, request(given), async () => {
        await addCounter(tx, id);
        return bytes(id);
      }),
    );

  test('a repeat gets the first response and does nothing', async () => {
    expect(await create('a')).toEqual({ outcome: 'first', response: bytes('a') });
    expect(await create('b')).toEqual({ outcome: 'repeat', response: bytes('a') });
    expect(await amounts(store)).toEqual({ a: 0 });
  });

  test('another request with the same key is told so and does nothing', async () => {
    await create('a');
    expect(await create('b', { requestDigest: requestDigest(bytes('other')) })).toEqual({
      outcome: 'reused',
    });
    expect(await amounts(store)).toEqual({ a: 0 });
  });

  test('keys of other principals, methods and names are other keys', async () => {
    await create('a');
    expect(await create('b', { principal: 'user_2' })).toMatchObject({ outcome: 'first' });
    expect(await create('c', { method: 'Other' })).toMatchObject({ outcome: 'first' });
    expect(await create('d', { key: 'key 2' })).toMatchObject({ outcome: 'first' });
  });

  test('without a key nothing is remembered', async () => {
    expect(await create('a', { key: '' })).toMatchObject({ outcome: 'first' });
    expect(await create('b', { key: '' })).toMatchObject({ outcome: 'first' });
  });

  test('a command that was refused may be tried again with its key', async () => {
    await expect(
      store.transact((tx) =>
        idempotent(tx, request(), async () => {
          throw new Error('refused');
        }),
      ),
    ).rejects.toThrow('refused');
    expect(await create('a')).toEqual({ outcome: 'first', response: bytes('a') });
  });

  test('of many commands with one key at the same time, one works and the others get its response', async () => {
    const outcomes = await Promise.all(Array.from({ length: 10 }, (_, i) => create(`row_${i}`)));
    const first = outcomes.find((outcome) => outcome.outcome === 'first');
    expect(outcomes.filter((outcome) => outcome.outcome === 'first')).toHaveLength(1);
    expect(outcomes.filter((outcome) => outcome.outcome === 'repeat')).toHaveLength(9);
    for (const outcome of outcomes)
      expect(outcome).toHaveProperty('response', (first as { response: unknown }).response);
    expect(Object.keys(await amounts(store))).toHaveLength(1);
  });

  test('a key is remembered for 24 h and not a millisecond longer', async () => {
    const { nowMs } = request();
    await create('a');
    expect(await create('b', { nowMs: nowMs + DAY_MS - 1 })).toMatchObject({ outcome: 'repeat' });
    expect(await create('c', { nowMs: nowMs + DAY_MS })).toMatchObject({ outcome: 'first' });
    expect(await create('d', { nowMs: nowMs + DAY_MS })).toEqual({ outcome: 'repeat', response: bytes('c') });
  });
});

describe('forgotten keys', () => {
  interface Tables {
    store_idempotency: { key: string };
  }

  test('are dropped in the background, all of them, and no others', async () => {
    const clock = createFakeClock();
    const { store, dispose } = await openTestStore([], clock);
    const add = (key: string) => (tx: Parameters<Parameters<Store['transact']>[0]>[0]) =>
      idempotent(tx, request({ key, nowMs: clock.nowMs() }), async () => bytes(key));
    const keys = async () =>
      (await store.query<Tables>().selectFrom('store_idempotency').select('key').execute()).map(
        (row) => row.key,
      );

    for (let i = 0; i < 2_500; i++) {
      // Mostly many in one millisecond, some in one of their own.
      if (i % 400 === 0) await clock.advance(1);
      void store.transact(add(`old ${i}`));
    }
    await clock.advance(DAY_MS / 2);
    await store.transact(add('young'));
    expect(await keys()).toHaveLength(2_501);
    await clock.advance(DAY_MS / 2 + 20 * 60 * 1000);
    const deadline = performance.now() + 20_000;
    while ((await keys()).length > 1 && performance.now() < deadline) await settle();
    expect(await keys()).toEqual(['young']);
    await dispose();
    expect(clock.pending()).toBe(0);
  });
});

describe('the digest of a request', () => {
  test('is SHA-256 in hexadecimal', () => {
    expect(requestDigest(bytes('abc'))).toBe(
      'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad',
    );
  });
});
