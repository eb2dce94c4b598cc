/**
 * Compensated sums over arrays of doubles, by the exact rounding error of an addition (two-sum of D. Knuth, "The Art of
 * Computer Programming", vol. 2, 4.2.2). Terms of one sign are first added plainly in blocks of 64, which costs at
 * most 32 roundings whatever the length. The order of a sum depends on nothing but the length. Values must be finite.
 */
import { joinParts, joinPower, STEPS, storeParts, storePower } from './tables';

/** Terms of a block. */
const BLOCK: i32 = 64;
/** Running sums of the functions below: pairs of a sum and its correction. */
const SUMS = memory.data(32, 16);
/** Of each two values of a block: p and the parts of its logarithm, or the parts of an exponential. */
const PARTS = memory.data(1536, 16);

/** Error of sum = a + b. */
function lost(a: v128, b: v128, sum: v128): v128 {
  const taken = f64x2.sub(sum, a);
  return f64x2.add(f64x2.sub(a, f64x2.sub(sum, taken)), f64x2.sub(b, taken));
}

/** Joins the lanes of sums and corrections. */
function total(sum: v128, low: v128): f64 {
  const a = f64x2.extract_lane(sum, 0);
  const b = f64x2.extract_lane(sum, 1);
  const both = a + b;
  const taken = both - a;
  const error = a - (both - taken) + (b - taken);
  return both + (error + (f64x2.extract_lane(low, 0) + f64x2.extract_lane(low, 1)));
}

/** Empties running sum 0 or 1. */
function clear(which: i32): void {
  store<f64>(SUMS + which * 16, 0);
  store<f64>(SUMS + which * 16, 0, 8);
}

/** Adds both lanes to a running sum. */
function addBlock(which: i32, block: v128): void {
  const at = SUMS + which * 16;
  const value = f64x2.extract_lane(block, 0) + f64x2.extract_lane(block, 1);
  const sum = load<f64>(at);
  const next = sum + value;
  const taken = next - sum;
  store<f64>(at, next);
  store<f64>(at, load<f64>(at, 8) + (sum - (next - taken) + (value - taken)), 8);
}

function running(which: i32): f64 {
  return load<f64>(SUMS + which * 16) + load<f64>(SUMS + which * 16, 8);
}

/** Two values; at the end of an odd count the last one and `other`. */
function pair(values: usize, i: i32, count: i32, other: f64): v128 {
  if (i + 1 < count) return v128.load(values + i * 8);
  return f64x2.replace_lane(f64x2.splat(other), 0, load<f64>(values + i * 8));
}

/** Stores two values, or the first alone at the end of an odd count. */
function put(values: usize, i: i32, count: i32, value: v128): void {
  if (i + 1 < count) v128.store(values + i * 8, value);
  else v128.store64_lane(values + i * 8, value, 0);
}

function endOf(start: i32, count: i32): i32 {
  return min(start + BLOCK, count);
}

/** Sum of the values, of either sign: every addition is compensated, in eight lanes. */
export function sum(values: usize, count: i32): f64 {
  let a = f64x2.splat(0);
  let b = a;
  let c = a;
  let d = a;
  let low = a;
  let more = a;
  let i = 0;
  for (; i + 7 < count; i += 8) {
    const at = values + i * 8;
    const va = v128.load(at);
    const vb = v128.load(at, 16);
    const vc = v128.load(at, 32);
    const vd = v128.load(at, 48);
    const na = f64x2.add(a, va);
    const nb = f64x2.add(b, vb);
    const nc = f64x2.add(c, vc);
    const nd = f64x2.add(d, vd);
    low = f64x2.add(low, f64x2.add(lost(a, va, na), lost(b, vb, nb)));
    more = f64x2.add(more, f64x2.add(lost(c, vc, nc), lost(d, vd, nd)));
    a = na;
    b = nb;
    c = nc;
    d = nd;
  }
  for (; i < count; i += 2) {
    const v = pair(values, i, count, 0);
    const next = f64x2.add(a, v);
    low = f64x2.add(low, lost(a, v, next));
    a = next;
  }
  const ab = f64x2.add(a, b);
  const cd = f64x2.add(c, d);
  const all = f64x2.add(ab, cd);
  const errors = f64x2.add(f64x2.add(lost(a, b, ab), lost(c, d, cd)), lost(ab, cd, all));
  return total(all, f64x2.add(f64x2.add(low, more), errors));
}

