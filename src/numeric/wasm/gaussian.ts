/**
 * Kernels of Gaussian models: a sampler's update of each mode, whitening of many nodes, learning of covariances. Sums
 * are taken in the order of the plain loops, so the bits are theirs.
 */

/** y = a x + b m + c z, element by element over `count` values; m and z may be absent (address 0). y may be x. */
function fused<T>(count: i32, a: usize, x: usize, b: usize, m: usize, c: usize, z: usize, y: usize): void {
  const lanes: i32 = 16 / sizeof<T>();
  let i = 0;
  for (; i + lanes <= count; i += lanes) {
    const at = i * sizeof<T>();
    let sum = v128.mul<T>(v128.load(a + at), v128.load(x + at));
    if (m !== 0) sum = v128.add<T>(sum, v128.mul<T>(v128.load(b + at), v128.load(m + at)));
    if (z !== 0) sum = v128.add<T>(sum, v128.mul<T>(v128.load(c + at), v128.load(z + at)));
    v128.store(y + at, sum);
  }
  for (; i < count; i++) {
    const at = i * sizeof<T>();
    let sum: T = (load<T>(a + at) * load<T>(x + at)) as T;
    if (m !== 0) sum = (sum + ((load<T>(b + at) * load<T>(m + at)) as T)) as T;
    if (z !== 0) sum = (sum + ((load<T>(c + at) * load<T>(z + at)) as T)) as T;
    store<T>(y + at, sum);
  }
}

export function fused32(
  count: i32,
  a: usize,
  x: usize,
  b: usize,
  m: usize,
  c: usize,
  z: usize,
  y: usize,
): void {
  fused<f32>(count, a, x, b, m, c, z, y);
}
export function fused64(
  count: i32,
  a: usize,
  x: usize,
  b: usize,
  m: usize,
  c: usize,
  z: usize,
  y: usize,
): void {
  fused<f64>(count, a, x, b, m, c, z, y);
}

/**
 * u = root z for each node, d x d times d, roots symmetric and `rootStep` bytes apart (0: one for all); the energy of a
 * node is half the sum of u^2. u_i = sum over k in order; rows of a symmetric root are its columns.
 */
export function whiten(
  nodes: i32,
  d: i32,
  roots: usize,
  rootStep: usize,
  z: usize,
  u: usize,
  energies: usize,
): void {
  for (let node = 0; node < nodes; node++) {
    let i = 0;
    for (; i + 3 < d; i += 4) {
      let near = f64x2.splat(0);
      let far = near;
      let root = roots + i * 8;
      for (let k = 0; k < d; k++) {
        const factor = v128.load64_splat(z + k * 8);
        near = f64x2.add(near, f64x2.mul(v128.load(root), factor));
        far = f64x2.add(far, f64x2.mul(v128.load(root, 16), factor));
        root += d * 8;
      }
      v128.store(u + i * 8, near);
      v128.store(u + i * 8, far, 16);
    }
    for (; i < d; i++) {
      let sum: f64 = 0;
      for (let k = 0; k < d; k++) sum += load<f64>(roots + (k * d + i) * 8) * load<f64>(z + k * 8);
      store<f64>(u + i * 8, sum);
    }
    let energy: f64 = 0;
    for (let k = 0; k < d; k++) {
      const value = load<f64>(u + k * 8);
      energy += 0.5 * value * value;
    }
    store<f64>(energies + node * 8, energy);
    roots += rootStep;
    z += d * 8;
    u += d * 8;
  }
}

/**
 * S = keep S + step delta delta' of packed lower triangles, d (d + 1) / 2 entries each, for as many nodes as there are
 * entries of keep, step and delta (d each).
 */
export function learn(nodes: i32, d: i32, covariances: usize, keep: usize, step: usize, deltas: usize): void {
  let at = covariances;
  for (let node = 0; node < nodes; node++) {
    const kept = v128.load64_splat(keep + node * 8);
    const gain = load<f64>(step + node * 8);
    for (let i = 0; i < d; i++) {
      const scaled = f64x2.splat(gain * load<f64>(deltas + i * 8));
      let j = 0;
      for (; j < i; j += 2) {
        const old = f64x2.mul(kept, v128.load(at));
        v128.store(at, f64x2.add(old, f64x2.mul(scaled, v128.load(deltas + j * 8))));
        at += 16;
      }
      if (j === i) {
        const old = f64x2.extract_lane(kept, 0) * load<f64>(at);
        store<f64>(at, old + f64x2.extract_lane(scaled, 0) * load<f64>(deltas + j * 8));
        at += 8;
      }
    }
    deltas += d * 8;
  }
}
