/**
 * Complex fast Fourier transform of a power of two, in place on separate real and imaginary arrays. Spectra are kept
 * in bit-reversed order, which no product of spectra minds and which saves sorting them twice: `forward` is
 * decimation in frequency, `inverse` decimation in time (Gentleman and Sande 1966; Cooley and Tukey 1965).
 */

/** Transforms of one size. Neither allocates; both take arrays of `size`. O(size log size). */
export interface Fft {
  readonly size: number;
  /** X[k] = sum x[j] exp(-2 pi i j k / size), left at the place k has with its bits reversed. */
  forward(real: Float64Array, imaginary: Float64Array): void;
  /** Takes what `forward` left back to the samples. */
  inverse(real: Float64Array, imaginary: Float64Array): void;
}

/** A plan for `size` samples, a power of two. Throws RangeError for another size. */
export function createFft(size: number): Fft {
  if (!(size >= 1 && Number.isInteger(Math.log2(size)))) throw new RangeError(`a transform of ${size}`);
  const angles = Float64Array.from({ length: size / 2 }, (_, j) => (2 * Math.PI * j) / size);
  const cosine = angles.map(Math.cos);
  const sine = angles.map(Math.sin);
  return {
    size,
    forward(real, imaginary) {
      for (let reach = size / 2; reach >= 1; reach /= 2) split(real, imaginary, reach, cosine, sine);
    },
    inverse(real, imaginary) {
      for (let reach = 1; reach < size; reach *= 2) join(real, imaginary, reach, cosine, sine);
      const scale = 1 / size;
      for (let k = 0; k < size; k++) {
        real[k] = real[k]! * scale;
        imaginary[k] = imaginary[k]! * scale;
      }
    },
  };
}

// The stages stand outside the plan: the compiler keeps what a function is given in registers, not what it encloses.

/** Splits each block of 2 reach into the sums of its halves, and their differences turned. */
function split(
  real: Float64Array,
  imaginary: Float64Array,
  reach: number,
  cosine: Float64Array,
  sine: Float64Array,
): void {
  const size = real.length;
  const step = size / (2 * reach);
  for (let block = 0; block < size; block += 2 * reach) {
    for (let j = 0; j < reach; j++) {
      const a = block + j;
      const b = a + reach;
      const c = cosine[j * step]!;
      const s = sine[j * step]!;
      const re = real[a]! - real[b]!;
      const im = imaginary[a]! - imaginary[b]!;
      real[a] = real[a]! + real[b]!;
      imaginary[a] = imaginary[a]! + imaginary[b]!;
      real[b] = re * c + im * s;
      imaginary[b] = im * c - re * s;
    }
  }
}

/** Undoes `split` but for a factor of 2. */
function join(
  real: Float64Array,
  imaginary: Float64Array,
  reach: number,
  cosine: Float64Array,
  sine: Float64Array,
): void {
  const size = real.length;
  const step = size / (2 * reach);
  for (let block = 0; block < size; block += 2 * reach) {
    for (let j = 0; j < reach; j++) {
      const a = block + j;
      const b = a + reach;
      const c = cosine[j * step]!;
      const s = sine[j * step]!;
      const re = real[b]! * c - imaginary[b]! * s;
      const im = imaginary[b]! * c + real[b]! * s;
      real[b] = real[a]! - re;
      imaginary[b] = imaginary[a]! - im;
      real[a] = real[a]! + re;
      imaginary[a] = imaginary[a]! + im;
    }
  }
}
