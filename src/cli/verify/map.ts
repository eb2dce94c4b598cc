/** The map that a proof is said to be of: a file with the JSON of a MapInput or of a Grid, as digests of its cells. */
import { create, type DescMessage, fromJson, type JsonObject, type MessageShape } from '@bufbuild/protobuf';
import { gridDigest, observationSteps, readMapInput } from '../../energy/context.ts';
import type { FieldViolation } from '../../errors.ts';
import { GridSchema, MapInputSchema } from '../../gen/homeostat/type/v1/grid_pb.ts';
import { runThrough } from '../../numeric/slices.ts';
import { unusable } from '../failure.ts';
import { readJsonValues, readText } from './bundle.ts';

const WHAT = 'the file of the map';

/** What a receipt says of its map too. */
export interface MapDigests {
  readonly cells: number;
  /** Of all cells, 32 bytes. */
  readonly grid: Uint8Array;
  /** Of the observed cells and the mask, empty when every cell is observed; undefined for a file without a mask. */
  readonly observed: Uint8Array | undefined;
}

/** Throws a CliFailure (2) for a file that holds no map. */
export function readMapDigests(bytes: Uint8Array): MapDigests {
  const [value, ...more] = readJsonValues(readText(bytes, WHAT), WHAT);
  if (value === undefined || more.length > 0) throw unusable(`${WHAT} does not hold one`);
  const input =
    'grid' in value ? read(MapInputSchema, value) : create(MapInputSchema, { grid: read(GridSchema, value) });
  const violations: FieldViolation[] = [];
  const map = readMapInput(input, 'map', violations);
  if (map === undefined) {
    const [{ field, description }] = violations as [FieldViolation];
    throw unusable(`${WHAT} holds none: ${field} ${description}`);
  }
  const observation = runThrough(observationSteps(map.cells, map.field));
  return {
    cells: observation.cells,
    grid: gridDigest(map.cells, map.field.rows, map.field.cols),
    observed: input.observed.length > 0 ? observation.digest : undefined,
  };
}

/** Numbers may be written in any way: the digest is over the cells. */
function read<Schema extends DescMessage>(schema: Schema, value: JsonObject): MessageShape<Schema> {
  try {
    return fromJson(schema, value);
  } catch (error) {
    throw unusable(`${WHAT} holds no ${schema.name}`, error);
  }
}
