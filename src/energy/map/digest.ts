/**
 * The fingerprint of a grid: SHA-256("homeostat.grid.v1\0" || rows u32 || cols u32 || float32 cells), little-endian,
 * -0 written as +0. Equal maps have equal digests wherever they come from. (Typed arrays of the platforms Node.js
 * runs Homeostat on are little-endian themselves.)
 */
import { createHash } from 'node:crypto';
import { runThrough, type Steps } from '../../numeric/slices.ts';

const PREFIX = 'homeostat.grid.v1\0';
/** Cells hashed between two yields. */
const STEP_CELLS = 65_536;

/** Digest of a row-major grid, 32 bytes. O(cells). */
export function* digestSteps(cells: Float32Array, rows: number, cols: number): Steps<Uint8Array> {
  const shape = new Uint32Array([rows, cols]);
  const hash = createHash('sha256').update(PREFIX).update(new Uint8Array(shape.buffer));
  for (let from = 0; from < cells.length; from += STEP_CELLS) {
    const slice = cells.slice(from, from + STEP_CELLS);
    // Adding +0 turns -0 into +0 and leaves every other number as it is.
    for (let at = 0; at < slice.length; at++) slice[at] = slice[at]! + 0;
    hash.update(new Uint8Array(slice.buffer));
    yield;
  }
  return hash.digest();
}

/** The same without a pause. */
export function gridDigest(cells: Float32Array, rows: number, cols: number): Uint8Array {
  return runThrough(digestSteps(cells, rows, cols));
}
