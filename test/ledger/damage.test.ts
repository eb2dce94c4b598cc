/**
 * Damage: every byte of every column changed, one at a time, is found by a scrub that names the entries it is about;
 * nothing damaged is given out; and a damaged log is read, not appended to, until a scrub finds it whole.
 */
import { randomInt } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { type LedgerConfig, ledgerMigrations } from '../../src/ledger/context.ts';
import type { NoteTables } from '../../src/ledger/note/checkpoint-store.ts';
import { holdsLogKey } from '../../src/ledger/note/key-store.ts';
import { createSigner } from '../../src/ledger/note/signer.ts';
import { scrub } from '../../src/ledger/scrub.ts';
import type { LedgerTables } from '../../src/ledger/store.ts';
import { sha256 } from '../../src/numeric/merkle.ts';
import type { Store, Tx } from '../../src/store/store.ts';
import { createFakeClock, type FakeClock } from '../support/fake-clock.ts';
import { openTestStore, type TestStore } from '../support/stores.ts';
import { CONFIG, countingSecrets, createLedgerWorld, type LedgerWorld, sealer } from './ledger-world.ts';
import { createWitness } from './witness.ts';

type Tables = LedgerTables & NoteTables;
type Value = number | string | Uint8Array | null;
type Row = Record<string, Value>;

const seed = countingSecrets.bytes(32);
const signer = createSigner(CONFIG.origin, seed);
const witness = createWitness(
  'witness.example/w',
  seed.map((byte) => byte + 40),
);

/** Columns that identify a row. */
const KEYS: Readonly<Record<string, readonly string[]>> = {
  ledger_entry: ['index'],
  ledger_tile: ['level', 'index'],
  ledger_frontier: ['name'],
  ledger_checkpoint: ['tree_size'],
  ledger_cosignature: ['tree_size', 'vkey'],
  ledger_key: ['name'],
};

async function rowsOf(reader: Pick<Store, 'query'>, table: string): Promise<Row[]> {
  const rows = await reader
    .query<Tables>()
    .selectFrom(table as 'ledger_entry')
    .selectAll()
    .execute();
  return rows as unknown as Row[];
}

async function write(tx: Tx, table: string, row: Row, change: Row): Promise<void> {
  const identity = Object.fromEntries(KEYS[table]!.map((name) => [name, row[name]]));
  await tx
    .query<Tables>()
    .updateTable(table as 'ledger_entry')
    .set(change as never)
    .where((builder) => builder.and(identity as never))
    .execute();
}

/** Every value that differs from this one in a single byte: of each byte one bit is changed. */
function changesOf(value: Value): Value[] {
  if (typeof value === 'number')
    return Array.from({ length: 6 }, (_, byte) =>
      Number(BigInt(value) ^ (1n << BigInt(8 * byte + (byte % 8)))),
    );
  if (typeof value === 'string')
    return Array.from(
      value,
      (_, at) => value.slice(0, at) + String.fromCharCode(value.charCodeAt(at) ^ 0x40) + value.slice(at + 1),
    );
  if (value === null) return [];
  return Array.from(value, (_, at) => {
    const bytes = Uint8Array.from(value);
    bytes[at]! ^= 1 << (at % 8);
    return bytes;
  });
}

let testStore: TestStore;
let store: Store;
let clock: FakeClock;
let world: LedgerWorld;
const worlds: LedgerWorld[] = [];

const open = async (config: Partial<LedgerConfig> = {}) => {
  const opened = createLedgerWorld({ store, clock, config: { witnesses: [witness.key.vkey], ...config } });
  worlds.push(opened);
  await opened.context.start();
  return opened;
};
const rounds = async (condition: () => boolean) => {
  const deadlineMs = performance.now() + 10_000;
  while (!condition()) {
    if (performance.now() > deadlineMs) throw new Error('the condition was not met in time');
    await clock.advance(CONFIG.checkpointIntervalMs);
  }
};
const grow = async (...sizes: readonly number[]) => {
  for (const size of sizes) {
    const from = world.context.ledger.latest().size;
    await world.appendMany(size - from, from);
    await rounds(() => world.context.ledger.latest().size === size);
  }
};
const cosign = async () => {
  const { note } = await world.rpc.getCheckpoint();
  const text = note.slice(0, note.indexOf('\n\n') + 1);
  await world.rpc.importCosignature(`${note}${witness.cosign(text, 1_700_000_000)}\n`);
};
const update = (table: string, row: Row, change: Row) =>
  store.transact((tx) => write(tx, table, row, change));

