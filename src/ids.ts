/**
 * Ids. New ones are UUIDv7 (RFC 9562): wall time first, so they sort in the order they were made and lie together in
 * an index. Derived ones are UUIDv8: the same facts give the same id everywhere, so a repeat is a duplicate.
 */
import { createHash, randomFillSync } from 'node:crypto';
import { stringify, v7 } from 'uuid';
import type { Clock } from './clock.ts';

/** Makes a new id. Those of one source sort, as text, in the order they were made, even when the clock steps back. */
export type NewId = () => string;

/** The sequence within a millisecond: 32 bits, begun in the lower half so that it has room to grow. */
const SEQUENCE_START_MASK = 0x7fffffff;
const SEQUENCE_MAX = 0xffffffff;

/**
 * A source of UUIDv7 ids. `fillRandom` fills a buffer with unpredictable bytes; the operating system's by default,
 * replaced by tests.
 */
export function createIds(
  clock: Pick<Clock, 'nowMs'>,
  fillRandom: (buffer: Uint8Array) => void = randomFillSync,
): NewId {
  const random = new Uint8Array(16);
  const words = new DataView(random.buffer);
  let msecs = Number.NEGATIVE_INFINITY;
  let seq = 0;
  return () => {
    fillRandom(random);
    const nowMs = Math.floor(clock.nowMs());
    if (nowMs > msecs || seq === SEQUENCE_MAX) {
      msecs = nowMs > msecs ? nowMs : msecs + 1;
      seq = words.getUint32(6) & SEQUENCE_START_MASK;
    } else seq++;
    return v7({ msecs, seq, random });
  };
}

/**
 * The id that follows from facts: UUIDv8 of the first 16 bytes of SHA-256 over `tag` and `parts`, joined by 0x00, in
 * UTF-8. The tag names the kind of id (`session-anchor`), so equal facts of two kinds differ. Throws RangeError for a
 * part that holds U+0000, which could make two lists of facts one.
 */
export function derivedId(tag: string, ...parts: readonly string[]): string {
  const facts = [tag, ...parts];
  if (facts.some((fact) => fact.includes('\0'))) throw new RangeError('a part of a derived id holds U+0000');
  const bytes = createHash('sha256').update(facts.join('\0')).digest().subarray(0, 16);
  bytes[6] = (bytes[6]! & 0x0f) | 0x80;
  bytes[8] = (bytes[8]! & 0x3f) | 0x80;
  return stringify(bytes);
}
