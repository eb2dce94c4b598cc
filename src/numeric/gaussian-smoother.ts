/**
 * Smoothing by a Gaussian on a regular grid: kernel exp(-d^2 / 2 sigma^2) cut off at 4 sigma and normalized, the ends
 * reflected about half a sample (d c b a | a b c d | d c b a), which is `scipy.ndimage.gaussian_filter1d` as it comes.
 * The convolution goes through the Fourier transform: its cost does not depend on sigma. Lengths and sigma are in
 * samples.
 */
import { createFft } from './fft.ts';
import { ghostIndex } from './stencil.ts';

/** Samples on each side of the center that the kernel reaches, in deviations. */
const TRUNCATE = 4;

/** Smooths series of one length with one width. */
export interface GaussianSmoother {
  readonly length: number;
  /** Standard deviation of the kernel. */
  readonly sigma: number;
  /** Writes the smoothed series to `out`, which may be `values`; constants are kept exactly. Allocates nothing. */
  smooth(values: Float64Array, out: Float64Array): void;
}

/** A plan for `length` samples and a sigma of 0 or more. O(n log n), as each smoothing. */
export function createGaussianSmoother(length: number, sigma: number): GaussianSmoother {
  if (!(length > 0 && sigma >= 0)) throw new RangeError(`${length} samples, sigma ${sigma}`);
  const radius = Math.trunc(TRUNCATE * sigma + 0.5);
  // A complex transform smooths two real pieces at once: the series is cut in two halves, each with its margins.
  const half = Math.ceil(length / 2);
  const size = 2 ** Math.ceil(Math.log2(half + 2 * radius));
  const fft = createFft(size);
  const response = gaussianKernel(sigma, radius, size);
  // The kernel is symmetric: its transform is real.
  fft.forward(response, new Float64Array(size));
  const source = Int32Array.from({ length: 2 * half + 2 * radius }, (_, at) =>
    ghostIndex(at - radius, length, 'NEUMANN'),
  );
  const first = new Float64Array(size);
  const second = new Float64Array(size);
  return {
    length,
    sigma,
    smooth(values, out) {
      // From the first value on, so that what is transformed is no larger than the series' variation.
      const origin = values[0]!;
      gather(values, source, 0, half + 2 * radius, origin, first);
      gather(values, source, half, half + 2 * radius, origin, second);
      fft.forward(first, second);
      multiply(first, response);
      multiply(second, response);
      fft.inverse(first, second);
      for (let t = 0; t < half; t++) out[t] = first[t + radius]! + origin;
      for (let t = half; t < length; t++) out[t] = second[t - half + radius]! + origin;
    },
  };
}

/** The normalized kernel around index 0, what is left of it at the end of the array. */
function gaussianKernel(sigma: number, radius: number, size: number): Float64Array {
  const kernel = new Float64Array(size);
  kernel[0] = 1;
  let total = 1;
  for (let d = 1; d <= radius; d++) {
    kernel[d] = Math.exp(-0.5 * (d / sigma) ** 2);
    total += 2 * kernel[d]!;
  }
  for (let d = 0; d <= radius; d++) kernel[d] = kernel[d]! / total;
  for (let d = 1; d <= radius; d++) kernel[size - d] = kernel[d]!;
  return kernel;
}

/** `count` values at the indices source[from..], less `origin`, then zeros. */
function gather(
  values: Float64Array,
  source: Int32Array,
  from: number,
  count: number,
  origin: number,
  out: Float64Array,
): void {
  for (let at = 0; at < count; at++) out[at] = values[source[from + at]!]! - origin;
  out.fill(0, count);
}

/** a *= b. */
function multiply(a: Float64Array, b: Float64Array): void {
  for (let k = 0; k < a.length; k++) a[k] = a[k]! * b[k]!;
}
