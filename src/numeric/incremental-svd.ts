/**
 * The leading left singular vectors of a matrix that grows by columns (M. Brand, "Fast low-rank modifications of the
 * thin singular value decomposition", Linear Algebra and its Applications 415, 2006), without the right ones. Each
 * column costs O(rows rank + rows rank^2) and leaves basis vectors orthonormal. Truncation keeps as few directions as
 * hold the wanted share of the sum of squared singular values, so the approximation is within that share of the best of
 * its rank. Values must be finite.
 */
import { symmetricEigen } from './eigen.ts';

export interface SvdOptions {
  readonly rows: number;
  /** Most directions kept, 1 to 32. */
  readonly rankMax: number;
  /** Share of the variance to keep, over 0 to 1. */
  readonly share: number;
}

const RANK_LIMIT = 32;
/** What the basis leaves of a column is taken for rounding when it is this small beside it. */
const REMAINDER_MIN = 1e-12;

export class IncrementalSvd {
  readonly #options: SvdOptions;
  /** Basis vectors, one after the other. */
  #basis: Float64Array;
  #spare: Float64Array;
  readonly #values: Float64Array;
  #rank = 0;
  readonly #remainder: Float64Array;
  readonly #coefficients: Float64Array;
  readonly #core: Float64Array;
  readonly #eigenvalues: Float64Array;
  readonly #vectors: Float64Array;
  readonly #rotation: Float64Array;

  /** RangeError for a rank outside 1..32. */
  constructor(options: SvdOptions) {
    const { rows, rankMax } = options;
    if (!(rankMax >= 1 && rankMax <= RANK_LIMIT)) throw new RangeError(`a rank of ${rankMax}`);
    const side = rankMax + 1;
    this.#options = options;
    this.#basis = new Float64Array(rows * rankMax);
    this.#spare = new Float64Array(rows * rankMax);
    this.#values = new Float64Array(rankMax);
    this.#remainder = new Float64Array(rows);
    this.#coefficients = new Float64Array(rankMax);
    this.#core = new Float64Array(side * side);
    this.#eigenvalues = new Float64Array(side);
    this.#vectors = new Float64Array(side * side);
    this.#rotation = new Float64Array(side * side);
  }

  /** Directions held. */
  get rank(): number {
    return this.#rank;
  }

  /** Singular values, falling; borrowed until the next `add`. */
  get values(): Float64Array {
    return this.#values.subarray(0, this.#rank);
  }

  /** Basis vectors, `rows` entries each, one after the other; borrowed until the next `add`. */
  get basis(): Float64Array {
    return this.#basis.subarray(0, this.#rank * this.#options.rows);
  }

  /**
   * Adds a column, everything before it times `keep` (1 forgets nothing). Returns the rotation from coefficients in the
   * old basis to those in the new one, rank x old rank and row-major; borrowed until the next `add`.
   */
  add(column: Float64Array, keep = 1): Float64Array {
    const { rows } = this.#options;
    const old = this.#rank;
    this.#remainder.set(column);
    this.#coefficients.fill(0, 0, old);
    // Twice is enough: the second projection takes out what rounding left of the first.
    this.#project();
    this.#project();
    const length = norm(this.#remainder);
    const isNew = length > REMAINDER_MIN * norm(column);
    const side = old + (isNew ? 1 : 0);
    if (side === 0) return this.#rotation.subarray(0, 0);
    this.#fillCore(side, isNew ? length : 0, keep);
    symmetricEigen(
      this.#core.subarray(0, side * side),
      side,
      this.#eigenvalues.subarray(0, side),
      this.#vectors.subarray(0, side * side),
    );
    const order = Array.from({ length: side }, (_, k) => k).sort(
      (a, b) => this.#eigenvalues[b]! - this.#eigenvalues[a]!,
    );
    this.#rank = this.#rankOf(order);
    for (let k = 0; k < this.#rank; k++) {
      const from = order[k]!;
      this.#values[k] = Math.sqrt(Math.max(0, this.#eigenvalues[from]!));
      const out = this.#spare.subarray(k * rows, (k + 1) * rows);
      out.fill(0);
      for (let i = 0; i < old; i++) {
        const weight = this.#vectors[from * side + i]!;
        this.#rotation[k * old + i] = weight;
        addScaled(out, weight, this.#basis.subarray(i * rows, (i + 1) * rows));
      }
      if (isNew) addScaled(out, this.#vectors[from * side + old]! / length, this.#remainder);
    }
    [this.#basis, this.#spare] = [this.#spare, this.#basis];
    return this.#rotation.subarray(0, this.#rank * old);
  }

  /** Coefficients of a column in the basis, to `out`; the length of what the basis does not hold. */
  coefficients(column: Float64Array, out: Float64Array): number {
    this.#remainder.set(column);
    this.#coefficients.fill(0, 0, this.#rank);
    this.#project();
    out.set(this.#coefficients.subarray(0, this.#rank));
    return norm(this.#remainder);
  }

  /** Moves what the basis holds of the remainder to the coefficients. */
  #project(): void {
    const { rows } = this.#options;
    for (let k = 0; k < this.#rank; k++) {
      const vector = this.#basis.subarray(k * rows, (k + 1) * rows);
      let dot = 0;
      for (let i = 0; i < rows; i++) dot += vector[i]! * this.#remainder[i]!;
      this.#coefficients[k] = this.#coefficients[k]! + dot;
      addScaled(this.#remainder, -dot, vector);
    }
  }

  /** K K' of K = [keep S, p; 0, length]: its eigenvectors are the left singular vectors of K. */
  #fillCore(side: number, length: number, keep: number): void {
    const p = (i: number) => (i < this.#rank ? this.#coefficients[i]! : length);
    for (let i = 0; i < side; i++) {
      for (let j = 0; j < side; j++) {
        const held = i === j && i < this.#rank ? (keep * this.#values[i]!) ** 2 : 0;
        this.#core[i * side + j] = held + p(i) * p(j);
      }
    }
  }

  /** How many of the sorted directions to keep. */
  #rankOf(order: readonly number[]): number {
    const { rankMax, share } = this.#options;
    let total = 0;
    for (const k of order) total += Math.max(0, this.#eigenvalues[k]!);
    let held = 0;
    for (const [at, k] of order.entries()) {
      if (at === rankMax || (at > 0 && held >= share * total)) return at;
      held += Math.max(0, this.#eigenvalues[k]!);
    }
    return order.length;
  }
}

function addScaled(out: Float64Array, factor: number, vector: Float64Array): void {
  for (let i = 0; i < out.length; i++) out[i] = out[i]! + factor * vector[i]!;
}

function norm(vector: Float64Array): number {
  let sum = 0;
  for (const value of vector) sum += value * value;
  return Math.sqrt(sum);
}
