/**
 * What one node's metrics are used to be, and how far a window deviates from it: a Gaussian learned online, one per
 * node. Each window is scored first and learned second. Energy is half the squared length of the whitened deviation,
 * the negative log-likelihood in whitened coordinates without its constant (d/2) ln 2 pi. Invariants: nothing here is
 * ever NaN or infinite; the same windows in the same order give the same bits, also across `state` and `restore`.
 *
 * z_j = (x_j - mu_j) / sqrt(S_jj + f_j), f_j = (0.003 max(|mu_j|, range_j))^2, the range including x, so |z| never
 * passes 1000/3; u = P^-1/2 t(z) (whitening.ts), P from the correlation of S with its variances floored by f as those
 * of z are, else the rounding noise of two idle metrics would count as their correlation; t(z) is z up to 10 and
 * 10 (1 + ln(z / 10)) beyond, else one idle metric that stirs would outweigh many that move; E = sum u_j^2 / 2.
 * mu += a w delta, S = (1 - a w) S + a w delta delta', delta from the old mean; w = min(1, q max(q, 0.1)), q = 1 / r^2,
 * r the mean size of the latest deviations, 1 at the bound of the ordinary. A lone spike is part of what the node is
 * used to be; what persists is an incident, teaches little and stays surprising. Yet it teaches something, and what is
 * not learned forgets nothing, so S outgrows any lasting change at last.
 */
import { logGammaQ } from '../../numeric/incomplete-gamma.ts';
import { chiSquareQuantile } from '../../numeric/quantile.ts';
import { type Judgement, METRICS_MAX } from './judgement.ts';
import { Novelty, type NoveltyState } from './novelty.ts';
import { median, WarmUp, type WatchedMetric, watchedCovariance } from './warm-up.ts';
import { createWhiteningScratch, triangle, Whitening, type WhiteningScratch } from './whitening.ts';

/** Windows between two refreshes of the whitening. */
const REFRESH_WINDOWS = 20;
/** Least standard deviation, as a share of the metric's size or range. */
const DEVIATION_FLOOR = 3e-3;
/** Deviations up to this many standard deviations count in full, greater ones by their logarithm. */
const FULL_DEVIATION = 10;
/** Deviations shorter than this quantile of theirs are ordinary. */
const ORDINARY_QUANTILE = 0.975;
/** The latest deviations are forgotten this much faster than what is learned: by half in 15 min where that is 4 d. */
const LATEST_SPEED = 384;
/** Least pull of an incident on S, as a share of that of a window at the bound of the ordinary. */
const PULL_MIN = 0.1;
/** Values are held to this size, so that their squares stay finite. */
const VALUE_MAX = 1e100;

/** Tables and scratch arrays for all models of a stream. */
export interface StatisticalPlan {
  /** 97.5 % quantile of chi-square by degrees of freedom, 0..64. */
  readonly chiSquareBound: Float64Array;
  readonly scratch: WhiteningScratch;
}

export function createStatisticalPlan(): StatisticalPlan {
  const chiSquareBound = new Float64Array(METRICS_MAX + 1);
  for (let d = 1; d <= METRICS_MAX; d++) chiSquareBound[d] = chiSquareQuantile(ORDINARY_QUANTILE, d);
  return { chiSquareBound, scratch: createWhiteningScratch() };
}

/** Everything a model has learned, as plain data. */
export interface NodeModelState {
  /** Metrics judged, by their places in the stream; the arrays follow this order. */
  readonly metrics: readonly number[];
  readonly mean: Float64Array;
  readonly low: Float64Array;
  readonly high: Float64Array;
  /** S and P, packed lower triangles. */
  readonly covariance: Float64Array;
  readonly correlation: Float64Array;
  readonly windows: number;
  /** Mean size of the latest deviations; undefined before the first judgement. */
  readonly latest: number | undefined;
  readonly untilRefresh: number;
  readonly watched: readonly WatchedMetric[];
  /** Undefined in what was saved before there was a memory: it starts anew. */
  readonly novelty?: NoveltyState | undefined;
}

export class NodeModel {
  readonly #plan: StatisticalPlan;
  #metrics: readonly number[] = [];
  #mean = new Float64Array(0);
  #low = new Float64Array(0);
  #high = new Float64Array(0);
  #covariance = new Float64Array(0);
  #whitening: Whitening;
  /** Windows learned from. */
  #windows = 0;
  /** Forgotten mean of sqrt(2E / c^2), c^2 the bound of the ordinary. */
  #latest: number | undefined;
  #untilRefresh: number;
  #warmUp = new WarmUp();
  #novelty = new Novelty(undefined);

  // Scratch, and what follows from the metrics.
  readonly #isJudged = new Uint8Array(METRICS_MAX);
  #present = new Int32Array(0);
  #deviation = new Float64Array(0);
  #z = new Float64Array(0);

  /** `ordinal` spreads the refreshes of a stream's nodes over its windows. */
  constructor(plan: StatisticalPlan, ordinal: number) {
    this.#plan = plan;
    this.#whitening = new Whitening(plan.scratch, 0);
    this.#untilRefresh = 1 + (ordinal % REFRESH_WINDOWS);
  }

