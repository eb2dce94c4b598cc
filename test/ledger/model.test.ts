/**
 * The log against a model on both engines: any order of appends, repeats, conflicts, rolled-back transactions and restarts
 * gives the entries of a plain list, and the root of a naive tree over them. Then two servers on one database at once.
 */
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { ledgerMigrations } from '../../src/ledger/context.ts';
import { emptyRoot, leafHash, nodeHash, verifyConsistency } from '../../src/numeric/merkle.ts';
import type { Store } from '../../src/store/store.ts';
import { createFakeClock, type FakeClock } from '../support/fake-clock.ts';
import { describeOnStores, type TestDatabase } from '../support/stores.ts';
import { CONFIG, createLedgerWorld, type LedgerWorld } from './ledger-world.ts';

function naiveRoot(leaves: readonly Uint8Array[]): Uint8Array {
  if (leaves.length === 0) return emptyRoot();
  if (leaves.length === 1) return leaves[0]!;
  let k = 1;
  while (2 * k < leaves.length) k *= 2;
  return nodeHash(naiveRoot(leaves.slice(0, k)), naiveRoot(leaves.slice(k)));
}

interface AppendStep {
  readonly keys: readonly number[];
  readonly payload: string;
  readonly rollBack: boolean;
}
type Step = AppendStep | { readonly do: 'round' | 'restart' };

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      keys: fc.array(fc.nat(400), { minLength: 1, maxLength: 90 }),
      payload: fc.constantFrom('one', 'one', 'one', 'two'),
      rollBack: fc.boolean(),
    }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constantFrom('round' as const, 'restart' as const) }) },
);

