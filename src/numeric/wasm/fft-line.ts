/**
 * One complex transform of n samples in planes. Where whole vectors fit, sample L a + b is lane b of vector a: the
 * lanes are L interleaved transforms of n / L, combined by one more pass across them. Other lengths use lane 0 alone.
 */
import { INPUT, OUTPUT, transform, VECTOR } from './fft-plan';

/** Forward transform; planes exchanged, back. `turns` are those of `fillCombination`. x and y may be the same. */
export function interleaved<T>(
  plan: usize,
  n: usize,
  xRe: usize,
  xIm: usize,
  yRe: usize,
  yIm: usize,
  turns: usize,
  scale: T,
): void {
  const lanes: usize = 16 / sizeof<T>();
  const part = n / lanes;
  const z: usize = load<u32>(plan, OUTPUT);
  transform<T>(plan, xRe, xIm - xRe, 16, 16, z, 16, VECTOR, VECTOR, 1);
  const factor = v128.splat<T>(scale);
  for (let k: usize = 0; k < part; k += lanes) {
    // The last block moves back to end with the part; it writes the same values again.
    const at = k + lanes <= part ? k : part - lanes;
    if (sizeof<T>() === 8) combine2<T>(z + at * VECTOR, part, at, yRe, yIm, turns, factor);
    else combine4<T>(z + at * VECTOR, part, at, yRe, yIm, turns, factor);
  }
}

function combine2<T>(
  z: usize,
  part: usize,
  k: usize,
  yRe: usize,
  yIm: usize,
  turns: usize,
  factor: v128,
): void {
  const far = part * sizeof<T>();
  const to = k * sizeof<T>();
  const p = v128.load(z);
  const q = v128.load(z, 32);
  const pi = v128.load(z, 16);
  const qi = v128.load(z, 48);
  const cos = v128.load(turns + to);
  const sin = v128.load(turns + to + far);
  const ar = v128.mul<T>(factor, v128.shuffle<f64>(p, q, 0, 2));
  const ai = v128.mul<T>(factor, v128.shuffle<f64>(pi, qi, 0, 2));
  const ur = v128.mul<T>(factor, v128.shuffle<f64>(p, q, 1, 3));
  const ui = v128.mul<T>(factor, v128.shuffle<f64>(pi, qi, 1, 3));
  const br = v128.sub<T>(v128.mul<T>(ur, cos), v128.mul<T>(ui, sin));
  const bi = v128.add<T>(v128.mul<T>(ur, sin), v128.mul<T>(ui, cos));
  v128.store(yRe + to, v128.add<T>(ar, br));
  v128.store(yIm + to, v128.add<T>(ai, bi));
  v128.store(yRe + to + far, v128.sub<T>(ar, br));
  v128.store(yIm + to + far, v128.sub<T>(ai, bi));
}

/** Lane `lane` of four consecutive vectors, times a factor. */
function lane4(z: usize, lane: usize, factor: v128): v128 {
  const at = z + 4 * lane;
  const a = f32x4.splat(load<f32>(at));
  const b = f32x4.replace_lane(a, 1, load<f32>(at, 32));
  const c = f32x4.replace_lane(b, 2, load<f32>(at, 64));
  return f32x4.mul(factor, f32x4.replace_lane(c, 3, load<f32>(at, 96)));
}

function combine4<T>(
  z: usize,
  part: usize,
  k: usize,
  yRe: usize,
  yIm: usize,
  turns: usize,
  factor: v128,
): void {
  const far = part * sizeof<T>();
  const to = k * sizeof<T>();
  let turn = turns + to;
  const ar = lane4(z, 0, factor);
  const ai = lane4(z + 16, 0, factor);
  const ur = lane4(z, 1, factor);
  const ui = lane4(z + 16, 1, factor);
  const br = v128.sub<T>(v128.mul<T>(ur, v128.load(turn)), v128.mul<T>(ui, v128.load(turn + far)));
  const bi = v128.add<T>(v128.mul<T>(ur, v128.load(turn + far)), v128.mul<T>(ui, v128.load(turn)));
  turn += 2 * far;
  const vr = lane4(z, 2, factor);
  const vi = lane4(z + 16, 2, factor);
  const cr = v128.sub<T>(v128.mul<T>(vr, v128.load(turn)), v128.mul<T>(vi, v128.load(turn + far)));
  const ci = v128.add<T>(v128.mul<T>(vr, v128.load(turn + far)), v128.mul<T>(vi, v128.load(turn)));
  turn += 2 * far;
  const wr = lane4(z, 3, factor);
  const wi = lane4(z + 16, 3, factor);
  const dr = v128.sub<T>(v128.mul<T>(wr, v128.load(turn)), v128.mul<T>(wi, v128.load(turn + far)));
  const di = v128.add<T>(v128.mul<T>(wr, v128.load(turn + far)), v128.mul<T>(wi, v128.load(turn)));
  const acRe = v128.add<T>(ar, cr);
  const acIm = v128.add<T>(ai, ci);
  const bdRe = v128.add<T>(br, dr);
  const bdIm = v128.add<T>(bi, di);
  v128.store(yRe + to, v128.add<T>(acRe, bdRe));
  v128.store(yIm + to, v128.add<T>(acIm, bdIm));
  v128.store(yRe + to + 2 * far, v128.sub<T>(acRe, bdRe));
  v128.store(yIm + to + 2 * far, v128.sub<T>(acIm, bdIm));
  const offRe = v128.sub<T>(ar, cr);
  const offIm = v128.sub<T>(ai, ci);
  const crossRe = v128.sub<T>(bi, di);
  const crossIm = v128.sub<T>(dr, br);
  v128.store(yRe + to + far, v128.add<T>(offRe, crossRe));
  v128.store(yIm + to + far, v128.add<T>(offIm, crossIm));
  v128.store(yRe + to + 3 * far, v128.sub<T>(offRe, crossRe));
  v128.store(yIm + to + 3 * far, v128.sub<T>(offIm, crossIm));
}

/** The same for any n, by lane 0. */
export function single<T>(
  plan: usize,
  n: usize,
  xRe: usize,
  xIm: usize,
  yRe: usize,
  yIm: usize,
  scale: T,
): void {
  const input: usize = load<u32>(plan, INPUT);
  const output: usize = load<u32>(plan, OUTPUT);
  for (let i: usize = 0; i < n; i++) {
    v128.store(input + i * VECTOR, v128.load_splat<T>(xRe + i * sizeof<T>()));
    v128.store(input + i * VECTOR, v128.load_splat<T>(xIm + i * sizeof<T>()), 16);
  }
  transform<T>(plan, input, 16, VECTOR, VECTOR, output, 16, VECTOR, VECTOR, 1);
  for (let i: usize = 0; i < n; i++) {
    store<T>(yRe + i * sizeof<T>(), (load<T>(output + i * VECTOR) * scale) as T);
    store<T>(yIm + i * sizeof<T>(), (load<T>(output + i * VECTOR, 16) * scale) as T);
  }
}
