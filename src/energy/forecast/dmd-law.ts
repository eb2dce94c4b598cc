/**
 * Affine laws of how a few coefficients change from one map to the next, by weighted least squares with ridges that pull
 * towards no change, and how far they are rolled out. A law of rank r is r rows of r + 1 numbers, the constant last: what
 * is added to the coefficients. Coefficients are in any one unit. Pure; all is O(r^3) or less but for the sums over maps.
 */
import { cholesky, solveCholesky } from '../../numeric/cholesky.ts';
import { placeBefore } from './snapshots.ts';

/** Shares of a coefficient's own sum of squares. The last is that of no change. */
export const RIDGES: readonly number[] = [1e-10, 1e-4, 1e-2, 1, Number.POSITIVE_INFINITY];
/** Ridge of the constant. */
const RIDGE_CONSTANT = 1e-9;
const GROWTH_MAX = 2;
/** Squarings that leave the norm of a power within 16^(1/2^14) of the spectral radius. */
const SQUARINGS = 14;

/** Weighted least squares of the change of the coefficients on them and 1, with each ridge. */
export function fitLaws(
  places: readonly number[],
  weights: readonly number[],
  coefficients: Float64Array,
  rank: number,
): Float64Array[] {
  const side = rank + 1;
  const gram = new Float64Array(side * side);
  const moment = new Float64Array(rank * side);
  const terms = new Float64Array(side);
  for (let at = 1; at < places.length; at++) {
    if (placeBefore(places[at]!) !== places[at - 1]!) continue;
    const [from, to] = [(at - 1) * rank, at * rank];
    const weight = weights[at]! ** 2;
    for (let i = 0; i < rank; i++) terms[i] = coefficients[from + i]!;
    terms[rank] = 1;
    for (let i = 0; i < side; i++) {
      const scaled = weight * terms[i]!;
      for (let j = 0; j <= i; j++) gram[i * side + j] = gram[i * side + j]! + scaled * terms[j]!;
      for (let k = 0; k < rank; k++) {
        const change = coefficients[to + k]! - coefficients[from + k]!;
        moment[k * side + i] = moment[k * side + i]! + scaled * change;
      }
    }
  }
  return RIDGES.map((ridge) => solveLaw(gram, moment, rank, ridge));
}

function solveLaw(gram: Float64Array, moment: Float64Array, rank: number, ridge: number): Float64Array {
  const side = rank + 1;
  const law = new Float64Array(rank * side);
  if (ridge === Number.POSITIVE_INFINITY) return law;
  // Each term in its own unit, so that small ones are not lost beside the others.
  const units = Float64Array.from({ length: side }, (_, i) => Math.sqrt(gram[i * side + i]!) || 1);
  const matrix = new Float64Array(side * side);
  for (let i = 0; i < side; i++) {
    for (let j = 0; j < i; j++) matrix[i * side + j] = gram[i * side + j]! / (units[i]! * units[j]!);
    matrix[i * side + i] = 1 + (i < rank ? ridge : RIDGE_CONSTANT);
  }
  if (!cholesky(matrix, side, matrix)) return law;
  for (let k = 0; k < rank; k++) {
    const right = Float64Array.from({ length: side }, (_, i) => moment[k * side + i]! / units[i]!);
    const row = law.subarray(k * side, (k + 1) * side);
    solveCholesky(matrix, side, right, row);
    for (let i = 0; i < side; i++) row[i] = row[i]! / units[i]!;
  }
  return law.every(Number.isFinite) ? law : law.fill(0);
}

/** The law with 1 added to its diagonal, scaled down where its largest eigenvalue would grow by more than the bound. */
export function boundedLaw(law: Float64Array, rank: number, steps: number): Float64Array {
  const linear = new Float64Array(rank * rank);
  for (let k = 0; k < rank; k++) {
    linear.set(law.subarray(k * (rank + 1), k * (rank + 1) + rank), k * rank);
    linear[k * rank + k] = linear[k * rank + k]! + 1;
  }
  const radius = spectralRadius(linear, rank);
  const allowed = GROWTH_MAX ** (1 / Math.max(1, steps));
  if (radius <= allowed) return law;
  const bounded = law.slice();
  for (let k = 0; k < rank; k++) {
    for (let i = 0; i < rank; i++)
      bounded[k * (rank + 1) + i] = (linear[k * rank + i]! * allowed) / radius - (i === k ? 1 : 0);
  }
  return bounded;
}

/** Greatest |eigenvalue|, by the norm of a high power (I. Gelfand's formula). */
function spectralRadius(matrix: Float64Array, side: number): number {
  let power: Float64Array = matrix.slice();
  let logNorm = 0;
  let exponent = 1;
  for (let i = 0; ; i++) {
    let square = 0;
    for (let at = 0; at < power.length; at++) square += power[at]! * power[at]!;
    const norm = Math.sqrt(square);
    if (norm === 0) return 0;
    logNorm += Math.log(norm) / exponent;
    if (i === SQUARINGS) return Math.exp(logNorm);
    for (let at = 0; at < power.length; at++) power[at] = power[at]! / norm;
    power = product(power, power, side, side, side);
    exponent *= 2;
  }
}

/** Coefficients one window on. */
export function advance(law: Float64Array, from: Float64Array): Float64Array {
  const rank = from.length;
  return from.map((value, k) => {
    const row = k * (rank + 1);
    let sum = value + law[row + rank]!;
    for (let i = 0; i < rank; i++) sum += law[row + i]! * from[i]!;
    return sum;
  });
}

/** A B of an m x n and an n x p matrix, row-major. */
export function product(a: Float64Array, b: Float64Array, m: number, n: number, p: number): Float64Array {
  const out = new Float64Array(m * p);
  for (let i = 0; i < m; i++) {
    for (let k = 0; k < n; k++) {
      const factor = a[i * n + k]!;
      for (let j = 0; j < p; j++) out[i * p + j] = out[i * p + j]! + factor * b[k * p + j]!;
    }
  }
  return out;
}
