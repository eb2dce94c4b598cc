/**
 * What a node's metrics are used to be: their mean mu, their covariance S and the range they were seen in, learned
 * online. mu += s delta, S = (1 - s) S + s delta delta', delta from the old mean, s the step. Deviations are measured by
 * z_j = (x_j - mu_j) / sqrt(S_jj + f_j), f_j = (0.003 max(|mu_j|, range_j))^2, the range including x, so |z| never passes
 * 1000/3. Nothing here is ever NaN or infinite.
 */
import type { Judgement } from './judgement.ts';
import { median, type WatchedMetric, watchedCovariance } from './warm-up.ts';
import { triangle } from './whitening.ts';

/** Least standard deviation, as a share of the metric's size or range. */
const DEVIATION_FLOOR = 3e-3;
/** Values are held to this size, so that their squares stay finite. */
const VALUE_MAX = 1e100;

/** Everything learned, as plain data; the arrays follow the order of `metrics`. */
export interface GaussianState {
  /** By their places in the stream. */
  readonly metrics: readonly number[];
  readonly mean: Float64Array;
  readonly low: Float64Array;
  readonly high: Float64Array;
  /** S, a packed lower triangle. */
  readonly covariance: Float64Array;
}

export class Gaussian {
  readonly #state: GaussianState;
  /** x - mu of the window scored last, 0 where it is missing. */
  readonly #deviation: Float64Array;
  readonly #present: Int32Array;
  #presentCount = 0;

  /** Of no metrics, or of what was learned, which it takes over. */
  constructor(state: GaussianState = blank([])) {
    this.#state = state;
    this.#deviation = new Float64Array(state.metrics.length);
    this.#present = new Int32Array(state.metrics.length);
  }

  /** Borrowed until something is learned. */
  get state(): GaussianState {
    return this.#state;
  }

  get metrics(): readonly number[] {
    return this.#state.metrics;
  }

  /** Which of the metrics the window scored last had, rising; what lies past `presentCount` is meaningless. */
  get present(): Int32Array {
    return this.#present;
  }

  get presentCount(): number {
    return this.#presentCount;
  }

  /** Fills metrics, value, expected and z of `out`, as far as a missing metric has them; widens the ranges. */
  score(sample: Float64Array, out: Judgement): void {
    const { metrics, mean, low, high, covariance } = this.#state;
    this.#presentCount = 0;
    for (let j = 0; j < metrics.length; j++) {
      const raw = sample[metrics[j]!]!;
      const expected = mean[j]!;
      out.metrics[j] = metrics[j]!;
      out.value[j] = expected;
      out.expected[j] = expected;
      out.z[j] = 0;
      out.contribution[j] = 0.5;
      this.#deviation[j] = 0;
      if (Number.isNaN(raw)) continue;
      const value = held(raw);
      if (value < low[j]!) low[j] = value;
      if (value > high[j]!) high[j] = value;
      const floor = this.floor(j);
      const spread = Math.sqrt(covariance[triangle(j) + j]! + floor * floor);
      const deviation = value - expected;
      this.#deviation[j] = deviation;
      out.value[j] = value;
      // The floor can vanish by underflow; a deviation that small is none.
      out.z[j] = spread > 0 ? deviation / spread : 0;
      this.#present[this.#presentCount++] = j;
    }
  }

  /** Least standard deviation of a metric, by its mean and its range so far. */
  floor(j: number): number {
    const { mean, low, high } = this.#state;
    return DEVIATION_FLOOR * Math.max(Math.abs(mean[j]!), high[j]! - low[j]!);
  }

  /**
   * Learns the window scored last. The variance of a missing metric stays and its covariances fade by sqrt(1 - s), so
   * that S, now D S D plus a square, stays positive semidefinite. `keep` is scratch of as many numbers as metrics.
   */
  learn(step: number, keep: Float64Array): void {
    const { metrics, mean, covariance } = this.#state;
    const d = metrics.length;
    const count = this.#presentCount;
    const isWhole = count === d;
    if (!isWhole) keep.fill(1, 0, d);
    for (let k = 0; k < count; k++) keep[this.#present[k]!] = Math.sqrt(1 - step);
    let at = 0;
    for (let i = 0; i < d; i++) {
      const scaled = step * this.#deviation[i]!;
      for (let j = 0; j <= i; j++, at++) {
        const kept = isWhole ? 1 - step : keep[i]! * keep[j]!;
        covariance[at] = kept * covariance[at]! + scaled * this.#deviation[j]!;
      }
    }
    for (let k = 0; k < count; k++) {
      const j = this.#present[k]!;
      mean[j] = mean[j]! + step * this.#deviation[j]!;
    }
  }

  /** The same with more metrics, uncorrelated with those it has; where it has none, they correlate as they were watched. */
  joined(ready: readonly WatchedMetric[]): Gaussian {
    const before = this.#state;
    const old = before.metrics.length;
    const state = blank([...before.metrics, ...ready.map(({ metric }) => metric)]);
    for (const name of ['mean', 'low', 'high', 'covariance'] as const) state[name].set(before[name]);
    ready.forEach((one, k) => {
      const sorted = Float64Array.from(one.values).sort();
      state.mean[old + k] = median(sorted);
      state.low[old + k] = sorted[0]!;
      state.high[old + k] = sorted[sorted.length - 1]!;
      const row = triangle(old + k) + old;
      const first = old > 0 ? k : 0;
      for (let l = first; l <= k; l++) state.covariance[row + l] = watchedCovariance(one, ready[l]!);
    });
    return new Gaussian(state);
  }
}

function blank(metrics: readonly number[]): GaussianState {
  const d = metrics.length;
  return {
    metrics,
    mean: new Float64Array(d),
    low: new Float64Array(d),
    high: new Float64Array(d),
    covariance: new Float64Array(triangle(d)),
  };
}

/** A value as it is learned. */
export function held(value: number): number {
  return Math.max(-VALUE_MAX, Math.min(VALUE_MAX, value));
}
