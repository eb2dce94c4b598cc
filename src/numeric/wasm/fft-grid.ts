/**
 * Two-dimensional transforms of real grids. Rows go two at a time as real and imaginary part of one complex transform,
 * which needs no parity of the length; a lane holds such a pair. Columns of the half spectrum go one per lane, read and
 * written in place. Planes of the spectrum are rows x stride, stride the number of columns kept, cols / 2 + 1, rounded
 * up to whole vectors.
 */
import { INPUT, OUTPUT, transform, VECTOR } from './fft-plan';

/** Vectors on their way between rows and columns: four for each of up to four columns. */
const COLUMNS = memory.data(256, 16);
/** Vectors of a block of columns. */
const WIDTH: usize = 4;

/** Address of row `row`, the last one standing in for rows beyond it: those are computed again, to the same bits. */
function rowAt(base: usize, row: usize, rows: usize, bytes: usize): usize {
  return base + (row < rows ? row : rows - 1) * bytes;
}

/** Turns `lanes` vectors, one per row of a block, into one vector per column, or back, at a distance of `gap` bytes. */
function transposeInto<T>(to: usize, gap: usize, a: v128, b: v128, c: v128, d: v128): void {
  if (sizeof<T>() === 8) {
    v128.store(to, v128.shuffle<f64>(a, b, 0, 2));
    v128.store(to + gap, v128.shuffle<f64>(a, b, 1, 3));
  } else {
    const abLow = v128.shuffle<f32>(a, b, 0, 4, 1, 5);
    const abHigh = v128.shuffle<f32>(a, b, 2, 6, 3, 7);
    const cdLow = v128.shuffle<f32>(c, d, 0, 4, 1, 5);
    const cdHigh = v128.shuffle<f32>(c, d, 2, 6, 3, 7);
    v128.store(to, v128.shuffle<f64>(abLow, cdLow, 0, 2));
    v128.store(to + gap, v128.shuffle<f64>(abLow, cdLow, 1, 3));
    v128.store(to + 2 * gap, v128.shuffle<f64>(abHigh, cdHigh, 0, 2));
    v128.store(to + 3 * gap, v128.shuffle<f64>(abHigh, cdHigh, 1, 3));
  }
}

/** Half of every value of the rows, lane l from row first + 2 l, as the real (or imaginary) parts of a buffer. */
function gatherRows<T>(values: usize, first: usize, rows: usize, cols: usize, to: usize): void {
  const lanes: usize = 16 / sizeof<T>();
  const bytes = cols * sizeof<T>();
  const half = v128.splat<T>(0.5 as T);
  const a = rowAt(values, first, rows, bytes);
  const b = rowAt(values, first + 2, rows, bytes);
  const c = rowAt(values, first + 4, rows, bytes);
  const d = rowAt(values, first + 6, rows, bytes);
  let j: usize = 0;
  for (; j + lanes <= cols; j += lanes) {
    const at = j * sizeof<T>();
    const aHalf = v128.mul<T>(half, v128.load(a + at));
    const bHalf = v128.mul<T>(half, v128.load(b + at));
    if (sizeof<T>() === 8) transposeInto<T>(to + j * VECTOR, VECTOR, aHalf, bHalf, aHalf, bHalf);
    else {
      const cHalf = v128.mul<T>(half, v128.load(c + at));
      const dHalf = v128.mul<T>(half, v128.load(d + at));
      transposeInto<T>(to + j * VECTOR, VECTOR, aHalf, bHalf, cHalf, dHalf);
    }
  }
  for (; j < cols; j++) {
    for (let lane: usize = 0; lane < lanes; lane++) {
      const from = rowAt(values, first + 2 * lane, rows, bytes) + j * sizeof<T>();
      store<T>(to + j * VECTOR + lane * sizeof<T>(), (load<T>(from) * (0.5 as T)) as T);
    }
  }
}

