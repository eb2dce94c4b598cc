/**
 * The tree in memory: the right edge, and the full tiles used last. It is grown from committed entries alone, and takes
 * no growth over that does not lead to the root of the frontier. A full tile is read from SQL when it is first needed,
 * and kept only if it leads to the hash over it; so whatever the tree gives out hangs together up to the edge. Whether
 * the edge is what was signed is for whoever opens the tree to say (`trust`).
 */
import { HASH_BYTES, type NodeLookup, rootOf, sameHash } from '../../numeric/merkle.ts';
import type { Damage, Finding } from '../damage.ts';
import {
  FRONTIER_BROKEN,
  findFrontier,
  findTile,
  listLeafHashes,
  listTileRoots,
  type Reader,
} from '../store.ts';
import { Edge, entriesOf, type TilePlace, type TileSealed, tileDamage, tileOf } from './edge.ts';
import { TILE_BYTES, TILE_HEIGHT, TILE_WIDTH, Tile } from './tile.ts';

/** What stands in for a hash that is not there; no root is led to by it. */
const MISSING = new Uint8Array(HASH_BYTES);

export interface TreeDeps {
  readonly reader: Reader;
  readonly damage: Pick<Damage, 'found'>;
  /** Full tiles kept in memory, 16 KiB each. */
  readonly tilesMax: number;
}

export class Tree {
  readonly #deps: TreeDeps;
  #edge = new Edge();
  #trusted = false;
  /** Full tiles, the one used last at the end. */
  readonly #tiles = new Map<number, Tile>();
  readonly #loading = new Map<number, Promise<Tile>>();
  #growing: Promise<void> | undefined;

  constructor(deps: TreeDeps) {
    this.#deps = deps;
  }

  /** Entries it has taken in. */
  get size(): number {
    return this.#edge.size;
  }

  /** Whether it is known to be what was signed. */
  get trusted(): boolean {
    return this.#trusted;
  }

  trust(): void {
    this.#trusted = true;
  }

  /**
   * Reads the right edge of the first `size` entries as it is stored. Gives what is wrong with it; the tree is there
   * nevertheless, so that what is not touched can be read. Cost: at most 255 rows per tile level.
   */
  async open(size: number, root: Uint8Array): Promise<Finding | undefined> {
    const { reader } = this.#deps;
    this.#trusted = false;
    this.#tiles.clear();
    let missing: Finding | undefined;
    const tiles: Tile[] = [];
    for (let level = 0; entriesOf(level - 1) <= size; level++) {
      const end = Math.floor(size / entriesOf(level - 1));
      const start = end - (end % TILE_WIDTH);
      const rows =
        level === 0
          ? await listLeafHashes(reader, start, end)
          : await listTileRoots(reader, level - 1, start, end);
      const hashes = new Map(rows.map(({ index, hash }) => [index, hash]));
      const tile = new Tile();
      for (let index = start; index < end; index++) {
        const hash = hashes.get(index);
        tile.push(hash?.length === HASH_BYTES ? hash : MISSING);
        if (!hash) missing ??= { ...tileDamage({ level: level - 1, index }), detail: 'a row is missing' };
      }
      tiles.push(tile);
    }
    this.#edge = new Edge(size, tiles);
    if (missing || sameHash(this.#edge.root(), root)) return missing;
    return { start: 0, end: size, detail: 'the entries do not lead to the root' };
  }

  /**
   * Takes in what was appended since, by any server, and resolves with the size. Throws LEDGER_DAMAGED when it does not
   * lead to the frontier; the tree stays as it was. A tree that is not trusted does not grow.
   */
  async advance(): Promise<number> {
    if (!this.#trusted) return this.size;
    this.#growing ??= this.#grow().finally(() => {
      this.#growing = undefined;
    });
    await this.#growing;
    return this.size;
  }

  async #grow(): Promise<void> {
    const { reader, damage } = this.#deps;
    const from = this.size;
    const frontier = await findFrontier(reader);
    const size = frontier?.size ?? 0;
    if (size === from) return;
    if (frontier && !frontier.range) throw damage.found({ start: 0, end: size, detail: FRONTIER_BROKEN });
    if (size < from) throw damage.found({ start: size, end: from, detail: 'the log is shorter than it was' });
    const edge = this.#edge.clone();
    const sealed: [TilePlace, Tile][] = [];
    const keep: TileSealed = (level, index, tile) => sealed.push([{ level, index }, tile]);
    while (edge.size < size) {
      if (edge.isAligned && size - edge.size >= TILE_WIDTH)
        edge.appendTile(await this.#read({ level: 0, index: edge.size / TILE_WIDTH }), keep);
      else await this.#appendLeaves(edge, size, keep);
    }
    if (!frontier?.range || !sameHash(edge.root(), frontier.range.root()))
      throw damage.found({ start: from, end: size, detail: 'new entries do not lead to the frontier' });
    this.#edge = edge;
    for (const [place, tile] of sealed) this.#keep(place, tile);
  }

  /** Adds the leaves up to the end of their tile, but not beyond `size`. */
  async #appendLeaves(edge: Edge, size: number, keep: TileSealed): Promise<void> {
    const { reader, damage } = this.#deps;
    const end = Math.min(size, edge.size - (edge.size % TILE_WIDTH) + TILE_WIDTH);
    for (const { index, hash } of await listLeafHashes(reader, edge.size, end)) {
      if (index !== edge.size || hash.length !== HASH_BYTES) break;
      edge.append(hash, keep);
    }
    if (edge.size < end)
      throw damage.found({ start: edge.size, end: edge.size + 1, detail: 'an entry is missing' });
  }

