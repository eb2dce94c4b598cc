/** Whatever byte of a bundle is changed, `verify` never calls it valid, and never fails in a way it did not mean to. */
import { beforeAll, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { CliFailure } from '../../src/cli/failure.ts';
import { readBundle } from '../../src/cli/verify/bundle.ts';
import { isProven, type Trust, verifyBundle } from '../../src/cli/verify/checks.ts';
import { readTrust } from '../../src/cli/verify/trust.ts';
import { type Bundles, makeBundles } from './verify-world.ts';

describe('a bundle somebody has tampered with', () => {
  let bundles: Bundles;
  let trust: Trust;

  beforeAll(async () => {
    bundles = await makeBundles();
    trust = { keys: readTrust(Buffer.from(bundles.logKey)), witnessesMin: 0 };
  });

  /** The exit code that the command would have. */
  const codeOf = (bytes: Uint8Array): 0 | 1 | 2 => {
    try {
      return isProven(verifyBundle(readBundle(bytes), trust)) ? 0 : 1;
    } catch (error) {
      if (error instanceof CliFailure) return error.exitCode;
      throw error;
    }
  };
  /** Places whose change left the bundle valid, in the text around them. */
  const unnoticed = (text: string, bits: readonly number[], step = 1): string[] => {
    const bytes = Buffer.from(text);
    expect(codeOf(bytes)).toBe(0);
    const places: string[] = [];
    for (let at = 0; at < bytes.length; at += step)
      for (const bit of bits) {
        bytes[at]! ^= 1 << bit;
        if (codeOf(bytes) === 0) places.push(bytes.toString('utf8', Math.max(0, at - 60), at + 1));
        bytes[at]! ^= 1 << bit;
      }
    return places;
  };
  /** A time that no signature covers: everything else is bound. */
  const isSigningTime = (place: string) => /"signedAt":"[^"]*$/.test(place);

  test('identity.U1 no byte of an audit export can differ but the time its checkpoint was signed', () => {
    const places = unnoticed(bundles.audit, [0, 3, 5]);
    expect(places.filter((place) => !isSigningTime(place))).toEqual([]);
    expect(places.length).toBeLessThan(100);
  }, 120_000);

  test.each(['entry', 'consistency', 'checkpoint'] as const)(
    'no byte of a reply with %s can differ but that time',
    (name) => {
      const places = unnoticed(bundles[name], [0, 1, 2, 3, 4, 5, 6, 7], 3);
      expect(places.filter((place) => !isSigningTime(place))).toEqual([]);
    },
    120_000,
  );

  test('no byte of a note can differ', () => {
    expect(unnoticed(bundles.note, [0, 1, 2, 3, 4, 5, 6, 7])).toEqual([]);
  });

  test('no byte of a note under a trusted witness can differ', () => {
    trust = { keys: readTrust(Buffer.from(bundles.keys)), witnessesMin: 1 };
    expect(unnoticed(bundles.cosigned, [0, 1, 2, 3, 4, 5, 6, 7])).toEqual([]);
    trust = { ...trust, witnessesMin: 0 };
  });

  test('a bundle cut off anywhere is refused', () => {
    const bytes = Buffer.from(bundles.audit.trimEnd());
    for (let end = 0; end < bytes.length; end += 7)
      expect({ end, code: codeOf(bytes.subarray(0, end)) }).not.toEqual({ end, code: 0 });
  });

  test('bytes of any kind are refused without a crash', () => {
    const parts = fc.constantFrom(
      ...'{}[]":,\\',
      'entry',
      'anchor',
      'checkpoint',
      'leafData',
      'note',
      '\n\n\u2014 ',
      '0',
    );
    const texts = fc.array(fc.oneof(parts, fc.string({ unit: 'binary' }), fc.json()), { maxLength: 12 });
    fc.assert(
      fc.property(
        fc.oneof(
          texts.map((some) => Buffer.from(some.join(''))),
          fc.uint8Array(),
        ),
        (bytes) => {
          expect(codeOf(bytes)).not.toBe(0);
        },
      ),
      { numRuns: 2_000 },
    );
  });

  test('replies of any content are refused without a crash', () => {
    const { entry, audit, consistency } = bundles;
    const samples = [entry, consistency, ...audit.trimEnd().split('\n')].map((text) => JSON.parse(text));
    const other = fc.oneof(
      fc.string(),
      fc.integer(),
      fc.constant(null),
      fc.base64String(),
      fc.constantFrom('0', '9'),
    );
    const cases = fc.tuple(fc.constantFrom(...samples), fc.nat(), other);
    fc.assert(
      fc.property(cases, ([sample, seed, value]) => {
        const copy = structuredClone(sample);
        const leaves = leavesOf(copy).filter(({ name }) => name !== 'signedAt');
        const { holder, name } = leaves[seed % leaves.length]!;
        if (holder[name] === value) return;
        holder[name] = value;
        const others = 'anchor' in sample ? audit.split('\n').slice(0, 4).join('\n') : '';
        expect(codeOf(Buffer.from(`${others}${JSON.stringify(copy)}`))).not.toBe(0);
      }),
      { numRuns: 2_000 },
    );
  });
});

/** Every member of every object below a value that is not an object itself. */
function leavesOf(value: object): { holder: Record<string, unknown>; name: string }[] {
  return Object.entries(value).flatMap(([name, item]) =>
    typeof item === 'object' && item !== null
      ? leavesOf(item)
      : [{ holder: value as Record<string, unknown>, name }],
  );
}
