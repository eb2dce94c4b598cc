/**
 * One open event-time window: an accumulator per series that had a sample in it. A row of numbers per accumulator in
 * one Float64Array, so that folding a sample touches one or two cache lines and a checkpoint is one copy.
 *
 * Order. Samples of a series may arrive out of order. One that is the newest or the oldest of its window so far
 * extends the trapezoids to its instant; one between them counts in count, mean, least and greatest, but not in the
 * integral, whose straight line already spans its instant. So the result depends on the order of arrival alone.
 *
 * Gaps. An interval above three usual ones stays uncovered: it adds neither to the integral nor to the covered time.
 * The usual interval is the series' exponential mean of the intervals between samples in order, weight 1/8; before
 * there is one, nothing is called a gap. Intervals of 0 do not enter it.
 *
 * A COUNTER becomes the non-negative differences to its newest sample before: a fall is a reset and counts as the new
 * value; the first sample of a series and one that comes after a newer one have none and count as 0.
 */
import { MetricKind } from '../../gen/homeostat/telemetry/v1/telemetry_service_pb.ts';
import { HISTORY, HISTORY_KIND, HISTORY_LAST_MS, HISTORY_LAST_VALUE, HISTORY_USUAL_MS } from './catalog.ts';

/** Row of `cells` per accumulator. */
export const CELL = 11;
export const CELL_SERIES = 0;
export const CELL_COUNT = 1;
export const CELL_SUM = 2;
/** Trapezoids between the first and last sample, unit times millisecond. */
export const CELL_INTEGRAL = 3;
/** Time those span, milliseconds. */
export const CELL_COVERED_MS = 4;
export const CELL_MIN = 5;
export const CELL_MAX = 6;
export const CELL_FIRST = 7;
export const CELL_LAST = 8;
export const CELL_FIRST_MS = 9;
export const CELL_LAST_MS = 10;

/** Intervals longer than so many usual ones stay uncovered. */
export const GAP_INTERVALS = 3;

/** Weight of a new interval in the usual one. */
const INTERVAL_WEIGHT = 1 / 8;

/** Series up to which a window of a stream with more finds its rows in a map. */
const SPARSE_SERIES_MAX = 512;

const COUNTER: number = MetricKind.COUNTER;

export class Window {
  /** First instant of the window and first after it, milliseconds since 1970. */
  readonly startMs: number;
  readonly endMs: number;
  cellCount = 0;
  /** `cellCount` rows of CELL numbers. */
  cells: Float64Array;
  /** Per series, its row in `cells` plus one; 0 for none. Empty while `sparse` is there. */
  private rows: Int32Array;
  /** The same for the few series of a young window: one message can open thousands of windows. */
  private sparse: Map<number, number> | undefined;

  constructor(startMs: number, endMs: number, seriesCapacity: number) {
    this.startMs = startMs;
    this.endMs = endMs;
    if (seriesCapacity > SPARSE_SERIES_MAX) this.sparse = new Map();
    this.rows = new Int32Array(this.sparse ? 0 : seriesCapacity);
    this.cells = new Float64Array(16 * CELL);
  }

  /** Folds a sample of a series into the window that holds its instant and into the series' history. */
  add(history: Float64Array, series: number, timeMs: number, value: number): void {
    const past = series * HISTORY;
    const lastMs = history[past + HISTORY_LAST_MS]!;
    const usualMs = history[past + HISTORY_USUAL_MS]!;
    const newest = !(timeMs < lastMs);
    let folded = value;
    if (history[past + HISTORY_KIND] === COUNTER) {
      const before = history[past + HISTORY_LAST_VALUE]!;
      if (!newest || Number.isNaN(before)) folded = 0;
      else folded = value >= before ? value - before : Math.max(value, 0);
    }
    const row = this.rowOf(series);
    if (row === 0) this.open(series, timeMs, folded);
    else this.extend((row - 1) * CELL, timeMs, folded, usualMs * GAP_INTERVALS);
    if (!newest) return;
    const intervalMs = timeMs - lastMs;
    if (intervalMs > 0)
      history[past + HISTORY_USUAL_MS] = Number.isNaN(usualMs)
        ? intervalMs
        : usualMs + (intervalMs - usualMs) * INTERVAL_WEIGHT;
    history[past + HISTORY_LAST_MS] = timeMs;
    history[past + HISTORY_LAST_VALUE] = value;
  }

