/**
 * What of a map was observed. Only that is judged, so a receipt says how much it was, and by a fingerprint of its own what:
 * SHA-256("homeostat.observed.v1\0" || rows u32 || cols u32 || float32 cells, unobserved ones and -0 as +0 || mask, one
 * bit a cell, least significant first), little-endian. What fills an unobserved cell does not change it. Pure.
 */
import { createHash } from 'node:crypto';
import { bitsFromMask } from '../../numeric/given-grid.ts';
import type { Steps } from '../../numeric/slices.ts';

const PREFIX = 'homeostat.observed.v1\0';
/** Cells hashed between two yields. */
const STEP_CELLS = 65_536;

export interface Observation {
  /** Cells of the map. */
  readonly cells: number;
  /** How many of them were observed. */
  readonly count: number;
  /** 32 bytes; empty when every cell was observed, which the digest of the grid says already. */
  readonly digest: Uint8Array;
}

/** Of a row-major grid and its mask, one byte a cell, undefined when every cell was observed. O(cells). */
export function* observationSteps(
  cells: Float32Array,
  {
    rows,
    cols,
    observed,
  }: { readonly rows: number; readonly cols: number; readonly observed?: Uint8Array | undefined },
): Steps<Observation> {
  if (observed === undefined) return { cells: cells.length, count: cells.length, digest: new Uint8Array(0) };
  const shape = new Uint32Array([rows, cols]);
  const hash = createHash('sha256').update(PREFIX).update(new Uint8Array(shape.buffer));
  let count = 0;
  for (let from = 0; from < cells.length; from += STEP_CELLS) {
    const slice = cells.slice(from, from + STEP_CELLS);
    for (let at = 0; at < slice.length; at++) {
      const isObserved = observed[from + at] !== 0;
      if (isObserved) count++;
      slice[at] = isObserved ? slice[at]! + 0 : 0;
    }
    hash.update(new Uint8Array(slice.buffer));
    yield;
  }
  return { cells: cells.length, count, digest: hash.update(bitsFromMask(observed)).digest() };
}
