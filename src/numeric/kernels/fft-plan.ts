/**
 * Plans of fast Fourier transforms: of a complex line of any length, and of a real grid. Lengths of prime factors 2, 3
 * and 5 go by mixed radix, others by Bluestein's convolution. X[k] = sum x[j] exp(-2 pi i j k / n) forward, times 1/n
 * back; a transform allocates nothing and takes O(n log n). In single precision the relative error of the whole is
 * about 1e-7 sqrt(log n), in double 1e-16 sqrt(log n). Values must be finite. Real and imaginary parts lie in planes of
 * their own. All arrays are of the plan's arena (RangeError otherwise), where the tables lie too. A plan transforms
 * one thing at a time.
 */
import type { Arena } from './arena.ts';

/** Single or double precision, by its typed array. */
export type Precision = 'float32' | 'float64';
type Values<P extends Precision> = P extends 'float32' ? Float32Array : Float64Array;

/** A plan for a complex line of `size` samples. */
export interface LineFft<P extends Precision> {
  readonly size: number;
  /** Transforms x into y, which may be the same planes. */
  forward(xRe: Values<P>, xIm: Values<P>, yRe: Values<P>, yIm: Values<P>): void;
  /** Undoes `forward`; x and y may be the same planes. */
  back(xRe: Values<P>, xIm: Values<P>, yRe: Values<P>, yIm: Values<P>): void;
}

/** A plan for real grids, row-major. */
export interface GridFft<P extends Precision> {
  readonly rows: number;
  readonly cols: number;
  /** Columns of the half spectrum, cols / 2 + 1; the others are conjugates: X[-k, -l] = conj X[k, l]. */
  readonly kept: number;
  /** Columns of its planes, `kept` rounded up to a multiple of 4; those beyond are zero after `forward`. */
  readonly stride: number;
  /** Planes of rows x stride from a grid of rows x cols, which is left as it is. */
  forward(values: Values<P>, re: Values<P>, im: Values<P>): void;
  /** The grid of a half spectrum, which is left as it is; imaginary parts that a real grid cannot have are ignored. */
  back(re: Values<P>, im: Values<P>, values: Values<P>): void;
}

/** Words of a plan in memory, as in src/numeric/wasm/fft-plan.ts; a pair per pass from `pass` on. */
const WORD = {
  length: 0,
  passes: 1,
  input: 2,
  output: 3,
  spare: 4,
  longer: 5,
  chirp: 6,
  spectrum: 7,
  pass: 8,
};
const PASSES_MAX = 32;
/** Complex vectors of all lanes take this many bytes in a plan's buffers. */
const VECTOR_BYTES = 32;
/** Spectra are padded to whole vectors of either precision. */
const STRIDE = 4;
/** Vectors of columns transformed together. */
const WIDTH = 4;

/** The kernels of one precision. */
function kernelsOf(arena: Arena, precision: Precision) {
  const { kernels } = arena;
  return precision === 'float32'
    ? {
        twiddles: kernels.twiddles32,
        combination: kernels.combination32,
        chirp: kernels.chirp32,
        interleaved: kernels.interleaved32,
        single: kernels.single32,
        rowsForward: kernels.rowsForward32,
        rowsBack: kernels.rowsBack32,
        columns: kernels.columns32,
        lanes: 4,
      }
    : {
        twiddles: kernels.twiddles64,
        combination: kernels.combination64,
        chirp: kernels.chirp64,
        interleaved: kernels.interleaved64,
        single: kernels.single64,
        rowsForward: kernels.rowsForward64,
        rowsBack: kernels.rowsBack64,
        columns: kernels.columns64,
        lanes: 2,
      };
}
type FftKernels = ReturnType<typeof kernelsOf>;

/** A region of `length` values. */
function valuesOf<P extends Precision>(arena: Arena, precision: P, length: number): Values<P> {
  return (precision === 'float32' ? arena.float32(length) : arena.float64(length)) as Values<P>;
}

/** Address of a new region of `length` values. */
function region(arena: Arena, precision: Precision, length: number): number {
  return valuesOf(arena, precision, length).byteOffset;
}

