/**
 * The right edge of the tree: of each tile level the one tile that is not full yet. Appending fills tiles; a full one is
 * handed over, and its root goes into the tile over it. With the full tiles it knows every perfect subtree.
 */
import { CompactRange, subtreesOf } from '../../numeric/merkle.ts';
import type { Finding } from '../damage.ts';
import { TILE_HEIGHT, TILE_WIDTH, Tile } from './tile.ts';

/** Told of each tile that has become full. */
export type TileSealed = (level: number, index: number, tile: Tile) => void;

/** Place of a tile: the `index`-th of tile level `level`. */
export interface TilePlace {
  readonly level: number;
  readonly index: number;
}

/** The tile that holds a perfect subtree, and the place in it. */
export function tileOf(level: number, index: number): TilePlace & { height: number; offset: number } {
  const height = level % TILE_HEIGHT;
  const width = TILE_WIDTH / 2 ** height;
  const tileIndex = Math.floor(index / width);
  return {
    level: (level - height) / TILE_HEIGHT,
    index: tileIndex,
    height,
    offset: index - tileIndex * width,
  };
}

/** Entries under one tile of a level. */
export function entriesOf(level: number): number {
  return TILE_WIDTH ** (level + 1);
}

/** The entries under a tile that does not hash to what is over it. */
export function tileDamage({ level, index }: TilePlace): Finding {
  const entries = entriesOf(level);
  const detail = `tile ${index} of level ${level} is not what the tree has over it`;
  return { start: index * entries, end: (index + 1) * entries, detail };
}

export class Edge {
  #size: number;
  readonly #tiles: Tile[];

  /** An empty edge, or one of `size` leaves whose tiles, one per level, hold what is not in full ones. */
  constructor(size = 0, tiles: Tile[] = []) {
    this.#size = size;
    this.#tiles = tiles;
  }

  /** Leaves of the tree. */
  get size(): number {
    return this.#size;
  }

  append(leafHash: Uint8Array, sealed?: TileSealed): void {
    this.#size++;
    this.#push(0, leafHash, sealed);
  }

  /** Whether the next leaf begins a tile. */
  get isAligned(): boolean {
    return this.#size % TILE_WIDTH === 0;
  }

  /** Adds the leaves of a full tile. Throws RangeError unless the edge is aligned. */
  appendTile(tile: Tile, sealed?: TileSealed): void {
    if (!this.isAligned) throw new RangeError('the next leaf does not begin a tile');
    this.#size += TILE_WIDTH;
    sealed?.(0, this.#size / TILE_WIDTH - 1, tile);
    this.#push(1, tile.root(), sealed);
  }

  #push(from: number, fromHash: Uint8Array, sealed: TileSealed | undefined): void {
    let hash = fromHash;
    for (let level = from; ; level++) {
      const tile = this.#tiles[level] ?? new Tile();
      this.#tiles[level] = tile;
      tile.push(hash);
      if (tile.width < TILE_WIDTH) return;
      sealed?.(level, Math.floor(this.#size / entriesOf(level)) - 1, tile);
      this.#tiles[level] = new Tile();
      hash = tile.root();
    }
  }

  /** Whether the tile is full, and so not here. */
  isSealed({ level, index }: TilePlace): boolean {
    return (index + 1) * entriesOf(level) <= this.#size;
  }

  /** Hash of a perfect subtree whose tile is not sealed. */
  node(level: number, index: number): Uint8Array {
    const place = tileOf(level, index);
    return this.#tiles[place.level]!.node(place.height, place.offset);
  }

  /** Root of the tree; all it is made of lies in tiles that are not full. */
  root(): Uint8Array {
    const subtrees = subtreesOf(0, this.#size);
    return new CompactRange(
      this.#size,
      subtrees.map(({ level, index }) => this.node(level, index)),
    ).root();
  }

  clone(): Edge {
    return new Edge(
      this.#size,
      this.#tiles.map((tile) => tile.clone()),
    );
  }
}
