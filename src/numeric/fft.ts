/**
 * Complex fast Fourier transform of a power of two, in place on separate real and imaginary arrays. Spectra are kept
 * in bit-reversed order, which no product of spectra minds and which saves sorting them twice: `forward` is
 * decimation in frequency, `inverse` decimation in time (Gentleman and Sande 1966; Cooley and Tukey 1965). Stages are
 * taken two at a time, which halves the traffic with memory, what the time goes to.
 */

/** Transforms of one size. Neither allocates; both take arrays of `size`. O(size log size). */
export interface Fft {
  readonly size: number;
  /** X[k] = sum x[j] exp(-2 pi i j k / size), left at the place k has with its bits reversed. */
  forward(real: Float64Array, imaginary: Float64Array): void;
  /** Takes what `forward` left back to the samples. */
  inverse(real: Float64Array, imaginary: Float64Array): void;
}

/** Cosines and sines of 2 pi j / size for j < 3 size / 4. */
interface Turns {
  readonly cosine: Float64Array;
  readonly sine: Float64Array;
}

/** A plan for `size` samples, a power of two. Throws RangeError for another size. */
export function createFft(size: number): Fft {
  if (!(size >= 1 && Number.isInteger(Math.log2(size)))) throw new RangeError(`a transform of ${size}`);
  const angles = Float64Array.from({ length: Math.ceil(0.75 * size) }, (_, j) => (2 * Math.PI * j) / size);
  const turns: Turns = { cosine: angles.map(Math.cos), sine: angles.map(Math.sin) };
  // Of an odd number of stages, the one between neighbors, which turns nothing, stands alone.
  const odd = Math.log2(size) % 2 === 1;
  return {
    size,
    forward(real, imaginary) {
      for (let quarter = size / 4; quarter >= 1; quarter /= 4) split(real, imaginary, quarter, turns);
      if (odd) crossNeighbors(real, imaginary);
    },
    inverse(real, imaginary) {
      if (odd) crossNeighbors(real, imaginary);
      for (let quarter = odd ? 2 : 1; quarter < size; quarter *= 4) join(real, imaginary, quarter, turns);
      const scale = 1 / size;
      for (let k = 0; k < size; k++) {
        real[k] = real[k]! * scale;
        imaginary[k] = imaginary[k]! * scale;
      }
    },
  };
}

/** Sum and difference of each two neighbors. */
function crossNeighbors(real: Float64Array, imaginary: Float64Array): void {
  for (let a = 0; a < real.length; a += 2) {
    const re = real[a + 1]!;
    const im = imaginary[a + 1]!;
    real[a + 1] = real[a]! - re;
    imaginary[a + 1] = imaginary[a]! - im;
    real[a] = real[a]! + re;
    imaginary[a] = imaginary[a]! + im;
  }
}

/**
 * Two stages down, on blocks of 4 quarters p, q, r, s: (p + r) + (q + s), (p + r) - (q + s), (p - r) - i (q - s) and
 * (p - r) + i (q - s), the last three turned back by 2, 1 and 3 times their place in the block.
 */
function split(real: Float64Array, imaginary: Float64Array, quarter: number, turns: Turns): void {
  const { cosine, sine } = turns;
  const step = real.length / (4 * quarter);
  for (let block = 0; block < real.length; block += 4 * quarter) {
    for (let j = 0; j < quarter; j++) {
      const p = block + j;
      const q = p + quarter;
      const r = q + quarter;
      const s = r + quarter;
      const evenRe = real[p]! + real[r]!;
      const evenIm = imaginary[p]! + imaginary[r]!;
      const apartRe = real[p]! - real[r]!;
      const apartIm = imaginary[p]! - imaginary[r]!;
      const oddRe = real[q]! + real[s]!;
      const oddIm = imaginary[q]! + imaginary[s]!;
      const acrossRe = real[q]! - real[s]!;
      const acrossIm = imaginary[q]! - imaginary[s]!;
      real[p] = evenRe + oddRe;
      imaginary[p] = evenIm + oddIm;
      const turn = j * step;
      turnBack(real, imaginary, q, evenRe - oddRe, evenIm - oddIm, cosine[2 * turn]!, sine[2 * turn]!);
      turnBack(real, imaginary, r, apartRe + acrossIm, apartIm - acrossRe, cosine[turn]!, sine[turn]!);
      turnBack(
        real,
        imaginary,
        s,
        apartRe - acrossIm,
        apartIm + acrossRe,
        cosine[3 * turn]!,
        sine[3 * turn]!,
      );
    }
  }
}

/** Writes (re + i im) (c - i s) to place k. */
function turnBack(
  real: Float64Array,
  imaginary: Float64Array,
  k: number,
  re: number,
  im: number,
  c: number,
  s: number,
): void {
  real[k] = re * c + im * s;
  imaginary[k] = im * c - re * s;
}

/** Undoes `split` but for a factor of 4. */
function join(real: Float64Array, imaginary: Float64Array, quarter: number, turns: Turns): void {
  const { cosine, sine } = turns;
  const step = real.length / (4 * quarter);
  for (let block = 0; block < real.length; block += 4 * quarter) {
    for (let j = 0; j < quarter; j++) {
      const p = block + j;
      const q = p + quarter;
      const r = q + quarter;
      const s = r + quarter;
      const one = j * step;
      const two = 2 * one;
      const three = 3 * one;
      const qRe = real[q]! * cosine[two]! - imaginary[q]! * sine[two]!;
      const qIm = imaginary[q]! * cosine[two]! + real[q]! * sine[two]!;
      const rRe = real[r]! * cosine[one]! - imaginary[r]! * sine[one]!;
      const rIm = imaginary[r]! * cosine[one]! + real[r]! * sine[one]!;
      const sRe = real[s]! * cosine[three]! - imaginary[s]! * sine[three]!;
      const sIm = imaginary[s]! * cosine[three]! + real[s]! * sine[three]!;
      const evenRe = real[p]! + qRe;
      const evenIm = imaginary[p]! + qIm;
      const oddRe = real[p]! - qRe;
      const oddIm = imaginary[p]! - qIm;
      const sumRe = rRe + sRe;
      const sumIm = rIm + sIm;
      const acrossRe = rRe - sRe;
      const acrossIm = rIm - sIm;
      real[p] = evenRe + sumRe;
      imaginary[p] = evenIm + sumIm;
      real[q] = oddRe - acrossIm;
      imaginary[q] = oddIm + acrossRe;
      real[r] = evenRe - sumRe;
      imaginary[r] = evenIm - sumIm;
      real[s] = oddRe + acrossIm;
      imaginary[s] = oddIm - acrossRe;
    }
  }
}
