import { createHash } from 'node:crypto';
import { describe, expect, test } from '@jest/globals';
import canonicalize from 'canonicalize';
import fc from 'fast-check';
import { anchorPayload } from '../../../src/identity/audit/anchor.ts';
import {
  canonicalEntry,
  type Draft,
  type Entry,
  entryHash,
  type Link,
  link,
  linkFault,
  ORIGIN,
} from '../../../src/identity/audit/entry.ts';

const text = fc.string({ unit: 'binary', maxLength: 20 });
const drafts: fc.Arbitrary<Draft> = fc.record({
  occurredAtMs: fc.integer({ min: 0, max: 2 ** 45 }),
  principal: text,
  method: text,
  resource: text,
  code: text,
  reason: text,
  requestDigest: fc.uint8Array({ maxLength: 32 }),
  peer: text,
  requestId: text,
  count: fc.integer({ min: 1, max: 2 ** 50 }),
});

const DRAFT: Draft = {
  occurredAtMs: 1_767_225_600_000,
  principal: 'ada',
  method: 'homeostat.session.v1.SessionService/CreateSession',
  resource: 'session/1',
  code: 'OK',
  reason: '',
  requestDigest: new Uint8Array(createHash('sha256').update('request').digest()),
  peer: '192.0.2.1',
  requestId: 'r1',
  count: 1,
};

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');

/** The members as the contract names them. */
function members(entry: Omit<Entry, 'hash'>): object {
  return {
    sequence: entry.sequence,
    occurred_at: entry.occurredAtMs,
    principal: entry.principal,
    method: entry.method,
    resource: entry.resource,
    code: entry.code,
    reason: entry.reason,
    request_digest: hex(entry.requestDigest),
    peer: entry.peer,
    request_id: entry.requestId,
    count: entry.count,
    previous_hash: hex(entry.previousHash),
  };
}

/** A chain of these drafts. */
function chainOf(chain: readonly Draft[]): Entry[] {
  let previous: Link = ORIGIN;
  return chain.map((draft) => {
    const entry = link(previous, draft);
    previous = entry;
    return entry;
  });
}

/** The first sequence that does not fit; undefined when all do. */
function firstBad(entries: readonly Entry[]): number | undefined {
  let previous: Link = ORIGIN;
  for (const entry of entries) {
    if (linkFault(previous, entry) !== undefined) return previous.sequence + 1;
    previous = entry;
  }
  return undefined;
}

describe('entries of the audit trail', () => {
  test('have the hash that was computed elsewhere', () => {
    const entry = link(ORIGIN, DRAFT);
    // Python: hashlib.sha256(json.dumps(members, sort_keys=True, separators=(',', ':')).encode()).hexdigest()
    expect(hex(entry.hash)).toBe('ca2f629092f3164c2f33bc9102a1426fa70dd1277ac7cee39b7c05a52fd9ceae');
  });

  test('are hashed in the canonical form of RFC 8785, whatever their texts hold', () => {
    fc.assert(
      fc.property(drafts, fc.uint8Array({ minLength: 32, maxLength: 32 }), (draft, previousHash) => {
        const entry = { ...draft, sequence: 7, previousHash };
        const canonical = canonicalize(members(entry))!;
        expect(canonicalEntry(entry)).toBe(canonical);
        expect(hex(entryHash(entry))).toBe(createHash('sha256').update(canonical).digest('hex'));
      }),
    );
  });

  test('link from the origin on', () => {
    fc.assert(
      fc.property(fc.array(drafts, { maxLength: 8 }), (chain) => {
        const entries = chainOf(chain);
        expect(firstBad(entries)).toBeUndefined();
        expect(entries.map(({ sequence }) => sequence)).toEqual(chain.map((_, i) => i + 1));
      }),
    );
  });

  test('identity.U1 a flip of any bit of any member is found at its entry', () => {
    const entries = chainOf([DRAFT, { ...DRAFT, count: 3, code: 'UNAVAILABLE', reason: 'DRAINING' }, DRAFT]);
    let flips = 0;
    for (const [at, entry] of entries.entries())
      for (const [name, value] of Object.entries(entry))
        for (const flipped of flipsOf(value)) {
          flips++;
          const forged = entries.with(at, { ...entry, [name]: flipped });
          expect({ name, flipped, bad: firstBad(forged) }).toEqual({ name, flipped, bad: at + 1 });
        }
    expect(flips).toBeGreaterThan(3_000);
  });

  test('identity.U1 what is dropped, swapped, inserted or forged is found where it begins', () => {
    const chain = fc.array(drafts, { minLength: 3, maxLength: 8 });
    fc.assert(
      fc.property(chain, fc.nat(), drafts, (given, seed, other) => {
        const entries = chainOf(given);
        const at = seed % (entries.length - 1);
        const dropped = entries.toSpliced(at, 1);
        const swapped = entries.with(at, entries[at + 1]!).with(at + 1, entries[at]!);
        const renumbered = swapped.map((entry, i) => ({ ...entry, sequence: i + 1 }));
        const forged = link(at === 0 ? ORIGIN : entries[at - 1]!, { ...other, count: 7 });
        const inserted = entries.toSpliced(at, 0, forged);
        expect(firstBad(dropped)).toBe(at + 1);
        expect(firstBad(swapped)).toBe(at + 1);
        expect(firstBad(renumbered)).toBe(at + 1);
        expect(firstBad(inserted)).toBe(at + 2);
        // The whole entry is forged, hash and all: the next one does not follow from it.
        expect(firstBad(entries.with(at, forged))).toBe(at + 2);
      }),
    );
  });

  test('an anchor holds label, sequence and hash', () => {
    const payload = anchorPayload({ sequence: 2 ** 40 + 5, hash: new Uint8Array(32).fill(7) });
    expect(Buffer.from(payload).toString('latin1')).toBe(
      `homeostat-audit/1\0\0\u0001\0\0\0\0\u0005${'\u0007'.repeat(32)}`,
    );
  });
});

/** Every value that differs in one bit. */
function flipsOf(value: unknown): unknown[] {
  if (typeof value === 'number')
    return Array.from({ length: 52 }, (_, bit) => Number(BigInt(value) ^ (1n << BigInt(bit))));
  if (typeof value === 'string')
    return [...value].flatMap((char, i) =>
      Array.from({ length: 7 }, (_, bit) => {
        const flipped = String.fromCharCode(char.charCodeAt(0) ^ (1 << bit));
        return value.slice(0, i) + flipped + value.slice(i + 1);
      }),
    );
  const bytes = value as Uint8Array;
  return Array.from({ length: bytes.length * 8 }, (_, bit) =>
    bytes.map((byte, i) => (i === bit >> 3 ? byte ^ (1 << (bit & 7)) : byte)),
  );
}
