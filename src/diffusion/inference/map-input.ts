/**
 * The map of a request that infers from one: in joules where its cells are energies, its negative cells dealt with as the
 * request says. What a map says of space is refused, since nothing here depends on it.
 */
import type { FieldViolation } from '../../errors.ts';
import { Boundary, type MapInput, NegativePolicy } from '../../gen/homeostat/type/v1/grid_pb.ts';
import { cellsInUnit, type GivenGrid, readGrid, readMask } from '../../numeric/given-grid.ts';
import { applyNegativeRule, type NegativeRule } from '../../numeric/negative-policy.ts';

export interface GivenMap extends Pick<GivenGrid, 'rows' | 'cols' | 'encoding'> {
  /** Row-major, a copy. */
  readonly cells: Float64Array;
  /** A byte a cell, 1 observed. */
  readonly observed: Uint8Array;
  /** A number in the unit of the request times this is one in the unit of the cells. */
  readonly factor: number;
}

const NEGATIVE_RULES: Readonly<Record<NegativePolicy, NegativeRule>> = {
  [NegativePolicy.UNSPECIFIED]: 'SIGNED',
  [NegativePolicy.SIGNED]: 'SIGNED',
  [NegativePolicy.ABSOLUTE]: 'ABSOLUTE',
  [NegativePolicy.SHIFT_TO_MIN]: 'SHIFT_TO_MIN',
  [NegativePolicy.REJECT]: 'REJECT',
};

/** Undefined, and violations below `path`, where there is no map to read. */
export function readMap(
  map: MapInput | undefined,
  path: string,
  violations: FieldViolation[],
): GivenMap | undefined {
  const grid = readGrid(map?.grid, `${path}.grid`, violations);
  if (map === undefined) return undefined;
  const mask = grid && readMask(map.observed, grid.cells.length, `${path}.observed`, violations);
  const refuse = (field: string, description: string) =>
    violations.push({ field: `${path}.${field}`, description });
  const { cellArea = 1, spacing = 1, boundary } = map;
  if (cellArea !== 1) refuse('cell_area', 'must be 1 or unset: the cells themselves are inferred');
  if (spacing !== 1) refuse('spacing', 'must be 1 or unset: distances are counted in cells');
  if (boundary !== Boundary.UNSPECIFIED && boundary !== Boundary.PERIODIC)
    refuse('boundary', 'must be PERIODIC or unset: the prior is periodic');
  const converted = grid && cellsInUnit(grid.cells, map.unit, path, violations);
  if (grid === undefined || mask === 'INVALID' || converted === undefined) return undefined;
  const { cells, factor } = converted;
  const observed = mask ?? new Uint8Array(cells.length).fill(1);
  const negative = applyNegativeRule(cells, observed, NEGATIVE_RULES[map.negativePolicy] ?? 'SIGNED');
  if (negative !== undefined)
    refuse('grid', `cell ${negative} is negative, which negative_policy REJECT refuses`);
  return { ...grid, cells, observed, factor };
}
