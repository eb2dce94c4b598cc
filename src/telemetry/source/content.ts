/**
 * What tells apart messages without a sequence: a hash of their content, remembered for 10 minutes of event time.
 * Event time is part of the content, so a repeat can only be found in its own minute.
 */

/** Event time over which repeats are recognized, milliseconds. */
export const CONTENT_REMEMBERED_MS = 600_000;

/** Hashes remembered at once; beyond it the oldest minute is given up. */
const HASHES_MAX = 1_000_000;

const MINUTE_MS = 60_000;

/** Hashes added to a minute since the last checkpoint. */
export interface ContentAddition {
  /** Minutes since 1970. */
  readonly minute: number;
  readonly hashes: Float64Array;
}

export class RecentContent {
  /** First minute still remembered. */
  floorMinute: number;
  private readonly minutes = new Map<number, Set<number>>();
  private added = new Map<number, number[]>();
  private size = 0;

  constructor(floorMinute = Number.NEGATIVE_INFINITY) {
    this.floorMinute = floorMinute;
  }

  /** Remembers a message; false when it is known. `newestMs` is the newest event time of the stream. */
  take(hash: number, eventMs: number, newestMs: number): boolean {
    this.raiseFloor(Math.floor((newestMs - CONTENT_REMEMBERED_MS) / MINUTE_MS));
    const minute = Math.floor(eventMs / MINUTE_MS);
    // Too old to tell: it counts by its windows, which closed long ago.
    if (minute < this.floorMinute || eventMs < newestMs - CONTENT_REMEMBERED_MS) return true;
    const known = setOf(this.minutes, minute);
    if (known.has(hash)) return false;
    known.add(hash);
    const added = this.added.get(minute);
    if (added) added.push(hash);
    else this.added.set(minute, [hash]);
    this.size++;
    if (this.size > HASHES_MAX) this.raiseFloor(Math.min(...this.minutes.keys()) + 1);
    return true;
  }

  /** Fills in hashes a checkpoint holds. */
  restore(minute: number, hashes: Iterable<number>): void {
    const known = setOf(this.minutes, minute);
    for (const hash of hashes) {
      if (!known.has(hash)) this.size++;
      known.add(hash);
    }
  }

  /** Hands over what was added since the last call. */
  takeAdded(): readonly ContentAddition[] {
    if (this.added.size === 0) return [];
    const additions = Array.from(this.added, ([minute, hashes]) => ({
      minute,
      hashes: Float64Array.from(hashes),
    }));
    this.added = new Map();
    return additions;
  }

  private raiseFloor(minute: number): void {
    if (minute <= this.floorMinute) return;
    this.floorMinute = minute;
    for (const [other, hashes] of this.minutes) {
      if (other >= minute) continue;
      this.size -= hashes.size;
      this.minutes.delete(other);
      this.added.delete(other);
    }
  }
}

function setOf(minutes: Map<number, Set<number>>, minute: number): Set<number> {
  let known = minutes.get(minute);
  if (known === undefined) {
    known = new Set();
    minutes.set(minute, known);
  }
  return known;
}

/**
 * 53-bit hash of bytes: two multiplicative 32-bit lanes with a final avalanche (after MurmurHash3, A. Appleby). Not
 * meant against an attacker, who can only make his own messages look repeated.
 */
export function contentHash(data: Uint8Array): number {
  let a = 0xdeadbeef;
  let b = 0x41c6ce57;
  for (let i = 0; i < data.length; i++) {
    const byte = data[i]!;
    a = Math.imul(a ^ byte, 2654435761);
    b = Math.imul(b ^ byte, 1597334677);
  }
  a = Math.imul(a ^ (a >>> 16), 2246822507) ^ Math.imul(b ^ (b >>> 13), 3266489909);
  b = Math.imul(b ^ (b >>> 16), 2246822507) ^ Math.imul(a ^ (a >>> 13), 3266489909);
  return (b & 0x1fffff) * 0x1_0000_0000 + (a >>> 0);
}
