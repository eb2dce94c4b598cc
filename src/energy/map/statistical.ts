/**
 * What one node's metrics are used to be, and how far a window deviates from it: a Gaussian learned online, one per
 * node. Each window is scored first and learned second. Energy is half the squared length of the whitened deviation,
 * the negative log-likelihood in whitened coordinates without its constant (d/2) ln 2 pi. Invariants: nothing here is
 * ever NaN or infinite; the same windows in the same order give the same bits, also across a snapshot.
 *
 * z_j = (x_j - mu_j) / sqrt(S_jj + f_j), f_j = (0.003 max(|mu_j|, range_j))^2, so |z| never passes 1000/3;
 * P = (1 - rho) R + rho I with R the correlation of S, its variances floored by f as those of z are (else the rounding
 * noise of two idle metrics would count as their correlation), and rho the oracle approximating shrinkage of Chen,
 * Wiesel, Eldar and Hero, "Shrinkage algorithms for MMSE covariance estimation", IEEE TSP 58, 2010; u = P^-1/2 z, the
 * symmetric root (ZCA whitening keeps u_j closest to z_j: Kessy, Lewin and Strimmer, "Optimal whitening and
 * decorrelation", The American Statistician 72, 2018).
 */
import { inverseSymmetricRoot } from '../../numeric/eigen.ts';
import { logGammaQ } from '../../numeric/incomplete-gamma.ts';
import { chiSquareQuantile } from '../../numeric/quantile.ts';

/** Most metrics of a model. */
export const METRICS_MAX = 64;
/** Windows a node, and later a metric, is watched before it is judged. */
export const START_WINDOWS = 64;
/** Of these windows, those a metric must appear in to belong to the start. */
const START_PRESENT_MIN = START_WINDOWS / 2;
/** Windows between two refreshes of the whitening factor. */
const REFRESH_WINDOWS = 20;
/** Least standard deviation, as a share of the metric's size or range. */
const DEVIATION_FLOOR = 3e-3;
const EIGENVALUE_FLOOR = 1e-3;
/** Least weight of an outlier in learning, so that a lasting change is learned at last. */
const WEIGHT_MIN = 0.02;
const WEIGHT_QUANTILE = 0.975;
/** Values are held to this size, so that their squares stay finite. */
const VALUE_MAX = 1e100;
/** A variance below this is no variance: its square root could not be divided by. */
const VARIANCE_MIN = 1e-280;
/** Patterns of missing metrics whose factor is kept between two refreshes. */
const PATTERNS_MAX = 16;

/** Where a packed lower triangle keeps row i: entry (i, j), j <= i, lies at `triangle(i) + j`. */
const triangle = (i: number): number => (i * (i + 1)) / 2;

/** Scratch arrays and tables for all models of a stream; contents are meaningless between calls. */
export interface StatisticalPlan {
  /** 97.5 % quantile of chi-square by degrees of freedom, 0..64. */
  readonly chiSquareBound: Float64Array;
  readonly matrix: Float64Array;
  readonly workspace: Float64Array;
  readonly scale: Float64Array;
}

export function createStatisticalPlan(): StatisticalPlan {
  const chiSquareBound = new Float64Array(METRICS_MAX + 1);
  for (let d = 1; d <= METRICS_MAX; d++) chiSquareBound[d] = chiSquareQuantile(WEIGHT_QUANTILE, d);
  return {
    chiSquareBound,
    matrix: new Float64Array(METRICS_MAX * METRICS_MAX),
    workspace: new Float64Array(METRICS_MAX * METRICS_MAX + METRICS_MAX),
    scale: new Float64Array(METRICS_MAX),
  };
}

/**
 * What a model said of one window; reused from call to call. Entry k of the arrays belongs to metric `metrics[k]` of
 * the stream. A missing metric stands with its expectation: z 0, contribution 1/2.
 */
export interface Judgement {
  /** Metrics judged, present or missing: entries in use of the arrays. */
  count: number;
  /** Sum of the contributions. */
  energy: number;
  /** -ln Pr(chi-square >= 2E) over the metrics present. */
  surprise: number;
  readonly metrics: Int32Array;
  readonly value: Float64Array;
  readonly expected: Float64Array;
  readonly z: Float64Array;
  readonly contribution: Float64Array;
}