/** Writes `lanes` columns of a buffer of vectors, `gap` bytes apart, at column `at` of the rows first + 2 l. */
function scatterBlock<T>(
  from: usize,
  gap: usize,
  plane: usize,
  first: usize,
  rows: usize,
  bytes: usize,
  at: usize,
): void {
  const a = v128.load(from);
  const b = v128.load(from + gap);
  if (sizeof<T>() === 8) {
    v128.store(rowAt(plane, first, rows, bytes) + at, v128.shuffle<f64>(a, b, 0, 2));
    v128.store(rowAt(plane, first + 2, rows, bytes) + at, v128.shuffle<f64>(a, b, 1, 3));
  } else {
    const c = v128.load(from + 2 * gap);
    const d = v128.load(from + 3 * gap);
    const abLow = v128.shuffle<f32>(a, b, 0, 4, 1, 5);
    const abHigh = v128.shuffle<f32>(a, b, 2, 6, 3, 7);
    const cdLow = v128.shuffle<f32>(c, d, 0, 4, 1, 5);
    const cdHigh = v128.shuffle<f32>(c, d, 2, 6, 3, 7);
    v128.store(rowAt(plane, first, rows, bytes) + at, v128.shuffle<f64>(abLow, cdLow, 0, 2));
    v128.store(rowAt(plane, first + 2, rows, bytes) + at, v128.shuffle<f64>(abLow, cdLow, 1, 3));
    v128.store(rowAt(plane, first + 4, rows, bytes) + at, v128.shuffle<f64>(abHigh, cdHigh, 0, 2));
    v128.store(rowAt(plane, first + 6, rows, bytes) + at, v128.shuffle<f64>(abHigh, cdHigh, 1, 3));
  }
}

/**
 * Parts the transform Z of a + i b, all halved, into A[k] = Z[k] + conj Z[n-k] and B[k] = (Z[k] - conj Z[n-k]) / i,
 * `lanes` columns at a time in COLUMNS (A re, A im, B re, B im), and writes them to the planes.
 */
function partRows<T>(
  z: usize,
  cols: usize,
  re: usize,
  im: usize,
  first: usize,
  rows: usize,
  stride: usize,
): void {
  const lanes: usize = 16 / sizeof<T>();
  const bytes = stride * sizeof<T>();
  const kept = cols / 2 + 1;
  const zero = v128.splat<T>(0 as T);
  for (let j: usize = 0; j < stride; j += lanes) {
    for (let lane: usize = 0; lane < lanes; lane++) {
      const k = j + lane;
      const to = COLUMNS + lane * 64;
      if (k >= kept) {
        v128.store(to, zero);
        v128.store(to, zero, 16);
        v128.store(to, zero, 32);
        v128.store(to, zero, 48);
        continue;
      }
      const here = z + k * VECTOR;
      const there = z + (k === 0 ? 0 : cols - k) * VECTOR;
      const zr = v128.load(here);
      const zi = v128.load(here, 16);
      const mr = v128.load(there);
      const mi = v128.load(there, 16);
      v128.store(to, v128.add<T>(zr, mr));
      v128.store(to, v128.sub<T>(zi, mi), 16);
      v128.store(to, v128.add<T>(zi, mi), 32);
      v128.store(to, v128.sub<T>(mr, zr), 48);
    }
    const at = j * sizeof<T>();
    scatterBlock<T>(COLUMNS, 64, re, first, rows, bytes, at);
    scatterBlock<T>(COLUMNS + 16, 64, im, first, rows, bytes, at);
    scatterBlock<T>(COLUMNS + 32, 64, re, first + 1, rows, bytes, at);
    scatterBlock<T>(COLUMNS + 48, 64, im, first + 1, rows, bytes, at);
  }
}

/** Rows forward: half spectra of all rows of `values` (rows x cols) into the planes. */
export function rowsForward<T>(
  plan: usize,
  values: usize,
  rows: usize,
  cols: usize,
  re: usize,
  im: usize,
  stride: usize,
): void {
  const input: usize = load<u32>(plan, INPUT);
  const output: usize = load<u32>(plan, OUTPUT);
  for (let first: usize = 0; first < rows; first += 32 / sizeof<T>()) {
    gatherRows<T>(values, first, rows, cols, input);
    gatherRows<T>(values, first + 1, rows, cols, input + 16);
    transform<T>(plan, input, 16, VECTOR, VECTOR, output, 16, VECTOR, VECTOR, 1);
    partRows<T>(output, cols, re, im, first, rows, stride);
  }
}

/** Reads one block of `lanes` columns of the rows first + 2 l of a plane into vectors 64 bytes apart. */
function gatherBlock<T>(plane: usize, first: usize, rows: usize, bytes: usize, at: usize, to: usize): void {
  const a = v128.load(rowAt(plane, first, rows, bytes) + at);
  const b = v128.load(rowAt(plane, first + 2, rows, bytes) + at);
  if (sizeof<T>() === 8) transposeInto<T>(to, 64, a, b, a, b);
  else {
    const c = v128.load(rowAt(plane, first + 4, rows, bytes) + at);
    const d = v128.load(rowAt(plane, first + 6, rows, bytes) + at);
    transposeInto<T>(to, 64, a, b, c, d);
  }
}

