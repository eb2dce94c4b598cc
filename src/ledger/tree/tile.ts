/**
 * Tiles: 256 neighboring hashes of a tree and the hashes over them, up to but without their root. The tiles of tile
 * level L stand on tree level 8 L. One that is full never changes. In memory and in SQL a tile is one array: 256
 * hashes, then the 128 over them, down to the last 2.
 */
import { HASH_BYTES, nodeHash, sameHash } from '../../numeric/merkle.ts';

/** Tree levels of a tile. */
export const TILE_HEIGHT = 8;
export const TILE_WIDTH = 2 ** TILE_HEIGHT;
const TILE_HASHES = 2 * TILE_WIDTH - 2;
export const TILE_BYTES = TILE_HASHES * HASH_BYTES;

/** Grows from left to right; holds every hash over complete pairs of what it was given. */
export class Tile {
  readonly #bytes: Uint8Array;
  #width: number;

  /** An empty tile, or a full one of bytes that become the tile's. Throws RangeError for a wrong number of them. */
  constructor(full?: Uint8Array) {
    if (full !== undefined && full.length !== TILE_BYTES) throw new RangeError('a tile has 510 hashes');
    this.#bytes = full ?? new Uint8Array(TILE_BYTES);
    this.#width = full ? TILE_WIDTH : 0;
  }

  /** Hashes at the bottom so far, 0..256. */
  get width(): number {
    return this.#width;
  }

  get bytes(): Uint8Array {
    return this.#bytes;
  }

  /** Adds a hash at the bottom. Throws RangeError for a full tile. */
  push(hash: Uint8Array): void {
    if (this.#width === TILE_WIDTH) throw new RangeError('the tile is full');
    let index = this.#width++;
    this.#bytes.set(hash, placeOf(0, index));
    for (let height = 1; height < TILE_HEIGHT && index % 2 === 1; height++) {
      index >>= 1;
      const over = nodeHash(this.node(height - 1, 2 * index), this.node(height - 1, 2 * index + 1));
      this.#bytes.set(over, placeOf(height, index));
    }
  }

  /** A complete hash, `height` 0..7 over the bottom; a view into the tile. */
  node(height: number, index: number): Uint8Array {
    const at = placeOf(height, index);
    return this.#bytes.subarray(at, at + HASH_BYTES);
  }

  /** Hash over a full tile. */
  root(): Uint8Array {
    return nodeHash(this.node(TILE_HEIGHT - 1, 0), this.node(TILE_HEIGHT - 1, 1));
  }

  /** Whether every hash of a full tile is that of the two below it. Cost: 254 hashes. */
  isSound(): boolean {
    for (let height = 1; height < TILE_HEIGHT; height++)
      for (let index = 0; index < TILE_WIDTH >> height; index++) {
        const over = nodeHash(this.node(height - 1, 2 * index), this.node(height - 1, 2 * index + 1));
        if (!sameHash(over, this.node(height, index))) return false;
      }
    return true;
  }

  clone(): Tile {
    const clone = new Tile();
    clone.#bytes.set(this.#bytes);
    clone.#width = this.#width;
    return clone;
  }
}

function placeOf(height: number, index: number): number {
  const before = 2 * TILE_WIDTH - (2 * TILE_WIDTH) / 2 ** height;
  return (before + index) * HASH_BYTES;
}
