/**
 * Grids and masks as callers hand them in: the rules that reach across their fields (the edge has checked each alone),
 * and their cells as the computations want them. Every violation is collected with its path.
 */
import type { FieldViolation } from '../errors.ts';
import { type CellUnit, cellUnit } from '../units.ts';

/** How cells travel: as numbers, or as raw little-endian float32. A reply uses that of its request. */
export type GridEncoding = 'VALUES' | 'RAW';

/** A grid of the contract. */
interface GridFields {
  readonly rows: number;
  readonly cols: number;
  readonly values: readonly number[];
  readonly rawValues: Uint8Array;
}

export interface GivenGrid {
  /** 1..1024, as the columns. */
  readonly rows: number;
  readonly cols: number;
  /** Row-major, finite, a copy. */
  readonly cells: Float32Array<ArrayBuffer>;
  readonly encoding: GridEncoding;
}

const SIDE_MAX = 1024;

/** Undefined, and a violation at or below `path`, where there is no grid to read. */
export function readGrid(
  grid: GridFields | undefined,
  path: string,
  violations: FieldViolation[],
): GivenGrid | undefined {
  const fault = grid === undefined ? { field: path, description: 'is required' } : gridFault(grid, path);
  if (grid === undefined || fault !== undefined) {
    violations.push(fault!);
    return undefined;
  }
  const { rows, cols, values, rawValues } = grid;
  const isRaw = rawValues.length > 0;
  const cells = isRaw ? floatsOf(rawValues) : new Float32Array(values);
  for (let at = 0; at < cells.length; at++) {
    if (Number.isFinite(cells[at]!)) continue;
    const field = isRaw ? 'raw_values' : `values[${at}]`;
    violations.push({
      field: `${path}.${field}`,
      description: `${isRaw ? `cell ${at} ` : ''}must be finite`,
    });
    return undefined;
  }
  return { rows, cols, cells, encoding: isRaw ? 'RAW' : 'VALUES' };
}

function gridFault({ rows, cols, values, rawValues }: GridFields, path: string): FieldViolation | undefined {
  for (const [side, length] of Object.entries({ rows, cols })) {
    if (!(length >= 1 && length <= SIDE_MAX))
      return { field: `${path}.${side}`, description: `must be 1..${SIDE_MAX}` };
  }
  const isRaw = rawValues.length > 0;
  if (isRaw === values.length > 0)
    return { field: path, description: 'exactly one of values and raw_values must be set' };
  const count = rows * cols;
  if (isRaw ? rawValues.length === 4 * count : values.length === count) return undefined;
  return isRaw
    ? { field: `${path}.raw_values`, description: `must hold ${4 * count} bytes for ${rows} x ${cols}` }
    : { field: `${path}.values`, description: `must hold ${count} numbers for ${rows} x ${cols}` };
}

/** Little-endian floats as they travel, copied: the bytes of a message need not be aligned, nor a buffer of their own. */
export function floatsOf(bytes: Uint8Array): Float32Array<ArrayBuffer> {
  return new Float32Array(new Uint8Array(bytes).buffer);
}

/** One byte a cell from one bit a cell; undefined when every cell is observed, INVALID with a violation at `path`. */
export function readMask(
  bits: Uint8Array,
  count: number,
  path: string,
  violations: FieldViolation[],
): Uint8Array | undefined | 'INVALID' {
  if (bits.length === 0) return undefined;
  const expected = Math.ceil(count / 8);
  if (bits.length !== expected) {
    violations.push({ field: path, description: `must hold ${expected} bytes, one bit a cell, or none` });
    return 'INVALID';
  }
  const mask = maskFromBits(bits, count);
  return mask.includes(0) ? mask : undefined;
}

/** One byte a cell from one bit a cell, least significant bit first. */
export function maskFromBits(bits: Uint8Array, count: number): Uint8Array {
  const mask = new Uint8Array(count);
  for (let at = 0; at < count; at++) mask[at] = (bits[at >> 3]! >> (at & 7)) & 1;
  return mask;
}

/** One bit a cell from one byte a cell. */
export function bitsFromMask(mask: Uint8Array): Uint8Array {
  const bits = new Uint8Array(Math.ceil(mask.length / 8));
  for (let at = 0; at < mask.length; at++) if (mask[at] === 1) bits[at >> 3]! |= 1 << (at & 7);
  return bits;
}

/**
 * The cells of a map as they are computed with; undefined, and a violation below `path`, for a unit that maps do not have,
 * or a cell beyond the range of a float32.
 */
export function cellsInUnit(
  given: Float32Array,
  unit: string,
  path: string,
  violations: FieldViolation[],
): (CellUnit & { readonly cells: Float64Array }) | undefined {
  const read = cellUnit(unit);
  if (read === undefined) {
    violations.push({ field: `${path}.unit`, description: 'must be J, kJ, MJ, Wh, kWh, MWh or 1' });
    return undefined;
  }
  const cells = new Float64Array(given);
  if (read.factor === 1) return { cells, ...read };
  for (let at = 0; at < cells.length; at++) {
    cells[at] = cells[at]! * read.factor;
    if (Number.isFinite(Math.fround(cells[at]!))) continue;
    violations.push({ field: `${path}.grid`, description: `cell ${at} must be at most 3.4e38 J` });
    return undefined;
  }
  return { cells, ...read };
}
