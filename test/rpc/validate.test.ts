import { create, type DescMessage, type MessageInitShape } from '@bufbuild/protobuf';
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { IngestResponseSchema } from '../../src/gen/homeostat/telemetry/v1/telemetry_service_pb.ts';
import { compileRules, VIOLATIONS_MAX } from '../../src/rpc/validate.ts';
import { probeMessage } from './probe-contract.ts';

/** Violations as `path: what it must be`. */
function violations<Type extends DescMessage>(type: Type, init: MessageInitShape<Type>): string[] {
  const check = compileRules(type)!;
  return check(create(type, init)).map(({ field, description }) => `${field}: ${description}`);
}

const RulesSchema = probeMessage('Rules');

/** A message that breaks no rule, but for what a test changes. */
const good = {
  name: 'abc',
  nick: 'x',
  paint: 1,
  needed: ['one'],
  present: 0,
  tags: ['a', 'b'],
};
const broken = (change: Record<string, unknown>) => violations(RulesSchema, { ...good, ...change });

describe('rules of single fields', () => {
  test('hold for a good message', () => {
    expect(broken({})).toEqual([]);
    const all = {
      blob: new Uint8Array(3),
      ratio: 0.5,
      level: 10,
      large: 9007199254740991n,
      code: '12',
      id: '0190a3b4-7c1d-7e00-8a2b-0123456789ab',
      color: 3,
      width: { seconds: 60n, nanos: 0 },
      values: [0, 1.5],
      labels: { a: 'b' },
      leaves: { a: { size: 1 } },
      branch: [{ size: 9 }],
      leaf: { size: 1 },
      choice: { case: 'word', value: 'yes' },
      palette: [0, 1, 3],
    };
    expect(broken(all)).toEqual([]);
  });

  test('unset fields are checked for being required only', () => {
    expect(violations(RulesSchema, {})).toEqual([
      'name: is required',
      'nick: is required',
      'paint: is required',
      'needed: is required',
      'present: is required',
    ]);
    expect(
      broken({ ratio: 0, level: undefined, large: 0n, blob: new Uint8Array(0), code: '', tags: [] }),
    ).toEqual([]);
  });

  test.each<[string, Record<string, unknown>, string]>([
    ['a short string', { name: 'a' }, 'name: must have at least 2 characters'],
    ['a long string', { name: 'abcde' }, 'name: must have at most 4 characters'],
    ['an empty required string with presence', { nick: '' }, 'nick: is required'],
    ['few bytes', { blob: new Uint8Array(1) }, 'blob: must have at least 2 bytes'],
    ['many bytes', { blob: new Uint8Array(4) }, 'blob: must have at most 3 bytes'],
    ['NaN', { ratio: Number.NaN }, 'ratio: must be finite'],
    ['infinity', { ratio: Number.NEGATIVE_INFINITY }, 'ratio: must be finite'],
    ['a number at a bound that must be exceeded', { ratio: -0.1 }, 'ratio: must be greater than 0'],
    ['a number at a bound that must not be reached', { ratio: 1 }, 'ratio: must be less than 1'],
    ['a number that is too small, zero included', { level: 0 }, 'level: must be at least 1'],
    ['a number that is too large', { level: 11 }, 'level: must be at most 10'],
    ['64 bits that are too large', { large: 2n ** 53n }, 'large: must be at most 9007199254740991'],
    ['a pattern that matches only in part', { code: 'ab1' }, 'code: must match [a-z]+|[0-9]{2}'],
    ['a pattern with a newline after it', { code: 'ab\n' }, 'code: must match [a-z]+|[0-9]{2}'],
    [
      'a UUID in capitals',
      { id: '0190A3B4-7C1D-7E00-8A2B-0123456789AB' },
      'id: must be a UUID in lower case with hyphens',
    ],
    ['an enum value nobody named', { color: 2 }, 'color: must be a value of homeostat.probe.v1.Color'],
    [
      'a required enum value nobody named',
      { paint: 2 },
      'paint: must be a value of homeostat.probe.v1.Color',
    ],
    ['a short duration', { width: { seconds: 0n, nanos: 999_999_999 } }, 'width: must be at least 1 s'],
    ['a long duration', { width: { seconds: 60n, nanos: 1 } }, 'width: must be at most 60 s'],
    [
      'a chosen oneof member',
      { choice: { case: 'word', value: 'long' } },
      'word: must have at most 3 characters',
    ],
    ['a nested message', { leaf: { size: 10 } }, 'leaf.size: must be at most 9'],
    ['a nested message without a required field', { leaf: {} }, 'leaf.size: is required'],
    [
      'a nested message chosen of a oneof',
      { choice: { case: 'twig', value: { size: 11 } } },
      'twig.size: must be at most 9',
    ],
  ])('%s is found', (_what, change, expected) => {
    expect(broken(change)).toEqual([expected]);
  });

  test('characters are counted as people count them, not as UTF-16 does', () => {
    expect(broken({ name: '😀😀😀😀' })).toEqual([]);
    expect(broken({ name: '😀' })).toEqual(['name: must have at least 2 characters']);
    expect(broken({ name: '😀😀😀😀😀' })).toEqual(['name: must have at most 4 characters']);
  });
});

