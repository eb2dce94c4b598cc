/** Entropy of |value| / total by compensated pairs (plain-sums.ts), in slices: the plain form of the compiled one. */

/** Layout of the accumulator of `addEntropy`: -sum p ln p and sum p (ln p)^2, as pairs. */
export const ENTROPY = { entropy: 0, squaredLog: 2, size: 4 } as const;

/**
 * Adds the terms of the entropy of p = |value| / total over `values[from..to)`. `total` must be the sum of |value|
 * over the whole array and positive. From the two sums: S, and Var = (sum p ln^2 p - S^2) / N of its estimate.
 */
export function addEntropy(
  values: Float64Array,
  from: number,
  to: number,
  total: number,
  out: Float64Array,
): void {
  let entropy = out[ENTROPY.entropy]!;
  let entropyLow = out[ENTROPY.entropy + 1]!;
  let squared = out[ENTROPY.squaredLog]!;
  let squaredLow = out[ENTROPY.squaredLog + 1]!;
  for (let i = from; i < to; i++) {
    const p = Math.abs(values[i]!) / total;
    if (p === 0) continue;
    const surprisal = -Math.log(p);
    const term = p * surprisal;
    const next = entropy + term;
    entropyLow += Math.abs(entropy) >= Math.abs(term) ? entropy - next + term : term - next + entropy;
    entropy = next;
    const square = term * surprisal;
    const nextSquared = squared + square;
    squaredLow += squared >= square ? squared - nextSquared + square : square - nextSquared + squared;
    squared = nextSquared;
  }
  out[ENTROPY.entropy] = entropy;
  out[ENTROPY.entropy + 1] = entropyLow;
  out[ENTROPY.squaredLog] = squared;
  out[ENTROPY.squaredLog + 1] = squaredLow;
}
