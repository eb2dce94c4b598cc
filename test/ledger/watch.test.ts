/** Watching checkpoints: from where one was, without a gap, with signs of life, and with nothing left behind. */
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { ledgerMigrations } from '../../src/ledger/context.ts';
import type { Store } from '../../src/store/store.ts';
import { createFakeClock, type FakeClock, settle } from '../support/fake-clock.ts';
import { openTestStore, type TestStore } from '../support/stores.ts';
import { CONFIG, createLedgerWorld, type LedgerWorld } from './ledger-world.ts';

describe('WatchCheckpoints', () => {
  let testStore: TestStore;
  let store: Store;
  let clock: FakeClock;
  let world: LedgerWorld;
  let stopping: AbortController;

  const grow = async (size: number) => {
    const from = world.context.ledger.latest().size;
    await world.appendMany(size - from, from);
    const deadlineMs = performance.now() + 10_000;
    while (world.context.ledger.latest().size < size && performance.now() < deadlineMs)
      await clock.advance(CONFIG.checkpointIntervalMs);
  };
  const watch = (resumeSize?: bigint) => {
    const stream = world.rpc.watch(resumeSize, stopping.signal);
    return async () => {
      const { value, done } = await stream.next();
      return done ? 'end' : { size: value.checkpoint?.treeSize, resume: value.resumeSize };
    };
  };

  beforeEach(async () => {
    testStore = await openTestStore(ledgerMigrations);
    store = testStore.store;
    clock = createFakeClock();
    world = createLedgerWorld({ store, clock });
    await world.context.start();
    stopping = new AbortController();
  });
  afterEach(async () => {
    stopping.abort();
    await settle();
    await world.context.stop();
    expect(clock.pending()).toBe(0);
    await testStore.dispose();
  });

  test('begins with the latest, then sends each new one', async () => {
    await grow(2);
    const next = watch();
    expect(await next()).toEqual({ size: 2n, resume: 2n });
    const waiting = next();
    await settle();
    await grow(5);
    expect(await waiting).toEqual({ size: 5n, resume: 5n });
    await grow(6);
    await grow(9);
    expect(await next()).toEqual({ size: 6n, resume: 6n });
    expect(await next()).toEqual({ size: 9n, resume: 9n });
  });

  test('goes on where a watcher was, from the first one with 0, and a fresh log begins with its empty one', async () => {
    const first = watch();
    expect(await first()).toEqual({ size: 0n, resume: 0n });
    for (let size = 1; size <= 70; size++) await grow(size);
    const all = watch(0n);
    for (let size = 1; size <= 70; size++)
      expect(await all()).toEqual({ size: BigInt(size), resume: BigInt(size) });
    const resumed = watch(68n);
    expect(await resumed()).toEqual({ size: 69n, resume: 69n });
    expect(await resumed()).toEqual({ size: 70n, resume: 70n });
  }, 60_000);

  test('sends a heartbeat after each silence, and no sooner', async () => {
    await grow(3);
    const next = watch(3n);
    let beats = 0;
    const beating = (async () => {
      for (let i = 0; i < 2; i++) {
        expect(await next()).toEqual({ size: undefined, resume: 3n });
        beats++;
      }
    })();
    await settle();
    await clock.advance(CONFIG.heartbeatMs - 1);
    expect(beats).toBe(0);
    await clock.advance(1);
    expect(beats).toBe(1);
    await clock.advance(CONFIG.heartbeatMs);
    await beating;
  });

  test('refuses a size that the log has not reached', async () => {
    await grow(3);
    for (const size of [4n, 2n ** 64n - 1n])
      await expect(watch(size)()).rejects.toMatchObject({
        reason: 'PROOF_RANGE',
        metadata: { asked: String(size), size: '3' },
      });
  });

  test('ends when it is aborted, and leaves no timer behind', async () => {
    const before = clock.pending();
    const next = watch(0n);
    const waiting = next();
    await settle();
    expect(clock.pending()).toBe(before + 1);
    stopping.abort();
    expect(await waiting).toBe('end');
    expect(clock.pending()).toBe(before);
  });
});
