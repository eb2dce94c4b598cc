/**
 * Reading a map a caller hands in: the rules that reach across its fields (the edge has checked each field alone), and
 * its cells in the form the computations want: joules where they are energies. The cells as given stay untouched beside the
 * ones computed with.
 */
import type { FieldViolation } from '../../errors.ts';
import { Boundary, type Grid, type MapInput, NegativePolicy } from '../../gen/homeostat/type/v1/grid_pb.ts';
import { cellsInUnit, type GridEncoding, readGrid, readMask } from '../../numeric/given-grid.ts';
import type { NegativeRule } from '../../numeric/negative-policy.ts';
import type { BoundaryRule } from '../../numeric/stencil.ts';
import type { MapField } from './state.ts';

export interface GivenMap {
  /** The cells as given, in the unit given, row-major: what the digest is of. */
  readonly cells: Float32Array;
  readonly encoding: GridEncoding;
  /** The same in `unit` and double precision, to be computed with; owned by the receiver. Each fits a float32. */
  readonly field: MapField;
  readonly negativeRule: NegativeRule;
  readonly unit: 'J' | '1';
  /** A number in the unit given times this is one in `unit`. */
  readonly factor: number;
}

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
  const grid = readGrid(input.grid, `${path}.grid`, violations);
  const observed = readMask(input.observed, rows * cols, `${path}.observed`, violations);
  const converted = grid && cellsInUnit(grid.cells, input.unit, path, violations);
  if (grid === undefined || converted === undefined || observed === 'INVALID') return undefined;
  return {
    cells: grid.cells,
    encoding: grid.encoding,
    field: {
      rows,
      cols,
      cells: converted.cells,
      observed,
      cellArea: input.cellArea ?? 1,
      spacing: input.spacing ?? 1,
      boundary: boundaryRule(input.boundary),
    },
    negativeRule: NEGATIVE_RULES[input.negativePolicy] ?? 'SIGNED',
    unit: converted.unit,
    factor: converted.factor,
  };
}

/** Reads a grid that goes with a map: in the unit of that map, every cell observed. Paths lie below the grid's own. */
export function readGridLike(
  map: MapInput,
  grid: Grid,
  path: string,
  violations: FieldViolation[],
): GivenMap | undefined {
  const own: FieldViolation[] = [];
  const read = readMapInput({ ...map, grid, observed: new Uint8Array(0) }, path, own);
  for (const { field, description } of own)
    violations.push({ field: field.replace(`${path}.grid`, path), description });
  return read;
}
