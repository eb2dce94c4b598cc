/**
 * Normal numbers by Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011) and the
 * transform of G. Box and M. Muller, 1958. Block b of (sample, step) is the counter (b, step, sample, 1) under the
 * key (low, high) of the seed; its words w0..w3 give u1 = (53 bits of w0, w1, plus 1) / 2^53 in (0, 1] and u2 = 53 bits
 * of w2, w3 / 2^53, and values 2b and 2b + 1 are r cos 2 pi u2 and r sin 2 pi u2, r = sqrt(-2 ln u1).
 */
import { logOf, storeTurns } from './elementary';

/** Values of one turn of the loops below: half as many blocks of Philox, two values each. */
const TURN: i32 = 64;
/** First and second uniform number of each block, the first then made the radius; the values. */
const FIRST = memory.data(256, 16);
const SECOND = memory.data(256, 16);
const VALUES = memory.data(512, 16);

/** 53 bits of two words as a double, (a >> 5) 2^26 + (b >> 6), in the low two lanes. */
function wide(a: v128, b: v128): v128 {
  const high = f64x2.convert_low_i32x4_u(i32x4.shr_u(a, 5));
  return f64x2.add(f64x2.mul(high, f64x2.splat(67108864)), f64x2.convert_low_i32x4_u(i32x4.shr_u(b, 6)));
}

function upper(a: v128): v128 {
  return v128.shuffle<i64>(a, a, 1, 1);
}

/** Stores the uniform numbers of four blocks from `block` on, `at` bytes into the tables. */
function storeUniforms(low: i32, high: i32, sample: i32, step: i32, block: i32, at: usize): void {
  const m0 = i32x4.splat(0xd2511f53);
  const m1 = i32x4.splat(0xcd9e8d57);
  let c0 = i32x4.add(i32x4.splat(block), i32x4(0, 1, 2, 3));
  let c1 = i32x4.splat(step);
  let c2 = i32x4.splat(sample);
  let c3 = i32x4.splat(1);
  let k0 = low;
  let k1 = high;
  for (let round = 0; round < 10; round++) {
    const a = i64x2.extmul_low_i32x4_u(m0, c0);
    const b = i64x2.extmul_high_i32x4_u(m0, c0);
    const c = i64x2.extmul_low_i32x4_u(m1, c2);
    const d = i64x2.extmul_high_i32x4_u(m1, c2);
    c0 = v128.xor(v128.xor(v128.shuffle<i32>(c, d, 1, 3, 5, 7), c1), i32x4.splat(k0));
    c1 = v128.shuffle<i32>(c, d, 0, 2, 4, 6);
    c2 = v128.xor(v128.xor(v128.shuffle<i32>(a, b, 1, 3, 5, 7), c3), i32x4.splat(k1));
    c3 = v128.shuffle<i32>(a, b, 0, 2, 4, 6);
    k0 += 0x9e3779b9;
    k1 += 0xbb67ae85;
  }
  const unit = f64x2.splat(1.1102230246251565e-16);
  const one = f64x2.splat(1);
  v128.store(FIRST + at, f64x2.mul(f64x2.add(wide(c0, c1), one), unit));
  v128.store(FIRST + at, f64x2.mul(f64x2.add(wide(upper(c0), upper(c1)), one), unit), 16);
  v128.store(SECOND + at, f64x2.mul(wide(c2, c3), unit));
  v128.store(SECOND + at, f64x2.mul(wide(upper(c2), upper(c3)), unit), 16);
}

/**
 * Fills VALUES from value `start` on. One loop for each stage: of a short one more rounds are under way at a time than
 * of the whole.
 */
function fillValues(low: i32, high: i32, sample: i32, step: i32, start: i32): void {
  for (let at = 0; at < 4 * TURN; at += 32) storeUniforms(low, high, sample, step, start / 2 + at / 8, at);
  const factor = f64x2.splat(-2);
  for (let at = 0; at < 4 * TURN; at += 16) {
    v128.store(FIRST + at, f64x2.sqrt(f64x2.mul(factor, logOf(v128.load(FIRST + at)))));
  }
  for (let at = 0; at < 4 * TURN; at += 16) {
    const to = VALUES + 2 * at;
    storeTurns(to, v128.load(SECOND + at));
    const radius = v128.load(FIRST + at);
    const x = f64x2.mul(radius, v128.load(to));
    const y = f64x2.mul(radius, v128.load(to, 16));
    v128.store(to, v128.shuffle<f64>(x, y, 0, 2));
    v128.store(to, v128.shuffle<f64>(x, y, 1, 3), 16);
  }
}

/** Writes `count` doubles, or singles rounded from them. */
function fillNormals<T>(low: i32, high: i32, sample: i32, step: i32, count: i32, out: usize): void {
  for (let start = 0; start < count; start += TURN) {
    fillValues(low, high, sample, step, start);
    const to = out + start * sizeof<T>();
    const end = min(TURN, count - start);
    if (sizeof<T>() === 8) memory.copy(to, VALUES, end * 8);
    else for (let i = 0; i < end; i++) store<T>(to + i * sizeof<T>(), load<f64>(VALUES + i * 8) as T);
  }
}

export function normals32(low: i32, high: i32, sample: i32, step: i32, count: i32, out: usize): void {
  fillNormals<f32>(low, high, sample, step, count, out);
}
export function normals64(low: i32, high: i32, sample: i32, step: i32, count: i32, out: usize): void {
  fillNormals<f64>(low, high, sample, step, count, out);
}
