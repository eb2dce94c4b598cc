/**
 * What one node's metrics are used to be, and how far a window deviates from it: a Gaussian learned online, one per
 * node. Each window is scored first and learned second. Energy is half the squared length of the whitened deviation,
 * the negative log-likelihood in whitened coordinates without its constant (d/2) ln 2 pi. Invariants: nothing here is
 * ever NaN or infinite; the same windows in the same order give the same bits, also across `state` and `restore`.
 *
 * u = P^-1/2 t(z) (whitening.ts), z the deviations (gaussian.ts), P from the correlation of S with its variances floored
 * as those of z are, else the rounding noise of two idle metrics would count as their correlation; t(z) is z up to 10 and
 * 10 (1 + ln(z / 10)) beyond, else one idle metric that stirs would outweigh many that move; E = sum u_j^2 / 2. A window is
 * learned by the step a w, w = min(1, q max(q, 0.1)), q = 1 / r^2, r the mean size of the latest deviations, 1 at the bound
 * of the ordinary. A lone spike is part of what the node is used to be; what persists is an incident, teaches little and
 * stays surprising. Yet it teaches something, and what is not learned forgets nothing, so S outgrows any lasting change at
 * last.
 */
import { logGammaQ } from '../../numeric/incomplete-gamma.ts';
import { chiSquareQuantile } from '../../numeric/quantile.ts';
import { Gaussian, type GaussianState, held } from './gaussian.ts';
import { type Judgement, METRICS_MAX } from './judgement.ts';
import { Novelty, type NoveltyState } from './novelty.ts';
import { WarmUp, type WatchedMetric } from './warm-up.ts';
import { createWhiteningScratch, Whitening, type WhiteningScratch } from './whitening.ts';

/** Windows between two refreshes of the whitening. */
const REFRESH_WINDOWS = 20;
/** Deviations up to this many standard deviations count in full, greater ones by their logarithm. */
const FULL_DEVIATION = 10;
/** Deviations shorter than this quantile of theirs are ordinary. */
const ORDINARY_QUANTILE = 0.975;
/** The latest deviations are forgotten this much faster than what is learned: by half in 15 min where that is 4 d. */
const LATEST_SPEED = 384;
/** Least pull of an incident on S, as a share of that of a window at the bound of the ordinary. */
const PULL_MIN = 0.1;

/** Tables and scratch arrays for all models of a stream. */
export interface StatisticalPlan {
  /** 97.5 % quantile of chi-square by degrees of freedom, 0..64. */
  readonly chiSquareBound: Float64Array;
  readonly scratch: WhiteningScratch;
  /** t(z) of the metrics present; scratch as well. */
  readonly deviations: Float64Array;
}

export function createStatisticalPlan(): StatisticalPlan {
  const chiSquareBound = new Float64Array(METRICS_MAX + 1);
  for (let d = 1; d <= METRICS_MAX; d++) chiSquareBound[d] = chiSquareQuantile(ORDINARY_QUANTILE, d);
  return { chiSquareBound, scratch: createWhiteningScratch(), deviations: new Float64Array(METRICS_MAX) };
}

/** Everything a model has learned, as plain data. */
export interface NodeModelState extends GaussianState {
  /** P, a packed lower triangle. */
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
  #gaussian = new Gaussian();
  #whitening: Whitening;
  /** Windows learned from. */
  #windows = 0;
  /** Forgotten mean of sqrt(2E / c^2), c^2 the bound of the ordinary. */
  #latest: number | undefined;
  #untilRefresh: number;
  #warmUp = new WarmUp();
  #novelty = new Novelty(undefined);

  /** By place in the stream: 1 for the metrics judged. */
  readonly #isJudged = new Uint8Array(METRICS_MAX);

  /** `ordinal` spreads the refreshes of a stream's nodes over its windows. */
  constructor(plan: StatisticalPlan, ordinal: number) {
    this.#plan = plan;
    this.#whitening = new Whitening(plan.scratch, 0);
    this.#untilRefresh = 1 + (ordinal % REFRESH_WINDOWS);
  }

