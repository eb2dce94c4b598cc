/**
 * Log-sum-exp and the Boltzmann weights e^(-E/T)/Z. Everything is computed from the reduced energy x = (E - Emin)/T,
 * which is at least 0, so nothing overflows for any sign of E and any T > 0. Energies must be finite; sums are
 * compensated.
 */

/** ln of the sum of e^value; -Infinity for an empty array. */
export function logSumExp(values: Float64Array): number {
  let max = Number.NEGATIVE_INFINITY;
  for (const value of values) if (value > max) max = value;
  if (!Number.isFinite(max)) return max;
  let sum = 0;
  let correction = 0;
  for (const value of values) {
    const term = Math.exp(value - max);
    const next = sum + term;
    correction += sum >= term ? sum - next + term : term - next + sum;
    sum = next;
  }
  return max + Math.log(sum + correction);
}

/**
 * Writes e^(-x) of `energies[from..to)` to `weights` (may not alias) and adds their sum to the pair `out`.
 * `minimum` is the least energy of the whole array, `temperature` is over 0.
 */
export function addBoltzmannWeights(
  energies: Float64Array,
  from: number,
  to: number,
  minimum: number,
  temperature: number,
  weights: Float64Array,
  out: Float64Array,
): void {
  let sum = out[0]!;
  let correction = out[1]!;
  for (let i = from; i < to; i++) {
    const weight = Math.exp(-(energies[i]! - minimum) / temperature);
    weights[i] = weight;
    const next = sum + weight;
    correction += sum >= weight ? sum - next + weight : weight - next + sum;
    sum = next;
  }
  out[0] = sum;
  out[1] = correction;
}

/** Divides `weights[from..to)` by `normalizer` in place and adds sum w x to the pair `out`. */
export function addReducedMean(
  energies: Float64Array,
  from: number,
  to: number,
  minimum: number,
  temperature: number,
  normalizer: number,
  weights: Float64Array,
  out: Float64Array,
): void {
  let sum = out[0]!;
  let correction = out[1]!;
  for (let i = from; i < to; i++) {
    const weight = weights[i]! / normalizer;
    weights[i] = weight;
    // A vanished weight may go with an infinite x; their product tends to 0.
    if (weight === 0) continue;
    const term = weight * ((energies[i]! - minimum) / temperature);
    const next = sum + term;
    correction += sum >= term ? sum - next + term : term - next + sum;
    sum = next;
  }
  out[0] = sum;
  out[1] = correction;
}

/** Adds sum w (x - mean)^2 over `weights[from..to)`, normalized before, to the pair `out`. */
export function addReducedVariance(
  energies: Float64Array,
  from: number,
  to: number,
  minimum: number,
  temperature: number,
  mean: number,
  weights: Float64Array,
  out: Float64Array,
): void {
  let sum = out[0]!;
  let correction = out[1]!;
  for (let i = from; i < to; i++) {
    const weight = weights[i]!;
    if (weight === 0) continue;
    const deviation = (energies[i]! - minimum) / temperature - mean;
    const term = weight * deviation * deviation;
    const next = sum + term;
    correction += sum >= term ? sum - next + term : term - next + sum;
    sum = next;
  }
  out[0] = sum;
  out[1] = correction;
}
