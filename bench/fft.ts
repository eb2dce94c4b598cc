/**
 * P7: a real grid to its spectrum and back, beside scipy.fft.irfft2(scipy.fft.rfft2(x)) with one worker in the same
 * precision. scipy.fft takes no arrays to write to, so it allocates its results; the product's plan writes to its own.
 */
import { createArena } from '../src/numeric/kernels/arena.ts';
import { createGridFft, type Precision } from '../src/numeric/kernels/fft-plan.ts';
import { besideNumpy, type SidedCall } from './numpy.ts';

const SIZES = [64, 256, 1024] as const;
const ARENA_MIB = 96;
/** Single precision has a bar; double is reported. */
const BARS: Readonly<Record<Precision, number>> = { float32: 1, float64: 0 };
const TOLERANCE: Readonly<Record<Precision, number>> = { float32: 1e-5, float64: 1e-10 };

const PROGRAM = `
import numpy as np

def both(dtype):
    def make(n):
        x = ((np.arange(n * n) * 7919 % 10007) / 10007).reshape(n, n).astype(dtype)
        held = [x]
        def call():
            held[0] = scipy.fft.irfft2(scipy.fft.rfft2(x, workers=1), s=x.shape, workers=1)
        return call, lambda: (held[0].astype(float) ** 2).sum()
    return make

CALLS = dict(float32=both(np.float32), float64=both(np.float64))
`;

function callOf(precision: Precision, size: number): SidedCall {
  const cells = size * size;
  const arena = createArena(ARENA_MIB);
  const plan = createGridFft(arena, precision, size, size);
  const take = (length: number) => (precision === 'float32' ? arena.float32(length) : arena.float64(length));
  const [values, back] = [take(cells), take(cells)];
  const [re, im] = [take(size * plan.stride), take(size * plan.stride)];
  for (let at = 0; at < cells; at++) values[at] = ((at * 7919) % 10007) / 10007;
  return {
    name: precision,
    size,
    title: `2-D real FFT and back, ${precision}, ${size} x ${size}, against scipy.fft with one worker`,
    bar: BARS[precision],
    call() {
      plan.forward(values, re, im);
      plan.back(re, im, back);
    },
    checksum() {
      let sum = 0;
      for (const value of back) sum += value * value;
      return sum;
    },
    tolerance: TOLERANCE[precision],
    notes: BARS[precision] === 0 ? ['reported only'] : [],
  };
}

export const fft = besideNumpy(
  { id: 'P7', title: '2-D real FFT and back against scipy.fft with one worker', bar: 1 },
  PROGRAM,
  () =>
    (['float32', 'float64'] as const).map((precision) => SIZES.map((size) => () => callOf(precision, size))),
);
