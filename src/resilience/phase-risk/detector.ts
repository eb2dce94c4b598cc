/**
 * What is remembered of a cell to look for early warnings in it: its standing metrics on a regular grid of event time,
 * one detector per feed, since each feed has a pace of its own. Mutable, fed in event order by the one writer of its
 * feed; `state` and `restore` are exact, so that a restart goes on where the last commit stood.
 */
import { SeriesBuffer, type SeriesState } from '../early-warning/series.ts';
import type { Feed, StandingMetric, StandingSample } from './standing-metrics.ts';

/** Grid slots a look stands on. */
export const LOOK_SLOTS = 512;
/** Grid slots the maps may run ahead of the windows; their detectors hold as many more. */
export const LEAD_SLOTS = 512;
/**
 * Grid slots the windows may have passed the instant of a look by when it is made: the two until it takes effect, or
 * a hole in the stream over the instant.
 */
const PASSED_SLOTS = 64;

/** Plain data. */
export interface DetectorState {
  readonly intervalMs: number;
  readonly passedMs: number;
  readonly buffers: readonly (readonly [StandingMetric, SeriesState])[];
  /** Of the grid before, where it may still be needed. */
  readonly before?: DetectorState;
}

export class Detector {
  readonly feed: Feed;
  /** Width of a grid slot, milliseconds. */
  readonly intervalMs: number;
  /** End of the last window or map taken; nothing before it will come. */
  passedMs = Number.MIN_SAFE_INTEGER;
  readonly #buffers: Map<StandingMetric, SeriesBuffer>;
  #before: Detector | undefined;

  constructor(feed: Feed, intervalMs: number, buffers = new Map<StandingMetric, SeriesBuffer>()) {
    this.feed = feed;
    this.intervalMs = intervalMs;
    this.#buffers = buffers;
  }

  /** One of another grid than the detector before. Maps run ahead, so looks may still need the grid they left. */
  static begin(feed: Feed, intervalMs: number, before: Detector | undefined): Detector {
    const detector = new Detector(feed, intervalMs);
    if (before && feed === 'maps') {
      detector.#before = before;
      before.#before = undefined;
    }
    return detector;
  }

  static restore(feed: Feed, state: DetectorState): Detector {
    const buffers = state.buffers.map(([metric, buffer]) => [metric, SeriesBuffer.restore(buffer)] as const);
    const detector = new Detector(feed, state.intervalMs, new Map(buffers));
    detector.passedMs = state.passedMs;
    if (state.before) detector.#before = Detector.restore(feed, state.before);
    return detector;
  }

  state(): DetectorState {
    const buffers = [...this.#buffers].map(([metric, buffer]) => [metric, buffer.state()] as const);
    const before = this.#before?.state();
    return { intervalMs: this.intervalMs, passedMs: this.passedMs, buffers, ...(before && { before }) };
  }

  /** What is known on the grid of this width: the present one, or the one before. */
  onGrid(intervalMs: number): Detector | undefined {
    return this.intervalMs === intervalMs ? this : this.#before?.onGrid(intervalMs);
  }

  /** Takes what a span of event time says. Spans come in order; one known already changes nothing. */
  take(span: { readonly startMs: number; readonly endMs: number }, samples: readonly StandingSample[]): void {
    if (span.endMs <= this.passedMs) return;
    this.passedMs = span.endMs;
    for (const { metric, value } of samples) this.#bufferOf(metric).add(span.startMs, value);
  }

  /** The slots a look at an instant stands on, oldest first, NaN where nothing came; none of a metric never seen. */
  slots(metric: StandingMetric, atMs: number): Float64Array {
    return this.#buffers.get(metric)?.until(atMs, LOOK_SLOTS) ?? new Float64Array(0);
  }

  #bufferOf(metric: StandingMetric): SeriesBuffer {
    let buffer = this.#buffers.get(metric);
    if (!buffer) {
      const lead = this.feed === 'maps' ? LEAD_SLOTS : 0;
      buffer = new SeriesBuffer(this.intervalMs, LOOK_SLOTS + PASSED_SLOTS + lead);
      this.#buffers.set(metric, buffer);
    }
    return buffer;
  }
}