class RolledBack extends Error {}

/** What a scrub finds with one value changed; the change is rolled back. */
async function findingsWith(table: string, row: Row, change: Row) {
  let findings: Awaited<ReturnType<typeof scrub>> = [];
  await store
    .transact(async (tx) => {
      await write(tx, table, row, change);
      const holdsKey = () => holdsLogKey(tx, sealer, { origin: CONFIG.origin, seed });
      findings = await scrub({ reader: tx, log: signer.verifier, holdsKey }, new AbortController().signal);
      throw new RolledBack();
    })
    .catch((error) => {
      if (!(error instanceof RolledBack)) throw error;
    });
  return findings;
}

/** The range that must be named for a change in a row of a log of `size`. */
function rangeOf(table: string, row: Row, size: number): { start: number; end: number } {
  if (table === 'ledger_entry') return { start: Number(row['index']), end: Number(row['index']) + 1 };
  if (table !== 'ledger_tile') return { start: 0, end: size };
  const entries = 256 ** (Number(row['level']) + 1);
  return { start: Number(row['index']) * entries, end: (Number(row['index']) + 1) * entries };
}

beforeEach(async () => {
  testStore = await openTestStore(ledgerMigrations);
  store = testStore.store;
  clock = createFakeClock();
  world = await open();
});
afterEach(async () => {
  for (const opened of worlds.splice(0)) await opened.context.stop();
  expect(clock.pending()).toBe(0);
  await testStore.dispose();
});

