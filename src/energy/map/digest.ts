/**
 * The fingerprint of a grid: SHA-256("homeostat.grid.v1\0" || rows u32 || cols u32 || float32 cells), little-endian,
 * -0 written as +0. Equal maps have equal digests wherever they come from. (Typed arrays of the platforms Node.js
 * runs Homeostat on are little-endian themselves.)
 */
import { createHash } from 'node:crypto';

const PREFIX = 'homeostat.grid.v1\0';

/** Digest of a row-major grid, 32 bytes. O(cells). */
export function gridDigest(cells: Float32Array, rows: number, cols: number): Uint8Array {
  const shape = new Uint32Array([rows, cols]);
  // Adding +0 turns -0 into +0 and leaves every other number as it is.
  const normalized = cells.map((cell) => cell + 0);
  return createHash('sha256')
    .update(PREFIX)
    .update(new Uint8Array(shape.buffer))
    .update(new Uint8Array(normalized.buffer))
    .digest();
}
