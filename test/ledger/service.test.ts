/** The log through its service and its port, on both engines: what is appended, signed, proven, and refused. */
import { timestampMs } from '@bufbuild/protobuf/wkt';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import {
  leafData,
  ledgerMigrations,
  parseLeafData,
  parseVerifierKey,
  verifyCheckpoint,
  verifyNote,
} from '../../src/ledger/context.ts';
import { leafHash, sha256, verifyConsistency, verifyInclusion } from '../../src/numeric/merkle.ts';
import type { Store } from '../../src/store/store.ts';
import { createFakeClock, type FakeClock, settle } from '../support/fake-clock.ts';
import { describeOnStores, type TestDatabase } from '../support/stores.ts';
import { CONFIG, createLedgerWorld, type LedgerWorld } from './ledger-world.ts';

const payload = (text: string) => new Uint8Array(Buffer.from(text));

describeOnStores('LedgerService', (engine) => {
  let database: TestDatabase;
  let store: Store;
  let clock: FakeClock;
  let world: LedgerWorld;
  const worlds: LedgerWorld[] = [];

  const open = async (options: Partial<Parameters<typeof createLedgerWorld>[0]> = {}) => {
    const opened = createLedgerWorld({ store, clock, ...options });
    worlds.push(opened);
    await opened.context.start();
    return opened;
  };
  /** An append through the service, whose batch is let run. */
  const appendByRpc = async (request: Parameters<LedgerWorld['rpc']['append']>[0]) => {
    const appended = world.rpc.append(request);
    appended.catch(() => undefined);
    await clock.advance(CONFIG.batchWaitMs);
    return appended;
  };
  const published = async (size: number) => {
    await until(() => world.context.ledger.latest().size === size);
  };
  /** Lets rounds run until the condition holds; rejects when it does not within 10 s. */
  const until = async (condition: () => boolean) => {
    const deadlineMs = performance.now() + 10_000;
    while (!condition()) {
      if (performance.now() > deadlineMs) throw new Error('the condition was not met in time');
      await clock.advance(CONFIG.checkpointIntervalMs);
    }
  };

  beforeEach(async () => {
    database = await engine.createDatabase();
    store = await database.open(ledgerMigrations);
    clock = createFakeClock();
    world = await open();
  });
  afterEach(async () => {
    for (const opened of worlds.splice(0)) await opened.context.stop();
    expect(clock.pending()).toBe(0);
    await database.dispose();
  });

  test('a fresh log has a signed checkpoint of size 0', async () => {
    const checkpoint = await world.rpc.getCheckpoint();
    expect(checkpoint.treeSize).toBe(0n);
    expect(Buffer.from(checkpoint.root)).toEqual(Buffer.from(sha256(new Uint8Array(0))));
    expect(timestampMs(checkpoint.signedAt!)).toBe(clock.nowMs());
    expect(world.published).toHaveLength(1);
    await expect(world.rpc.getEntry(0)).rejects.toMatchObject({
      reason: 'ENTRY_NOT_FOUND',
      metadata: { index: '0', size: '0' },
    });
    await expect(world.rpc.getInclusionProof({ index: 0n })).rejects.toMatchObject({ reason: 'PROOF_RANGE' });
  });

  test('an entry is answered with its place, and proven offline from the next checkpoint on', async () => {
    const appended = await appendByRpc({ kind: 'external.note', key: 'k', payload: payload('hello') });
    expect(appended.index).toBe(0n);
    expect(world.audited).toEqual(['external.note/k']);
    const entry = await world.rpc.getEntry(0);
    expect(entry).toMatchObject({ index: 0n, kind: 'external.note', key: 'k', leafHash: appended.leafHash });
    expect(Buffer.from(entry.payload!).toString()).toBe('hello');
    const fields = { kind: 'external.note', key: 'k', atMs: timestampMs(entry.appendedAt!) };
    const data = leafData({ ...fields, payloadHash: sha256(payload('hello')) });
    expect(Buffer.from(entry.leafData)).toEqual(Buffer.from(data));
    await expect(world.rpc.getInclusionProof({ index: 0n })).rejects.toMatchObject({
      reason: 'PROOF_RANGE',
      kind: 'INVALID_ARGUMENT',
      metadata: { asked: '0', size: '0' },
    });

    await published(1);
    const { origin, logKeys } = await world.rpc.getLogKeys({} as never, world.call);
    expect(origin).toBe('example.org/log');
    const trusted = logKeys!.map(({ vkey }) => parseVerifierKey(vkey!)!);
    const proven = await world.rpc.getInclusionProof({ index: 0n });
    const verdict = verifyCheckpoint(proven.checkpoint.note, trusted);
    if (!verdict.valid) throw new Error(verdict.because);
    expect(verdict.checkpoint).toMatchObject({ origin: 'example.org/log', size: 1n });
    expect(parseLeafData(proven.leafData)).toMatchObject({ kind: 'external.note', key: 'k' });
    expect(
      verifyInclusion({
        index: 0n,
        size: verdict.checkpoint.size,
        leafHash: leafHash(proven.leafData),
        proof: proven.proof,
        root: verdict.checkpoint.root,
      }),
    ).toBe(true);
    expect(world.published.map(({ checkpoint }) => checkpoint!.treeSize)).toEqual([0n, 1n]);
    expect(world.published[1]!.checkpoint).toMatchObject({ note: proven.checkpoint.note });
  });

  test('a checkpoint follows an append within a second, and none comes while nothing is appended', async () => {
    await world.append('test.entry', 'a', '1');
    await clock.advance(1_000);
    const deadlineMs = performance.now() + 10_000;
    while (world.published.length < 2 && performance.now() < deadlineMs) await settle();
    expect(world.published.map(({ checkpoint }) => checkpoint!.treeSize)).toEqual([0n, 1n]);
    await clock.advance(60_000);
    expect(world.published).toHaveLength(2);
  });

  test('the same entry again has the same index, another payload is refused, and neither spoils its batch', async () => {
    const entry = { kind: 'external.note', key: 'k', payload: payload('one') };
    const answers = [
      entry,
      { ...entry, key: 'other' },
      { ...entry, payload: payload('two') },
      entry,
      { ...entry, kind: 'external.other', payload: payload('two') },
    ].map((request) => world.rpc.append(request));
    const settled = Promise.allSettled(answers);
    await clock.advance(CONFIG.batchWaitMs);
    expect(await settled).toMatchObject([
      { value: { index: 0n } },
      { value: { index: 1n } },
      {
        reason: {
          reason: 'ENTRY_CONFLICT',
          kind: 'ALREADY_EXISTS',
          metadata: { kind: 'external.note', key: 'k', index: '0' },
        },
      },
      { value: { index: 0n } },
      { value: { index: 2n } },
    ]);
    expect(world.audited).toEqual([
      'external.note/k',
      'external.note/other',
      'external.note/k',
      'external.other/k',
    ]);
    await expect(appendByRpc({ ...entry, payload: payload('two') })).rejects.toMatchObject({
      reason: 'ENTRY_CONFLICT',
    });
    expect((await appendByRpc(entry)).index).toBe(0n);
    await published(3);
  });

  test('a batch is committed as soon as it is full, and what waits is committed when the log stops', async () => {
    const full = Array.from({ length: CONFIG.batchEntriesMax }, (_, i) =>
      world.rpc.append({ kind: 'external.note', key: `k${i}`, payload: payload('x') }),
    );
    expect((await Promise.all(full)).map(({ index }) => Number(index))).toEqual(full.map((_, i) => i));
    const last = world.rpc.append({ kind: 'external.note', key: 'last', payload: payload('x') });
    await world.context.stop();
    expect((await last).index).toBe(BigInt(CONFIG.batchEntriesMax));
  });

  test('an entry whose audit cannot be written is not appended', async () => {
    const failing = await open({ audit: () => Promise.reject(new Error('no audit')) });
    const answer = failing.rpc.append({ kind: 'external.note', key: 'k', payload: payload('x') });
    const refused = expect(answer).rejects.toThrow('no audit');
    await clock.advance(CONFIG.batchWaitMs);
    await refused;
    await expect(world.rpc.getEntry(0)).rejects.toMatchObject({ reason: 'ENTRY_NOT_FOUND' });
  });

  test('what the caller rolls back was never appended', async () => {
    await world.append('test.entry', 'a', '1');
    await expect(
      store.transactInTurn(async (tx) => {
        const { index } = await world.context.ledger.append(tx, 'test.entry', 'b', payload('2'));
        expect(index).toBe(1);
        throw new Error('rolled back');
      }),
    ).rejects.toThrow('rolled back');
    expect((await world.append('test.entry', 'c', '3')).index).toBe(1);
    await published(2);
    expect((await world.rpc.getEntry(1)).key).toBe('c');
  });

  test('every proof across tiles verifies, for every published size', async () => {
    const sizes = [3, 200, 256, 257, 511, 700];
    let appended = 0;
    for (const size of sizes) {
      await world.appendMany(size - appended, appended);
      appended = size;
      await published(size);
    }
    const checkpoints = new Map<number, Uint8Array>();
    for (const size of sizes) checkpoints.set(size, (await world.rpc.getCheckpoint(BigInt(size))).root);
    for (const size of sizes) {
      for (const index of [0, 1, 2, 199, 255, 256, 510, 512, 699].filter((i) => i < size)) {
        const proven = await world.rpc.getInclusionProof({ index: BigInt(index), treeSize: BigInt(size) });
        expect(
          verifyInclusion({
            index: BigInt(index),
            size: BigInt(size),
            leafHash: leafHash(proven.leafData),
            proof: proven.proof,
            root: checkpoints.get(size)!,
          }),
        ).toBe(true);
      }
      for (const first of sizes.filter((other) => other <= size)) {
        const proven = await world.rpc.getConsistencyProof({
          firstSize: BigInt(first),
          secondSize: BigInt(size),
        });
        expect(
          verifyConsistency({
            firstSize: BigInt(first),
            secondSize: BigInt(size),
            firstRoot: checkpoints.get(first)!,
            secondRoot: checkpoints.get(size)!,
            proof: proven.proof,
          }),
        ).toBe(true);
      }
    }
    const beyond = 2n ** 64n - 1n;
    for (const request of [
      { index: 0n, treeSize: 4n },
      { index: 3n, treeSize: 3n },
      { index: beyond },
      { index: 0n, treeSize: beyond },
    ])
      await expect(world.rpc.getInclusionProof(request)).rejects.toMatchObject({ reason: 'PROOF_RANGE' });
    for (const request of [
      { firstSize: 4n },
      { firstSize: 256n, secondSize: 200n },
      { firstSize: beyond },
      { firstSize: 3n, secondSize: beyond },
    ])
      await expect(world.rpc.getConsistencyProof(request)).rejects.toMatchObject({ reason: 'PROOF_RANGE' });
    await expect(world.rpc.getCheckpoint(4n)).rejects.toMatchObject({ reason: 'PROOF_RANGE' });
    await expect(world.rpc.getEntry(beyond)).rejects.toMatchObject({ reason: 'ENTRY_NOT_FOUND' });
  });

  test('entries are listed in pages, all or of one kind', async () => {
    await world.appendMany(5);
    await world.append('test.other', 'x', 'y');
    await world.appendMany(5, 5);
    const first = await world.rpc.listEntries({ page: { pageSize: 4 } });
    expect(first.entries.map(({ index }) => index)).toEqual([0n, 1n, 2n, 3n]);
    const second = await world.rpc.listEntries({ page: { pageSize: 7, pageToken: first.nextPageToken } });
    expect(second.entries.map(({ index }) => Number(index))).toEqual([4, 5, 6, 7, 8, 9, 10]);
    expect(second.nextPageToken).toBe('');
    expect((await world.rpc.listEntries({ start: 9n })).entries).toHaveLength(2);
    expect((await world.rpc.listEntries({ start: 2n ** 64n - 1n })).entries).toEqual([]);
    expect((await world.rpc.listEntries({ kind: 'test.other' })).entries).toMatchObject([{ index: 5n }]);
    const ofKind = await world.rpc.listEntries({ kind: 'test.entry', start: 4n, page: { pageSize: 2 } });
    expect(ofKind.entries.map(({ index }) => index)).toEqual([4n, 6n]);
    await expect(world.rpc.listEntries({ page: { pageToken: 'x' } })).rejects.toMatchObject({
      reason: 'FIELD_INVALID',
      violations: [{ field: 'page.page_token' }],
    });
  });

  test('an erased payload is gone, and its entry is still proven', async () => {
    await world.append('test.entry', 'a', 'secret');
    await published(1);
    expect(await store.transact((tx) => world.context.ledger.erase(tx, 'test.entry', 'a'))).toBe(true);
    expect(await store.transact((tx) => world.context.ledger.erase(tx, 'test.entry', 'b'))).toBe(false);
    const entry = await world.rpc.getEntry(0);
    expect(entry.payload).toBeUndefined();
    expect(Buffer.from(entry.payloadHash)).toEqual(Buffer.from(sha256(payload('secret'))));
    expect((await world.rpc.getInclusionProof({ index: 0n })).checkpoint.treeSize).toBe(1n);
    expect(await world.context.scrub()).toEqual([]);
  });

  test('the port proves, tells the latest checkpoint and signs notes under its own names', async () => {
    await world.append('test.entry', 'a', '1');
    await published(1);
    const { entry, proof, checkpoint } = await world.context.ledger.prove(0);
    expect(entry.key).toBe('a');
    expect(proof).toEqual([]);
    expect(checkpoint.treeSize).toBe(1n);
    const { logKeys } = await world.rpc.getLogKeys({} as never, world.call);
    expect(logKeys!.map(({ name }) => name)).toEqual(['example.org/log', 'example.org/log/sessions']);
    const [log, sessions] = logKeys!.map(({ vkey }) => parseVerifierKey(vkey!)!);
    const note = world.context.ledger.sign('sessions', '{"a":1}\n');
    expect(verifyNote(note, [sessions!])).toMatchObject({ valid: true, note: { text: '{"a":1}\n' } });
    expect(verifyNote(note, [log!])).toEqual({ valid: false, because: 'NOT_SIGNED' });
    expect(() => world.context.ledger.sign('unknown', 'x\n')).toThrow(RangeError);
  });

  test('appends work before the start, everything else says that the log has not started', async () => {
    await world.context.stop();
    const waiting = createLedgerWorld({ store, clock });
    expect((await waiting.append('test.entry', 'early', '1')).index).toBe(0);
    expect(() => waiting.context.ledger.latest()).toThrow('the log has not started');
    await expect(waiting.rpc.getEntry(0)).rejects.toMatchObject({ kind: 'UNAVAILABLE' });
    expect(waiting.context.services[0]!.unavailable!()).toEqual(['STARTING']);
    worlds.push(waiting);
    await waiting.context.start();
    expect(waiting.context.services[0]!.unavailable!()).toEqual([]);
    expect(waiting.context.ledger.latest().size).toBe(1);
  });

  test('a log opened again goes on with its name, key and tree, across a tile', async () => {
    await world.appendMany(250);
    await published(250);
    const { root } = await world.rpc.getCheckpoint();
    const vkeys = await world.rpc.getLogKeys({} as never, world.call);
    await world.appendMany(20, 250);
    await world.context.stop();
    world = await open({ config: { origin: '' } });
    expect(await world.rpc.getLogKeys({} as never, world.call)).toEqual(vkeys);
    expect(world.context.ledger.latest().size).toBe(270);
    expect(Buffer.from((await world.rpc.getCheckpoint(250n)).root)).toEqual(Buffer.from(root));
    const { proof } = await world.rpc.getConsistencyProof({ firstSize: 250n });
    expect(proof.length).toBeGreaterThan(1);
    await world.appendMany(300, 270);
    await published(570);
    expect(await world.context.scrub()).toEqual([]);
  });

  test('another name than the log has is refused at the start, as are a bad name and a bad witness', async () => {
    const refusal = async (config: Parameters<typeof createLedgerWorld>[0]['config']) => {
      const other = createLedgerWorld({ store, clock, config: config! });
      return other.context.start().then(
        () => 'started',
        (error) => `${error.reason}: ${error.message}`,
      );
    };
    expect(await refusal({ origin: 'example.org/other' })).toBe(
      'ORIGIN_DIFFERS: the log of this database is named example.org/log, not example.org/other: its name cannot change, configure that one or none',
    );
    expect(await refusal({ origin: 'two words' })).toMatch(/^ORIGIN_INVALID: /);
    expect(await refusal({ witnesses: ['witness+00000000+AAAA'] })).toMatch(/^WITNESS_INVALID: /);
  });

  test('a log without a configured name makes one up and keeps it', async () => {
    const second = await engine.createDatabase();
    try {
      const own = await second.open(ledgerMigrations);
      for (const _ of ['first start', 'second start']) {
        const named = createLedgerWorld({ store: own, clock, config: { origin: '' } });
        await named.context.start();
        const { origin } = await named.rpc.getLogKeys({} as never, named.call);
        expect(origin).toBe('homeostat.local/00010203');
        await named.context.stop();
      }
    } finally {
      await second.dispose();
    }
  });

  test('metrics tell the size, the age of the checkpoint and that nothing is damaged', async () => {
    await world.append('test.entry', 'a', '1');
    await published(1);
    const signedMs = world.context.ledger.latest().signedAtMs;
    await clock.advance(10_000);
    await settle();
    const text = await world.exposition();
    expect(text).toContain('homeostat_ledger_size 1\n');
    expect(text).toContain(`homeostat_ledger_checkpoint_age_seconds ${(clock.nowMs() - signedMs) / 1000}\n`);
    expect(text).toContain('homeostat_ledger_damaged 0\n');
    expect(world.context.degraded()).toEqual([]);
  });
});