export function createJudgement(): Judgement {
  return {
    count: 0,
    energy: 0,
    surprise: 0,
    metrics: new Int32Array(METRICS_MAX),
    value: new Float64Array(METRICS_MAX),
    expected: new Float64Array(METRICS_MAX),
    z: new Float64Array(METRICS_MAX),
    contribution: new Float64Array(METRICS_MAX),
  };
}

/** Everything a model has learned, as plain data. */
export interface NodeModelState {
  readonly metrics: readonly number[];
  readonly mean: Float64Array;
  readonly low: Float64Array;
  readonly high: Float64Array;
  /** S and P, packed lower triangles in the order of `metrics`. */
  readonly covariance: Float64Array;
  readonly correlation: Float64Array;
  readonly windows: number;
  readonly untilRefresh: number;
  readonly warming: readonly WarmingMetric[];
}

/** A metric watched but not yet judged: its values and the node's window each came in. */
interface WarmingMetric {
  readonly metric: number;
  readonly values: number[];
  readonly windows: number[];
}

export class NodeModel {
  readonly #plan: StatisticalPlan;
  #metrics: number[] = [];
  #mean = new Float64Array(0);
  #low = new Float64Array(0);
  #high = new Float64Array(0);
  #covariance = new Float64Array(0);
  #correlation = new Float64Array(0);
  /** Windows the node reported in, and thus learned from. */
  #windows = 0;
  #untilRefresh: number;
  readonly #warming = new Map<number, WarmingMetric>();

  // Derived: rebuilt from the correlation when absent.
  readonly #roots = new Map<string, Float64Array>();
  readonly #joined = new Uint8Array(METRICS_MAX);
  #present = new Int32Array(0);
  #deviation = new Float64Array(0);
  #z = new Float64Array(0);

  /** `ordinal` spreads the refreshes of a stream's nodes over its windows. */
  constructor(plan: StatisticalPlan, ordinal: number) {
    this.#plan = plan;
    this.#untilRefresh = 1 + (ordinal % REFRESH_WINDOWS);
  }

  static restore(plan: StatisticalPlan, state: NodeModelState): NodeModel {
    const model = new NodeModel(plan, 0);
    model.#resize([...state.metrics]);
    model.#mean.set(state.mean);
    model.#low.set(state.low);
    model.#high.set(state.high);
    model.#covariance.set(state.covariance);
    model.#correlation.set(state.correlation);
    model.#windows = state.windows;
    model.#untilRefresh = state.untilRefresh;
    for (const one of state.warming) {
      model.#warming.set(one.metric, { ...one, values: [...one.values], windows: [...one.windows] });
    }
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
      correlation: this.#correlation,
      windows: this.#windows,
      untilRefresh: this.#untilRefresh,
      warming: [...this.#warming.values()],
    };
  }