describe('rules of lists and maps', () => {
  test.each<[string, Record<string, unknown>, string[]]>([
    [
      'items by their index',
      { values: [1, Number.NaN, 2, Number.POSITIVE_INFINITY] },
      ['values[1]: must be finite', 'values[3]: must be finite'],
    ],
    [
      'too many items, without walking them',
      { values: new Array(21).fill(Number.NaN) },
      ['values: must have at most 20 items'],
    ],
    ['too few items', { tags: ['a'] }, ['tags: must have at least 2 items']],
    ['items of a list of strings', { tags: ['a', 'long'] }, ['tags[1]: must have at most 3 characters']],
    [
      'messages of a list',
      { branch: [{ size: 1 }, {}, { size: 10 }] },
      ['branch[1].size: is required', 'branch[2].size: must be at most 9'],
    ],
    ['too many entries', { labels: { a: '', b: '', c: '' } }, ['labels: must have at most 2 entries']],
    [
      'values of a map by their key',
      { labels: { 'a"b': 'long' } },
      ['labels["a\\"b"]: must have at most 3 characters'],
    ],
    ['messages of a map', { leaves: { one: { size: 10 } } }, ['leaves["one"].size: must be at most 9']],
    [
      'enum values of a list',
      { palette: [1, 2] },
      ['palette[1]: must be a value of homeostat.probe.v1.Color'],
    ],
    [
      'a message within its own type',
      { inner: { ...good, inner: { ...good, name: 'a' } } },
      ['inner.inner.name: must have at least 2 characters'],
    ],
  ])('find %s', (_what, change, expected) => {
    expect(broken(change)).toEqual(expected);
  });

  test(`report at most ${VIOLATIONS_MAX}, and start afresh with the next message`, () => {
    expect(broken({ values: new Array(20).fill(Number.NaN), leaf: {} })).toHaveLength(VIOLATIONS_MAX);
    const check = compileRules(RulesSchema)!;
    check(create(RulesSchema, {}));
    expect(check(create(RulesSchema, good))).toEqual([]);
  });

  test('find exactly the items that are not finite', () => {
    fc.assert(
      fc.property(fc.array(fc.double(), { maxLength: 15 }), (values) => {
        const wrong = values.flatMap((value, i) =>
          Number.isFinite(value) ? [] : [`values[${i}]: must be finite`],
        );
        // Values are floats on the wire; here they stay as they are.
        expect(broken({ values })).toEqual(wrong);
      }),
    );
  });
});

describe('types without rules', () => {
  test('compile to nothing, also where they contain themselves', () => {
    expect(compileRules(probeMessage('Free'))).toBeUndefined();
    expect(compileRules(IngestResponseSchema)).toBeUndefined();
  });
});