describe('scrub', () => {
  test('finds every changed byte of every column of a small log and names the entries', async () => {
    await grow(7, 18);
    await cosign();
    expect(await world.context.scrub()).toEqual([]);
    let changes = 0;
    for (const table of Object.keys(KEYS)) {
      const rows = await rowsOf(store, table);
      if (table !== 'ledger_tile') expect(rows.length).toBeGreaterThan(0);
      const taken = new Set(rows.map((row) => String(row[KEYS[table]![0]!])));
      for (const row of rows)
        for (const [column, value] of Object.entries(row))
          for (const changed of changesOf(value)) {
            if (column === KEYS[table]![0] && taken.has(String(changed))) continue;
            const findings = await findingsWith(table, row, { [column]: changed });
            changes++;
            const about = { table, column, value, changed, findings };
            if (findings.length === 0) throw new Error(`not found: ${JSON.stringify(about)}`);
            if (table !== 'ledger_entry') continue;
            const { start, end } = rangeOf(table, row, 18);
            expect({
              ...about,
              start: findings[0]!.start,
              end: findings[0]!.end,
              count: findings.length,
            }).toEqual({
              ...about,
              start,
              end,
              count: 1,
            });
          }
    }
    expect(changes).toBeGreaterThan(2_000);
    expect(await world.context.scrub()).toEqual([]);
  }, 120_000);

  test('finds sampled changes in the tiles, entries and frontier of a log of several tiles', async () => {
    await grow(300, 600);
    for (const table of ['ledger_tile', 'ledger_entry', 'ledger_frontier']) {
      const rows = await rowsOf(store, table);
      for (let sample = 0; sample < 40; sample++) {
        const row = rows[randomInt(rows.length)]!;
        const columns = Object.keys(row).filter((name) => !KEYS[table]!.includes(name));
        const column = columns[randomInt(columns.length)]!;
        const changes = changesOf(row[column]!);
        const changed = changes[randomInt(changes.length)]!;
        const findings = await findingsWith(table, row, { [column]: changed });
        if (findings.length === 0) throw new Error(`not found: ${table} ${column}`);
        if (table !== 'ledger_frontier') expect(findings[0]).toMatchObject(rangeOf(table, row, 600));
        if (table !== 'ledger_frontier') expect(findings).toHaveLength(1);
      }
    }
  }, 120_000);

  test('names each of several damaged ranges, neighbors as one', async () => {
    await grow(600);
    const rows = await rowsOf(store, 'ledger_entry');
    for (const index of [3, 4, 5, 400]) await update('ledger_entry', rows[index]!, { at_ms: 1 });
    const tiles = await rowsOf(store, 'ledger_tile');
    await update('ledger_tile', tiles[0]!, { root: new Uint8Array(32) });
    const findings = await world.context.scrub();
    expect(findings.map(({ start, end }) => [start, end])).toEqual([
      [3, 6],
      [400, 401],
    ]);
    for (const index of [3, 4, 5, 400])
      await update('ledger_entry', rows[index]!, { at_ms: rows[index]!['at_ms']! });
    expect(await world.context.scrub()).toMatchObject([{ start: 0, end: 256 }]);
    await update('ledger_tile', tiles[0]!, { root: tiles[0]!['root']! });
    expect(await world.context.scrub()).toEqual([]);
  });

  test('finds a removed entry, tile and frontier', async () => {
    await grow(300);
    const removing = async (table: string, column: string, value: Value) => {
      const [row] = (await rowsOf(store, table)).filter((one) => one[column] === value);
      await store.transact((tx) =>
        tx
          .query<Tables>()
          .deleteFrom(table as 'ledger_entry')
          .where(column as 'index', '=', value as number)
          .execute(),
      );
      const findings = await world.context.scrub();
      await store.transact((tx) =>
        tx
          .query<Tables>()
          .insertInto(table as 'ledger_entry')
          .values(row as never)
          .execute(),
      );
      return findings;
    };
    expect(await removing('ledger_entry', 'index', 7)).toMatchObject([{ start: 7, end: 8 }]);
    expect(await removing('ledger_entry', 'index', 299)).toMatchObject([{ start: 299, end: 300 }]);
    expect(await removing('ledger_tile', 'index', 0)).toMatchObject([{ start: 0, end: 256 }]);
    expect(await removing('ledger_frontier', 'name', 'log')).toMatchObject([{ start: 0, end: 300 }]);
    expect(await world.context.scrub()).toEqual([]);
  });

  test('runs by itself when its interval is over, also across restarts', async () => {
    await grow(5);
    await world.context.stop();
    const scrubIntervalMs = 120_000;
    const [row] = await rowsOf(store, 'ledger_entry');
    await update('ledger_entry', row!, { payload: new Uint8Array([1]) });
    world = await open({ scrubIntervalMs });
    await clock.advance(scrubIntervalMs / 2);
    await world.context.stop();
    world = await open({ scrubIntervalMs });
    expect(world.context.degraded()).toEqual([]);
    await clock.advance(scrubIntervalMs / 2);
    await rounds(() => world.damages.length > 0);
    expect(world.damages).toMatchObject([{ start: 0n, end: 1n, detail: 'the payload is not its hash' }]);
    expect(world.context.degraded()).toEqual(['DAMAGED']);
    expect(await world.exposition()).toContain('homeostat_ledger_damaged 1\n');
  });
});

