/**
 * Turns the bytes of a subject into one and the same string every time, without allocating for a subject seen before.
 * A string that is always the same object also makes the caller's maps cheap: its hash is computed once.
 */

/** Subjects remembered; when one more comes, all are forgotten and learnt again. */
const SUBJECTS_MAX = 65_536;
const SLOTS = 4 * SUBJECTS_MAX;
const MASK = SLOTS - 1;

/** Invariant: a slot is empty or holds a subject; at most a quarter of the slots are taken. */
export class SubjectCache {
  readonly #texts: (string | undefined)[] = new Array(SLOTS);
  readonly #bytes: (Uint8Array | undefined)[] = new Array(SLOTS);
  #size = 0;

  /** The subject in `bytes[start, end)`. O(length). */
  read(bytes: Buffer, start: number, end: number): string {
    let hash = 0x811c9dc5; // FNV-1a, 32 bits.
    for (let i = start; i < end; i++) hash = Math.imul(hash ^ bytes[i]!, 0x01000193);
    for (let slot = (hash ^ (hash >>> 15)) & MASK; ; slot = (slot + 1) & MASK) {
      const known = this.#bytes[slot];
      if (known === undefined) return this.#add(slot, bytes, start, end);
      if (isSame(known, bytes, start, end)) return this.#texts[slot]!;
    }
  }

  #add(slot: number, bytes: Buffer, start: number, end: number): string {
    const text = bytes.toString('utf8', start, end);
    if (this.#size === SUBJECTS_MAX) {
      this.#texts.fill(undefined);
      this.#bytes.fill(undefined);
      this.#size = 0;
      return text;
    }
    this.#size++;
    this.#texts[slot] = text;
    this.#bytes[slot] = Uint8Array.prototype.slice.call(bytes, start, end);
    return text;
  }
}

function isSame(known: Uint8Array, bytes: Uint8Array, start: number, end: number): boolean {
  if (known.length !== end - start) return false;
  for (let i = 0; i < known.length; i++) if (known[i] !== bytes[start + i]) return false;
  return true;
}
