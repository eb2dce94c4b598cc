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

export class SequentialScores {
  /** Owned: grows to 2,048. */
  #values: Float64Array;
  #sorted: Float64Array;
  #count: number;
  #next: number;

  /** Goes on from a state, which it takes over, or from where another one is, or starts anew. */
  constructor(from?: ScoreState | SequentialScores) {
    if (from instanceof SequentialScores) {
      this.#values = from.#values.slice();
      this.#sorted = from.#sorted.slice();
      this.#count = from.#count;
      this.#next = from.#next;
      return;
    }
    this.#values = from?.values ?? new Float64Array(16);
    this.#count = from ? from.values.length : 0;
    this.#sorted = from ? from.values.slice().sort() : new Float64Array(16);
    this.#next = from?.next ?? 0;
  }

  /** Copied. */
  state(): ScoreState {
    return { values: this.#values.slice(0, this.#count), next: this.#next };
  }

  get count(): number {
    return this.#count;
  }

  /** Adds a value; the quantile of (rank - 1/2) / count, equal values sharing their ranks. O(values). */
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
    return normalQuantile((below + (through - below + 1) / 2) / this.#count);
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
