/**
 * The law of a quantity at least 0, learned online, and how far in its upper tail a value lies: the conformal p-value of
 * the value among those before it. Equal values count half (the mid-p-value), without which a quantity of few distinct
 * values, as rounded metrics give, would never be ordinary. Beyond the greatest value remembered a Pareto tail of index 1
 * is taken, heavier than what metrics have, so that what lies further out counts more, if not by much. What came before
 * is forgotten by event time.
 *
 * Values are counted in eight classes an octave, from 2^-32 to 2^32; smaller and greater ones in the first and the last.
 */

const CLASSES_PER_OCTAVE = 8;
const OCTAVES = 64;
const CLASSES = CLASSES_PER_OCTAVE * OCTAVES;
/** What is left of a forgotten value when it no longer is the greatest remembered. */
const REMEMBERED = 0.5;

export class Tail {
  readonly #counts: Float32Array;

  /** Empty, or with the counts it is given, which it then owns. */
  constructor(counts = new Float32Array(CLASSES)) {
    this.#counts = counts;
  }

  /** Values so far by class, borrowed: all there is to restore. */
  get counts(): Float32Array {
    return this.#counts;
  }

  /**
   * -ln p of the value, p = (r + number above + half the number equal) / (1 + number), in nats, at least 0; then counts
   * it. r is 1, for the value itself, and greatest / value beyond the greatest. `keep` is the share of what came before
   * that is not forgotten, over 0 to 1. O(512).
   */
  judge(value: number, keep: number): number {
    const counts = this.#counts;
    const own = classOf(value);
    const same = counts[own]!;
    let total = 0;
    let above = 0;
    let greatest = -1;
    for (let at = 0; at < CLASSES; at++) {
      const count = counts[at]!;
      total += count;
      if (at > own) above += count;
      if (count >= REMEMBERED) greatest = at;
      counts[at] = count * keep;
    }
    counts[own] = counts[own]! + 1;
    const isBeyond = greatest >= 0 && own > greatest;
    const itself = isBeyond ? 2 ** ((greatest - own) / CLASSES_PER_OCTAVE) : 1;
    return Math.max(0, Math.log((1 + total) / (itself + above + same / 2)));
  }
}

function classOf(value: number): number {
  if (!(value > 0)) return 0;
  const place = Math.floor((Math.log2(value) + OCTAVES / 2) * CLASSES_PER_OCTAVE);
  return Math.max(0, Math.min(CLASSES - 1, place));
}
