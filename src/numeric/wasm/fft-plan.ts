/**
 * Transforms of one length over vectors, each lane for itself, as laid out by a plan in memory: a row of 32-bit words
 * (the offsets below) that names the length, the buffers and, for each pass, its radix and its twiddles. Lengths with
 * other prime factors than 2, 3 and 5 go as a convolution with a chirp (L. Bluestein, 1970) through the plan of a
 * longer length. Buffers hold elements of up to `width` interleaved complex vectors of 32 bytes. Not re-entrant: a
 * plan's buffers are its own.
 */
import { storeTurns } from './elementary';
import { pass2, pass3, pass4, pass5 } from './fft-pass';

const LENGTH = 0;
const PASSES = 4;
/** Where a caller that has no planes of its own puts the input, and finds the output. */
export const INPUT = 8;
export const OUTPUT = 12;
const SPARE = 16;
const LONGER = 20;
const CHIRP = 24;
const SPECTRUM = 28;
const FIRST_PASS = 32;

/** Bytes of an interleaved complex vector. */
export const VECTOR: usize = 32;

/**
 * Transforms the elements at x into those at y by the plan; both may be the plan's own buffers, and both may be the
 * same. For gap, step, side and width see fft-pass.ts.
 */
export function transform<T>(
  plan: usize,
  x: usize,
  xGap: usize,
  xStep: usize,
  xSide: usize,
  y: usize,
  yGap: usize,
  yStep: usize,
  ySide: usize,
  width: usize,
): void {
  if (load<u32>(plan, LONGER) !== 0) {
    convolve<T>(plan, x, xGap, xStep, xSide, y, yGap, yStep, ySide, width);
    return;
  }
  const passes = load<u32>(plan, PASSES);
  if (passes === 0) {
    for (let w: usize = 0; w < width; w++) {
      const re = v128.load(x + w * xSide);
      const im = v128.load(x + w * xSide + xGap);
      v128.store(y + w * ySide, re);
      v128.store(y + w * ySide + yGap, im);
    }
    return;
  }
  let m: usize = load<u32>(plan, LENGTH);
  let from = x;
  let gap = xGap;
  let step = xStep;
  let side = xSide;
  let s: usize = 1;
  for (let pass: u32 = 0; pass < passes; pass++) {
    const radix: usize = load<u32>(plan + 8 * pass, FIRST_PASS);
    const twiddles: usize = load<u32>(plan + 8 * pass, FIRST_PASS + 4);
    const isLast = pass === passes - 1;
    // SPARE, INPUT, SPARE, ... by turns, so that an input in INPUT is read before it is overwritten.
    const buffer: usize = (pass & 1) === 0 ? load<u32>(plan, SPARE) : load<u32>(plan, INPUT);
    const to = isLast ? y : buffer;
    const toGap = isLast ? yGap : 16;
    const toStep = isLast ? yStep : VECTOR * width;
    const toSide = isLast ? ySide : VECTOR;
    m /= radix;
    if (step === side * width && toStep === toSide * width) {
      // Elements without space between them: the s of a group are one wide element.
      runPass<T>(radix, from, gap, step * s, side, to, toGap, toStep * s, toSide, m, 1, s * width, twiddles);
    } else {
      runPass<T>(radix, from, gap, step, side, to, toGap, toStep, toSide, m, s, width, twiddles);
    }
    from = to;
    gap = toGap;
    step = toStep;
    side = toSide;
    s *= radix;
  }
}

function runPass<T>(
  radix: usize,
  x: usize,
  xGap: usize,
  xStep: usize,
  xSide: usize,
  y: usize,
  yGap: usize,
  yStep: usize,
  ySide: usize,
  m: usize,
  s: usize,
  width: usize,
  twiddles: usize,
): void {
  if (radix === 4) {
    if (xGap === 16 && yGap === 16 && xSide === VECTOR && ySide === VECTOR)
      pass4<T, u8>(x, xGap, xStep, xSide, y, yGap, yStep, ySide, m, s, width, twiddles);
    else pass4<T, u16>(x, xGap, xStep, xSide, y, yGap, yStep, ySide, m, s, width, twiddles);
  } else if (radix === 2) pass2<T>(x, xGap, xStep, xSide, y, yGap, yStep, ySide, m, s, width, twiddles);
  else if (radix === 3) pass3<T>(x, xGap, xStep, xSide, y, yGap, yStep, ySide, m, s, width, twiddles);
  else pass5<T>(x, xGap, xStep, xSide, y, yGap, yStep, ySide, m, s, width, twiddles);
}

