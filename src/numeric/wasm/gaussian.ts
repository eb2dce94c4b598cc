/**
 * Kernels of Gaussian models: a sampler's steps of each mode, whitening of many nodes, learning of covariances. Sums
 * are taken in the order of the plain loops, so the bits are theirs. Counts of modes are even.
 */

/**
 * out = a x + b x0 + c w for each of `count` modes, x0 = m + signal S / (level S + rest) (at - signal m) being what a
 * Gaussian of means m and powers S expects behind `at`, rest 1 - level and signal the root of the level. Of w and kept,
 * which takes x0, none where their addresses are 0; out and kept may be any of the other planes, but not each other.
 */
export function stepped(
  count: i32,
  power: usize,
  meanRe: usize,
  meanIm: usize,
  level: f64,
  rest: f64,
  signal: f64,
  atRe: usize,
  atIm: usize,
  a: f64,
  xRe: usize,
  xIm: usize,
  b: f64,
  c: f64,
  wRe: usize,
  wIm: usize,
  outRe: usize,
  outIm: usize,
  keptRe: usize,
  keptIm: usize,
): void {
  const levels = f64x2.splat(level);
  const rests = f64x2.splat(rest);
  const signals = f64x2.splat(signal);
  const as = f64x2.splat(a);
  const bs = f64x2.splat(b);
  const cs = f64x2.splat(c);
  for (let i: usize = 0, end = (count as usize) << 3; i < end; i += 16) {
    const s = v128.load(power + i);
    const variance = f64x2.add(f64x2.mul(levels, s), rests);
    const gain = f64x2.div(f64x2.mul(signals, s), variance);
    const mRe = v128.load(meanRe + i);
    const mIm = v128.load(meanIm + i);
    const offRe = f64x2.sub(v128.load(atRe + i), f64x2.mul(signals, mRe));
    const offIm = f64x2.sub(v128.load(atIm + i), f64x2.mul(signals, mIm));
    const re = f64x2.add(mRe, f64x2.mul(gain, offRe));
    const im = f64x2.add(mIm, f64x2.mul(gain, offIm));
    let sumRe = f64x2.add(f64x2.mul(as, v128.load(xRe + i)), f64x2.mul(bs, re));
    let sumIm = f64x2.add(f64x2.mul(as, v128.load(xIm + i)), f64x2.mul(bs, im));
    if (wRe !== 0) {
      sumRe = f64x2.add(sumRe, f64x2.mul(cs, v128.load(wRe + i)));
      sumIm = f64x2.add(sumIm, f64x2.mul(cs, v128.load(wIm + i)));
    }
    v128.store(outRe + i, sumRe);
    v128.store(outIm + i, sumIm);
    if (keptRe !== 0) {
      v128.store(keptRe + i, re);
      v128.store(keptIm + i, im);
    }
  }
}

/**
 * x = to m + (x - from m) sqrt((next S + nextRest) / (level S + rest)) for each of `count` modes, in place: the flow of a
 * Gaussian from one level to another, `from` and `to` being their roots and the rests what they lack of 1.
 */
export function flowed(
  count: i32,
  power: usize,
  meanRe: usize,
  meanIm: usize,
  level: f64,
  rest: f64,
  from: f64,
  next: f64,
  nextRest: f64,
  to: f64,
  xRe: usize,
  xIm: usize,
): void {
  const levels = f64x2.splat(level);
  const rests = f64x2.splat(rest);
  const nexts = f64x2.splat(next);
  const nextRests = f64x2.splat(nextRest);
  const froms = f64x2.splat(from);
  const tos = f64x2.splat(to);
  for (let i: usize = 0, end = (count as usize) << 3; i < end; i += 16) {
    const s = v128.load(power + i);
    const before = f64x2.add(f64x2.mul(levels, s), rests);
    const after = f64x2.add(f64x2.mul(nexts, s), nextRests);
    const scale = f64x2.sqrt(f64x2.div(after, before));
    const mRe = v128.load(meanRe + i);
    const mIm = v128.load(meanIm + i);
    const offRe = f64x2.sub(v128.load(xRe + i), f64x2.mul(froms, mRe));
    const offIm = f64x2.sub(v128.load(xIm + i), f64x2.mul(froms, mIm));
    v128.store(xRe + i, f64x2.add(f64x2.mul(tos, mRe), f64x2.mul(offRe, scale)));
    v128.store(xIm + i, f64x2.add(f64x2.mul(tos, mIm), f64x2.mul(offIm, scale)));
  }
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
