/**
 * Scalars on a regular grid, as the early warning judges them: what may be analyzed at all, and the buffer that keeps
 * the newest slots of a live scalar. Times are event times in ms, values in whatever unit the scalar has; a missing
 * value is NaN.
 */

/** A scalar on a regular grid. */
export interface Series {
  readonly name: string;
  readonly intervalMs: number;
  /** Oldest first; anything not finite counts as missing. */
  readonly values: Float64Array;
  /** Known bound, in the unit of the values. */
  readonly limit?: number;
  /** The side of the limit that is wanted: HIGHER when values must stay above it, LOWER when below. */
  readonly direction?: 'HIGHER' | 'LOWER';
  /** Seasons to take out; a day and a week unless given. */
  readonly periodsMs?: readonly number[];
}

/** One piece of a series that can be analyzed (`filled`: values interpolated in it), or why there is none. */
export type Prepared =
  | { readonly status: 'OK'; readonly values: Float64Array; readonly filled: number }
  | { readonly status: 'INSUFFICIENT' | 'DEGENERATE'; readonly why: string };

/** The longest run of missing values that is interpolated. */
export const GAP_MAX = 3;
/** Fewest samples that are judged. */
export const SAMPLES_MIN = 50;
/** Largest share of interpolated samples. */
export const FILLED_SHARE_MAX = 0.1;
/** A standard deviation below this share of the mean's or the limit's size is no variation. */
const VARIATION_MIN = 1e-9;

/**
 * The newest piece of a series: what follows the last gap longer than `GAP_MAX`, shorter gaps interpolated linearly.
 * A series that ends in a long gap has no present to judge. Returns a new array; O(n).
 */
export function prepareSeries(series: Series): Prepared {
  const { from, to } = newestPiece(series.values);
  if (to - from < SAMPLES_MIN)
    return { status: 'INSUFFICIENT', why: `${to - from} samples without a long gap, ${SAMPLES_MIN} needed` };
  const values = series.values.slice(from, to);
  const filled = interpolate(values);
  if (filled > FILLED_SHARE_MAX * values.length)
    return { status: 'INSUFFICIENT', why: `${filled} of ${values.length} samples are missing` };
  const { mean, deviation } = spread(values);
  // Not "less than": a series of zeros without a limit has no size to compare with.
  if (!(deviation > VARIATION_MIN * Math.max(Math.abs(mean), Math.abs(series.limit ?? 0))))
    return { status: 'DEGENERATE', why: 'the series does not vary' };
  return { status: 'OK', values, filled };
}

/** Bounds of what follows the last long gap, without missing values at either end; empty after a long one. */
function newestPiece(values: Float64Array): { from: number; to: number } {
  let to = values.length;
  while (to > 0 && !Number.isFinite(values[to - 1]!)) to--;
  if (values.length - to > GAP_MAX) return { from: to, to };
  let from = to;
  for (let at = to - 1; at >= 0 && from - at <= GAP_MAX + 1; at--) {
    if (Number.isFinite(values[at]!)) from = at;
  }
  return { from, to };
}

/** Fills the missing values, none of them at an end, from their neighbors; returns how many there were. */
function interpolate(values: Float64Array): number {
  let filled = 0;
  let known = 0;
  for (let at = 1; at < values.length; at++) {
    if (!Number.isFinite(values[at]!)) continue;
    const slope = (values[at]! - values[known]!) / (at - known);
    for (let gap = known + 1; gap < at; gap++) values[gap] = values[known]! + slope * (gap - known);
    filled += at - known - 1;
    known = at;
  }
  return filled;
}

function spread(values: Float64Array): { mean: number; deviation: number } {
  // From the first value on, so that a constant series has exactly no deviation.
  const origin = values[0]!;
  let sum = 0;
  for (const value of values) sum += value - origin;
  const mean = origin + sum / values.length;
  let squares = 0;
  for (const value of values) squares += (value - mean) ** 2;
  return { mean, deviation: Math.sqrt(squares / (values.length - 1)) };
}

/** What a `SeriesBuffer` remembers, as JSON can carry it. */
export interface SeriesState {
  readonly intervalMs: number;
  readonly capacity: number;
  /** Absent before the first sample. */
  readonly newestMs?: number;
  /** Samples in the newest slot. */
  readonly newestCount: number;
  /** Means of the slots up to the newest, oldest first; null where nothing came. */
  readonly means: ReadonlyArray<number | null>;
}