/** y[k] = c[k] sum x[j] c[j] conj(c[k - j]), c[j] = exp(-pi i j^2 / n), by two transforms of the longer plan. */
function convolve<T>(
  plan: usize,
  x: usize,
  xGap: usize,
  xStep: usize,
  xSide: usize,
  y: usize,
  yGap: usize,
  yStep: usize,
  ySide: usize,
  width: usize,
): void {
  const longer: usize = load<u32>(plan, LONGER);
  const n: usize = load<u32>(plan, LENGTH);
  const m: usize = load<u32>(longer, LENGTH);
  const input: usize = load<u32>(longer, INPUT);
  const output: usize = load<u32>(longer, OUTPUT);
  const chirp: usize = load<u32>(plan, CHIRP);
  const step = VECTOR * width;
  turnEach<T>(x, xGap, xStep, xSide, input, 16, step, VECTOR, width, chirp, n);
  memory.fill(input + n * step, 0, (m - n) * step);
  transform<T>(longer, input, 16, step, VECTOR, output, 16, step, VECTOR, width);
  turnEach<T>(output, 16, step, VECTOR, input, 16, step, VECTOR, width, load<u32>(plan, SPECTRUM), m);
  // Real and imaginary parts exchanged: back.
  transform<T>(longer, input + 16, -16, step, VECTOR, output + 16, -16, step, VECTOR, width);
  turnEach<T>(output, 16, step, VECTOR, y, yGap, yStep, ySide, width, chirp, n);
}

/** y[i] = x[i] (cos + i sin)[i]. */
function turnEach<T>(
  x: usize,
  xGap: usize,
  xStep: usize,
  xSide: usize,
  y: usize,
  yGap: usize,
  yStep: usize,
  ySide: usize,
  width: usize,
  turns: usize,
  count: usize,
): void {
  for (let i: usize = 0; i < count; i++) {
    const cos = v128.load_splat<T>(turns);
    const sin = v128.load_splat<T>(turns, sizeof<T>());
    for (let w: usize = 0; w < width; w++) {
      const from = x + w * xSide;
      const to = y + w * ySide;
      const re = v128.load(from);
      const im = v128.load(from + xGap);
      v128.store(to, v128.sub<T>(v128.mul<T>(re, cos), v128.mul<T>(im, sin)));
      v128.store(to + yGap, v128.add<T>(v128.mul<T>(re, sin), v128.mul<T>(im, cos)));
    }
    x += xStep;
    y += yStep;
    turns += 2 * sizeof<T>();
  }
}

/** Scratch for one turn: cosines, sines. */
const TURNS = memory.data(32, 16);

/** Stores exp(-2 pi i numerator / denominator): the cosine at one place, minus the sine at another. */
function storeTurn<T>(cosAt: usize, sinAt: usize, numerator: u64, denominator: u64): void {
  storeTurns(TURNS, f64x2.splat(((numerator % denominator) as f64) / (denominator as f64)));
  store<T>(cosAt, load<f64>(TURNS) as T);
  store<T>(sinAt, -load<f64>(TURNS, 16) as T);
}

/** Twiddles of a pass: for p = 1..m-1 and i = 1..radix-1 the turn p i / (radix m). */
export function fillTwiddles<T>(at: usize, radix: u32, m: u32): void {
  for (let p: u32 = 1; p < m; p++) {
    for (let i: u32 = 1; i < radix; i++) {
      storeTurn<T>(at, at + sizeof<T>(), (p as u64) * i, (radix as u64) * m);
      at += 2 * sizeof<T>();
    }
  }
}

/** Twiddles to combine `lanes` interleaved transforms of n: turns k lane / (lanes n); n cosines, n sines for a lane. */
export function fillCombination<T>(at: usize, lanes: u32, n: u32): void {
  const bytes = n * sizeof<T>();
  for (let lane: u32 = 1; lane < lanes; lane++) {
    for (let k: u32 = 0; k < n; k++) {
      storeTurn<T>(at, at + bytes, (k as u64) * lane, (lanes as u64) * n);
      at += sizeof<T>();
    }
    at += bytes;
  }
}

/** Fills the chirp of a plan and the spectrum of its conjugate, divided by the longer length. */
export function fillChirp<T>(plan: usize): void {
  const longer: usize = load<u32>(plan, LONGER);
  const n: usize = load<u32>(plan, LENGTH);
  const m: usize = load<u32>(longer, LENGTH);
  const input: usize = load<u32>(longer, INPUT);
  const output: usize = load<u32>(longer, OUTPUT);
  let chirp: usize = load<u32>(plan, CHIRP);
  memory.fill(input, 0, m * VECTOR);
  for (let j: usize = 0; j < n; j++) {
    storeTurn<T>(chirp, chirp + sizeof<T>(), (j as u64) * j, 2 * (n as u64));
    const re = v128.load_splat<T>(chirp);
    const im = v128.neg<T>(v128.load_splat<T>(chirp, sizeof<T>()));
    const mirror: usize = j === 0 ? j : m - j;
    v128.store(input + j * VECTOR, re);
    v128.store(input + j * VECTOR, im, 16);
    v128.store(input + mirror * VECTOR, re);
    v128.store(input + mirror * VECTOR, im, 16);
    chirp += 2 * sizeof<T>();
  }
  transform<T>(longer, input, 16, VECTOR, VECTOR, output, 16, VECTOR, VECTOR, 1);
  let spectrum: usize = load<u32>(plan, SPECTRUM);
  for (let k: usize = 0; k < m; k++) {
    store<T>(spectrum, (load<T>(output + k * VECTOR) / (m as T)) as T);
    store<T>(spectrum + sizeof<T>(), (load<T>(output + k * VECTOR, 16) / (m as T)) as T);
    spectrum += 2 * sizeof<T>();
  }
}
