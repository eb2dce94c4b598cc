/**
 * Moments and lagged correlations of every window of a series in O(length), without the drift and cancellation of
 * running sums: each window is a suffix of one block of `window` samples and a prefix of the next, and central moments
 * of the two are joined (P. Pebay, Sandia report SAND2008-6212; T. Chan, G. Golub, R. LeVeque 1979). Nothing is ever
 * subtracted again, so a stretch without variation has central moments of exactly 0. Values must be finite.
 */

/** Windows of one length over series of one length. Every `out` has `count` values; nothing is allocated. */
export interface Rolling {
  readonly length: number;
  readonly window: number;
  /** length - window + 1; window i holds samples [i, i + window). */
  readonly count: number;
  /** Mean of each window and its sum of squared deviations. */
  spread(values: Float64Array, outMean: Float64Array, outSquares: Float64Array): void;
  /** Sums of the second, third and fourth powers of the deviations from each window's mean. */
  powers(
    values: Float64Array,
    outSquares: Float64Array,
    outCubes: Float64Array,
    outFourths: Float64Array,
  ): void;
  /** Pearson correlation of the pairs (x[t], x[t + lag]) inside each window; NaN where a side does not vary. */
  correlation(values: Float64Array, lag: number, out: Float64Array): void;
}

/** A plan for windows of `window` samples, 2 up to `length`. */
export function createRolling(length: number, window: number): Rolling {
  if (!(Number.isInteger(window) && window >= 2 && window <= length))
    throw new RangeError(`a window of ${window} in ${length} samples`);
  const count = length - window + 1;
  const inverse = new Float64Array(window + 1);
  for (let size = 1; size <= window; size++) inverse[size] = 1 / size;
  const scratch = Array.from({ length: 5 }, () => new Float64Array(window));
  return {
    length,
    window,
    count,
    spread(values, outMean, outSquares) {
      for (let start = 0; start < count; start += window) {
        const end = Math.min(window, count - start);
        spreadBlock(values, start, window, end, inverse, scratch, outMean, outSquares);
      }
    },
    powers(values, outSquares, outCubes, outFourths) {
      for (let start = 0; start < count; start += window) {
        const end = Math.min(window, count - start);
        powersBlock(values, start, window, end, scratch, outSquares, outCubes, outFourths);
      }
    },
    correlation(values, lag, out) {
      const pairs = window - lag;
      if (!(Number.isInteger(lag) && lag >= 1 && pairs >= 2)) throw new RangeError(`a lag of ${lag}`);
      for (let start = 0; start < count; start += pairs) {
        const end = Math.min(pairs, count - start);
        correlationBlock(values, start, lag, pairs, end, inverse, scratch, out);
      }
    },
  };
}

/** Windows start..start + end - 1: suffixes of the block at `start`, joined with prefixes of the next. */
function spreadBlock(
  values: Float64Array,
  start: number,
  window: number,
  end: number,
  inverse: Float64Array,
  scratch: readonly Float64Array[],
  outMean: Float64Array,
  outSquares: Float64Array,
): void {
  const means = scratch[0]!;
  const squaresOf = scratch[1]!;
  const next = start + window;
  let mean = 0;
  let squares = 0;
  for (let size = 1; size <= window; size++) {
    const value = values[next - size]!;
    const delta = value - mean;
    mean += delta * inverse[size]!;
    squares += delta * (value - mean);
    means[window - size] = mean;
    squaresOf[window - size] = squares;
  }
  outMean[start] = mean;
  outSquares[start] = squares;
  mean = 0;
  squares = 0;
  const share = inverse[window]!;
  for (let size = 1; size < end; size++) {
    const value = values[next + size - 1]!;
    const delta = value - mean;
    mean += delta * inverse[size]!;
    squares += delta * (value - mean);
    const apart = mean - means[size]!;
    outMean[start + size] = means[size]! + apart * size * share;
    outSquares[start + size] = squaresOf[size]! + squares + apart * apart * (size * (window - size) * share);
  }
}

