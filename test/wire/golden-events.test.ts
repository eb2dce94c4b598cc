/**
 * One encoded message per event is pinned: what consumers have stored must stay readable. Every field is filled from
 * its descriptor with values that follow from its number, so a field that moves, changes its type or vanishes shows.
 * `UPDATE_GOLDEN=1 npm test -- test/wire/golden` writes the file anew after a deliberate addition.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import {
  create,
  type DescField,
  type DescMessage,
  fromBinary,
  type Message,
  ScalarType,
  toBinary,
} from '@bufbuild/protobuf';
import { reflect } from '@bufbuild/protobuf/reflect';
import { describe, expect, test } from '@jest/globals';
import { topics } from '../../src/bus/topics.ts';

const file = fileURLToPath(new URL('golden-events.json', import.meta.url));
const golden = JSON.parse(readFileSync(file, 'utf8')) as Record<string, string>;

function scalarOf(type: ScalarType, number: number): unknown {
  switch (type) {
    case ScalarType.STRING:
      return `s${number}`;
    case ScalarType.BYTES:
      return Uint8Array.of(number, 255);
    case ScalarType.BOOL:
      return true;
    case ScalarType.INT64:
    case ScalarType.UINT64:
      return BigInt(number) + 2n ** 40n;
    case ScalarType.DOUBLE:
    case ScalarType.FLOAT:
      return number + 0.5;
    default:
      return number + 300;
  }
}

/** A message with every field set; recursion stops below the fourth level. */
function filled(schema: DescMessage, depth = 0): Message {
  const message = reflect(schema, create(schema));
  const one = (field: DescField, kind: string): unknown => {
    if (kind === 'enum') return field.enum!.values.at(-1)!.number;
    if (kind === 'message') return reflect(field.message!, filled(field.message!, depth + 1) as never);
    return scalarOf(field.scalar!, field.number);
  };
  for (const field of schema.fields) {
    if (field.fieldKind === 'list') {
      if (field.listKind === 'message' && depth > 3) continue;
      for (let i = 0; i < 2; i++) message.get(field).add(one(field, field.listKind) as never);
    } else if (field.fieldKind === 'map') {
      message.get(field).set('k', scalarOf(field.scalar!, field.number) as never);
    } else if (field.fieldKind !== 'message' || depth <= 3) {
      message.set(field, one(field, field.fieldKind) as never);
    }
  }
  return message.message;
}

describe('events on the wire', () => {
  if (process.env['UPDATE_GOLDEN'])
    writeFileSync(
      file,
      `${JSON.stringify(Object.fromEntries(Object.values(topics).map(({ schema }) => [schema.typeName, Buffer.from(toBinary(schema, filled(schema) as never)).toString('hex')])), null, 2)}\n`,
    );

  test.each(Object.values(topics).map(({ schema }) => [schema.typeName, schema] as const))(
    '%s encodes as it always did',
    (name, schema) => {
      const bytes = toBinary(schema, filled(schema) as never);
      expect(Buffer.from(bytes).toString('hex')).toBe(golden[name]);
      expect(toBinary(schema, fromBinary(schema, bytes) as never)).toEqual(bytes);
    },
  );

  test('no event is pinned that no longer exists', () => {
    expect(Object.keys(golden).sort()).toEqual(
      Object.values(topics)
        .map(({ schema }) => schema.typeName)
        .sort(),
    );
  });
});
