/** Secrets at rest. */
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { createSealer, SECRET_BYTES } from '../src/sealing.ts';
import { systemSecrets } from '../src/secrets.ts';

const sealer = createSealer(new Uint8Array(SECRET_BYTES).fill(7), systemSecrets);

describe('what is sealed', () => {
  test('opens to the same bytes for the same purpose', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), fc.string(), (plain, purpose) => {
        expect(sealer.open(purpose, sealer.seal(purpose, plain))).toEqual(plain);
      }),
    );
  });

  test('never looks the same twice and does not show its content', () => {
    const plain = Buffer.from('a canary that sings');
    const texts = [sealer.seal('p', plain), sealer.seal('p', plain)].map((text) => Buffer.from(text));
    expect(texts[0]!.equals(texts[1]!)).toBe(false);
    for (const text of texts) expect(text.includes('canary')).toBe(false);
  });

  test('does not open for another purpose, nor under another secret', () => {
    const sealed = sealer.seal('identity.signing-key', Uint8Array.of(1, 2, 3));
    expect(() => sealer.open('ledger.seed', sealed)).toThrow(
      expect.objectContaining({ reason: 'SECRET_FOREIGN', metadata: { purpose: 'ledger.seed' } }),
    );
    const other = createSealer(new Uint8Array(SECRET_BYTES).fill(8), systemSecrets);
    expect(() => other.open('identity.signing-key', sealed)).toThrow(/sealed under another secret file/);
  });

  test('does not open once any bit of it has flipped, or an end is missing', () => {
    const sealed = sealer.seal('p', Uint8Array.of(1, 2, 3));
    for (let bit = 0; bit < sealed.length * 8; bit++) {
      const flipped = Uint8Array.from(sealed);
      flipped[bit >> 3]! ^= 1 << (bit & 7);
      expect(() => sealer.open('p', flipped)).toThrow(expect.objectContaining({ reason: 'SECRET_FOREIGN' }));
    }
    for (let length = 0; length < sealed.length; length++)
      expect(() => sealer.open('p', sealed.subarray(0, length))).toThrow(
        expect.objectContaining({ reason: 'SECRET_FOREIGN' }),
      );
  });
});

test('a secret of another length is refused', () => {
  expect(() => createSealer(new Uint8Array(16), systemSecrets)).toThrow(RangeError);
});
