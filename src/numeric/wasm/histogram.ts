/** Counts of values in equal bins. */

/**
 * Adds to `bins` counters of 32 bits how many values lie in each of as many equal bins over [lower, upper], upper over
 * lower; what lies outside counts in the first or the last. `scratch` holds 4 x bins counters.
 */
export function histogram(
  values: usize,
  count: i32,
  lower: f64,
  upper: f64,
  bins: i32,
  counts: usize,
  scratch: usize,
): void {
  const half = f64x2.splat(0.5);
  const bottom = f64x2.splat(lower / 2);
  // Halves first: the span of finite edges may itself overflow.
  const scale = f64x2.splat((bins as f64) / (upper / 2 - lower / 2));
  const last = i32x4.splat(bins - 1);
  // Four sets of counters, since a counter incremented twice in a row waits for itself.
  const size = bins * 4;
  memory.fill(scratch, 0, 4 * size);
  let i = 0;
  for (; i + 3 < count; i += 4) {
    const near = f64x2.sub(f64x2.mul(half, v128.load(values + i * 8)), bottom);
    const far = f64x2.sub(f64x2.mul(half, v128.load(values + i * 8, 16)), bottom);
    const a = i32x4.trunc_sat_f64x2_u_zero(f64x2.mul(near, scale));
    const b = i32x4.trunc_sat_f64x2_u_zero(f64x2.mul(far, scale));
    const bin = i32x4.min_u(v128.shuffle<i64>(a, b, 0, 2), last);
    increment(scratch + i32x4.extract_lane(bin, 0) * 4);
    increment(scratch + size + i32x4.extract_lane(bin, 1) * 4);
    increment(scratch + 2 * size + i32x4.extract_lane(bin, 2) * 4);
    increment(scratch + 3 * size + i32x4.extract_lane(bin, 3) * 4);
  }
  for (; i < count; i++) {
    const near = f64x2.sub(f64x2.mul(half, v128.load64_splat(values + i * 8)), bottom);
    const a = i32x4.trunc_sat_f64x2_u_zero(f64x2.mul(near, scale));
    increment(scratch + i32x4.extract_lane(i32x4.min_u(a, last), 0) * 4);
  }
  for (let bin = 0; bin < size; bin += 4) {
    const sum = load<u32>(scratch + bin) + load<u32>(scratch + size + bin);
    const more = load<u32>(scratch + 2 * size + bin) + load<u32>(scratch + 3 * size + bin);
    store<u32>(counts + bin, load<u32>(counts + bin) + sum + more);
  }
}

function increment(at: usize): void {
  store<u32>(at, load<u32>(at) + 1);
}
