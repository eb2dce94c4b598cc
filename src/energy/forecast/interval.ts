/**
 * Prediction intervals that keep their word whatever the errors do: adaptive conformal inference (I. Gibbs and
 * E. Candes, NeurIPS 2021) on |error| / sigma of the cell, over the last 512 forecasts of one horizon. For each stated
 * coverage a level a follows a += gamma (1 - coverage - miss), miss the share of cells outside, so that over n forecasts
 * the mean miss is within (1 + gamma) / (gamma n) of 1 - coverage. Each forecast is held as 16 points of the
 * distribution of its ratios. A factor is what sigma is multiplied with: infinite where nothing is known or a <= 0.
 */
import type { Steps } from '../../numeric/slices.ts';
import { sortSteps } from '../../numeric/sort.ts';

const HELD = 512;
const POINTS = 16;
const GAMMA = 0.005;
/** Forecasts the spread of a cell is remembered over. */
const MEMORY = 64;
/** Forecasts' worth of the map's mean square that a cell's begins with; it fades as the cell gets its own. */
const PRIOR = 4;
/** Least sigma of a cell as a share of the map's. */
const SIGMA_SHARE_MIN = 1e-3;
/** Cells that were foretold exactly still have a width. */
const SIGMA_MIN = 1e-30;
const FLOAT32_MAX = 3.4028234663852886e38;
/** Cells measured between two yields. */
const STEP_CELLS = 16_384;

/** Coverages followed; others are read between them. */
export const COVERAGES = [0.5, 0.8, 0.9, 0.95, 0.99] as const;

/** What is known of the errors at one horizon, as plain data. */
export interface IntervalState {
  /** Points of the forecasts held, 16 each, rising. */
  readonly ratios: Float32Array;
  /** Where the next forecast's points go. */
  readonly next: number;
  /** Root mean square error of each cell; empty before the first forecast. */
  readonly sigma: Float32Array;
  /** Forecasts `sigma` was made from. */
  readonly sigmaCount: number;
  /** Level of each coverage. */
  readonly levels: Float64Array;
  /** Forecasts judged: all since the first that had a finite factor. */
  readonly judged: number;
  /** Mean share of their cells inside, of each coverage. */
  readonly covered: Float64Array;
}

/** The intervals of one horizon. Holds the ratios sorted beside the order they came in. */
export class Intervals {
  #ratios: Float32Array;
  #sorted: Float32Array;
  #next: number;
  #sigma: Float32Array;
  #sigmaCount: number;
  readonly #levels: Float64Array;
  #judged: number;
  readonly #covered: Float64Array;

  /** Goes on from a state, which it takes over, or starts anew. */
  constructor(from?: IntervalState) {
    this.#ratios = from?.ratios ?? new Float32Array(0);
    this.#sorted = this.#ratios.slice().sort();
    this.#next = from?.next ?? 0;
    this.#sigma = from?.sigma ?? new Float32Array(0);
    this.#sigmaCount = from?.sigmaCount ?? 0;
    this.#levels = from?.levels ?? Float64Array.from(COVERAGES, (coverage) => 1 - coverage);
    this.#judged = from?.judged ?? 0;
    this.#covered = from?.covered ?? new Float64Array(COVERAGES.length);
  }

  /** Borrowed until the next score. */
  state(): IntervalState {
    return {
      ratios: this.#ratios,
      next: this.#next,
      sigma: this.#sigma,
      sigmaCount: this.#sigmaCount,
      levels: this.#levels,
      judged: this.#judged,
      covered: this.#covered,
    };
  }

  /**
   * Mean share of cells inside, of each followed coverage; undefined before the first forecast judged, and while there are
   * no intervals as the cells are not known: what those of another arrangement held says nothing of them.
   */
  get covered(): readonly number[] | undefined {
    return this.#judged > 0 && this.#sigma.length > 0 ? [...this.#covered] : undefined;
  }

  /** Forgets the cells, as after another arrangement of them; ratios and levels stay. */
  forgetCells(): void {
    this.#sigma = new Float32Array(0);
    this.#sigmaCount = 0;
  }

  /**
   * Scores one forecast by the |error| of each cell, then learns it; unobserved cells are left out. The share of cells
   * inside for each followed coverage; undefined while nothing was known. O(cells log cells).
   */
  *score(errors: Float64Array, observed: Uint8Array): Steps<readonly number[] | undefined> {
    const cells = placesOf(observed);
    if (cells.length === 0) return undefined;
    yield;
    let inside: readonly number[] | undefined;
    if (this.#sigma.length > 0) {
      const measures = new Float64Array(errors.length);
      this.#measures(measures);
      yield;
      const ratios = new Float64Array(cells.length);
      for (let nth = 0; nth < cells.length; nth++) {
        ratios[nth] = errors[cells[nth]!]! / measures[cells[nth]!]!;
        if ((nth + 1) % STEP_CELLS === 0) yield;
      }
      const sorted = yield* sortSteps(ratios);
      inside = this.#judge(sorted);
      this.#hold(sorted);
      yield;
    }
    this.#learnSigma(errors, cells);
    return inside;
  }