  /**
   * Scores one window into `out`, then learns it. `sample` holds the transformed value of each metric of the stream,
   * NaN where it is missing; at least one is present. `forgetting` is 1 - 2^(-width / half-life). False while nothing
   * can be judged: the node is in its first 64 windows, or only metrics still warming are present. O(d^2), O(d^3)
   * every 20 windows and when the pattern of missing metrics is new.
   */
  judge(sample: Float64Array, forgetting: number, out: Judgement): boolean {
    const present = this.#score(sample, out);
    if (present > 0) {
      const alpha = Math.max(forgetting, 1 / (this.#windows + 1));
      this.#learn(alpha, present, out);
    }
    this.#windows++;
    const alpha = Math.max(forgetting, 1 / (this.#windows + 1));
    const joined = this.#warm(sample);
    if (this.#metrics.length > 0 && (joined || --this.#untilRefresh <= 0)) this.#refresh(alpha, joined);
    return present > 0;
  }

  /** Fills `out` and the scratch arrays; returns how many judged metrics are present. */
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
    if (present > 0) this.#whiten(present, out);
    return present;
  }

  /** Least standard deviation of a metric, by its mean and its range so far. */
  #floor(j: number): number {
    return DEVIATION_FLOOR * Math.max(Math.abs(this.#mean[j]!), this.#high[j]! - this.#low[j]!);
  }

  /** Energy, surprise and contributions from the z of the metrics present. */
  #whiten(present: number, out: Judgement): void {
    const d = this.#metrics.length;
    const root = this.#rootOf(present);
    for (let k = 0; k < present; k++) this.#z[k] = out.z[this.#present[k]!]!;
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
  }

  /** mu += a w delta; S = (1 - a) S + a w delta delta', delta from the old mean. */
  #learn(alpha: number, present: number, out: Judgement): void {
    const d = this.#metrics.length;
    const squared = 2 * (out.energy - 0.5 * (d - present));
    const ratio = this.#plan.chiSquareBound[present]! / squared;
    const weight = Math.max(WEIGHT_MIN, Math.min(1, ratio * ratio));
    const step = alpha * weight;
    const deviation = this.#deviation;
    const covariance = this.#covariance;
    if (present === d) {
      const keep = 1 - alpha;
      let at = 0;
      for (let i = 0; i < d; i++) {
        const scaled = step * deviation[i]!;
        for (let j = 0; j <= i; j++, at++) covariance[at] = keep * covariance[at]! + scaled * deviation[j]!;
      }
    } else this.#learnPartly(alpha, step, present);
    for (let k = 0; k < present; k++) {
      const j = this.#present[k]!;
      this.#mean[j] = this.#mean[j]! + step * deviation[j]!;
    }
  }

  /**
   * The same when metrics are missing: their variance stays, and a covariance with one of them fades by
   * sqrt(1 - alpha), so S stays positive semidefinite (it is D S D plus a square).
   */
  #learnPartly(alpha: number, step: number, present: number): void {
    const keep = this.#plan.scale;
    const d = this.#metrics.length;
    const root = Math.sqrt(1 - alpha);
    keep.fill(1, 0, d);
    for (let k = 0; k < present; k++) keep[this.#present[k]!] = root;
    let at = 0;
    for (let i = 0; i < d; i++) {
      const scaled = step * this.#deviation[i]!;
      for (let j = 0; j <= i; j++, at++) {
        const both = keep[i]! * keep[j]!;
        this.#covariance[at] = both * this.#covariance[at]! + scaled * this.#deviation[j]!;
      }
    }
  }

  /** Collects metrics not yet judged and lets those join that were watched long enough; true when any did. */
  #warm(sample: Float64Array): boolean {
    for (let metric = 0; metric < sample.length; metric++) {
      const value = sample[metric]!;
      if (this.#joined[metric] === 1 || Number.isNaN(value)) continue;
      let one = this.#warming.get(metric);
      if (one === undefined) {
        one = { metric, values: [], windows: [] };
        this.#warming.set(metric, one);
      }
      one.values.push(held(value));
      one.windows.push(this.#windows - 1);
    }
    const starting = this.#metrics.length === 0;
    if (this.#windows < START_WINDOWS) return false;
    const needed = starting ? START_PRESENT_MIN : START_WINDOWS;
    const ready = [...this.#warming.values()]
      .filter((one) => one.values.length >= needed)
      .sort((a, b) => a.metric - b.metric)
      .slice(0, METRICS_MAX - this.#metrics.length);
    if (ready.length === 0) return false;
    this.#join(ready);
    return true;
  }

  /** Adds metrics, correlated among each other as they were watched, uncorrelated with those already judged. */
  #join(ready: readonly WarmingMetric[]): void {
    const before = this.state();
    const old = before.metrics.length;
    this.#resize([...before.metrics, ...ready.map((one) => one.metric)]);
    this.#mean.set(before.mean);
    this.#low.set(before.low);
    this.#high.set(before.high);
    this.#covariance.set(before.covariance);
    ready.forEach((one, k) => {
      const sorted = Float64Array.from(one.values).sort();
      this.#mean[old + k] = median(sorted);
      this.#low[old + k] = sorted[0]!;
      this.#high[old + k] = sorted[sorted.length - 1]!;
      const row = triangle(old + k);
      for (let l = 0; l <= k; l++) this.#covariance[row + old + l] = watchedCovariance(one, ready[l]!);
      // Metrics that joined together were watched in the same windows only at the start.
      if (old > 0) this.#covariance.fill(0, row + old, row + old + k);
      this.#warming.delete(one.metric);
    });
  }

  /** Makes room for exactly these metrics; learned arrays are zero afterwards. */
  #resize(metrics: number[]): void {
    const d = metrics.length;
    this.#metrics = metrics;
    for (const metric of metrics) this.#joined[metric] = 1;
    this.#mean = new Float64Array(d);
    this.#low = new Float64Array(d);
    this.#high = new Float64Array(d);
    this.#covariance = new Float64Array(triangle(d));
    this.#correlation = new Float64Array(triangle(d));
    this.#present = new Int32Array(d);
    this.#deviation = new Float64Array(d);
    this.#z = new Float64Array(d);
    this.#roots.clear();
  }

  /** P from S: the correlation, shrunk towards the identity. */
  #refresh(alpha: number, joined: boolean): void {
    const d = this.#metrics.length;
    const { scale } = this.#plan;
    for (let i = 0; i < d; i++) {
      const floor = this.#floor(i);
      const variance = this.#covariance[triangle(i) + i]! + floor * floor;
      scale[i] = variance > VARIANCE_MIN ? 1 / Math.sqrt(variance) : 0;
    }
    let squares = d;
    for (let i = 0; i < d; i++) {
      const row = triangle(i);
      for (let j = 0; j < i; j++) {
        const r = this.#covariance[row + j]! * scale[i]! * scale[j]!;
        const correlation = Math.max(-1, Math.min(1, r));
        this.#correlation[row + j] = correlation;
        squares += 2 * correlation * correlation;
      }
      this.#correlation[row + i] = 1;
    }
    const keep = 1 - shrinkage(d, squares, Math.min(this.#windows, (2 - alpha) / alpha));
    for (let i = 0; i < d; i++) {
      const row = triangle(i);
      for (let j = 0; j < i; j++) this.#correlation[row + j] = keep * this.#correlation[row + j]!;
    }
    // A refresh out of turn, when a metric joins, leaves the rhythm as it is.
    if (!joined || this.#untilRefresh <= 0) this.#untilRefresh = REFRESH_WINDOWS;
    this.#roots.clear();
  }

  /** P^-1/2 over the metrics present: marginalizing a Gaussian is leaving out rows and columns. */
  #rootOf(present: number): Float64Array {
    const d = this.#metrics.length;
    const key = present === d ? '' : String.fromCharCode(...this.#present.subarray(0, present));
    const known = this.#roots.get(key);
    if (known !== undefined) return known;
    const { matrix, workspace } = this.#plan;
    for (let i = 0; i < present; i++) {
      const row = triangle(this.#present[i]!);
      for (let j = 0; j <= i; j++) {
        const entry = this.#correlation[row + this.#present[j]!]!;
        matrix[i * present + j] = entry;
        matrix[j * present + i] = entry;
      }
    }
    const root = new Float64Array(present * present);
    inverseSymmetricRoot(matrix, present, EIGENVALUE_FLOOR, workspace, root);
    if (this.#roots.size >= PATTERNS_MAX) this.#roots.clear();
    this.#roots.set(key, root);
    return root;
  }
}

/** rho of the shrinkage; `squares` is tr R^2 of a d x d correlation matrix, `n` the effective number of windows. */
export function shrinkage(d: number, squares: number, n: number): number {
  if (d === 1) return 0;
  const top = (1 - 2 / d) * squares + d * d;
  const bottom = (n + 1 - 2 / d) * (squares - d);
  return bottom > 0 ? Math.min(1, top / bottom) : 1;
}

function held(value: number): number {
  if (value > VALUE_MAX) return VALUE_MAX;
  return value < -VALUE_MAX ? -VALUE_MAX : value;
}

function median(sorted: Float64Array): number {
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/**
 * Covariance about the means over the windows both metrics came in, divided by the geometric mean of their counts:
 * with nothing missing the plain covariance, and positive semidefinite as a matrix either way.
 */
function watchedCovariance(a: WarmingMetric, b: WarmingMetric): number {
  const meanA = a.values.reduce((sum, value) => sum + value, 0) / a.values.length;
  const meanB = b.values.reduce((sum, value) => sum + value, 0) / b.values.length;
  let sum = 0;
  for (let i = 0, k = 0; i < a.values.length; i++) {
    while (k < b.windows.length && b.windows[k]! < a.windows[i]!) k++;
    if (b.windows[k] === a.windows[i]) sum += (a.values[i]! - meanA) * (b.values[k]! - meanB);
  }
  return sum / Math.sqrt(a.values.length * b.values.length);
}