/** Sum of the positive values, sum of the negative ones, least and greatest, to `out`; for count 0: 0, 0, +-Infinity. */
export function moments(values: usize, count: i32, out: usize): void {
  const zero = f64x2.splat(0);
  let least = f64x2.splat(Infinity);
  let most = f64x2.splat(-Infinity);
  clear(0);
  clear(1);
  for (let start = 0; start < count; start += BLOCK) {
    const end = endOf(start, count);
    let positive = zero;
    let negative = zero;
    for (let i = start; i < end; i += 2) {
      const v = pair(values, i, count, load<f64>(values + i * 8));
      least = f64x2.pmin(least, v);
      most = f64x2.pmax(most, v);
      const counted = i + 1 < count ? v : pair(values, i, count, 0);
      positive = f64x2.add(positive, f64x2.pmax(zero, counted));
      negative = f64x2.add(negative, f64x2.pmin(zero, counted));
    }
    addBlock(0, positive);
    addBlock(1, negative);
  }
  store<f64>(out, running(0));
  store<f64>(out, running(1), 8);
  store<f64>(out, min(f64x2.extract_lane(least, 0), f64x2.extract_lane(least, 1)), 16);
  store<f64>(out, max(f64x2.extract_lane(most, 0), f64x2.extract_lane(most, 1)), 24);
}

/** Sum of (value - center)^2. */
export function squares(values: usize, count: i32, center: f64): f64 {
  const middle = f64x2.splat(center);
  clear(0);
  for (let start = 0; start < count; start += BLOCK) {
    const end = endOf(start, count);
    let block = f64x2.splat(0);
    for (let i = start; i < end; i += 2) {
      const deviation = f64x2.sub(pair(values, i, count, center), middle);
      block = f64x2.add(block, f64x2.mul(deviation, deviation));
    }
    addBlock(0, block);
  }
  return running(0);
}

/** -sum p ln p and sum p (ln p)^2 of p = |value| / whole, to `out`. Terms of a vanishing p are 0. */
export function entropies(values: usize, count: i32, whole: f64, out: usize): void {
  const share = f64x2.splat(1 / whole);
  clear(0);
  clear(1);
  for (let start = 0; start < count; start += BLOCK) {
    const end = endOf(start, count);
    let first = f64x2.splat(0);
    let second = first;
    let at = PARTS;
    let i = start;
    for (; i + 1 < end; i += 2) {
      const p = f64x2.mul(f64x2.abs(v128.load(values + i * 8)), share);
      v128.store(at, p);
      storeParts(at + 16, p);
      at += 48;
    }
    if (i < end) {
      const p = f64x2.mul(f64x2.abs(v128.load64_zero(values + i * 8)), share);
      v128.store(at, p);
      storeParts(at + 16, p);
      at += 48;
    }
    for (let part = PARTS; part < at; part += 48) {
      const log = joinParts(part + 16);
      const term = f64x2.mul(v128.load(part), log);
      first = f64x2.sub(first, term);
      second = f64x2.add(second, f64x2.mul(term, log));
    }
    addBlock(0, first);
    addBlock(1, second);
  }
  store<f64>(out, running(0));
  store<f64>(out, running(1), 8);
}

