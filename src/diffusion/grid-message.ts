/**
 * Grids of requests and replies. The edge has checked each field alone; here the rules that reach across fields are,
 * and every violation is collected with its path. A reply's grids travel as those of its request did.
 */
import { create } from '@bufbuild/protobuf';
import { type FieldViolation, fieldError } from '../errors.ts';
import { type Grid, GridSchema } from '../gen/homeostat/type/v1/grid_pb.ts';
import { diffusionError } from './errors.ts';

/** How cells travel: as numbers, or as raw little-endian float32. */
export type GridEncoding = 'VALUES' | 'RAW';

export interface GivenGrid {
  readonly rows: number;
  readonly cols: number;
  /** Row-major, a copy. */
  readonly cells: Float32Array<ArrayBuffer>;
  readonly encoding: GridEncoding;
}

const SIDE_MAX = 1024;

/** Undefined, and a violation below `path`, where there is no grid to read. */
export function readGrid(
  grid: Grid | undefined,
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
  // Bytes of a message need not be aligned.
  const cells = isRaw ? new Float32Array(rawValues.slice().buffer) : new Float32Array(values);
  const at = cells.findIndex((cell) => !Number.isFinite(cell));
  if (at >= 0) {
    violations.push({
      field: `${path}.${isRaw ? 'raw_values' : 'values'}`,
      description: `cell ${at} must be finite`,
    });
    return undefined;
  }
  return { rows, cols, cells, encoding: isRaw ? 'RAW' : 'VALUES' };
}

function gridFault({ rows, cols, values, rawValues }: Grid, path: string): FieldViolation | undefined {
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

/** One byte a cell from one bit a cell, least significant first; ones for no bits. Undefined with a violation. */
export function readMask(
  bits: Uint8Array,
  count: number,
  path: string,
  violations: FieldViolation[],
): Uint8Array | undefined {
  if (bits.length === 0) return new Uint8Array(count).fill(1);
  const expected = Math.ceil(count / 8);
  if (bits.length !== expected) {
    violations.push({ field: path, description: `must hold ${expected} bytes, one bit a cell, or none` });
    return undefined;
  }
  return Uint8Array.from({ length: count }, (_, at) => (bits[at >> 3]! >> (at & 7)) & 1);
}

/** Cells are rounded to float32; throws FIELD_INVALID, on `origin`, for one beyond its range. */
export function gridToProto(
  cells: Float32Array | Float64Array,
  { rows, cols }: { readonly rows: number; readonly cols: number },
  encoding: GridEncoding,
  origin: string,
): Grid {
  const rounded = new Float32Array(cells);
  if (!rounded.every(Number.isFinite)) {
    const description = 'leads to a map whose cells are beyond single precision';
    throw fieldError(diffusionError.domain, [{ field: origin, description }]);
  }
  if (encoding === 'VALUES') return create(GridSchema, { rows, cols, values: Array.from(rounded) });
  return create(GridSchema, { rows, cols, rawValues: new Uint8Array(rounded.buffer) });
}

/** `3x4`, for texts. */
export function shapeText({ rows, cols }: { readonly rows: number; readonly cols: number }): string {
  return `${rows}x${cols}`;
}