/** Joins two half spectra, scaled, into Z[k] = A[k] + i B[k], Z[n-k] = conj A[k] + i conj B[k]. */
function joinRows<T>(
  z: usize,
  cols: usize,
  re: usize,
  im: usize,
  first: usize,
  rows: usize,
  stride: usize,
  scale: v128,
): void {
  const lanes: usize = 16 / sizeof<T>();
  const bytes = stride * sizeof<T>();
  const kept = cols / 2 + 1;
  for (let j: usize = 0; j < kept; j += lanes) {
    const offset = j * sizeof<T>();
    gatherBlock<T>(re, first, rows, bytes, offset, COLUMNS);
    gatherBlock<T>(im, first, rows, bytes, offset, COLUMNS + 16);
    gatherBlock<T>(re, first + 1, rows, bytes, offset, COLUMNS + 32);
    gatherBlock<T>(im, first + 1, rows, bytes, offset, COLUMNS + 48);
    const end = kept - j < lanes ? kept - j : lanes;
    for (let lane: usize = 0; lane < end; lane++) {
      const k = j + lane;
      const from = COLUMNS + lane * 64;
      const ar = v128.mul<T>(scale, v128.load(from));
      const br = v128.mul<T>(scale, v128.load(from, 32));
      const here = z + k * VECTOR;
      // The imaginary parts of a real row's mean and highest even wave are none.
      if (k === 0 || k + k === cols) {
        v128.store(here, ar);
        v128.store(here, br, 16);
        continue;
      }
      const ai = v128.mul<T>(scale, v128.load(from, 16));
      const bi = v128.mul<T>(scale, v128.load(from, 48));
      const there = z + (cols - k) * VECTOR;
      v128.store(here, v128.sub<T>(ar, bi));
      v128.store(here, v128.add<T>(ai, br), 16);
      v128.store(there, v128.add<T>(ar, bi));
      v128.store(there, v128.sub<T>(br, ai), 16);
    }
  }
}

/** Writes the vectors of a buffer to the rows first + 2 l of `values`. */
function scatterRows<T>(from: usize, values: usize, first: usize, rows: usize, cols: usize): void {
  const lanes: usize = 16 / sizeof<T>();
  const bytes = cols * sizeof<T>();
  let j: usize = 0;
  for (; j + lanes <= cols; j += lanes) {
    scatterBlock<T>(from + j * VECTOR, VECTOR, values, first, rows, bytes, j * sizeof<T>());
  }
  for (; j < cols; j++) {
    for (let lane: usize = 0; lane < lanes; lane++) {
      const to = rowAt(values, first + 2 * lane, rows, bytes) + j * sizeof<T>();
      store<T>(to, load<T>(from + j * VECTOR + lane * sizeof<T>()));
    }
  }
}

/** Rows back: real rows of the half spectra in the planes, times `scale`. */
export function rowsBack<T>(
  plan: usize,
  values: usize,
  rows: usize,
  cols: usize,
  re: usize,
  im: usize,
  stride: usize,
  scale: T,
): void {
  const input: usize = load<u32>(plan, INPUT);
  const output: usize = load<u32>(plan, OUTPUT);
  const factor = v128.splat<T>(scale);
  for (let first: usize = 0; first < rows; first += 32 / sizeof<T>()) {
    joinRows<T>(input, cols, re, im, first, rows, stride, factor);
    transform<T>(plan, input + 16, -16, VECTOR, VECTOR, output + 16, -16, VECTOR, VECTOR, 1);
    scatterRows<T>(output, values, first, rows, cols);
    scatterRows<T>(output + 16, values, first + 1, rows, cols);
  }
}

/**
 * Transforms every column of the planes x into y (may be the same); real and imaginary planes exchanged go back. Blocks
 * of `WIDTH` vectors make whole cache lines of each row they touch.
 */
export function columns<T>(plan: usize, xRe: usize, xIm: usize, yRe: usize, yIm: usize, stride: usize): void {
  const step = stride * sizeof<T>();
  for (let at: usize = 0; at < step; at += 16 * WIDTH) {
    const left = (step - at) / 16;
    const width = left < WIDTH ? left : WIDTH;
    transform<T>(plan, xRe + at, xIm - xRe, step, 16, yRe + at, yIm - yRe, step, 16, width);
  }
}
