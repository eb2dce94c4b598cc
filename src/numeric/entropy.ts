/**
 * Histograms and their entropy, in nats. Bins without a value contribute nothing; values must be finite. What needs a
 * logarithm of each value is compiled (kernels/statistics-plan.ts).
 */

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
  const scale = out.length / (upper / 2 - lower / 2);
  for (let i = from; i < to; i++) {
    const value = values[i]!;
    let bin = 0;
    if (value >= upper) bin = upper > lower || value > upper ? last : 0;
    else if (value > lower) {
      const place = (value / 2 - lower / 2) * scale;
      bin = place < out.length ? Math.floor(place) : last;
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