/** Lays out a plan of `n` in the arena; gives its address. */
function layOut(arena: Arena, kernels: FftKernels, precision: Precision, n: number, width: number): number {
  const words = arena.uint32(WORD.pass + 2 * PASSES_MAX);
  words[WORD.length] = n;
  const radices = radicesOf(n);
  if (radices === undefined) {
    const m = 2 ** Math.ceil(Math.log2(2 * n - 1));
    const longer = layOut(arena, kernels, precision, m, width);
    const input = arena.uint8(n * width * VECTOR_BYTES).byteOffset;
    words.set([input, input], WORD.input);
    words[WORD.longer] = longer;
    words[WORD.chirp] = region(arena, precision, 2 * n);
    words[WORD.spectrum] = region(arena, precision, 2 * m);
    kernels.chirp(words.byteOffset);
    return words.byteOffset;
  }
  const input = arena.uint8(n * width * VECTOR_BYTES).byteOffset;
  const spare = arena.uint8(n * width * VECTOR_BYTES).byteOffset;
  words[WORD.passes] = radices.length;
  words[WORD.input] = input;
  words[WORD.spare] = spare;
  // Passes write to the spare buffer and the input by turns; the last one where its turn is.
  words[WORD.output] = radices.length % 2 === 1 ? spare : input;
  let m = n;
  for (const [pass, radix] of radices.entries()) {
    m /= radix;
    const table = region(arena, precision, 2 * (radix - 1) * m);
    kernels.twiddles(table, radix, m);
    words.set([radix, table], WORD.pass + 2 * pass);
  }
  return words.byteOffset;
}

/** Radices whose product is n, the widest first; undefined when there are none. */
function radicesOf(n: number): number[] | undefined {
  const radices: number[] = [];
  let left = n;
  for (const radix of [4, 2, 3, 5]) {
    for (; left % radix === 0; left /= radix) radices.push(radix);
  }
  return left === 1 ? radices : undefined;
}

function checkLength(length: number): void {
  if (!(Number.isSafeInteger(length) && length >= 1)) throw new RangeError(`a transform of ${length}`);
}

/**
 * A plan for lines. RangeError for a size that is not a positive integer, or when the arena is full: about 20 values
 * of memory for each sample, and 80 where other prime factors occur.
 */
export function createLineFft<P extends Precision>(arena: Arena, precision: P, size: number): LineFft<P> {
  checkLength(size);
  const kernels = kernelsOf(arena, precision);
  const { lanes } = kernels;
  // Interleaved lines fill the lanes of a vector; a line too short or too odd for that goes alone.
  const isInterleaved = size % lanes === 0 && size >= lanes * lanes;
  const part = isInterleaved ? size / lanes : size;
  const plan = layOut(arena, kernels, precision, part, 1);
  const turns = region(arena, precision, isInterleaved ? 2 * size : 0);
  if (isInterleaved) kernels.combination(turns, part);
  const run = (x: number, xIm: number, y: number, yIm: number, scale: number) => {
    if (isInterleaved) kernels.interleaved(plan, size, x, xIm, y, yIm, turns, scale);
    else kernels.single(plan, size, x, xIm, y, yIm, scale);
  };
  const at = (array: Values<P>) => arena.addressOf(array, size);
  return {
    size,
    forward: (xRe, xIm, yRe, yIm) => run(at(xRe), at(xIm), at(yRe), at(yIm), 1),
    // With real and imaginary parts exchanged a transform runs backwards.
    back: (xRe, xIm, yRe, yIm) => run(at(xIm), at(xRe), at(yIm), at(yRe), 1 / size),
  };
}

/**
 * A plan for grids. RangeError for sides that are not positive integers, or when the arena is full: two planes of
 * rows x stride and 20 to 80 values for each row and column.
 */
export function createGridFft<P extends Precision>(
  arena: Arena,
  precision: P,
  rows: number,
  cols: number,
): GridFft<P> {
  checkLength(rows);
  checkLength(cols);
  const kernels = kernelsOf(arena, precision);
  const down = layOut(arena, kernels, precision, rows, WIDTH);
  const along = rows === cols ? down : layOut(arena, kernels, precision, cols, 1);
  const kept = Math.floor(cols / 2) + 1;
  const stride = Math.ceil(kept / STRIDE) * STRIDE;
  const planeRe = region(arena, precision, rows * stride);
  const planeIm = region(arena, precision, rows * stride);
  const grid = (array: Values<P>) => arena.addressOf(array, rows * cols);
  const plane = (array: Values<P>) => arena.addressOf(array, rows * stride);
  return {
    rows,
    cols,
    kept,
    stride,
    forward(values, re, im) {
      const [toRe, toIm] = [plane(re), plane(im)];
      kernels.rowsForward(along, grid(values), rows, cols, toRe, toIm, stride);
      kernels.columns(down, toRe, toIm, toRe, toIm, stride);
    },
    back(re, im, values) {
      kernels.columns(down, plane(im), plane(re), planeIm, planeRe, stride);
      kernels.rowsBack(along, grid(values), rows, cols, planeRe, planeIm, stride, 1 / (rows * cols));
    },
  };
}