  static restore(plan: StatisticalPlan, state: NodeModelState): NodeModel {
    const model = new NodeModel(plan, 0);
    model.#resize([...state.metrics]);
    model.#mean.set(state.mean);
    model.#low.set(state.low);
    model.#high.set(state.high);
    model.#covariance.set(state.covariance);
    model.#whitening = new Whitening(plan.scratch, state.metrics.length, state.correlation.slice());
    model.#windows = state.windows;
    model.#latest = state.latest;
    model.#untilRefresh = state.untilRefresh;
    model.#warmUp = WarmUp.restore(state.watched);
    model.#novelty = state.novelty ? Novelty.restore(state.novelty) : model.#newNovelty();
    return model;
  }

  /** The learned state; arrays are borrowed until the next `judge`. */
  state(): NodeModelState {
    return {
      metrics: this.#metrics,
      mean: this.#mean,
      low: this.#low,
      high: this.#high,
      covariance: this.#covariance,
      correlation: this.#whitening.correlation,
      windows: this.#windows,
      latest: this.#latest,
      untilRefresh: this.#untilRefresh,
      watched: this.#warmUp.state(),
      novelty: this.#novelty.state(),
    };
  }

  /**
   * Scores one window into `out`, by what the node is used to be and by what it has shown, then learns it. `sample`
   * holds the transformed value of each metric of the stream, NaN where it is missing; at least one is present.
   * `forgetting` is 1 - 2^(-width / half-life). False while nothing can be judged: the node is in its first 64 windows,
   * or only metrics still watched are present. O(d^2), O(d^3) every 20 windows and when the pattern of missing metrics
   * is new.
   */
  judge(sample: Float64Array, forgetting: number, out: Judgement): boolean {
    const present = this.#score(sample, out);
    if (present > 0) {
      const energy = this.#whiten(present, out);
      const d = this.#metrics.length;
      const amount = d === 1 ? out.value[0]! : Math.sqrt((2 * out.energy) / d);
      out.evidence = this.#novelty.judge(amount, out.surprise, forgetting);
      const alpha = Math.max(forgetting, 1 / (this.#windows + 1));
      this.#learn(alpha * this.#weigh(forgetting, energy, present), present);
    }
    this.#windows++;
    const joined = this.#admit(sample, forgetting);
    if (this.#metrics.length > 0) {
      const isDue = !joined && --this.#untilRefresh <= 0;
      // A refresh out of turn, when a metric joins, leaves the rhythm as it is.
      if (isDue) this.#untilRefresh = REFRESH_WINDOWS;
      if (isDue || joined) this.#refresh(forgetting);
    }
    return present > 0;
  }

  /** Fills value, expected and z of `out`; returns how many judged metrics are present. */
  #score(sample: Float64Array, out: Judgement): number {
    const d = this.#metrics.length;
    let present = 0;
    for (let j = 0; j < d; j++) {
      const raw = sample[this.#metrics[j]!]!;
      const mean = this.#mean[j]!;
      out.metrics[j] = this.#metrics[j]!;
      out.value[j] = mean;
      out.expected[j] = mean;
      out.z[j] = 0;
      out.contribution[j] = 0.5;
      this.#deviation[j] = 0;
      if (Number.isNaN(raw)) continue;
      const value = held(raw);
      if (value < this.#low[j]!) this.#low[j] = value;
      if (value > this.#high[j]!) this.#high[j] = value;
      const floor = this.#floor(j);
      const spread = Math.sqrt(this.#covariance[triangle(j) + j]! + floor * floor);
      const deviation = value - mean;
      this.#deviation[j] = deviation;
      out.value[j] = value;
      // The floor can vanish by underflow; a deviation that small is none.
      out.z[j] = spread > 0 ? deviation / spread : 0;
      this.#present[present++] = j;
    }
    return present;
  }

  /** Least standard deviation of a metric, by its mean and its range so far. */
  #floor(j: number): number {
    return DEVIATION_FLOOR * Math.max(Math.abs(this.#mean[j]!), this.#high[j]! - this.#low[j]!);
  }

  /** Energy, surprise and contributions from the z of the metrics present, whose share of the energy it gives. */
  #whiten(present: number, out: Judgement): number {
    const d = this.#metrics.length;
    const root = this.#whitening.root(this.#present, present);
    for (let k = 0; k < present; k++) this.#z[k] = tempered(out.z[this.#present[k]!]!);
    let energy = 0;
    for (let i = 0; i < present; i++) {
      const row = i * present;
      let u = 0;
      for (let k = 0; k < present; k++) u += root[row + k]! * this.#z[k]!;
      const contribution = 0.5 * u * u;
      out.contribution[this.#present[i]!] = contribution;
      energy += contribution;
    }
    out.count = d;
    out.surprise = Math.max(0, -logGammaQ(present / 2, energy));
    out.energy = energy + 0.5 * (d - present);
    return energy;
  }

  /** Takes note of a window by the energy of the metrics present; gives its weight in learning, over 0 to 1. */
  #weigh(forgetting: number, energy: number, present: number): number {
    const size = Math.sqrt((2 * energy) / this.#plan.chiSquareBound[present]!);
    const step = -Math.expm1(LATEST_SPEED * Math.log1p(-forgetting));
    this.#latest = this.#latest === undefined ? size : this.#latest + step * (size - this.#latest);
    const ratio = 1 / (this.#latest * this.#latest);
    return Math.min(1, ratio * Math.max(ratio, PULL_MIN));
  }

  /**
   * Learns the deviations of the metrics present, `step` being a w. The variance of a missing one stays and its
   * covariances fade by sqrt(1 - a w), so that S, now D S D plus a square, stays positive semidefinite.
   */
  #learn(step: number, present: number): void {
    const d = this.#metrics.length;
    const keep = this.#plan.scratch.scale;
    const isWhole = present === d;
    if (!isWhole) keep.fill(1, 0, d);
    for (let k = 0; k < present; k++) keep[this.#present[k]!] = Math.sqrt(1 - step);
    let at = 0;
    for (let i = 0; i < d; i++) {
      const scaled = step * this.#deviation[i]!;
      for (let j = 0; j <= i; j++, at++) {
        const kept = isWhole ? 1 - step : keep[i]! * keep[j]!;
        this.#covariance[at] = kept * this.#covariance[at]! + scaled * this.#deviation[j]!;
      }
    }
    for (let k = 0; k < present; k++) {
      const j = this.#present[k]!;
      this.#mean[j] = this.#mean[j]! + step * this.#deviation[j]!;
    }
  }

  #refresh(forgetting: number): void {
    const alpha = Math.max(forgetting, 1 / (this.#windows + 1));
    const effective = Math.min(this.#windows, (2 - alpha) / alpha);
    this.#whitening.refresh(this.#covariance, (j) => this.#floor(j), effective);
  }

  /** Watches metrics not judged yet and lets those join that are ready; true when any did. */
  #admit(sample: Float64Array, forgetting: number): boolean {
    for (let metric = 0; metric < sample.length; metric++) {
      const value = sample[metric]!;
      if (this.#isJudged[metric] === 1 || Number.isNaN(value)) continue;
      this.#warmUp.watch(metric, held(value), this.#windows - 1);
    }
    const count = this.#metrics.length;
    const ready = this.#warmUp.takeReady(this.#windows, count === 0, METRICS_MAX - count);
    if (ready.length > 0) this.#join(ready, forgetting);
    return ready.length > 0;
  }

  /** Adds metrics, uncorrelated with those judged already; those of the start correlate as they were watched. */
  #join(ready: readonly WatchedMetric[], forgetting: number): void {
    const before = this.state();
    const old = before.metrics.length;
    this.#resize([...before.metrics, ...ready.map(({ metric }) => metric)]);
    this.#mean.set(before.mean);
    this.#low.set(before.low);
    this.#high.set(before.high);
    this.#covariance.set(before.covariance);
    ready.forEach((one, k) => {
      const sorted = Float64Array.from(one.values).sort();
      this.#mean[old + k] = median(sorted);
      this.#low[old + k] = sorted[0]!;
      this.#high[old + k] = sorted[sorted.length - 1]!;
      const row = triangle(old + k) + old;
      const first = old > 0 ? k : 0;
      for (let l = first; l <= k; l++) this.#covariance[row + l] = watchedCovariance(one, ready[l]!);
    });
    if (old > 1) return;
    this.#novelty = this.#newNovelty();
    if (this.#metrics.length > 1) return;
    for (const value of ready[0]!.values) this.#novelty.judge(value, 0, forgetting);
  }

  /** A memory of nothing yet, in the frame of a metric that is judged alone. */
  #newNovelty(): Novelty {
    if (this.#metrics.length !== 1) return new Novelty(undefined);
    const unit = Math.sqrt(this.#covariance[0]! + this.#floor(0) ** 2);
    return new Novelty({ center: this.#mean[0]!, unit: unit > 0 ? unit : 1 });
  }

  /** Makes room for exactly these metrics; what was learned of them is zero afterwards. */
  #resize(metrics: readonly number[]): void {
    const d = metrics.length;
    this.#metrics = metrics;
    for (const metric of metrics) this.#isJudged[metric] = 1;
    this.#mean = new Float64Array(d);
    this.#low = new Float64Array(d);
    this.#high = new Float64Array(d);
    this.#covariance = new Float64Array(triangle(d));
    this.#whitening = new Whitening(this.#plan.scratch, d);
    this.#present = new Int32Array(d);
    this.#deviation = new Float64Array(d);
    this.#z = new Float64Array(d);
  }
}

function held(value: number): number {
  return Math.max(-VALUE_MAX, Math.min(VALUE_MAX, value));
}

/** t(z). */
function tempered(z: number): number {
  const excess = Math.max(1, Math.abs(z) / FULL_DEVIATION);
  return (z / excess) * (1 + Math.log(excess));
}
