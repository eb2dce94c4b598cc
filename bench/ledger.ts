/**
 * P12: what the transparency log costs. Appends as LedgerService takes them, 256 at a time and with checkpoints signed
 * meanwhile, beside bare SQLite (same driver, pragmas, tables and batches) that inserts the same rows with the same hashes
 * computed. Then proofs of a log of 10^6 entries, made and verified, beside one SHA-256 per tree level, and how their cost
 * grows. The audit trail and the events are not the log's and are left out.
 */
import { hash } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Database from 'libsql';
import { systemClock as clock } from '../src/clock.ts';
import type { AppendRequest, LedgerService } from '../src/gen/homeostat/ledger/v1/ledger_service_pb.ts';
import { createLedger, leafData, ledgerMigrations } from '../src/ledger/context.ts';
import { createDamage } from '../src/ledger/damage.ts';
import { findFrontier } from '../src/ledger/store.ts';
import { appendEntries } from '../src/ledger/tree/append-store.ts';
import { Tree } from '../src/ledger/tree/tree.ts';
import { inclusionProof, verifyInclusion } from '../src/numeric/merkle.ts';
import { createLogger, createMetrics } from '../src/observability.ts';
import { createRandom } from '../src/random.ts';
import type { Call, Handlers } from '../src/rpc/handler.ts';
import { createSealer } from '../src/sealing.ts';
import { systemSecrets } from '../src/secrets.ts';
import { openStore } from '../src/store/open.ts';
import type { Store } from '../src/store/store.ts';
import { type Bench, type BenchOptions, type BenchRow, format, median, runPairs } from './harness.ts';

const BATCH = 256;
const PAYLOAD_BYTES = 200;
const PROOF_SIZES = [10_000, 100_000, 1_000_000];
/** Entries of one transaction while the log for proofs is filled. */
const FILL_BATCH = 4_096;
/** Tiles that proofs are made in; with those above them they fit into memory. */
const WARM_TILES = 512;
const TILES_MAX = 1_024;
const KIND = 'external.bench';
const logger = createLogger('error');

/** Runs in a new folder with a store of the ledger's tables. */
async function withStore<Result>(run: (store: Store) => Promise<Result>): Promise<Result> {
  const dataDir = await mkdtemp(join(tmpdir(), 'homeostat-bench-'));
  const store = await openStore({ dataDir, clock, logger });
  try {
    await store.migrate(ledgerMigrations);
    return await run(store);
  } finally {
    await store.close();
    await rm(dataDir, { recursive: true, force: true });
  }
}

function payloadOf(index: number): Uint8Array {
  const payload = new Uint8Array(PAYLOAD_BYTES);
  new DataView(payload.buffer).setFloat64(0, index);
  return payload;
}

/** The product: entries per second through the service. */
function runProduct(seconds: number): Promise<number> {
  return withStore(async (store) => {
    const context = createLedger({
      config: {
        origin: 'bench',
        witnesses: [],
        noteNames: [],
        checkpointIntervalMs: 500,
        scrubIntervalMs: 86_400_000,
        heartbeatMs: 15_000,
        batchEntriesMax: BATCH,
        batchWaitMs: 5,
        tilesMax: TILES_MAX,
      },
      clock,
      store,
      bus: { record: async () => undefined },
      logger,
      metrics: createMetrics(),
      secrets: systemSecrets,
      sealer: createSealer(systemSecrets.bytes(32), systemSecrets),
    });
    await context.start();
    const { append } = context.services[0]!.handlers as unknown as Handlers<typeof LedgerService>;
    const call = { audit: async () => undefined } as unknown as Call;
    const begunMs = clock.monotonicMs();
    let count = 0;
    while (clock.monotonicMs() - begunMs < seconds * 1000) {
      const batch = Array.from({ length: BATCH }, () => {
        const index = count++;
        const request = { kind: KIND, key: `key-${index}`, payload: payloadOf(index) };
        return append(request as AppendRequest, call);
      });
      await Promise.all(batch);
    }
    const rate = count / ((clock.monotonicMs() - begunMs) / 1000);
    await context.stop();
    return rate;
  });
}

