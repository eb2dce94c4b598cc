/**
 * The sequence numbers of one source run. Everything up to `highest` was seen, except the holes: maximal runs of
 * missing numbers, ascending and disjoint. That says the same as a bitmap of the last 4,096 numbers, and costs
 * nothing while a producer sends in order. A hole open for 30 s of event time is a gap; a late filler closes it.
 */

/** Numbers remembered below and including the highest; older ones cannot be judged. */
export const SEQUENCES_REMEMBERED = 4096;

/** Event time a hole may stay open before it is called a gap, milliseconds. */
export const GAP_AFTER_MS = 30_000;

/** Holes kept per run. At most half the remembered numbers can be holes, so beyond it the oldest cannot be filled. */
const HOLES_MAX = 4096;

export interface Hole {
  /** First and last missing number, inclusive. */
  first: number;
  last: number;
  /** Newest event time of the stream when the hole appeared. */
  openedAtMs: number;
  /** Whether it was called a gap. */
  declared: boolean;
}

/** What a sequence number turned out to be. */
export const SEQUENCE_NEW = 0;
/** New, and it left a hole before it, to be dated with `holeOpened`. */
export const SEQUENCE_AHEAD = 1;
export const SEQUENCE_DUPLICATE = 2;
export const SEQUENCE_TOO_OLD = 3;

/** Gaps of a stream: changed by its runs, kept when a run is forgotten. */
export interface GapCounts {
  /** Holes called gaps and not filled since. */
  open: number;
  /** Numbers missing in them. */
  missing: number;
  /** Gaps closed by a late filler. */
  closed: number;
}

export class SequenceWindow {
  highest: number;
  /** Owned; ascending. */
  readonly holes: Hole[];
  /** Numbers missing in gaps that can no longer be filled and were dropped from `holes`. */
  lost: number;

  constructor(highest = 0, holes: Hole[] = [], lost = 0) {
    this.highest = highest;
    this.holes = holes;
    this.lost = lost;
  }

  /** Whether `sequence` was seen; false also for numbers too old to tell. */
  knows(sequence: number): boolean {
    return isKnown(this.highest, this.holes, sequence);
  }

  /** Judges a number and remembers it. Constant in order, logarithmic in the holes otherwise. */
  take(sequence: number, gaps: GapCounts): number {
    const { highest } = this;
    if (sequence === highest + 1) {
      this.highest = sequence;
      return SEQUENCE_NEW;
    }
    if (sequence > highest) {
      const openedAtMs = Number.POSITIVE_INFINITY;
      this.holes.push({ first: highest + 1, last: sequence - 1, openedAtMs, declared: false });
      this.highest = sequence;
      return SEQUENCE_AHEAD;
    }
    if (sequence <= highest - SEQUENCES_REMEMBERED) return SEQUENCE_TOO_OLD;
    const at = holeOf(this.holes, sequence);
    if (at < 0) return SEQUENCE_DUPLICATE;
    this.fill(at, sequence, gaps);
    return SEQUENCE_NEW;
  }

  /**
   * Dates the hole that the last number left: `nowMs` is the newest event time of the stream with its message.
   * Returns when holes should be declared next because of it.
   */
  holeOpened(nowMs: number): number {
    this.holes.at(-1)!.openedAtMs = nowMs;
    return this.holes.length > HOLES_MAX ? Number.NEGATIVE_INFINITY : nowMs + GAP_AFTER_MS;
  }

  /**
   * Calls the holes that opened 30 s or longer before `nowMs` gaps, and those in excess of what is kept; returns
   * them. Gaps that can no longer be filled are dropped and stay in the counts.
   */
  declare(nowMs: number, gaps: GapCounts): readonly Hole[] {
    const declared: Hole[] = [];
    const excess = this.holes.length - HOLES_MAX;
    for (let i = 0; i < this.holes.length; i++) {
      const hole = this.holes[i]!;
      if (hole.declared || (hole.openedAtMs + GAP_AFTER_MS > nowMs && i >= excess)) continue;
      hole.declared = true;
      gaps.open++;
      gaps.missing += hole.last - hole.first + 1;
      declared.push({ ...hole });
    }
    this.dropUnfillable();
    return declared;
  }

  /** Event time at which the next hole becomes a gap; Infinity without any. */
  nextGapMs(): number {
    let next = Number.POSITIVE_INFINITY;
    for (const hole of this.holes) if (!hole.declared) next = Math.min(next, hole.openedAtMs + GAP_AFTER_MS);
    return next;
  }

  /** Numbers missing now, called gaps or not. */
  missing(): number {
    let missing = this.lost;
    for (const hole of this.holes) missing += hole.last - hole.first + 1;
    return missing;
  }

  private fill(at: number, sequence: number, gaps: GapCounts): void {
    const hole = this.holes[at]!;
    if (hole.declared) gaps.missing--;
    if (hole.first === hole.last) {
      this.holes.splice(at, 1);
      if (!hole.declared) return;
      gaps.open--;
      gaps.closed++;
    } else if (sequence === hole.first) hole.first++;
    else if (sequence === hole.last) hole.last--;
    else {
      this.holes.splice(at + 1, 0, { ...hole, first: sequence + 1 });
      hole.last = sequence - 1;
      if (hole.declared) gaps.open++;
    }
  }

  private dropUnfillable(): void {
    let drop = 0;
    for (const hole of this.holes) {
      if (!hole.declared || hole.last > this.highest - SEQUENCES_REMEMBERED) break;
      this.lost += hole.last - hole.first + 1;
      drop++;
    }
    if (drop > 0) this.holes.splice(0, drop);
  }
}

/** Whether a run that saw everything up to `highest` except `holes` has seen `sequence`, as far as it remembers. */
export function isKnown(highest: number, holes: readonly Hole[], sequence: number): boolean {
  return sequence <= highest && sequence > highest - SEQUENCES_REMEMBERED && holeOf(holes, sequence) < 0;
}

/** Index of the hole that contains `sequence`, or -1. */
function holeOf(holes: readonly Hole[], sequence: number): number {
  let low = 0;
  let high = holes.length - 1;
  while (low <= high) {
    const middle = (low + high) >> 1;
    const hole = holes[middle]!;
    if (sequence < hole.first) high = middle - 1;
    else if (sequence > hole.last) low = middle + 1;
    else return middle;
  }
  return -1;
}
