/**
 * Appending inside the caller's transaction. The frontier row is written first: on PostgreSQL two commands that append
 * at once meet there, and the store repeats one. What the transaction sees is read anew each time, since a server beside
 * this one may append, and a command before this one may be rolled back. Nothing is kept in memory.
 */
import type { Clock } from '../../clock.ts';
import { CompactRange, leafHash, sameHash, sha256 } from '../../numeric/merkle.ts';
import type { Tx } from '../../store/store.ts';
import type { Damage } from '../damage.ts';
import {
  FRONTIER_BROKEN,
  type Frontier,
  findFrontier,
  type LedgerTables,
  LOG,
  listLeafHashes,
  listTileRoots,
} from '../store.ts';
import { type TilePlace, tileDamage } from './edge.ts';
import { leafData } from './entry.ts';
import { TILE_HEIGHT, TILE_WIDTH, Tile } from './tile.ts';

/** What is to be appended. */
export interface NewEntry {
  readonly kind: string;
  readonly key: string;
  readonly payload: Uint8Array;
}

/** Where an entry is, newly or since before; or the index of the other payload that has its kind and key. */
export type Appended =
  | { readonly index: number; readonly leafHash: Uint8Array }
  | { readonly conflict: number };

/** A leaf on its way into the tables. */
interface Leaf extends NewEntry {
  readonly index: number;
  readonly payloadHash: Uint8Array;
  readonly leafHash: Uint8Array;
}

export interface AppendDeps {
  readonly clock: Pick<Clock, 'nowMs'>;
  readonly damage: Pick<Damage, 'found'>;
}

/**
 * Appends entries in the order given and says of each where it is. Throws LEDGER_DAMAGED when what is stored does not
 * fit together. Cost: five statements for any number of entries, two more for each 256.
 */
export async function appendEntries(
  deps: AppendDeps,
  tx: Tx,
  entries: readonly NewEntry[],
): Promise<Appended[]> {
  const known = await findKnown(tx, entries);
  const frontier = await findFrontier(tx);
  const range = rangeOf(deps, frontier);
  const atMs = Math.floor(deps.clock.nowMs());
  const leaves: Leaf[] = [];
  const full: { place: TilePlace; root: Uint8Array }[] = [];
  const completed = (level: number, index: number, hash: Uint8Array) => {
    if (level > 0 && level % TILE_HEIGHT === 0)
      full.push({ place: { level: level / TILE_HEIGHT - 1, index }, root: hash });
  };
  const appended = entries.map(({ kind, key, payload }): Appended => {
    const name = nameOf(kind, key);
    const payloadHash = sha256(payload);
    const other = known.get(name);
    if (other !== undefined) {
      const { index, leafHash } = other;
      return sameHash(other.payloadHash, payloadHash) ? { index, leafHash } : { conflict: index };
    }
    const hash = leafHash(leafData({ kind, key, atMs, payloadHash }));
    const leaf: Leaf = { index: range.size, kind, key, payload, payloadHash, leafHash: hash };
    range.append(hash, completed);
    known.set(name, leaf);
    leaves.push(leaf);
    return { index: leaf.index, leafHash: hash };
  });
  if (leaves.length === 0) return appended;
  await saveFrontier(tx, frontier?.size, range);
  await insertLeaves(tx, leaves, atMs);
  for (const { place, root } of full) await insertTile(deps, tx, { place, root, leaves });
  return appended;
}

function nameOf(kind: string, key: string): string {
  return `${kind}\n${key}`;
}

type Known = Pick<Leaf, 'index' | 'payloadHash' | 'leafHash'>;

/** Entries that have these kinds and keys already. */
async function findKnown(tx: Tx, entries: readonly NewEntry[]): Promise<Map<string, Known>> {
  const keys = new Map<string, string[]>();
  for (const { kind, key } of entries) {
    const ofKind = keys.get(kind);
    if (ofKind) ofKind.push(key);
    else keys.set(kind, [key]);
  }
  const known = new Map<string, Known>();
  for (const [kind, ofKind] of keys) {
    const rows = await tx
      .query<LedgerTables>()
      .selectFrom('ledger_entry')
      .select(['index', 'key', 'payload_hash', 'leaf_hash'])
      .where('kind', '=', kind)
      .where('key', 'in', padded(ofKind))
      .execute();
    for (const { index, key, payload_hash: payloadHash, leaf_hash: leafHash } of rows)
      known.set(nameOf(kind, key), { index, payloadHash, leafHash });
  }
  return known;
}

