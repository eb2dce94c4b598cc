/**
 * Normal scores of a series by the ranks of its values among those before (F. Wilcoxon's scores made sequential; M.
 * Conover, V. Tercero-Gomez, A. Cordero-Franco, Sequential Analysis 36, 2017): whatever continuous law independent
 * values have, the scores' is the same, about standard normal. Values may not be NaN.
 */
import { normalQuantile } from './quantile.ts';

/** Values that are kept to be ranked among, the newest. */
const HELD = 2048;

/** Values in the order they came in, as plain data. */
export interface ScoreState {
  readonly values: Float64Array;
  /** Place of the oldest value once all places are taken. */
  readonly next: number;
}

export interface Scores {
  /** Adds a value; the quantile of (rank - 1/2) / count, equal values sharing their ranks. */
  score(value: number): number;
  /** Copied. */
  state(): ScoreState;
  /** Scores a few values as these would, which take none of them, and may take no others meanwhile. O(1). */
  tried(): Scores;
}

/** A score is O(values). */
export class SequentialScores implements Scores {
  /** Owned: grows to 2,048. */
  #values: Float64Array;
  #sorted: Float64Array;
  #count: number;
  #next: number;

  /** Goes on from a state, which it takes over, or starts anew. */
  constructor(from?: ScoreState) {
    this.#values = from?.values ?? new Float64Array(16);
    this.#count = from ? from.values.length : 0;
    this.#sorted = from ? from.values.slice().sort() : new Float64Array(16);
    this.#next = from?.next ?? 0;
  }

  state(): ScoreState {
    return { values: this.#values.slice(0, this.#count), next: this.#next };
  }

  get count(): number {
    return this.#count;
  }

  score(value: number): number {
    if (this.#count === HELD) this.#drop(this.#values[this.#next]!);
    else if (this.#count === this.#sorted.length) this.#grow();
    const below = placeOf(this.#sorted, this.#count, value, false);
    const through = placeOf(this.#sorted, this.#count, value, true);
    this.#sorted.copyWithin(through + 1, through, this.#count);
    this.#sorted[through] = value;
    this.#values[this.#count < HELD ? this.#count : this.#next] = value;
    if (this.#count < HELD) this.#count++;
    else this.#next = (this.#next + 1) % HELD;
    return scoreOf(below, through - below + 1, this.#count);
  }

  tried(): Scores {
    return new TriedScores(this, []);
  }

  /** Values below one, or up to it. */
  place(value: number, through: boolean): number {
    return placeOf(this.#sorted, this.#count, value, through);
  }

  /** The nth value that will make room, from 0. */
  oldest(nth: number): number {
    return this.#values[(this.#next + nth) % HELD]!;
  }

  #drop(value: number): void {
    const at = placeOf(this.#sorted, HELD, value, false);
    this.#sorted.copyWithin(at, at + 1, HELD);
    // The freed place is filled again by the value that comes.
    this.#sorted[HELD - 1] = Number.POSITIVE_INFINITY;
  }

  #grow(): void {
    const size = Math.min(HELD, Math.max(16, 2 * this.#count));
    const [values, sorted] = [new Float64Array(size), new Float64Array(size)];
    values.set(this.#values.subarray(0, this.#count));
    sorted.set(this.#sorted.subarray(0, this.#count));
    this.#values = values;
    this.#sorted = sorted;
  }
}

/** Scores that come after others: theirs are read, the own ones kept beside them. */
class TriedScores implements Scores {
  readonly #before: SequentialScores;
  readonly #own: number[];

  constructor(before: SequentialScores, own: number[]) {
    this.#before = before;
    this.#own = own;
  }

  /** O(own values and ln of those before). */
  score(value: number): number {
    const [before, own] = [this.#before, this.#own];
    own.push(value);
    const gone = Math.max(0, before.count + own.length - HELD);
    let below = before.place(value, false);
    let through = before.place(value, true);
    for (let at = 0; at < own.length; at++) {
      if (own[at]! < value) below++;
      if (own[at]! <= value) through++;
    }
    for (let at = 0; at < gone; at++) {
      const old = at < before.count ? before.oldest(at) : own[at - before.count]!;
      if (old < value) below--;
      if (old <= value) through--;
    }
    return scoreOf(below, through - below, before.count + own.length - gone);
  }

  state(): ScoreState {
    const whole = new SequentialScores(this.#before.state());
    for (const value of this.#own) whole.score(value);
    return whole.state();
  }

  tried(): Scores {
    return new TriedScores(this.#before, [...this.#own]);
  }
}

/** Normal score of a value among `count`: so many are below it, so many equal, itself among them. */
function scoreOf(below: number, equal: number, count: number): number {
  return normalQuantile((below + equal / 2) / count);
}

/** Values below `value`, or up to it. */
function placeOf(sorted: Float64Array, count: number, value: number, through: boolean): number {
  let low = 0;
  let high = count;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (sorted[middle]! < value || (through && sorted[middle] === value)) low = middle + 1;
    else high = middle;
  }
  return low;
}
