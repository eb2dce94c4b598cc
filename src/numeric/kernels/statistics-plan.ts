/**
 * Sums, entropies and the Boltzmann ensemble of whole arrays by compiled kernels. Sums are compensated; their order, and
 * so every bit, depends on the length alone. Arrays are of the plan's arena (RangeError otherwise), values finite. A
 * million values take 0.3 ms for a sum and some 3 ms where each needs a logarithm or an exponential. Results agree to
 * 1e-12 with the plain forms, which the tests keep.
 */
import { addHistogram } from '../entropy.ts';
import type { Steps } from '../slices.ts';
import type { Arena } from './arena.ts';

export interface Moments {
  /** Sum of the positive values. */
  readonly positive: number;
  /** Sum of the negative values, at most 0. */
  readonly negative: number;
  /** Infinity for an empty array. */
  readonly min: number;
  /** -Infinity for an empty array. */
  readonly max: number;
}

/** Entropy in nats of p = |value| / sum |value|, and sum p (ln p)^2. */
export interface SizeEntropy {
  readonly entropy: number;
  readonly squaredLog: number;
}

/** Of weights e^(-x) / Z, x = (E - least) / temperature. */
export interface Ensemble {
  /** ln sum e^(-x). */
  readonly logNormalizer: number;
  /** Mean and variance of x under the weights. */
  readonly mean: number;
  readonly variance: number;
}

export interface StatisticsPlan {
  sum(values: Float64Array): number;
  moments(values: Float64Array): Moments;
  /** Sum of (value - center)^2. */
  squaredDeviations(values: Float64Array, center: number): number;
  /** `total` is the sum of sizes, over 1e-300. Values below 2^-1022 of it count little more than 0. */
  sizeEntropy(values: Float64Array, total: number): SizeEntropy;
  /**
   * ln of the sum of e^value; -Infinity for an empty array. `out` gets the terms over the greatest, those below e^-707
   * of it 0, and may be `values`.
   */
  logSumExp(values: Float64Array, out: Float64Array): number;
  /** Least value; Infinity for an empty array. */
  least(values: Float64Array): number;
  /** Boltzmann weights alone, to `weights`. `least` is the least energy, `temperature` is over 0. */
  weights(energies: Float64Array, least: number, temperature: number, weights: Float64Array): void;
  /**
   * The weights and what follows from them, a pass over the energies a step. Weights below e^-707 of the greatest are
   * 0; a temperature below 1e-300 counts as that.
   */
  ensemble(
    energies: Float64Array,
    least: number,
    temperature: number,
    weights: Float64Array,
  ): Steps<Ensemble>;
  /**
   * Adds to the counters of `counts`, at most `binsMax`, as `addHistogram` does and to the same bits: equal bins over
   * [lower, upper], what lies outside in the first or the last.
   */
  histogram(values: Float64Array, lower: number, upper: number, counts: Uint32Array): void;
}

/** Counters that a histogram keeps of each bin. */
const SETS = 4;
const RESULTS = 4;
const SPAN_MIN = 1e-290;
/** A lower temperature would have no finite reciprocal. */
const TEMPERATURE_MIN = 1e-300;

/** A plan whose histograms have up to `binsMax` bins, 16 bytes of memory each. */
export function createStatisticsPlan(arena: Arena, binsMax: number): StatisticsPlan {
  const { kernels } = arena;
  const results = arena.float64(RESULTS);
  const scratch = arena.uint32(SETS * binsMax);
  const at = (array: Float64Array) => arena.addressOf(array, array.length);
  const scaleOf = (temperature: number) => 1 / Math.max(temperature, TEMPERATURE_MIN);
  const weigh = (energies: Float64Array, least: number, temperature: number, weights: Float64Array) => {
    const out = arena.addressOf(weights, energies.length);
    return kernels.exponentials(at(energies), energies.length, least, -scaleOf(temperature), out);
  };
  return {
    sum: (values) => kernels.sum(at(values), values.length),
    moments(values) {
      kernels.moments(at(values), values.length, results.byteOffset);
      return { positive: results[0]!, negative: results[1]!, min: results[2]!, max: results[3]! };
    },
    squaredDeviations: (values, center) => kernels.squares(at(values), values.length, center),
    sizeEntropy(values, total) {
      kernels.entropies(at(values), values.length, total, results.byteOffset);
      return { entropy: results[0]!, squaredLog: results[1]! };
    },
    logSumExp(values, out) {
      kernels.moments(at(values), values.length, results.byteOffset);
      const max = results[3]!;
      if (!Number.isFinite(max)) return max;
      const to = arena.addressOf(out, values.length);
      return max + Math.log(kernels.exponentials(at(values), values.length, max, 1, to));
    },
    weights(energies, least, temperature, weights) {
      const normalizer = weigh(energies, least, temperature, weights);
      kernels.multiply(at(weights), energies.length, 1 / normalizer);
    },
    least: (values) => kernels.least(at(values), values.length),
    *ensemble(energies, least, temperature, weights) {
      const normalizer = weigh(energies, least, temperature, weights);
      yield;
      const reduced = [at(energies), energies.length, least, scaleOf(temperature)] as const;
      const mean = kernels.normalize(...reduced, 1 / normalizer, at(weights));
      yield;
      const variance = kernels.spread(...reduced, mean, at(weights));
      yield;
      return { logNormalizer: Math.log(normalizer), mean, variance };
    },
    histogram(values, lower, upper, counts) {
      const bins = counts.length;
      if (bins > binsMax) throw new RangeError(`${bins} bins, planned for ${binsMax}`);
      const out = arena.addressOf(counts, bins);
      const from = at(values);
      // The kernel divides by half the span; the plain form knows what to do where there is next to none.
      if (!(upper / 2 - lower / 2 > SPAN_MIN)) addHistogram(values, 0, values.length, lower, upper, counts);
      else kernels.histogram(from, values.length, lower, upper, bins, out, scratch.byteOffset);
    },
  };
}