/** Repeats the last item up to a power of two, so that there are few different statements to prepare. */
function padded<Item>(items: readonly Item[]): Item[] {
  const count = 2 ** Math.ceil(Math.log2(items.length));
  return [...items, ...new Array<Item>(count - items.length).fill(items.at(-1)!)];
}

/** The tree as the transaction sees it. */
function rangeOf({ damage }: AppendDeps, frontier: Frontier | undefined): CompactRange {
  if (frontier === undefined) return new CompactRange();
  if (frontier.range !== undefined) return frontier.range;
  throw damage.found({ start: 0, end: frontier.size, detail: FRONTIER_BROKEN });
}

async function saveFrontier(tx: Tx, sizeBefore: number | undefined, range: CompactRange): Promise<void> {
  const values = { size: range.size, hashes: Buffer.concat(range.hashes) };
  const queries = tx.query<LedgerTables>();
  const written =
    sizeBefore === undefined
      ? await queries
          .insertInto('ledger_frontier')
          .values({ name: LOG, ...values })
          .onConflict((conflict) => conflict.doNothing())
          .executeTakeFirstOrThrow()
      : await queries
          .updateTable('ledger_frontier')
          .set(values)
          .where('name', '=', LOG)
          .where('size', '=', sizeBefore)
          .executeTakeFirstOrThrow();
  const count = 'numUpdatedRows' in written ? written.numUpdatedRows : written.numInsertedOrUpdatedRows;
  // Transactions are serializable: the row is as it was read, or the statement has failed as a conflict.
  if (count !== 1n) throw new Error('the frontier changed under a transaction that had read it');
}

/** Inserts in runs of a power of two, so that there are few different statements to prepare. */
async function insertLeaves(tx: Tx, leaves: readonly Leaf[], atMs: number): Promise<void> {
  const rows = leaves.map(({ index, kind, key, payload, payloadHash, leafHash }) => ({
    index,
    kind,
    key,
    at_ms: atMs,
    payload,
    payload_hash: payloadHash,
    leaf_hash: leafHash,
  }));
  for (let at = 0; at < rows.length; ) {
    const count = Math.min(TILE_WIDTH, 2 ** Math.floor(Math.log2(rows.length - at)));
    await tx
      .query<LedgerTables>()
      .insertInto('ledger_entry')
      .values(rows.slice(at, at + count))
      .execute();
    at += count;
  }
}

/** A tile that has become full by these leaves, and the hash the tree has over it. */
interface FullTile {
  readonly place: TilePlace;
  readonly root: Uint8Array;
  readonly leaves: readonly Leaf[];
}

/** Stores a tile, made of what this transaction and those before it have stored. */
async function insertTile({ damage }: AppendDeps, tx: Tx, { place, root, leaves }: FullTile): Promise<void> {
  const { level, index } = place;
  const start = index * TILE_WIDTH;
  const end = start + TILE_WIDTH;
  const tile = new Tile();
  if (level > 0) for (const { hash } of await listTileRoots(tx, level - 1, start, end)) tile.push(hash);
  else {
    const first = Math.max(start, leaves[0]!.index);
    if (first > start) for (const { hash } of await listLeafHashes(tx, start, first)) tile.push(hash);
    const from = first - leaves[0]!.index;
    for (const { leafHash } of leaves.slice(from, from + end - first)) tile.push(leafHash);
  }
  if (tile.width !== TILE_WIDTH || !sameHash(tile.root(), root)) throw damage.found(tileDamage(place));
  await tx
    .query<LedgerTables>()
    .insertInto('ledger_tile')
    .values({ level, index, hashes: tile.bytes, root })
    .execute();
}
