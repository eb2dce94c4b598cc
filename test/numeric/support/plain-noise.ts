/**
 * The noise kernel in plain TypeScript, operation for operation: Philox, then logarithm, cosine and sine by the
 * algorithms of FreeBSD's msun without branches, one value at a time.
 */
import { philox } from '../../../src/random.ts';

const LN2_HIGH = 0.6931471803691238;
const LN2_LOW = 1.9082149292705877e-10;
const LOG = [
  0.6666666666666735, 0.3999999999940942, 0.2857142874366239, 0.22222198432149784, 0.1818357216161805,
  0.15313837699209373, 0.14798198605116586,
] as const;
const SIN = [
  -0.16666666666666632, 0.00833333333332249, -0.0001984126982985795, 2.7557313707070068e-6,
  -2.5050760253406863e-8, 1.58969099521155e-10,
] as const;
const COS = [
  0.0416666666666666, -0.001388888888887411, 2.480158728947673e-5, -2.7557314351390663e-7,
  2.087572321298175e-9, -1.1359647557788195e-11,
] as const;

const double = new Float64Array(1);
const words = new Uint32Array(double.buffer);

/** ln x for normal x > 0. */
export function plainLog(x: number): number {
  double[0] = x;
  const high = words[1]! + 0x00095f62;
  const k = (high >>> 20) - 1023;
  words[1] = (high & 0x000fffff) + 0x3fe6a09e;
  const f = double[0]! - 1;
  const s = f / (2 + f);
  const z = s * s;
  const w = z * z;
  const even = w * (LOG[1] + w * (LOG[3] + w * LOG[5]));
  const odd = z * (LOG[0] + w * (LOG[2] + w * (LOG[4] + w * LOG[6])));
  const half = 0.5 * (f * f);
  return s * (half + (odd + even)) + k * LN2_LOW - half + f + k * LN2_HIGH;
}

/** Cosine and sine of 2 pi u, u in [0, 1]. */
export function plainTurn(u: number): { cos: number; sin: number } {
  const scaled = 4 * u;
  // Ties go to the even quarter, as in the kernel.
  const floor = Math.floor(scaled);
  const isUp = scaled - floor > 0.5 || (scaled - floor === 0.5 && floor % 2 === 1);
  const quarter = floor + (isUp ? 1 : 0);
  const x = (u - quarter * 0.25) * 6.283185307179586;
  const z = x * x;
  const sinTail = SIN[1] + z * (SIN[2] + z * (SIN[3] + z * (SIN[4] + z * SIN[5])));
  const sin = x + z * x * (SIN[0] + z * sinTail);
  const cosTail = z * (COS[0] + z * (COS[1] + z * (COS[2] + z * (COS[3] + z * (COS[4] + z * COS[5])))));
  const half = 0.5 * z;
  const w = 1 - half;
  const cos = w + (1 - w - half + z * cosTail);
  switch (quarter) {
    case 1:
      return { cos: -sin, sin: cos };
    case 2:
      return { cos: -cos, sin: -sin };
    case 3:
      return { cos: sin, sin: -cos };
    default:
      return { cos, sin };
  }
}

/** `count` normals of (seed, sample, step). */
export function plainNormals(seed: bigint, sample: number, step: number, count: number): Float64Array {
  const key = new Uint32Array([Number(seed & 0xffffffffn), Number(seed >> 32n)]);
  const block = new Uint32Array(4);
  const out = new Float64Array(count);
  for (let at = 0; at < count; at += 2) {
    philox(new Uint32Array([at / 2, step, sample, 1]), key, block);
    const u1 = ((block[0]! >>> 5) * 67108864 + (block[1]! >>> 6) + 1) * 2 ** -53;
    const u2 = ((block[2]! >>> 5) * 67108864 + (block[3]! >>> 6)) * 2 ** -53;
    const radius = Math.sqrt(-2 * plainLog(u1));
    const { cos, sin } = plainTurn(u2);
    out[at] = radius * cos;
    if (at + 1 < count) out[at + 1] = radius * sin;
  }
  return out;
}