/** Bare SQLite: one prepared insert per row, one commit per batch, the same hashes. */
async function runBare(seconds: number): Promise<number> {
  const folder = await mkdtemp(join(tmpdir(), 'homeostat-bench-'));
  const database = new Database(join(folder, 'bare.db'));
  for (const pragma of ['journal_mode = wal', 'synchronous = full', 'foreign_keys = on'])
    database.prepare(`pragma ${pragma}`).all([]);
  database.exec(`
    create table entry ("index" integer primary key, kind text not null, key text not null, at_ms integer not null,
      payload blob, payload_hash blob not null, leaf_hash blob not null, unique (kind, key)) strict;
    create index entry_kind on entry (kind, "index");`);
  const insert = database.prepare('insert into entry values (?, ?, ?, ?, ?, ?, ?)');
  const begin = database.prepare('begin immediate');
  const commit = database.prepare('commit');
  // Whatever its shape, a tree of n leaves has n - 1 nodes: one more hash for each leaf.
  const node = new Uint8Array(65);
  const begunMs = clock.monotonicMs();
  let count = 0;
  while (clock.monotonicMs() - begunMs < seconds * 1000) {
    begin.run([]);
    for (let i = 0; i < BATCH; i++) {
      const index = count++;
      const key = `key-${index}`;
      const atMs = Math.floor(clock.nowMs());
      const payload = payloadOf(index);
      const payloadHash = hash('sha256', payload, 'buffer');
      const leaf = hash('sha256', leafData({ kind: KIND, key, atMs, payloadHash }), 'buffer');
      node.set(leaf, 33);
      node.set(hash('sha256', node, 'buffer'), 1);
      insert.run([index, KIND, key, atMs, payload, payloadHash, leaf]);
    }
    commit.run([]);
  }
  const rate = count / ((clock.monotonicMs() - begunMs) / 1000);
  database.close();
  await rm(folder, { recursive: true, force: true });
  return rate;
}

/** A log that grows to a size; gives the root there. */
function createFilling(store: Store) {
  let size = 0;
  return async (target: number): Promise<Uint8Array> => {
    while (size < target) {
      const count = Math.min(FILL_BATCH, target - size);
      const entries = Array.from({ length: count }, (_, i) => ({
        kind: KIND,
        key: `key-${size + i}`,
        payload: payloadOf(size + i),
      }));
      await store.transactInTurn((tx) => appendEntries({ clock, damage: createDamage() }, tx, entries));
      size += count;
    }
    return (await findFrontier(store))!.range!.root();
  };
}

/** Leaf hashes of entries in a few tiles, by index: proofs of them find what they need in memory. */
async function warmLeaves(tree: Tree, size: number): Promise<readonly (readonly [number, Uint8Array])[]> {
  const random = createRandom(1, size);
  const tiles = Math.floor(size / BATCH);
  const leaves: (readonly [number, Uint8Array])[] = [];
  for (let i = 0; i < Math.min(WARM_TILES, tiles); i++) {
    const tile = tiles <= WARM_TILES ? i : Math.floor(random.uniform() * tiles);
    const index = tile * BATCH + Math.floor(random.uniform() * BATCH);
    leaves.push([index, await tree.lookup(0, index)]);
  }
  return leaves;
}

/** Proofs per second, each made and verified. */
async function runProofs(
  tree: Tree,
  leaves: readonly (readonly [number, Uint8Array])[],
  size: number,
  root: Uint8Array,
  seconds: number,
): Promise<number> {
  const begunMs = clock.monotonicMs();
  let count = 0;
  while (clock.monotonicMs() - begunMs < seconds * 1000) {
    for (const [index, leaf] of leaves) {
      const proof = await inclusionProof(index, size, tree.lookup);
      const claim = { index: BigInt(index), size: BigInt(size), leafHash: leaf, proof, root };
      if (!verifyInclusion(claim)) throw new Error(`entry ${index} is not proven`);
    }
    count += leaves.length;
  }
  return count / ((clock.monotonicMs() - begunMs) / 1000);
}

