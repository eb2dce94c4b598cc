/**
 * Reading a map a caller hands in: the rules that reach across its fields (the edge has checked each field alone), and
 * its cells in the form the computations want. The cells as given stay untouched beside the ones computed with.
 */
import type { FieldViolation } from '../../errors.ts';
import { Boundary, type Grid, type MapInput, NegativePolicy } from '../../gen/homeostat/type/v1/grid_pb.ts';
import type { BoundaryRule } from '../../numeric/stencil.ts';
import type { NegativeRule } from './negative-policy.ts';
import type { MapField } from './state.ts';

/** How a grid travels; a reply uses that of its request. */
export type GridEncoding = 'VALUES' | 'RAW';

export interface GivenMap {
  /** The cells as given, row-major. */
  readonly cells: Float32Array;
  readonly encoding: GridEncoding;
  /** The same in double precision, to be computed with; owned by the receiver. */
  readonly field: MapField;
  readonly negativeRule: NegativeRule;
  readonly unit: string;
}

const SIDE_MAX = 1024;

const BOUNDARIES: Readonly<Record<Boundary, BoundaryRule>> = {
  [Boundary.UNSPECIFIED]: 'NEUMANN',
  [Boundary.PERIODIC]: 'PERIODIC',
  [Boundary.NEUMANN]: 'NEUMANN',
  [Boundary.DIRICHLET]: 'DIRICHLET',
};

const NEGATIVE_RULES: Readonly<Record<NegativePolicy, NegativeRule>> = {
  [NegativePolicy.UNSPECIFIED]: 'SIGNED',
  [NegativePolicy.SIGNED]: 'SIGNED',
  [NegativePolicy.ABSOLUTE]: 'ABSOLUTE',
  [NegativePolicy.SHIFT_TO_MIN]: 'SHIFT_TO_MIN',
  [NegativePolicy.REJECT]: 'REJECT',
};

/** The rule a contract's boundary stands for. */
export function boundaryRule(boundary: Boundary): BoundaryRule {
  return BOUNDARIES[boundary] ?? 'NEUMANN';
}

/** Reads a map; adds to `violations`, with paths below `path`, and returns undefined where it cannot be read. */
export function readMapInput(
  input: MapInput | undefined,
  path: string,
  violations: FieldViolation[],
): GivenMap | undefined {
  if (input?.grid === undefined) {
    violations.push({ field: `${path}.grid`, description: 'is required' });
    return undefined;
  }
  const { rows, cols } = input.grid;
  const cells = readGrid(input.grid, `${path}.grid`, violations);
  const observed = readMask(input.observed, rows * cols, `${path}.observed`, violations);
  if (cells === undefined || observed === 'INVALID') return undefined;
  return {
    cells,
    encoding: input.grid.rawValues.length > 0 ? 'RAW' : 'VALUES',
    field: {
      rows,
      cols,
      cells: new Float64Array(cells),
      observed,
      cellArea: input.cellArea ?? 1,
      spacing: input.spacing ?? 1,
      boundary: boundaryRule(input.boundary),
    },
    negativeRule: NEGATIVE_RULES[input.negativePolicy] ?? 'SIGNED',
    unit: input.unit || 'J',
  };
}

function readGrid(grid: Grid, path: string, violations: FieldViolation[]): Float32Array | undefined {
  const { rows, cols, values, rawValues } = grid;
  for (const [side, length] of Object.entries({ rows, cols })) {
    if (!(length >= 1 && length <= SIDE_MAX)) {
      violations.push({ field: `${path}.${side}`, description: `must be 1..${SIDE_MAX}` });
      return undefined;
    }
  }
  const count = rows * cols;
  const isRaw = rawValues.length > 0;
  if (isRaw === values.length > 0) {
    violations.push({ field: path, description: 'exactly one of values and raw_values must be set' });
    return undefined;
  }
  if (isRaw ? rawValues.length !== 4 * count : values.length !== count) {
    const [field, expected] = isRaw ? ['raw_values', `${4 * count} bytes`] : ['values', `${count} numbers`];
    violations.push({
      field: `${path}.${field}`,
      description: `must hold ${expected} for ${rows} x ${cols}`,
    });
    return undefined;
  }
  const cells = isRaw ? floatsOf(rawValues) : new Float32Array(values);
  for (let at = 0; at < count; at++) {
    if (Number.isFinite(cells[at]!)) continue;
    const field = isRaw ? 'raw_values' : `values[${at}]`;
    const where = isRaw ? `cell ${at} ` : '';
    violations.push({ field: `${path}.${field}`, description: `${where}must be finite` });
    return undefined;
  }
  return cells;
}

/** Little-endian floats as they travel, copied: the bytes of a message need not be aligned, nor a buffer of their own. */
export function floatsOf(bytes: Uint8Array): Float32Array<ArrayBuffer> {
  return new Float32Array(new Uint8Array(bytes).buffer);
}

/** One byte a cell from one bit a cell; undefined when every cell is observed. */
function readMask(
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
