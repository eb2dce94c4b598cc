/** The map that a proof is said to be of: a file with the JSON of a MapInput or of a Grid, and the digest of its cells. */
import { create, type DescMessage, fromJson, type JsonObject, type MessageShape } from '@bufbuild/protobuf';
import { gridDigest, readMapInput } from '../../energy/context.ts';
import type { FieldViolation } from '../../errors.ts';
import { GridSchema, MapInputSchema } from '../../gen/homeostat/type/v1/grid_pb.ts';
import { unusable } from '../failure.ts';
import { readJsonValues, readText } from './bundle.ts';

const WHAT = 'the file of the map';

/** Digest of the cells, 32 bytes. Throws a CliFailure (2) for a file that holds no map. */
export function readMapDigest(bytes: Uint8Array): Uint8Array {
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
  return gridDigest(map.cells, map.field.rows, map.field.cols);
}

/** Numbers may be written in any way: the digest is over the cells. */
function read<Schema extends DescMessage>(schema: Schema, value: JsonObject): MessageShape<Schema> {
  try {
    return fromJson(schema, value);
  } catch (error) {
    throw unusable(`${WHAT} holds no ${schema.name}`, error);
  }
}