  static restore(plan: StatisticalPlan, state: NodeModelState): NodeModel {
    const model = new NodeModel(plan, 0);
    const { metrics, mean, low, high, covariance } = state;
    model.#judgeBy(
      new Gaussian({
        metrics: [...metrics],
        mean: mean.slice(),
        low: low.slice(),
        high: high.slice(),
        covariance: covariance.slice(),
      }),
      state.correlation.slice(),
    );
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
      ...this.#gaussian.state,
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
    const gaussian = this.#gaussian;
    gaussian.score(sample, out);
    const present = gaussian.presentCount;
    const d = gaussian.metrics.length;
    if (present > 0) {
      const energy = this.#whiten(out);
      const amount = d === 1 ? out.value[0]! : Math.sqrt((2 * out.energy) / d);
      out.evidence = this.#novelty.judge(amount, out.surprise, forgetting);
      const alpha = Math.max(forgetting, 1 / (this.#windows + 1));
      gaussian.learn(alpha * this.#weigh(forgetting, energy, present), this.#plan.scratch.scale);
    }
    this.#windows++;
    const joined = this.#admit(sample, forgetting);
    if (d > 0 || joined) {
      const isDue = !joined && --this.#untilRefresh <= 0;
      // A refresh out of turn, when a metric joins, leaves the rhythm as it is.
      if (isDue) this.#untilRefresh = REFRESH_WINDOWS;
      if (isDue || joined) this.#refresh(forgetting);
    }
    return present > 0;
  }

  /** Energy, surprise and contributions from the z of the metrics present, whose share of the energy it gives. */
  #whiten(out: Judgement): number {
    const { metrics, present, presentCount: count } = this.#gaussian;
    const root = this.#whitening.root(present, count);
    const { deviations } = this.#plan;
    for (let k = 0; k < count; k++) deviations[k] = tempered(out.z[present[k]!]!);
    let energy = 0;
    for (let i = 0; i < count; i++) {
      const row = i * count;
      let u = 0;
      for (let k = 0; k < count; k++) u += root[row + k]! * deviations[k]!;
      const contribution = 0.5 * u * u;
      out.contribution[present[i]!] = contribution;
      energy += contribution;
    }
    out.count = metrics.length;
    out.surprise = Math.max(0, -logGammaQ(count / 2, energy));
    out.energy = energy + 0.5 * (metrics.length - count);
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

  #refresh(forgetting: number): void {
    const alpha = Math.max(forgetting, 1 / (this.#windows + 1));
    const effective = Math.min(this.#windows, (2 - alpha) / alpha);
    const gaussian = this.#gaussian;
    this.#whitening.refresh(gaussian.state.covariance, (j) => gaussian.floor(j), effective);
  }

  /** Watches metrics not judged yet and lets those join that are ready; true when any did. */
  #admit(sample: Float64Array, forgetting: number): boolean {
    for (let metric = 0; metric < sample.length; metric++) {
      const value = sample[metric]!;
      if (this.#isJudged[metric] === 1 || Number.isNaN(value)) continue;
      this.#warmUp.watch(metric, held(value), this.#windows - 1);
    }
    const count = this.#gaussian.metrics.length;
    const ready = this.#warmUp.takeReady(this.#windows, count === 0, METRICS_MAX - count);
    if (ready.length > 0) this.#join(ready, forgetting);
    return ready.length > 0;
  }

  /** Judges by more metrics from now on; the memory begins anew where the first or the second comes. */
  #join(ready: readonly WatchedMetric[], forgetting: number): void {
    const old = this.#gaussian.metrics.length;
    this.#judgeBy(this.#gaussian.joined(ready));
    if (old > 1) return;
    this.#novelty = this.#newNovelty();
    if (this.#gaussian.metrics.length > 1) return;
    for (const value of ready[0]!.values) this.#novelty.judge(value, 0, forgetting);
  }

  /** A memory of nothing yet, in the frame of a metric that is judged alone. */
  #newNovelty(): Novelty {
    const { metrics, mean, covariance } = this.#gaussian.state;
    if (metrics.length !== 1) return new Novelty(undefined);
    const unit = Math.sqrt(covariance[0]! + this.#gaussian.floor(0) ** 2);
    return new Novelty({ center: mean[0]!, unit: unit > 0 ? unit : 1 });
  }

  /** Puts what is learned of some metrics in force. */
  #judgeBy(gaussian: Gaussian, correlation?: Float64Array<ArrayBuffer>): void {
    this.#gaussian = gaussian;
    for (const metric of gaussian.metrics) this.#isJudged[metric] = 1;
    this.#whitening = new Whitening(this.#plan.scratch, gaussian.metrics.length, correlation);
  }
}

/** t(z). */
function tempered(z: number): number {
  const excess = Math.max(1, Math.abs(z) / FULL_DEVIATION);
  return (z / excess) * (1 + Math.log(excess));
}
