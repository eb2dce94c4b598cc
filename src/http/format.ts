/** How messages are written as bodies: protobuf in wire format, or the protobuf mapping to JSON. */
import {
  create,
  type DescMessage,
  type MessageInitShape,
  type Registry,
  toBinary,
  toJson,
} from '@bufbuild/protobuf';

export interface BodyFormat {
  readonly name: 'protobuf' | 'json';
  /** Its `content-type`. */
  readonly type: string;
  /** Writes a message; `registry` knows the types inside of Any. */
  write<Schema extends DescMessage>(
    schema: Schema,
    message: MessageInitShape<Schema>,
    registry?: Registry,
  ): Uint8Array;
}

const protobufFormat: BodyFormat = {
  name: 'protobuf',
  type: 'application/x-protobuf',
  write: (schema, message) => toBinary(schema, create(schema, message)),
};

export const jsonFormat: BodyFormat = {
  name: 'json',
  type: 'application/json',
  write: (schema, message, registry) =>
    Buffer.from(JSON.stringify(toJson(schema, create(schema, message), registry && { registry }))),
};

/** The format a `content-type` names; undefined for another. */
export function formatOf(contentType: string | undefined): BodyFormat | undefined {
  const type = contentType?.split(';', 1)[0]?.trim().toLowerCase();
  return [protobufFormat, jsonFormat].find((format) => format.type === type);
}
