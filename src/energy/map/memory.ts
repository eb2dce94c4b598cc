/**
 * What one coordinate of a node has shown before: a bounded set of past contexts, each the values of eight windows, and
 * how unlike all of them the newest ones are. The distance to the nearest neighbor is the nonconformity of KNN-CAD
 * (Burnaev and Ishimtsev, "Conformalized density- and distance-based anomaly detection in time-series data", 2016), here
 * at three lengths at once and over memories chosen by how much they cover instead of the latest ones.
 *
 * A context enters when it ended eight windows ago, so that nothing is compared with what overlaps it. Of a full memory
 * the least is given up: least in log2(gap) - age, gap the distance to its nearest neighbor when it came, age in
 * half-lives since it was last the nearest to anything. So what is rare is kept longest, and what shows itself again
 * stays. One of a gap of 0 is known already and does not enter. Deterministic, and nothing here is ever NaN.
 */

/** Windows of a context. */
export const CONTEXT_WINDOWS = 8;
/** Lengths at which contexts are compared, from their newest value on. */
export const LENGTHS: readonly number[] = [1, 3, CONTEXT_WINDOWS];
/** Most contexts kept. */
const CONTEXTS_MAX = 512;
/** Gap of a context that came before there was any other: one unit of the coordinate. */
const FIRST_GAP = 1;
/** Values are held to this size: their squares stay finite and they fit a float32. */
const VALUE_MAX = 1e15;

/** Everything a memory holds, as plain data. */
export interface MemoryState {
  /** Contexts one after the other, each newest value first. */
  readonly contexts: Float32Array;
  /** log2 of the gap each came with. */
  readonly worths: Float64Array;
  /** log2 of the gap plus the time it was last the nearest, half-lives. */
  readonly keys: Float64Array;
  /** Values of the latest windows, newest first; `values` says how many are filled. */
  readonly recent: Float32Array;
  /** Gaps of the contexts that ended in the latest windows, newest first. */
  readonly gaps: Float64Array;
  readonly values: number;
  /** Half-lives of event time since the start. */
  readonly now: number;
}

export class Memory {
  readonly #contexts = new Float32Array(CONTEXTS_MAX * CONTEXT_WINDOWS);
  readonly #worths = new Float64Array(CONTEXTS_MAX);
  readonly #keys = new Float64Array(CONTEXTS_MAX);
  #count = 0;
  readonly #recent = new Float32Array(2 * CONTEXT_WINDOWS);
  readonly #gaps = new Float64Array(CONTEXT_WINDOWS).fill(FIRST_GAP);
  #values = 0;
  #now = 0;

  static restore(state: MemoryState): Memory {
    const memory = new Memory();
    memory.#contexts.set(state.contexts);
    memory.#worths.set(state.worths);
    memory.#keys.set(state.keys);
    memory.#count = state.worths.length;
    memory.#recent.set(state.recent);
    memory.#gaps.set(state.gaps);
    memory.#values = state.values;
    memory.#now = state.now;
    return memory;
  }

  /** Borrowed until the next `meet`. */
  state(): MemoryState {
    return {
      contexts: this.#contexts.subarray(0, this.#count * CONTEXT_WINDOWS),
      worths: this.#worths.subarray(0, this.#count),
      keys: this.#keys.subarray(0, this.#count),
      recent: this.#recent,
      gaps: this.#gaps,
      values: this.#values,
      now: this.#now,
    };
  }

  /**
   * Takes the next value; `age` is the event time since the last one in half-lives. Fills `novelty` with the root mean
   * square distance of the latest values to their nearest neighbor, one for each of `LENGTHS`. False while there is
   * nothing to compare with. At most 512 contexts of 8 values are read.
   */
  meet(value: number, age: number, novelty: Float64Array): boolean {
    this.#now += age;
    this.#recent.copyWithin(1, 0);
    this.#recent[0] = Math.max(-VALUE_MAX, Math.min(VALUE_MAX, value));
    this.#values = Math.min(2 * CONTEXT_WINDOWS, this.#values + 1);
    if (this.#values === 2 * CONTEXT_WINDOWS) this.#remember(this.#gaps[CONTEXT_WINDOWS - 1]!);
    this.#gaps.copyWithin(1, 0);
    this.#gaps[0] = FIRST_GAP;
    if (this.#count === 0) return false;
    const nearest = this.#compare(novelty);
    this.#keys[nearest] = this.#worths[nearest]! + this.#now;
    this.#gaps[0] = novelty[LENGTHS.length - 1]!;
    return true;
  }

  /**
   * Fills `novelty`; gives the context nearest in all its length. Sums of squares only grow with the length, so one that
   * has reached the least whole sum is given up: most contexts are left after their first value.
   */
  #compare(novelty: Float64Array): number {
    const contexts = this.#contexts;
    const recent = this.#recent;
    const last = LENGTHS.length - 1;
    novelty.fill(Number.POSITIVE_INFINITY);
    let nearest = 0;
    for (let at = 0; at < this.#count; at++) {
      const offset = at * CONTEXT_WINDOWS;
      let sum = 0;
      for (let level = 0, k = 0; level <= last && sum < novelty[last]!; level++) {
        for (const length = LENGTHS[level]!; k < length; k++) {
          const difference = recent[k]! - contexts[offset + k]!;
          sum += difference * difference;
        }
        if (sum >= novelty[level]!) continue;
        novelty[level] = sum;
        if (level === last) nearest = at;
      }
    }
    for (let level = 0; level <= last; level++) {
      novelty[level] = Math.sqrt(novelty[level]! / LENGTHS[level]!);
    }
    return nearest;
  }

  /** Lets the context in that ended a context ago, in the place of the least where all are taken. */
  #remember(gap: number): void {
    if (gap === 0) return;
    const worth = Math.log2(gap);
    const key = worth + this.#now;
    let at = this.#count;
    if (at < CONTEXTS_MAX) this.#count++;
    else {
      at = this.#least();
      if (this.#keys[at]! >= key) return;
    }
    this.#contexts.set(this.#recent.subarray(CONTEXT_WINDOWS), at * CONTEXT_WINDOWS);
    this.#worths[at] = worth;
    this.#keys[at] = key;
  }

  #least(): number {
    let least = 0;
    for (let at = 1; at < CONTEXTS_MAX; at++) if (this.#keys[at]! < this.#keys[least]!) least = at;
    return least;
  }
}