/** As `spreadBlock`, up to the fourth power. */
function powersBlock(
  values: Float64Array,
  start: number,
  window: number,
  end: number,
  scratch: readonly Float64Array[],
  outSquares: Float64Array,
  outCubes: Float64Array,
  outFourths: Float64Array,
): void {
  const [means, m2Of, m3Of, m4Of] = scratch as [Float64Array, Float64Array, Float64Array, Float64Array];
  const next = start + window;
  for (const forward of [false, true]) {
    let mean = 0;
    let m2 = 0;
    let m3 = 0;
    let m4 = 0;
    const last = forward ? end - 1 : window;
    for (let size = 1; size <= last; size++) {
      const delta = values[forward ? next + size - 1 : next - size]! - mean;
      const step = delta / size;
      const term = delta * step * (size - 1);
      mean += step;
      m4 += term * step * step * (size * size - 3 * size + 3) + 6 * step * step * m2 - 4 * step * m3;
      m3 += term * step * (size - 2) - 3 * step * m2;
      m2 += term;
      if (!forward) {
        const at = window - size;
        means[at] = mean;
        m2Of[at] = m2;
        m3Of[at] = m3;
        m4Of[at] = m4;
        continue;
      }
      const a = window - size;
      const d = (mean - means[size]!) / window;
      const joint = d * d * a * size * window;
      const squares = m2Of[size]!;
      outSquares[start + size] = squares + m2 + joint;
      outCubes[start + size] = m3Of[size]! + m3 + joint * d * (a - size) + 3 * d * (a * m2 - size * squares);
      outFourths[start + size] =
        m4Of[size]! +
        m4 +
        joint * d * d * (a * a - a * size + size * size) +
        6 * d * d * (a * a * m2 + size * size * squares) +
        4 * d * (a * m3 - size * m3Of[size]!);
    }
    if (!forward) {
      outSquares[start] = m2;
      outCubes[start] = m3;
      outFourths[start] = m4;
    }
  }
}

/** Correlations in the windows start..start + end - 1 of `pairs` pairs; a block holds as many pairs as a window. */
function correlationBlock(
  values: Float64Array,
  start: number,
  lag: number,
  pairs: number,
  end: number,
  inverse: Float64Array,
  scratch: readonly Float64Array[],
  out: Float64Array,
): void {
  const [meansX, meansY, squaresX, squaresY, products] = scratch as [
    Float64Array,
    Float64Array,
    Float64Array,
    Float64Array,
    Float64Array,
  ];
  const next = start + pairs;
  let meanX = 0;
  let meanY = 0;
  let xx = 0;
  let yy = 0;
  let xy = 0;
  for (let size = 1; size <= pairs; size++) {
    const x = values[next - size]!;
    const y = values[next - size + lag]!;
    const dx = x - meanX;
    const dy = y - meanY;
    meanX += dx * inverse[size]!;
    meanY += dy * inverse[size]!;
    xx += dx * (x - meanX);
    yy += dy * (y - meanY);
    xy += dx * (y - meanY);
    const at = pairs - size;
    meansX[at] = meanX;
    meansY[at] = meanY;
    squaresX[at] = xx;
    squaresY[at] = yy;
    products[at] = xy;
  }
  out[start] = pearson(xx, yy, xy);
  meanX = 0;
  meanY = 0;
  xx = 0;
  yy = 0;
  xy = 0;
  const share = inverse[pairs]!;
  for (let size = 1; size < end; size++) {
    const x = values[next + size - 1]!;
    const y = values[next + size - 1 + lag]!;
    const dx = x - meanX;
    const dy = y - meanY;
    meanX += dx * inverse[size]!;
    meanY += dy * inverse[size]!;
    xx += dx * (x - meanX);
    yy += dy * (y - meanY);
    xy += dx * (y - meanY);
    const apartX = meanX - meansX[size]!;
    const apartY = meanY - meansY[size]!;
    const weight = size * (pairs - size) * share;
    out[start + size] = pearson(
      squaresX[size]! + xx + apartX * apartX * weight,
      squaresY[size]! + yy + apartY * apartY * weight,
      products[size]! + xy + apartX * apartY * weight,
    );
  }
}

function pearson(xx: number, yy: number, xy: number): number {
  // Two roots: the product of two small sums of squares could vanish.
  const r = xy / (Math.sqrt(xx) * Math.sqrt(yy));
  return Math.max(-1, Math.min(1, r));
}
