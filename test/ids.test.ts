import { createHash } from 'node:crypto';
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { version } from 'uuid';
import { createIds, derivedId } from '../src/ids.ts';

const VARIANT_10 = /^[0-9a-f]{8}-[0-9a-f]{4}-[78][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

describe('new ids', () => {
  test('are UUIDv7 that carry the wall time of the clock', () => {
    const nowMs = Date.UTC(2026, 6, 1, 12);
    const id = createIds({ nowMs: () => nowMs })();
    expect(id).toMatch(VARIANT_10);
    expect(version(id)).toBe(7);
    expect(Number.parseInt(id.replace('-', '').slice(0, 12), 16)).toBe(nowMs);
  });

  test('sort in the order they were made, whatever the clock does', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 20 }), { minLength: 2, maxLength: 60 }), (times) => {
        let nowMs = 0;
        const newId = createIds({ nowMs: () => 1_767_225_600_000 + nowMs });
        const ids = times.map((time) => {
          nowMs = time;
          return newId();
        });
        expect([...ids].sort()).toEqual(ids);
        expect(new Set(ids).size).toBe(ids.length);
      }),
    );
  });

  test('take their randomness from the source given', () => {
    const make = (byte: number) => createIds({ nowMs: () => 5 }, (buffer) => buffer.fill(byte))();
    expect(make(1)).toBe(make(1));
    expect(make(1)).not.toBe(make(2));
  });
});

describe('derived ids', () => {
  test('are UUIDv8 of the SHA-256 over tag and parts joined by 0x00', () => {
    const digest = createHash('sha256')
      .update(
        Buffer.concat([Buffer.from('tag'), Buffer.of(0), Buffer.from('é'), Buffer.of(0), Buffer.from('b')]),
      )
      .digest('hex');
    const id = derivedId('tag', 'é', 'b');
    expect(id).toMatch(VARIANT_10);
    expect(version(id)).toBe(8);
    const hex = id.replaceAll('-', '');
    expect(hex.slice(0, 12)).toBe(digest.slice(0, 12));
    expect(hex.slice(13, 16)).toBe(digest.slice(13, 16));
    expect(hex.slice(17)).toBe(digest.slice(17, 32));
  });

  test('differ when facts are split differently, and refuse the separator', () => {
    expect(derivedId('tag', 'ab', 'c')).not.toBe(derivedId('tag', 'a', 'bc'));
    expect(derivedId('tag', 'a')).not.toBe(derivedId('gat', 'a'));
    expect(() => derivedId('tag', 'a\0b')).toThrow(RangeError);
  });
});