/** As many times per second as one hash of a node for each level can be taken. */
function runHashes(levels: number, seconds: number): number {
  const node = new Uint8Array(65);
  const begunMs = clock.monotonicMs();
  let count = 0;
  while (clock.monotonicMs() - begunMs < seconds * 1000) {
    for (let i = 0; i < 512; i++) for (let level = 0; level < levels; level++) hash('sha256', node, 'buffer');
    count += 512;
  }
  return count / ((clock.monotonicMs() - begunMs) / 1000);
}

/** Slope of log(cost) over log(size) by least squares. */
function exponentOf(points: readonly (readonly [number, number])[]): number {
  const logs = points.map(([size, cost]) => [Math.log(size), Math.log(cost)] as const);
  const meanX = logs.reduce((sum, [x]) => sum + x, 0) / logs.length;
  const meanY = logs.reduce((sum, [, y]) => sum + y, 0) / logs.length;
  const cross = logs.reduce((sum, [x, y]) => sum + (x - meanX) * (y - meanY), 0);
  return cross / logs.reduce((sum, [x]) => sum + (x - meanX) ** 2, 0);
}

async function appends({ pairs, seconds }: BenchOptions): Promise<BenchRow> {
  return runPairs({
    id: 'P12',
    name: APPEND_TITLE,
    bar: 0.6,
    unit: 'entries/s',
    pairs,
    a: () => runProduct(seconds),
    b: () => runBare(seconds),
    notes: [`batches of ${BATCH}, payloads of ${PAYLOAD_BYTES} bytes, a new database each time`],
  });
}

async function proofs({ pairs, seconds }: BenchOptions): Promise<BenchRow> {
  return withStore(async (store) => {
    const fill = createFilling(store);
    const costs: [number, number][] = [];
    const notes: string[] = [];
    let last = { tree: new Tree({ reader: store, damage: createDamage(), tilesMax: TILES_MAX }), size: 0 };
    let root = new Uint8Array(0) as Uint8Array;
    for (const size of PROOF_SIZES) {
      root = await fill(size);
      const tree = new Tree({ reader: store, damage: createDamage(), tilesMax: TILES_MAX });
      if (await tree.open(size, root)) throw new Error('the tree is not what was appended');
      const leaves = await warmLeaves(tree, size);
      const rates: number[] = [];
      for (let i = 0; i < 5; i++) rates.push(await runProofs(tree, leaves, size, root, seconds / 5));
      const microseconds = 1e6 / median(rates);
      costs.push([size, microseconds]);
      notes.push(`${format(microseconds)} us at ${size.toLocaleString('en-US')}`);
      last = { tree, size };
    }
    const { tree, size } = last;
    const leaves = await warmLeaves(tree, size);
    const levels = Math.ceil(Math.log2(size));
    return runPairs({
      id: 'P12',
      name: PROOF_TITLE,
      bar: 1 / 3,
      unit: 'proofs/s',
      pairs,
      a: () => runProofs(tree, leaves, size, root, seconds),
      b: async () => runHashes(levels, seconds),
      checks: [{ name: 'exponent of the cost over the size', value: exponentOf(costs), atMost: 0.25 }],
      notes: [...notes, `warm, made and verified; ${levels} hashes beside it`],
    });
  });
}

const APPEND_TITLE = 'ledger appends in batches of 256 beside bare SQLite inserting the same rows and hashes';
const PROOF_TITLE = 'inclusion proofs at 10^6 entries beside one SHA-256 per tree level';

export const ledger: Bench = {
  id: 'P12',
  title: 'the transparency log: appends beside bare SQLite, proofs beside one SHA-256 per tree level',
  bar: 0.6,
  run: async (options) => [await appends(options), await proofs(options)],
};