describe('a damaged log', () => {
  const damaged = (start: number, end: number) => ({
    reason: 'LEDGER_DAMAGED',
    kind: 'DATA_LOSS',
    metadata: { start: String(start), end: String(end) },
  });

  test('no changed byte of an entry or tile is given out: what is read is as it was, or refused with its range', async () => {
    await grow(260);
    const before = new Map<number, string>();
    const shown = (entry: unknown) =>
      JSON.stringify(entry, (_, value) => (typeof value === 'bigint' ? String(value) : value));
    for (const index of [3, 258]) before.set(index, shown(await world.rpc.getEntry(index)));
    const entries = await rowsOf(store, 'ledger_entry');
    const tiles = await rowsOf(store, 'ledger_tile');
    const cases = [
      ...[3, 258].flatMap((index) =>
        Object.entries(entries[index]!)
          .filter(([column]) => column !== 'index')
          .flatMap(([column, value]) =>
            [0, -1].map((at) => ({
              table: 'ledger_entry',
              row: entries[index]!,
              column,
              to: changesOf(value).at(at)!,
            })),
          ),
      ),
      ...[0, 5 * 32, 300 * 32, 509 * 32 + 31].map((at) => ({
        table: 'ledger_tile',
        row: tiles[0]!,
        column: 'hashes',
        to: changesOf(tiles[0]!['hashes']!)[at]!,
      })),
    ];
    for (const { table, row, column, to } of cases) {
      await update(table, row, { [column]: to });
      const reading = await open();
      const { start, end } = rangeOf(table, row, 260);
      for (const index of [3, 258])
        for (const read of [
          async () => shown(await reading.rpc.getEntry(index)),
          async () =>
            shown(
              (await reading.rpc.listEntries({ start: BigInt(index), page: { pageSize: 1 } })).entries[0],
            ),
          async () => {
            const { leafData } = await reading.rpc.getInclusionProof({ index: BigInt(index) });
            return Buffer.from(leafData).toString('hex');
          },
        ]) {
          const outcome = await read().catch((error) => error);
          if (typeof outcome !== 'string') expect(outcome).toMatchObject(damaged(start, end));
          else if (outcome.startsWith('{')) expect(outcome).toBe(before.get(index));
          const isHit = index >= start && index < end;
          if (table === 'ledger_entry' && isHit) expect(typeof outcome).not.toBe('string');
        }
      await reading.context.stop();
      await update(table, row, { [column]: row[column]! });
      expect(await world.context.scrub()).toEqual([]);
    }
  }, 60_000);

  test('takes no appends once a read has met the damage, is read on, and takes them again when it was mended', async () => {
    await grow(20);
    const rows = await rowsOf(store, 'ledger_entry');
    await update('ledger_entry', rows[4]!, { payload: sha256(new Uint8Array(1)) });
    await expect(world.rpc.getEntry(4)).rejects.toMatchObject(damaged(4, 5));
    await expect(world.append('test.entry', 'more', 'x')).rejects.toMatchObject({
      reason: 'LEDGER_READ_ONLY',
      kind: 'UNAVAILABLE',
      metadata: { start: '4', end: '5' },
      retryAfterMs: 60_000,
    });
    await expect(
      world.rpc.append({ kind: 'external.x', key: 'k', payload: new Uint8Array(1) }),
    ).rejects.toMatchObject({ reason: 'LEDGER_READ_ONLY' });
    expect(world.context.degraded()).toEqual(['DAMAGED']);
    expect(world.context.services[0]!.degraded!()).toEqual(['DAMAGED']);
    expect((await world.rpc.getEntry(5)).key).toBe('key-5');
    expect((await world.rpc.getInclusionProof({ index: 6n })).checkpoint.treeSize).toBe(20n);
    await expect(world.rpc.listEntries({})).rejects.toMatchObject(damaged(4, 5));

    await rounds(() => world.damages.length > 0);
    expect(world.damages).toMatchObject([{ start: 4n, end: 5n }]);
    await world.context.stop();
    world = await open();
    expect(world.context.degraded()).toEqual(['DAMAGED']);
    await expect(world.append('test.entry', 'more', 'x')).rejects.toMatchObject({
      reason: 'LEDGER_READ_ONLY',
    });

    await update('ledger_entry', rows[4]!, { payload: rows[4]!['payload']! });
    expect(await world.context.scrub()).toEqual([]);
    expect(world.context.degraded()).toEqual([]);
    expect((await world.append('test.entry', 'more', 'x')).index).toBe(20);
  });

  test('a damaged right edge is found at the start; what older checkpoints prove is read, nothing is signed', async () => {
    await grow(8, 20);
    const rows = await rowsOf(store, 'ledger_entry');
    await world.context.stop();
    await update('ledger_entry', rows[15]!, { leaf_hash: sha256(new Uint8Array(3)) });
    world = await open();
    expect(world.damages).toMatchObject([{ start: 15n, end: 16n }]);
    await expect(world.append('test.entry', 'more', 'x')).rejects.toMatchObject({
      reason: 'LEDGER_READ_ONLY',
    });
    expect((await world.rpc.getEntry(3)).key).toBe('key-3');
    expect((await world.rpc.getInclusionProof({ index: 3n, treeSize: 8n })).proof).toHaveLength(3);
    await expect(world.rpc.getInclusionProof({ index: 3n })).rejects.toMatchObject(damaged(15, 16));
    await expect(world.rpc.getConsistencyProof({ firstSize: 8n })).rejects.toMatchObject(damaged(15, 16));
    await expect(world.rpc.getEntry(15)).rejects.toMatchObject(damaged(15, 16));
    await clock.advance(10 * CONFIG.checkpointIntervalMs);
    expect(world.published).toEqual([]);

    await update('ledger_entry', rows[15]!, { leaf_hash: rows[15]!['leaf_hash']! });
    expect(await world.context.scrub()).toEqual([]);
    expect((await world.rpc.getInclusionProof({ index: 15n })).checkpoint.treeSize).toBe(20n);
    await grow(25);
  });

  test('an entry that was changed before it was signed is never signed', async () => {
    await grow(5);
    await world.appendMany(5, 5);
    const rows = await rowsOf(store, 'ledger_entry');
    await update('ledger_entry', rows[7]!, { leaf_hash: sha256(new Uint8Array(3)) });
    await rounds(() => world.context.degraded().length > 0);
    await clock.advance(10 * CONFIG.checkpointIntervalMs);
    expect(world.context.ledger.latest().size).toBe(5);
    expect(world.damages[0]).toMatchObject({ start: 5n, end: 10n });
    await expect(world.append('test.entry', 'more', 'x')).rejects.toMatchObject({
      reason: 'LEDGER_READ_ONLY',
    });
  });

  test('a frontier set back, as by a foreign hand, signs nothing', async () => {
    await grow(20);
    const [row] = await rowsOf(store, 'ledger_frontier');
    await update('ledger_frontier', row!, { size: 4, hashes: sha256(new Uint8Array(1)) });
    await rounds(() => world.context.degraded().length > 0);
    expect(world.context.ledger.latest().size).toBe(20);
    await expect(world.append('test.entry', 'more', 'x')).rejects.toMatchObject({
      reason: 'LEDGER_READ_ONLY',
    });
    await world.context.stop();
    world = await open();
    expect(world.context.degraded()).toEqual(['DAMAGED']);
    expect((await world.rpc.getCheckpoint()).treeSize).toBe(20n);
  });

  test('an append that completes a tile over damaged leaves is refused', async () => {
    await grow(250);
    const rows = await rowsOf(store, 'ledger_entry');
    await update('ledger_entry', rows[9]!, { leaf_hash: sha256(new Uint8Array(3)) });
    await expect(world.appendMany(10, 250)).rejects.toMatchObject(damaged(0, 256));
    await expect(world.append('test.entry', 'more', 'x')).rejects.toMatchObject({
      reason: 'LEDGER_READ_ONLY',
    });
  });

  test('a checkpoint or cosignature that is not what was signed is refused, and the one before still read', async () => {
    await grow(8, 20);
    await cosign();
    const rows = await rowsOf(store, 'ledger_checkpoint');
    const latest = rows.find((row) => row['tree_size'] === 20)!;
    await world.context.stop();
    await update('ledger_checkpoint', latest, { signed_at_ms: Number(latest['signed_at_ms']) + 1 });
    world = await open();
    await expect(world.rpc.getCheckpoint(20n)).rejects.toMatchObject(damaged(0, 20));
    expect((await world.rpc.getCheckpoint()).treeSize).toBe(8n);
    expect((await world.rpc.getInclusionProof({ index: 7n })).checkpoint.treeSize).toBe(8n);
    expect(world.context.degraded()).toEqual(['DAMAGED']);
    await update('ledger_checkpoint', latest, { signed_at_ms: latest['signed_at_ms']! });
    expect(await world.context.scrub()).toEqual([]);
    await rounds(() => world.context.ledger.latest().size === 20);

    const [line] = await rowsOf(store, 'ledger_cosignature');
    await update('ledger_cosignature', line!, { line: changesOf(line!['line']!).at(-20)! });
    await expect(world.rpc.getCheckpoint()).rejects.toMatchObject(damaged(0, 20));
  });
});
