/**
 * Multinomial logistic regression: the weights that make the labels of samples likeliest, less a ridge on all of them but
 * the constant. Newton's method on the concave likelihood, steps halved until it rises: the same samples give the same
 * weights. Dense: terms x classes up to about a thousand.
 */
import { cholesky, solveCholesky } from '../../src/numeric/cholesky.ts';

export interface Row {
  /** The first is the constant. */
  readonly terms: readonly number[];
  /** Place of its class. */
  readonly label: number;
  readonly weight: number;
}

const ITERATIONS = 40;

/** Weights by class, then term. `ridge`: what a squared weight costs, in samples. */
export function fitLogistic(rows: readonly Row[], classes: number, ridge: number): number[][] {
  const terms = rows[0]!.terms.length;
  const size = classes * terms;
  let weights = new Float64Array(size);
  let value = objective(rows, classes, weights, ridge);
  for (let iteration = 0; iteration < ITERATIONS; iteration++) {
    const { gradient, hessian } = derivatives(rows, classes, weights, ridge);
    // A common shift of all classes is free: the ridge of the constant fixes it.
    if (!cholesky(hessian, size, hessian)) throw new Error('the samples do not determine the weights');
    const step = new Float64Array(size);
    solveCholesky(hessian, size, gradient, step);
    let scale = 1;
    let next = weights;
    let reached = Number.NEGATIVE_INFINITY;
    for (; scale > 1e-6; scale /= 2) {
      next = weights.map((weight, at) => weight + scale * step[at]!);
      reached = objective(rows, classes, next, ridge);
      if (reached > value) break;
    }
    const gain = reached - value;
    if (!(gain > 0)) break;
    weights = next;
    value = reached;
    if (gain < 1e-7 * Math.abs(value)) break;
  }
  return Array.from({ length: classes }, (_, k) => [...weights.subarray(k * terms, (k + 1) * terms)]);
}

/** Probabilities of the classes of a row, by weights one class after the other. */
export function probabilities(terms: readonly number[], classes: number, weights: Float64Array): number[] {
  const logits = Array.from({ length: classes }, (_, k) =>
    terms.reduce((sum, term, at) => sum + term * weights[k * terms.length + at]!, 0),
  );
  const greatest = Math.max(...logits);
  const sizes = logits.map((logit) => Math.exp(logit - greatest));
  const sum = sizes.reduce((total, each) => total + each, 0);
  return sizes.map((each) => each / sum);
}

function ridgeOf(at: number, terms: number, ridge: number): number {
  return at % terms === 0 ? 1e-3 : ridge;
}

function objective(rows: readonly Row[], classes: number, weights: Float64Array, ridge: number): number {
  let sum = 0;
  for (const { terms, label, weight } of rows)
    sum += weight * Math.log(Math.max(1e-300, probabilities(terms, classes, weights)[label]!));
  for (const [at, weight] of weights.entries())
    sum -= 0.5 * ridgeOf(at, rows[0]!.terms.length, ridge) * weight * weight;
  return sum;
}

function derivatives(rows: readonly Row[], classes: number, weights: Float64Array, ridge: number) {
  const terms = rows[0]!.terms.length;
  const size = classes * terms;
  const gradient = weights.map((weight, at) => -ridgeOf(at, terms, ridge) * weight);
  const hessian = new Float64Array(size * size);
  for (let at = 0; at < size; at++) hessian[at * size + at] = ridgeOf(at, terms, ridge);
  for (const row of rows) {
    const chances = probabilities(row.terms, classes, weights);
    for (let k = 0; k < classes; k++) {
      const missed = row.weight * ((row.label === k ? 1 : 0) - chances[k]!);
      for (let at = 0; at < terms; at++)
        gradient[k * terms + at] = gradient[k * terms + at]! + missed * row.terms[at]!;
      for (let other = 0; other <= k; other++) {
        const curve = row.weight * chances[k]! * ((k === other ? 1 : 0) - chances[other]!);
        addProducts(hessian, size, [k * terms, other * terms], row.terms, curve);
      }
    }
  }
  return { gradient, hessian };
}

/** Adds `factor` terms terms' to the block at `corner`; below the diagonal only. */
function addProducts(
  out: Float64Array,
  size: number,
  [top, left]: readonly [number, number],
  terms: readonly number[],
  factor: number,
): void {
  const isDiagonal = top === left;
  for (let i = 0; i < terms.length; i++) {
    const start = (top + i) * size + left;
    const value = factor * terms[i]!;
    const end = isDiagonal ? i + 1 : terms.length;
    for (let j = 0; j < end; j++) out[start + j] = out[start + j]! + value * terms[j]!;
  }
}
