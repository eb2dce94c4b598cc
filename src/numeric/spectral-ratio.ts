/**
 * How much of a series' fluctuation is slow: spectral density near frequency 0 over that near the highest frequency
 * (R. Biggs, S. Carpenter, W. Brock, PNAS 106, 2009). Densities are Welch's: periodograms of segments of 40 samples
 * under a Hamming window, each about its own mean, one every 20 samples, averaged over a window of the series. As
 * segments are 20 samples apart, so are the windows. Frequencies are in cycles per sample.
 */

const SEGMENT = 40;
const STRIDE = 20;
/** Bins k / 40 up to frequency .05, and from .45 up to .5. */
const LOW: readonly number[] = [1, 2];
const HIGH: readonly number[] = [18, 19, 20];

/** Ratios in windows of one length that end at the end of a series of one length. */
export interface SpectralRatio {
  readonly length: number;
  readonly window: number;
  /** Windows, 20 samples apart, the last of which ends with the series; 0 when a window holds no segment. */
  readonly count: number;
  /** Writes the mean density in (0, .05] over that in [.45, .5] of each window, oldest first; NaN where that is 0. */
  ratios(values: Float64Array, out: Float64Array): void;
}

/** A plan for windows of `window` samples, up to `length`. O(length) a call, which allocates nothing. */
export function createSpectralRatio(length: number, window: number): SpectralRatio {
  const count = window < SEGMENT ? 0 : Math.floor((length - window) / STRIDE) + 1;
  const perWindow = Math.floor((window - SEGMENT) / STRIDE) + 1;
  const segments = count === 0 ? 0 : count + perWindow - 1;
  const start = length - window - STRIDE * (count - 1);
  const low = count === 0 ? [] : LOW.map(hammingWave);
  const high = count === 0 ? [] : HIGH.map(hammingWave);
  const slow = new Float64Array(segments);
  const fast = new Float64Array(segments);
  return {
    length,
    window,
    count,
    ratios(values, out) {
      for (let s = 0; s < segments; s++) {
        const from = start + STRIDE * s;
        let sum = 0;
        for (let j = 0; j < SEGMENT; j++) sum += values[from + j]! - values[from]!;
        const mean = values[from]! + sum / SEGMENT;
        slow[s] = density(values, from, mean, low);
        fast[s] = density(values, from, mean, high);
      }
      for (let i = 0; i < count; i++) {
        let slowSum = 0;
        let fastSum = 0;
        for (let s = i; s < i + perWindow; s++) {
          slowSum += slow[s]!;
          fastSum += fast[s]!;
        }
        out[i] = fastSum > 0 ? slowSum / fastSum : Number.NaN;
      }
    },
  };
}

/** One bin's cosine and sine under the (periodic) Hamming window. */
interface Wave {
  readonly cosine: Float64Array;
  readonly sine: Float64Array;
}

function hammingWave(bin: number): Wave {
  const cosine = new Float64Array(SEGMENT);
  const sine = new Float64Array(SEGMENT);
  for (let j = 0; j < SEGMENT; j++) {
    const weight = 0.54 - 0.46 * Math.cos((2 * Math.PI * j) / SEGMENT);
    cosine[j] = weight * Math.cos((2 * Math.PI * bin * j) / SEGMENT);
    sine[j] = weight * Math.sin((2 * Math.PI * bin * j) / SEGMENT);
  }
  return { cosine, sine };
}

/** Mean power of a segment over some bins; the scale, which every bin shares, is left out. */
function density(values: Float64Array, from: number, mean: number, waves: readonly Wave[]): number {
  let power = 0;
  for (const { cosine, sine } of waves) {
    let real = 0;
    let imaginary = 0;
    for (let j = 0; j < SEGMENT; j++) {
      const value = values[from + j]! - mean;
      real += value * cosine[j]!;
      imaginary += value * sine[j]!;
    }
    power += real * real + imaginary * imaginary;
  }
  return power / waves.length;
}
