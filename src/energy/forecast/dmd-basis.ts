/**
 * The few directions that hold a stream's recent maps: the leading left singular vectors of its columns, older columns
 * forgotten (M. Brand, "Fast low-rank modifications of the thin singular value decomposition", Linear Algebra and its
 * Applications 415, 2006). Plain data, in steps of one direction each, so that it can be kept, restored bit for bit and
 * computed in slices. Vectors stay orthonormal. O(rows rank^2) for each column.
 */
import { symmetricEigen } from '../../numeric/eigen.ts';
import type { Steps } from '../../numeric/slices.ts';

export const RANK_MAX = 16;
/** Share of the variance the directions hold. */
const SHARE = 0.999999;
/** A remainder this small beside its column is rounding, no direction. */
const REMAINDER_MIN = 1e-12;

export interface Basis {
  rank: number;
  /** Singular values, falling, the first `rank`. */
  readonly values: Float64Array;
  /** Vectors one after the other, the first `rank`. */
  vectors: Float64Array;
}

export function createBasis(rows: number): Basis {
  return { rank: 0, values: new Float64Array(RANK_MAX), vectors: new Float64Array(rows * RANK_MAX) };
}

/** Coefficients of a column, to `out`. O(rows rank). */
export function* projectSteps(basis: Basis, column: Float64Array, out: Float64Array): Steps<void> {
  const rows = column.length;
  for (let k = 0; k < basis.rank; k++) {
    out[k] = dot(basis.vectors.subarray(k * rows, (k + 1) * rows), column);
    if (k % 4 === 3) yield;
  }
}

/**
 * Adds a column, those before it times `keep`; the rotation from coefficients in the old basis to those in the new one,
 * row-major, new rank x old rank.
 */
export function* addColumn(basis: Basis, column: Float64Array, keep: number): Steps<Float64Array> {
  const rows = column.length;
  const old = basis.rank;
  const vector = (k: number) => basis.vectors.subarray(k * rows, (k + 1) * rows);
  const remainder = column.slice();
  const parts = new Float64Array(old + 1);
  // Twice is enough: the second pass takes out what rounding left of the first.
  for (let pass = 0; pass < 2; pass++) {
    for (let k = 0; k < old; k++) {
      const part = dot(vector(k), remainder);
      parts[k] = parts[k]! + part;
      addScaled(remainder, -part, vector(k));
      if (k % 4 === 3) yield;
    }
  }
  const length = Math.sqrt(dot(remainder, remainder));
  const isNew = length > REMAINDER_MIN * Math.sqrt(dot(column, column));
  const side = old + (isNew ? 1 : 0);
  if (side === 0) return new Float64Array(0);
  parts[old] = length;
  const eigen = coreEigen(basis, parts, side, keep);
  const rank = rankOf(eigen.values);
  const rotation = new Float64Array(rank * old);
  const vectors = new Float64Array(basis.vectors.length);
  for (let k = 0; k < rank; k++) {
    const out = vectors.subarray(k * rows, (k + 1) * rows);
    for (let i = 0; i < old; i++) {
      const weight = eigen.vectors[k]![i]!;
      rotation[k * old + i] = weight;
      addScaled(out, weight, vector(i));
    }
    if (isNew) addScaled(out, eigen.vectors[k]![old]! / length, remainder);
    basis.values[k] = Math.sqrt(Math.max(0, eigen.values[k]!));
    yield;
  }
  basis.rank = rank;
  basis.vectors = vectors;
  return rotation;
}

/** Eigenvalues, falling, and vectors of K K' with K = [keep S, p; 0, length]: K's left singular vectors. */
function coreEigen(basis: Basis, parts: Float64Array, side: number, keep: number) {
  const core = new Float64Array(side * side);
  for (let i = 0; i < side; i++) {
    for (let j = 0; j < side; j++) {
      const held = i === j && i < basis.rank ? (keep * basis.values[i]!) ** 2 : 0;
      core[i * side + j] = held + parts[i]! * parts[j]!;
    }
  }
  const values = new Float64Array(side);
  const vectors = new Float64Array(side * side);
  symmetricEigen(core, side, values, vectors);
  const order = Array.from(values.keys()).sort((a, b) => values[b]! - values[a]!);
  return {
    values: order.map((k) => values[k]!),
    vectors: order.map((k) => vectors.subarray(k * side, (k + 1) * side)),
  };
}

/** How many of the sorted directions are kept. */
function rankOf(eigenvalues: readonly number[]): number {
  const total = eigenvalues.reduce((sum, value) => sum + Math.max(0, value), 0);
  let held = 0;
  for (const [at, value] of eigenvalues.entries()) {
    if (at === RANK_MAX || (at > 0 && held >= SHARE * total)) return at;
    held += Math.max(0, value);
  }
  return eigenvalues.length;
}

function dot(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!;
  return sum;
}

function addScaled(out: Float64Array, factor: number, vector: Float64Array): void {
  for (let i = 0; i < out.length; i++) out[i] = out[i]! + factor * vector[i]!;
}