  /** Gives the series their new numbers; none in an open window is ever forgotten. */
  renumber(series: Int32Array): void {
    this.rows.fill(0);
    this.sparse?.clear();
    for (let row = 0; row < this.cellCount; row++) {
      const id = series[this.cells[row * CELL + CELL_SERIES]!]!;
      this.cells[row * CELL + CELL_SERIES] = id;
      this.place(id, row);
    }
  }

  /** Fills an empty window with the rows a checkpoint holds; `cells` is copied. */
  restore(cells: Float64Array): void {
    this.cells = cells.slice();
    this.cellCount = cells.length / CELL;
    for (let row = 0; row < this.cellCount; row++) this.place(this.cells[row * CELL + CELL_SERIES]!, row);
  }

  private open(series: number, timeMs: number, folded: number): void {
    const row = this.cellCount++;
    if (this.cells.length < this.cellCount * CELL) {
      const grown = new Float64Array(this.cells.length * 2);
      grown.set(this.cells);
      this.cells = grown;
    }
    this.place(series, row);
    const { cells } = this;
    const at = row * CELL;
    cells[at + CELL_SERIES] = series;
    cells[at + CELL_COUNT] = 1;
    cells[at + CELL_SUM] = folded;
    cells[at + CELL_INTEGRAL] = 0;
    cells[at + CELL_COVERED_MS] = 0;
    cells[at + CELL_MIN] = folded;
    cells[at + CELL_MAX] = folded;
    cells[at + CELL_FIRST] = folded;
    cells[at + CELL_LAST] = folded;
    cells[at + CELL_FIRST_MS] = timeMs;
    cells[at + CELL_LAST_MS] = timeMs;
  }

  private extend(at: number, timeMs: number, folded: number, gapMs: number): void {
    const { cells } = this;
    cells[at + CELL_COUNT] = cells[at + CELL_COUNT]! + 1;
    cells[at + CELL_SUM] = cells[at + CELL_SUM]! + folded;
    if (folded < cells[at + CELL_MIN]!) cells[at + CELL_MIN] = folded;
    if (folded > cells[at + CELL_MAX]!) cells[at + CELL_MAX] = folded;
    const sinceMs = timeMs - cells[at + CELL_LAST_MS]!;
    if (sinceMs >= 0) {
      if (!(sinceMs > gapMs)) this.span(at, sinceMs, cells[at + CELL_LAST]!, folded);
      cells[at + CELL_LAST] = folded;
      cells[at + CELL_LAST_MS] = timeMs;
      return;
    }
    const untilMs = cells[at + CELL_FIRST_MS]! - timeMs;
    if (untilMs <= 0) return;
    if (!(untilMs > gapMs)) this.span(at, untilMs, folded, cells[at + CELL_FIRST]!);
    cells[at + CELL_FIRST] = folded;
    cells[at + CELL_FIRST_MS] = timeMs;
  }

  private span(at: number, durationMs: number, from: number, to: number): void {
    const { cells } = this;
    cells[at + CELL_INTEGRAL] = cells[at + CELL_INTEGRAL]! + (from / 2 + to / 2) * durationMs;
    cells[at + CELL_COVERED_MS] = cells[at + CELL_COVERED_MS]! + durationMs;
  }

  private rowOf(series: number): number {
    if (this.sparse !== undefined) return this.sparse.get(series) ?? 0;
    return series < this.rows.length ? this.rows[series]! : 0;
  }

  private place(series: number, row: number): void {
    if (this.sparse !== undefined) {
      this.sparse.set(series, row + 1);
      if (this.sparse.size <= SPARSE_SERIES_MAX) return;
      const { sparse } = this;
      this.sparse = undefined;
      for (const [id, place] of sparse) this.place(id, place - 1);
      return;
    }
    if (series >= this.rows.length) {
      const grown = new Int32Array(Math.max(series + 1, this.rows.length * 2));
      grown.set(this.rows);
      this.rows = grown;
    }
    this.rows[series] = row + 1;
  }
}