/** Writes e^(scale (value - top)) to `out` and gives the sum; `scale` (value - top) is at most 0. Below e^-707: 0. */
export function exponentials(values: usize, count: i32, top: f64, scale: f64, out: usize): f64 {
  const zero = f64x2.splat(top);
  const factor = f64x2.splat(scale * STEPS);
  clear(0);
  for (let start = 0; start < count; start += BLOCK) {
    const end = endOf(start, count);
    let at = PARTS;
    for (let i = start; i < end; i += 2) {
      // What stands beyond an odd end is lost in the infinite distance.
      const v = pair(values, i, count, scale < 0 ? Infinity : -Infinity);
      storePower(at, f64x2.mul(f64x2.sub(v, zero), factor));
      at += 32;
    }
    let block = f64x2.splat(0);
    at = PARTS;
    for (let i = start; i < end; i += 2) {
      const weight = joinPower(at);
      put(out, i, count, weight);
      block = f64x2.add(block, weight);
      at += 32;
    }
    addBlock(0, block);
  }
  return running(0);
}

/** Multiplies the weights by `share` in place and gives the sum of w x, x = scale (energy - least) >= 0. */
export function normalize(
  energies: usize,
  count: i32,
  least: f64,
  scale: f64,
  share: f64,
  weights: usize,
): f64 {
  const bottom = f64x2.splat(least);
  const factor = f64x2.splat(scale);
  const shares = f64x2.splat(share);
  const zero = f64x2.splat(0);
  clear(0);
  for (let start = 0; start < count; start += BLOCK) {
    const end = endOf(start, count);
    let block = zero;
    for (let i = start; i < end; i += 2) {
      const weight = f64x2.mul(shares, pair(weights, i, count, 0));
      put(weights, i, count, weight);
      // A vanished weight may go with an infinite x; their product tends to 0.
      const x = f64x2.mul(factor, f64x2.sub(pair(energies, i, count, least), bottom));
      block = f64x2.add(block, v128.and(f64x2.mul(weight, x), f64x2.gt(weight, zero)));
    }
    addBlock(0, block);
  }
  return running(0);
}

/** Sum of w (x - mean)^2 over normalized weights. */
export function spread(energies: usize, count: i32, least: f64, scale: f64, mean: f64, weights: usize): f64 {
  const bottom = f64x2.splat(least);
  const factor = f64x2.splat(scale);
  const middle = f64x2.splat(mean);
  const zero = f64x2.splat(0);
  clear(0);
  for (let start = 0; start < count; start += BLOCK) {
    const end = endOf(start, count);
    let block = zero;
    for (let i = start; i < end; i += 2) {
      const weight = pair(weights, i, count, 0);
      const x = f64x2.mul(factor, f64x2.sub(pair(energies, i, count, least), bottom));
      const deviation = f64x2.sub(x, middle);
      const square = f64x2.mul(f64x2.mul(weight, deviation), deviation);
      block = f64x2.add(block, v128.and(square, f64x2.gt(weight, zero)));
    }
    addBlock(0, block);
  }
  return running(0);
}

/** Multiplies the values by one number in place. */
export function multiply(values: usize, count: i32, by: f64): void {
  const factor = f64x2.splat(by);
  let i = 0;
  for (; i + 3 < count; i += 4) {
    v128.store(values + i * 8, f64x2.mul(factor, v128.load(values + i * 8)));
    v128.store(values + i * 8, f64x2.mul(factor, v128.load(values + i * 8, 16)), 16);
  }
  for (; i < count; i++) store<f64>(values + i * 8, load<f64>(values + i * 8) * by);
}

/** Least value, Infinity of none. */
export function least(values: usize, count: i32): f64 {
  let a = f64x2.splat(Infinity);
  let b = a;
  let i = 0;
  for (; i + 3 < count; i += 4) {
    a = f64x2.pmin(a, v128.load(values + i * 8));
    b = f64x2.pmin(b, v128.load(values + i * 8, 16));
  }
  a = f64x2.pmin(a, b);
  for (; i < count; i++) a = f64x2.pmin(a, v128.load64_splat(values + i * 8));
  return min(f64x2.extract_lane(a, 0), f64x2.extract_lane(a, 1));
}
