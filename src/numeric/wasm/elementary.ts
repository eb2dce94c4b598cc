/**
 * Exponential, logarithm, cosine and sine of two doubles at a time, by basic operations only, so that every host gives
 * the same bits. No value may be NaN. Logarithm, cosine and sine are those of FreeBSD's msun (e_log.c, k_cos.c,
 * k_sin.c) without their branches, errors below 1 unit in the last place. The exponential is 2^k e^r, e^r = 1 + r +
 * r^2 q(r), q the polynomial of degree 9 that agrees with (e^r - 1 - r) / r^2 at the Chebyshev nodes of |r| <= ln 2 / 2
 * (relative error of the approximation 2e-17); errors below 2 units.
 *
 * Constants are loaded from memory: a literal vector would be put together anew each time.
 */

/** 1 / ln 2, ln 2 in two parts, 1.5 * 2^52, 1, q from the highest power down, -708. */
const EXP = memory.data<f64>([
  Math.LOG2E,
  0.6931471803691238,
  1.9082149292705877e-10,
  6755399441055744,
  1,
  2.5100375832561234e-8,
  2.7620075879983367e-7,
  2.7557268480310024e-6,
  2.4801521322368692e-5,
  0.00019841269863040545,
  0.0013888888917196719,
  0.008333333333330065,
  0.041666666666624164,
  0.16666666666666669,
  0.5000000000000001,
  -708,
]);
/** Seven coefficients, ln 2 in two parts, 2^52 + 1023, 1, 2, 1/2. */
const LOG = memory.data<f64>([
  0.6666666666666735, 0.3999999999940942, 0.2857142874366239, 0.22222198432149784, 0.1818357216161805,
  0.15313837699209373, 0.14798198605116586, 0.6931471803691238, 1.9082149292705877e-10, 4503599627371519, 1,
  2, 0.5,
]);
/** Bits: offset that puts sqrt(1/2) at the lower end of an exponent, that of a mantissa, mantissa mask, 2^52. */
const BITS = memory.data<i64>([
  0x00095f6200000000, 0x3fe6a09e00000000, 0x000fffffffffffff, 0x4330000000000000,
]);
/** 2 pi, six coefficients of the sine, six of the cosine, then 4, 1/4, 1/2, 1, 2, 3, -0. */
const TURN = memory.data<f64>([
  6.283185307179586, -0.16666666666666632, 0.00833333333332249, -0.0001984126982985795, 2.7557313707070068e-6,
  -2.5050760253406863e-8, 1.58969099521155e-10, 0.0416666666666666, -0.001388888888887411,
  2.480158728947673e-5, -2.7557314351390663e-7, 2.087572321298175e-9, -1.1359647557788195e-11, 4, 0.25, 0.5,
  1, 2, 3, -0.0,
]);

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

/** e^x for x <= 0; exactly 0 below -708, where the result would leave the normal range, and for -Infinity. */
export function expOf(x: v128): v128 {
  const magic = constant(EXP, 3);
  // Adding 1.5 * 2^52 rounds, and leaves the integer in the low bits.
  const shifted = plus(times(x, constant(EXP, 0)), magic);
  const k = minus(shifted, magic);
  const r = minus(minus(x, times(k, constant(EXP, 1))), times(k, constant(EXP, 2)));
  const r2 = times(r, r);
  const r4 = times(r2, r2);
  const high = plus(constant(EXP, 6), times(r, constant(EXP, 5)));
  const upper = plus(plus(constant(EXP, 8), times(r, constant(EXP, 7))), times(r2, high));
  const middle = plus(constant(EXP, 10), times(r, constant(EXP, 9)));
  const center = plus(plus(constant(EXP, 12), times(r, constant(EXP, 11))), times(r2, middle));
  const lower = plus(constant(EXP, 14), times(r, constant(EXP, 13)));
  const q = plus(plus(lower, times(r2, center)), times(r4, times(r2, upper)));
  const y = plus(constant(EXP, 4), plus(r, times(r2, q)));
  const result = i64x2.add(y, i64x2.shl(shifted, 52));
  return v128.and(result, f64x2.ge(x, constant(EXP, 15)));
}

/** ln x for normal x > 0; finite but meaningless for 0 and subnormal x. */
export function logOf(x: v128): v128 {
  const bits = i64x2.add(x, constant(BITS, 0));
  const m = i64x2.add(v128.and(bits, constant(BITS, 2)), constant(BITS, 1));
  // The exponent as a double: set as the low bits of 2^52.
  const k = minus(v128.or(i64x2.shr_u(bits, 52), constant(BITS, 3)), constant(LOG, 9));
  const f = minus(m, constant(LOG, 10));
  const s = f64x2.div(f, plus(constant(LOG, 11), f));
  const z = times(s, s);
  const w = times(z, z);
  const even = times(w, plus(constant(LOG, 1), times(w, plus(constant(LOG, 3), times(w, constant(LOG, 5))))));
  let odd = plus(constant(LOG, 4), times(w, constant(LOG, 6)));
  odd = plus(constant(LOG, 2), times(w, odd));
  odd = times(z, plus(constant(LOG, 0), times(w, odd)));
  const half = times(constant(LOG, 12), times(f, f));
  const tail = plus(times(s, plus(half, plus(odd, even))), times(k, constant(LOG, 8)));
  return plus(plus(minus(tail, half), f), times(k, constant(LOG, 7)));
}

/** Stores cos 2 pi u, and 16 bytes on sin 2 pi u, for u in [0, 1]. */
export function storeTurns(at: usize, u: v128): void {
  const quarter = f64x2.nearest(times(u, constant(TURN, 13)));
  // The angle left is at most pi / 4 in size; the difference is exact.
  const x = times(minus(u, times(quarter, constant(TURN, 14))), constant(TURN, 0));
  const z = times(x, x);
  let r = plus(constant(TURN, 5), times(z, constant(TURN, 6)));
  r = plus(constant(TURN, 4), times(z, r));
  r = plus(constant(TURN, 3), times(z, r));
  r = plus(constant(TURN, 2), times(z, r));
  r = plus(constant(TURN, 1), times(z, r));
  const sin = plus(x, times(times(z, x), r));
  r = plus(constant(TURN, 11), times(z, constant(TURN, 12)));
  r = plus(constant(TURN, 10), times(z, r));
  r = plus(constant(TURN, 9), times(z, r));
  r = plus(constant(TURN, 8), times(z, r));
  r = times(z, plus(constant(TURN, 7), times(z, r)));
  const half = times(constant(TURN, 15), z);
  const w = minus(constant(TURN, 16), half);
  // 1 - z/2 with the rounding error of the subtraction put back.
  const cos = plus(w, plus(minus(minus(constant(TURN, 16), w), half), times(z, r)));
  const first = f64x2.eq(quarter, constant(TURN, 16));
  const second = f64x2.eq(quarter, constant(TURN, 17));
  const third = f64x2.eq(quarter, constant(TURN, 18));
  const sign = constant(TURN, 19);
  const isSwapped = v128.or(first, third);
  const cosSign = v128.and(v128.or(first, second), sign);
  const sinSign = v128.and(v128.or(second, third), sign);
  v128.store(at, v128.xor(v128.bitselect(sin, cos, isSwapped), cosSign));
  v128.store(at, v128.xor(v128.bitselect(cos, sin, isSwapped), sinSign), 16);
}