  /** Half width of each cell's interval; undefined where nothing bounds any of them. O(cells). */
  halfWidths(coverage: number): Float64Array | undefined {
    if (this.#sigma.length === 0) return undefined;
    const factor = Math.max(0, quantile(this.#sorted, 1 - this.#levelOf(coverage)));
    if (factor === Number.POSITIVE_INFINITY) return undefined;
    const out = new Float64Array(this.#sigma.length);
    this.#measures(out, factor);
    return out;
  }

  /** The level of a coverage: between two followed ones their corrections are blended. */
  #levelOf(coverage: number): number {
    const correction = (at: number) => this.#levels[at]! - (1 - COVERAGES[at]!);
    const above = COVERAGES.findIndex((each) => each >= coverage);
    if (above <= 0) return 1 - coverage + correction(above === 0 ? 0 : COVERAGES.length - 1);
    const [low, high] = [COVERAGES[above - 1]!, COVERAGES[above]!];
    const share = (coverage - low) / (high - low);
    return 1 - coverage + (1 - share) * correction(above - 1) + share * correction(above);
  }

  #judge(ratios: Float64Array): readonly number[] | undefined {
    const known = this.#sorted.length > 0;
    if (known) this.#judged++;
    const inside = COVERAGES.map((coverage, at) => {
      const factor = quantile(this.#sorted, 1 - this.#levels[at]!);
      const share = factor < 0 ? 0 : countUpTo(ratios, factor) / ratios.length;
      this.#levels[at] = this.#levels[at]! + GAMMA * (share - coverage);
      if (known) this.#covered[at] = this.#covered[at]! + (share - this.#covered[at]!) / this.#judged;
      return share;
    });
    return known ? inside : undefined;
  }

  /** Keeps the points at (i + 1/2) / 16 of a forecast's sorted ratios, instead of the oldest forecast's. */
  #hold(sorted: Float64Array): void {
    const start = this.#next * POINTS;
    if (start === this.#ratios.length) {
      const grown = new Float32Array(start + POINTS);
      grown.set(this.#ratios);
      this.#ratios = grown;
    }
    const isFull = this.#sorted.length === HELD * POINTS;
    const place = this.#ratios.subarray(start, start + POINTS);
    const gone = isFull ? place.slice() : new Float32Array(0);
    for (let i = 0; i < POINTS; i++) {
      const at = Math.floor(((i + 0.5) / POINTS) * sorted.length);
      place[i] = Math.min(FLOAT32_MAX, sorted[at]!);
    }
    this.#sorted = replaced(this.#sorted, gone, place);
    this.#next = (this.#next + 1) % HELD;
  }

  #learnSigma(errors: Float64Array, cells: Uint32Array): void {
    if (this.#sigma.length !== errors.length) {
      // A cell not observed yet is taken to err like the others.
      let square = 0;
      for (const at of cells) square += errors[at]! ** 2 / cells.length;
      this.#sigma = new Float32Array(errors.length).fill(Math.min(FLOAT32_MAX, Math.sqrt(square)));
      for (const at of cells) this.#sigma[at] = Math.min(FLOAT32_MAX, errors[at]!);
      this.#sigmaCount = 1;
      return;
    }
    this.#sigmaCount++;
    const share = Math.max(1 / MEMORY, 1 / this.#sigmaCount);
    for (const at of cells) {
      const before = this.#sigma[at]! ** 2;
      this.#sigma[at] = Math.min(FLOAT32_MAX, Math.sqrt(before + share * (errors[at]! ** 2 - before)));
    }
  }

  /** What the error of each cell is measured by, times a factor, to `out`. */
  #measures(out: Float64Array, factor = 1): void {
    const sigma = this.#sigma;
    let square = 0;
    for (let at = 0; at < sigma.length; at++) square += sigma[at]! ** 2 / sigma.length;
    const own = Math.min(MEMORY, this.#sigmaCount);
    const prior = PRIOR * (1 - own / MEMORY);
    const floor = Math.max(SIGMA_MIN, SIGMA_SHARE_MIN * Math.sqrt(square));
    for (let at = 0; at < out.length; at++)
      out[at] = factor * Math.max(floor, Math.sqrt((own * sigma[at]! ** 2 + prior * square) / (own + prior)));
  }
}

/** Places of the observed cells, rising. */
function placesOf(observed: Uint8Array): Uint32Array {
  const places = new Uint32Array(observed.length);
  let count = 0;
  for (let at = 0; at < observed.length; at++) if (observed[at] === 1) places[count++] = at;
  return places.subarray(0, count);
}

/** Quantile of sorted values: infinite from 1 on and without values, negative from 0 down. */
function quantile(sorted: Float32Array, probability: number): number {
  if (probability <= 0) return -1;
  if (probability >= 1 || sorted.length === 0) return Number.POSITIVE_INFINITY;
  return sorted[Math.min(sorted.length - 1, Math.ceil(probability * sorted.length) - 1)]!;
}

function countUpTo(sorted: Float64Array, limit: number): number {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (sorted[middle]! <= limit) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Sorted values without some that are among them and with others; all three rising. O(values). */
function replaced(sorted: Float32Array, gone: Float32Array, come: Float32Array): Float32Array {
  const out = new Float32Array(sorted.length - gone.length + come.length);
  let left = 0;
  let added = 0;
  let next = 0;
  for (const value of sorted) {
    if (left < gone.length && gone[left] === value) {
      left++;
      continue;
    }
    while (added < come.length && come[added]! < value) out[next++] = come[added++]!;
    out[next++] = value;
  }
  out.set(come.subarray(added), next);
  return out;
}