describeOnStores('the log', (engine) => {
  let database: TestDatabase;
  let store: Store;
  let clock: FakeClock;
  const worlds: LedgerWorld[] = [];

  const open = async (on: Store = store) => {
    const world = createLedgerWorld({ store: on, clock });
    worlds.push(world);
    await world.context.start();
    return world;
  };
  const published = async (world: LedgerWorld, size: number) => {
    const deadlineMs = performance.now() + 20_000;
    while (world.context.ledger.latest().size < size) {
      if (performance.now() > deadlineMs) throw new Error(`size ${size} was not published in time`);
      await clock.advance(CONFIG.checkpointIntervalMs);
    }
  };
  /** All leaf hashes, recomputed from what is read. */
  const leavesOf = async (world: LedgerWorld) => {
    const leaves: Uint8Array[] = [];
    const keys: string[] = [];
    for (let token = ''; ; ) {
      const { entries, nextPageToken } = await world.rpc.listEntries({
        page: { pageSize: 500, pageToken: token },
      });
      for (const entry of entries) {
        leaves.push(leafHash(entry.leafData));
        keys.push(`${entry.key}=${Buffer.from(entry.payload!).toString()}`);
      }
      if (nextPageToken === '') return { leaves, keys };
      token = nextPageToken;
    }
  };

  beforeEach(() => {
    clock = createFakeClock();
  });
  afterEach(async () => {
    for (const world of worlds.splice(0)) await world.context.stop();
    expect(clock.pending()).toBe(0);
  });

  test('is the list of what was committed, each kind and key once', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 25 }), async (steps) => {
        database = await engine.createDatabase();
        store = await database.open(ledgerMigrations);
        const model = new Map<string, { index: number; payload: string }>();
        let world = await open();
        const appendStep = async ({ keys, payload, rollBack }: AppendStep) => {
          const next = new Map(model);
          const outcome = await store
            .transactInTurn(async (tx) => {
              for (const number of keys) {
                const key = `key-${number}`;
                const { index } = await world.context.ledger.append(
                  tx,
                  'test.entry',
                  key,
                  Buffer.from(payload),
                );
                const known = next.get(key);
                if (known && known.payload !== payload) throw new Error('a conflict was not refused');
                if (!known) next.set(key, { index: next.size, payload });
                expect(index).toBe(next.get(key)!.index);
              }
              if (rollBack) throw new Error('rolled back');
            })
            .then(
              () => 'committed',
              (error) => error.reason ?? error.message,
            );
          const conflicts = keys.some((number) => {
            const known = model.get(`key-${number}`);
            return known !== undefined && known.payload !== payload;
          });
          if (conflicts) expect(outcome).toBe('ENTRY_CONFLICT');
          else expect(outcome).toBe(rollBack ? 'rolled back' : 'committed');
          if (outcome === 'committed') for (const [key, value] of next) model.set(key, value);
        };
        for (const one of steps) {
          if ('keys' in one) await appendStep(one);
          else if (one.do === 'round') await clock.advance(CONFIG.checkpointIntervalMs);
          else {
            await world.context.stop();
            world = await open();
          }
        }
        await published(world, model.size);
        const { leaves, keys } = await leavesOf(world);
        expect(keys).toEqual([...model].map(([key, { payload }]) => `${key}=${payload}`));
        expect(Buffer.from(world.context.ledger.latest().root)).toEqual(Buffer.from(naiveRoot(leaves)));
        expect(await world.context.scrub()).toEqual([]);
        for (const one of worlds.splice(0)) await one.context.stop();
        await database.dispose();
      }),
      { numRuns: engine.name === 'SQLite' ? 12 : 5, endOnFailure: true },
    );
  }, 120_000);

  // Servers that share a SQLite file take turns; only PostgreSQL lets two commands run at once.
  if (engine.name === 'SQLite') return;

  test('is one log to two servers that append and publish at once', async () => {
    database = await engine.createDatabase();
    store = await database.open(ledgerMigrations);
    const other = await database.open(ledgerMigrations);
    const [first, second] = await Promise.all([open(), open(other)]);
    const appends: Promise<{ index: number }>[] = [];
    for (let i = 0; i < 150; i++) {
      appends.push(first!.append('test.first', `key-${i}`, 'x'));
      appends.push(second!.append('test.second', `key-${i}`, 'x'));
      // Every tenth entry is appended by both.
      if (i % 10 === 0)
        appends.push(
          first!.append('test.both', `key-${i}`, 'x'),
          second!.append('test.both', `key-${i}`, 'x'),
        );
      if (i % 15 === 0) await clock.advance(CONFIG.checkpointIntervalMs);
    }
    const indices = (await Promise.all(appends)).map(({ index }) => index);
    expect(new Set(indices).size).toBe(315);
    await published(first!, 315);
    await published(second!, 315);
    const { leaves } = await leavesOf(second!);
    expect(leaves).toHaveLength(315);
    const latest = first!.context.ledger.latest();
    expect(Buffer.from(latest.root)).toEqual(Buffer.from(naiveRoot(leaves)));
    expect(second!.context.ledger.latest().note).toBe(latest.note);

    const events = [...first!.published, ...second!.published].map(({ checkpoint }) => checkpoint!);
    const sizes = events.map(({ treeSize }) => Number(treeSize));
    expect(new Set(sizes).size).toBe(sizes.length);
    expect(sizes.length).toBeGreaterThan(2);
    for (const { treeSize, root } of events) {
      expect(Buffer.from(root)).toEqual(Buffer.from(naiveRoot(leaves.slice(0, Number(treeSize)))));
      if (treeSize === 0n) continue;
      const { proof } = await second!.rpc.getConsistencyProof({ firstSize: treeSize });
      const claim = {
        firstSize: treeSize,
        secondSize: 315n,
        firstRoot: root,
        secondRoot: latest.root,
        proof,
      };
      expect(verifyConsistency(claim)).toBe(true);
    }
    expect(await second!.context.scrub()).toEqual([]);
    for (const world of worlds.splice(0)) await world.context.stop();
    await database.dispose();
  }, 120_000);
});