/**
 * Ring of the newest grid slots of one live scalar. Slot k covers [k, k + 1) intervals since the epoch; its value is
 * the mean of the samples in it. Samples count in order of event time, so only the newest slot can still change and
 * replaying what was taken before changes nothing. At most `capacity` slots; O(1) a sample.
 */
export class SeriesBuffer {
  readonly intervalMs: number;
  readonly capacity: number;
  /** Mean of slot k at k mod capacity, for the `held` slots up to the newest. */
  private readonly means: Float64Array;
  private held = 0;
  private newestCount = 0;
  private newest = Number.NEGATIVE_INFINITY;

  constructor(intervalMs: number, capacity: number) {
    if (!(intervalMs > 0)) throw new RangeError(`an interval of ${intervalMs} ms`);
    if (!(Number.isInteger(capacity) && capacity > 0)) throw new RangeError(`a capacity of ${capacity}`);
    this.intervalMs = intervalMs;
    this.capacity = capacity;
    this.means = new Float64Array(capacity);
  }

  /** Event time of the newest sample taken, ms; -Infinity before the first. */
  get newestMs(): number {
    return this.newest;
  }

  /** Takes a sample in; false, and no effect, for one that is not newer than all before or not finite. */
  add(atMs: number, value: number): boolean {
    if (!(atMs > this.newest) || !Number.isFinite(atMs) || !Number.isFinite(value)) return false;
    const slot = this.slotOf(atMs);
    const skipped = this.held === 0 ? Number.POSITIVE_INFINITY : slot - this.slotOf(this.newest);
    if (skipped > 0) this.open(slot, skipped);
    const at = this.place(slot);
    this.newestCount++;
    // Divided before subtracting: no two finite samples can overflow.
    this.means[at] = this.means[at]! + (value / this.newestCount - this.means[at]! / this.newestCount);
    this.newest = atMs;
    return true;
  }

  /**
   * The last `length` slots that end at or before `endMs`, oldest first, in a new array: NaN where nothing came,
   * leading slots with nothing in them left out. Slots that the ring has let go are leading ones.
   */
  until(endMs: number, length: number): Float64Array {
    if (this.held === 0) return new Float64Array(0);
    const newest = this.slotOf(this.newest);
    const last = Math.floor(endMs / this.intervalMs) - 1;
    let first = Math.max(last - length + 1, newest - this.held + 1);
    while (first <= newest && Number.isNaN(this.means[this.place(first)]!)) first++;
    if (first > newest || first > last) return new Float64Array(0);
    const values = new Float64Array(last - first + 1).fill(Number.NaN);
    for (let slot = first; slot <= Math.min(last, newest); slot++)
      values[slot - first] = this.means[this.place(slot)]!;
    return values;
  }

  /** A copy of everything remembered; `restore` of it behaves as this buffer, to the bit. */
  state(): SeriesState {
    const means: Array<number | null> = [];
    const newest = this.held === 0 ? 0 : this.slotOf(this.newest);
    for (let slot = newest - this.held + 1; slot <= newest && this.held > 0; slot++) {
      const mean = this.means[this.place(slot)]!;
      means.push(Number.isNaN(mean) ? null : mean);
    }
    const { intervalMs, capacity, newestCount } = this;
    return { intervalMs, capacity, newestCount, means, ...(this.held > 0 && { newestMs: this.newest }) };
  }

  /** A buffer from its remembered state. */
  static restore(state: SeriesState): SeriesBuffer {
    const buffer = new SeriesBuffer(state.intervalMs, state.capacity);
    if (state.newestMs === undefined) return buffer;
    buffer.newest = state.newestMs;
    buffer.newestCount = state.newestCount;
    buffer.held = state.means.length;
    const first = buffer.slotOf(state.newestMs) - buffer.held + 1;
    state.means.forEach((mean, index) => {
      buffer.means[buffer.place(first + index)] = mean ?? Number.NaN;
    });
    return buffer;
  }

  /** Makes `slot`, `skipped` after the newest, the newest one; those between hold nothing. */
  private open(slot: number, skipped: number): void {
    if (skipped >= this.capacity) this.held = 1;
    else {
      this.held = Math.min(this.capacity, this.held + skipped);
      for (let empty = slot - skipped + 1; empty < slot; empty++) this.means[this.place(empty)] = Number.NaN;
    }
    this.means[this.place(slot)] = 0;
    this.newestCount = 0;
  }

  private slotOf(atMs: number): number {
    return Math.floor(atMs / this.intervalMs);
  }

  private place(slot: number): number {
    return ((slot % this.capacity) + this.capacity) % this.capacity;
  }
}
