/**
 * Exponential and logarithm for whole arrays: with tables of 128 and 1,024 places the polynomials are short, which makes
 * them quicker than those of elementary.ts, from which the tables are filled when an instance starts. Errors stay below 3
 * units in the last place. No value may be NaN.
 *
 * Each comes in two halves for two loops over a block: more of the halves are under way at a time than of the whole,
 * whose chain of operations is longer than what a processor looks ahead.
 */
import { expOf, logOf } from './elementary';

const PLACES: i32 = 128;
/** 2^(j / 128). */
const POWERS = memory.data(1024, 16);
const LOG_PLACES: i32 = 1024;
/** Pairs of 1 / c and ln c, c in the middle of each place of a mantissa. */
const INVERSES = memory.data(16384, 16);

/** Coefficients of 2^(f / 128), from f^5 down to f, then 1.5 * 2^52 and the least exponent, -1021 * 128. */
const EXP = memory.data<f64>([
  3.880576156786539e-14, 3.583032305400251e-11, 2.646642144433097e-8, 1.4662262387640425e-5,
  0.0054152123481245725, 6755399441055744, -130688,
]);
/** ln 2, 2^52 + 1023, -1/4, 1/3, -1/2. */
const LOG = memory.data<f64>([Math.LN2, 4503599627371519, -0.25, 0.3333333333333333, -0.5]);
/** Bits of 1 less 596.5 places, where mantissas begin: 1 lies in the middle of place 596, whose c is 1. */
const START: i64 = 0x3fe6ae0000000000;
/**
 * Bits: from there to the exponent of 1, there, there and half a place, masks of a mantissa, of its place and of a power's
 * exponent, 2^52, mask of a place times 16.
 */
const BITS = memory.data<i64>([
  0x0009520000000000, 0x3fe6ae0000000000, 0x3fe6b00000000000, 0x000fffffffffffff, 0x000ffc0000000000,
  0xfff0000000000000, 0x4330000000000000, 0x3ff0,
]);

for (let j = 0; j < PLACES; j++) {
  const distance = f64x2.splat(((j - PLACES) as f64) * 0.00541521234812457);
  store<f64>(POWERS + j * 8, 2 * f64x2.extract_lane(expOf(distance), 0));
}
for (let j = 0; j < LOG_PLACES; j++) {
  const center = reinterpret<f64>(START + (((2 * j + 1) as i64) << 41));
  store<f64>(INVERSES + j * 16, 1 / center);
  store<f64>(INVERSES + j * 16, f64x2.extract_lane(logOf(f64x2.splat(center)), 0), 8);
}

function constant(table: usize, index: usize): v128 {
  return v128.load64_splat(table + 8 * index);
}

function times(a: v128, b: v128): v128 {
  return f64x2.mul(a, b);
}

function plus(a: v128, b: v128): v128 {
  return f64x2.add(a, b);
}

function minus(a: v128, b: v128): v128 {
  return f64x2.sub(a, b);
}

/** Steps of an exponent: e^x is 2^(t / 128) of t = x times this. */
export const STEPS: f64 = 184.6649652337873;

/**
 * The first half of an exponential: parts 2^(t / 128), t <= 0, into power * 2^(f / 128), |f| <= 1/2. Stores f, and 16
 * bytes on the power, exactly 0 below t = -1021 * 128, near the end of the normal range, and for -Infinity.
 */
export function storePower(at: usize, t: v128): void {
  const magic = constant(EXP, 5);
  // Rounds, and leaves the integer in the low bits.
  const shifted = plus(t, magic);
  const isNormal = f64x2.ge(t, constant(EXP, 6));
  v128.store(at, v128.and(minus(t, minus(shifted, magic)), isNormal));
  const first: usize = (i64x2.extract_lane(shifted, 0) as usize) & 127;
  const second: usize = (i64x2.extract_lane(shifted, 1) as usize) & 127;
  const power = v128.load64_lane(POWERS + second * 8, v128.load64_zero(POWERS + first * 8), 1);
  const scaled = i64x2.add(power, v128.and(i64x2.shl(shifted, 45), constant(BITS, 5)));
  v128.store(at, v128.and(scaled, isNormal), 16);
}

/** The exponential of its parts. */
export function joinPower(at: usize): v128 {
  const f = v128.load(at);
  const scale = v128.load(at, 16);
  const f2 = times(f, f);
  const high = plus(constant(EXP, 1), times(f, constant(EXP, 0)));
  const low = plus(constant(EXP, 3), times(f, constant(EXP, 2)));
  const rise = plus(times(f, constant(EXP, 4)), times(f2, plus(low, times(f2, high))));
  return plus(scale, times(scale, rise));
}

/**
 * The first half of a logarithm: x = c (1 + r), |r| < 1/2,500, x normal and over 0. Stores r, and 16 bytes on ln c
 * (k ln 2 + that of the table); of 0 and subnormal x finite values without meaning.
 */
export function storeParts(at: usize, x: v128): void {
  const bits = i64x2.add(x, constant(BITS, 0));
  const place = v128.and(i64x2.shr_u(bits, 38), constant(BITS, 7));
  const a = v128.load(INVERSES + (i32x4.extract_lane(place, 0) as usize));
  const b = v128.load(INVERSES + (i32x4.extract_lane(place, 2) as usize));
  const m = i64x2.add(v128.and(bits, constant(BITS, 3)), constant(BITS, 1));
  // The difference of near numbers is exact.
  const c = i64x2.add(v128.and(bits, constant(BITS, 4)), constant(BITS, 2));
  v128.store(at, times(minus(m, c), v128.shuffle<f64>(a, b, 0, 2)));
  // The exponent as a double: set as the low bits of 2^52.
  const k = minus(v128.or(i64x2.shr_u(bits, 52), constant(BITS, 6)), constant(LOG, 1));
  v128.store(at, plus(times(k, constant(LOG, 0)), v128.shuffle<f64>(a, b, 1, 3)), 16);
}

/** ln x from its parts: r^5 / 5 is below 3e-18. */
export function joinParts(at: usize): v128 {
  const r = v128.load(at);
  const r2 = times(r, r);
  const curve = plus(plus(constant(LOG, 4), times(r, constant(LOG, 3))), times(r2, constant(LOG, 2)));
  return plus(v128.load(at, 16), plus(r, times(r2, curve)));
}
