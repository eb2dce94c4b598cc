/**
 * P and its inverse symmetric root: P = (1 - rho) R + rho I, R a correlation matrix, rho the oracle approximating
 * shrinkage of Chen, Wiesel, Eldar and Hero, "Shrinkage algorithms for MMSE covariance estimation", IEEE TSP 58, 2010.
 * The root whitens with u_j closest to z_j (Kessy, Lewin and Strimmer, "Optimal whitening and decorrelation", The
 * American Statistician 72, 2018). Packed lower triangles: entry (i, j), j <= i, lies at `triangle(i) + j`.
 */
import { inverseSymmetricRoot } from '../../numeric/eigen.ts';
import { METRICS_MAX } from './judgement.ts';

const EIGENVALUE_FLOOR = 1e-3;
/** A variance below this is no variance: its square root could not be divided by. */
const VARIANCE_MIN = 1e-280;
/** Patterns of missing metrics whose root is kept between two refreshes. */
const PATTERNS_MAX = 16;

/** Where row i begins in a packed lower triangle; `triangle(d)` is the size of a whole one. */
export function triangle(i: number): number {
  return (i * (i + 1)) / 2;
}

/** Arrays to compute in, shared by all models of a stream; contents are meaningless between calls. */
export interface WhiteningScratch {
  readonly matrix: Float64Array;
  readonly workspace: Float64Array;
  readonly scale: Float64Array;
}

export function createWhiteningScratch(): WhiteningScratch {
  return {
    matrix: new Float64Array(METRICS_MAX * METRICS_MAX),
    workspace: new Float64Array(METRICS_MAX * METRICS_MAX + METRICS_MAX),
    scale: new Float64Array(METRICS_MAX),
  };
}

export class Whitening {
  readonly #scratch: WhiteningScratch;
  /** P, packed. */
  readonly #correlation: Float64Array;
  readonly #size: number;
  /** Derived from P: the root of each pattern of present metrics, '' for all of them. */
  readonly #roots = new Map<string, Float64Array>();

  /** Of `size` metrics, uncorrelated until the first refresh; or with the P it is given, which it then owns. */
  constructor(scratch: WhiteningScratch, size: number, correlation = new Float64Array(triangle(size))) {
    this.#scratch = scratch;
    this.#size = size;
    this.#correlation = correlation;
  }

  /** P, packed; borrowed. */
  get correlation(): Float64Array {
    return this.#correlation;
  }

  /**
   * Makes P anew. `covariance` is packed; `floorOf(j)` is the least standard deviation of metric j; `windows` the
   * effective number of windows behind the covariance. O(d^2); the roots follow when they are asked for.
   */
  refresh(covariance: Float64Array, floorOf: (j: number) => number, windows: number): void {
    const d = this.#size;
    const { scale } = this.#scratch;
    for (let i = 0; i < d; i++) {
      const floor = floorOf(i);
      const variance = covariance[triangle(i) + i]! + floor * floor;
      scale[i] = variance > VARIANCE_MIN ? 1 / Math.sqrt(variance) : 0;
    }
    let squares = d;
    for (let i = 0; i < d; i++) {
      const row = triangle(i);
      for (let j = 0; j < i; j++) {
        const r = Math.max(-1, Math.min(1, covariance[row + j]! * scale[i]! * scale[j]!));
        this.#correlation[row + j] = r;
        squares += 2 * r * r;
      }
      this.#correlation[row + i] = 1;
    }
    const keep = 1 - shrinkage(d, squares, windows);
    for (let i = 0; i < d; i++) {
      const row = triangle(i);
      for (let j = 0; j < i; j++) this.#correlation[row + j] = keep * this.#correlation[row + j]!;
    }
    this.#roots.clear();
  }

  /**
   * P^-1/2 over the first `count` metrics named in `present` (rising), row-major count x count; borrowed until the
   * next refresh. Marginalizing a Gaussian is leaving out rows and columns. O(count^3) for a new pattern.
   */
  root(present: Int32Array, count: number): Float64Array {
    const key = count === this.#size ? '' : String.fromCharCode(...present.subarray(0, count));
    const known = this.#roots.get(key);
    if (known !== undefined) return known;
    const { matrix, workspace } = this.#scratch;
    for (let i = 0; i < count; i++) {
      const row = triangle(present[i]!);
      for (let j = 0; j <= i; j++) {
        const entry = this.#correlation[row + present[j]!]!;
        matrix[i * count + j] = entry;
        matrix[j * count + i] = entry;
      }
    }
    const root = new Float64Array(count * count);
    inverseSymmetricRoot(matrix, count, EIGENVALUE_FLOOR, workspace, root);
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
