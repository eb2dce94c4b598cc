/**
 * Entropy of discrete distributions, in nats, and histograms. Zero probabilities contribute nothing; values must be
 * finite. Sums are compensated pairs (see compensated-sum.ts).
 */

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

/**
 * Counts `values[from..to)` in equal bins over [lower, upper], added to `out` (one counter per bin). Values outside
 * count in the first or the last bin; with lower = upper everything at or below it counts in the first.
 */
export function addHistogram(
  values: Float64Array,
  from: number,
  to: number,
  lower: number,
  upper: number,
  out: Uint32Array,
): void {
  const last = out.length - 1;
  // Halves first: the span of finite edges may itself overflow.
  const halfSpan = upper / 2 - lower / 2;
  for (let i = from; i < to; i++) {
    const value = values[i]!;
    let bin = 0;
    if (value >= upper) bin = upper > lower || value > upper ? last : 0;
    else if (value > lower) {
      bin = Math.min(last, Math.floor(((value / 2 - lower / 2) / halfSpan) * out.length));
    }
    out[bin] = out[bin]! + 1;
  }
}

/**
 * Entropy of a histogram in nats with the Miller-Madow correction (m - 1) / 2N, m the number of bins in use
 * (G. Miller, "Note on the bias of information estimates", 1955). Undefined for an empty histogram.
 */
export function histogramEntropy(counts: Uint32Array): number | undefined {
  let total = 0;
  for (const count of counts) total += count;
  if (total === 0) return undefined;
  let entropy = 0;
  let used = 0;
  for (const count of counts) {
    if (count === 0) continue;
    used++;
    entropy -= (count / total) * Math.log(count / total);
  }
  return Math.max(0, entropy) + (used - 1) / (2 * total);
}