  /** Root of the first `size` entries, which the tree has taken in. Cost: logarithmic. */
  root(size: number): Promise<Uint8Array> {
    return rootOf(size, this.lookup);
  }

  /** Hash of a perfect subtree of what the tree has taken in, at once where its tile is at hand. */
  readonly lookup: NodeLookup = (level, index) => {
    const place = tileOf(level, index);
    if (!this.#edge.isSealed(place)) return this.#edge.node(level, index);
    const key = keyOf(place);
    const tile = this.#tiles.get(key);
    if (tile === undefined) return this.#load(place).then((read) => read.node(place.height, place.offset));
    this.#tiles.delete(key);
    this.#tiles.set(key, tile);
    return tile.node(place.height, place.offset);
  };

  /** Reads a full tile once, however many ask. */
  #load(place: TilePlace): Promise<Tile> {
    const key = keyOf(place);
    const loading = this.#loading.get(key);
    if (loading) return loading;
    const read = this.#readVerified(place).finally(() => this.#loading.delete(key));
    this.#loading.set(key, read);
    return read;
  }

  async #readVerified(place: TilePlace): Promise<Tile> {
    const tile = await this.#read(place);
    const over = await this.lookup((place.level + 1) * TILE_HEIGHT, place.index);
    if (!sameHash(tile.root(), over)) throw this.#deps.damage.found(tileDamage(place));
    this.#keep(place, tile);
    return tile;
  }

  /** A full tile as it is stored, which hangs together; whether it belongs into the tree is another question. */
  async #read(place: TilePlace): Promise<Tile> {
    const row = await findTile(this.#deps.reader, place);
    const tile = row?.hashes.length === TILE_BYTES ? new Tile(row.hashes) : undefined;
    if (!tile?.isSound()) throw this.#deps.damage.found(tileDamage(place));
    return tile;
  }

  #keep(place: TilePlace, tile: Tile): void {
    this.#tiles.set(keyOf(place), tile);
    for (const key of this.#tiles.keys()) {
      if (this.#tiles.size <= this.#deps.tilesMax) return;
      this.#tiles.delete(key);
    }
  }
}

/** One number per tile: sizes stay below 2^53, so the indices of tiles do below 2^45. */
function keyOf({ level, index }: TilePlace): number {
  return level * 2 ** 45 + index;
}
