/** Grids of replies, which travel as those of the request did, and shapes in words. */
import { create } from '@bufbuild/protobuf';
import { fieldError } from '../errors.ts';
import { type Grid, GridSchema } from '../gen/homeostat/type/v1/grid_pb.ts';
import type { GridEncoding } from '../numeric/given-grid.ts';
import { diffusionError } from './errors.ts';

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
