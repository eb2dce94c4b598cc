/**
 * P6: the kernels of energy maps beside NumPy and SciPy on one thread, both on the same doubles and with arrays kept:
 * every NumPy operation that can writes to an `out=` array. Of the usual ways to write each in NumPy, the baseline is
 * the fastest that was found (slices with `out=`; scipy.ndimage and numpy.gradient take two to ten times as long).
 */
import { histogramEntropy } from '../src/numeric/entropy.ts';
import { createArena } from '../src/numeric/kernels/arena.ts';
import { createGridPlan } from '../src/numeric/kernels/grid-plan.ts';
import { createStatisticsPlan } from '../src/numeric/kernels/statistics-plan.ts';
import { besideNumpy, type SidedCall } from './numpy.ts';

const SIZES = [64, 256, 1024] as const;
const BINS = 64;
const TEMPERATURE = 0.7;
/** Diffusivity times dt over the squared spacing. */
const HEAT = 0.1;
const ARENA_MIB = 64;

/** The map that both sides compute on: values in [0.01, 1.01), mixed well. */
function cellOf(at: number): number {
  return ((at * 7919) % 10007) / 10007 + 0.01;
}

const PROGRAM = `
import numpy as np

def grid(n):
    return ((np.arange(n * n) * 7919 % 10007) / 10007 + 0.01).reshape(n, n)

def heat(n):
    u, out, part, padded = grid(n), np.empty((n, n)), np.empty((n, n)), np.empty((n + 2, n + 2))
    def call():
        padded[1:-1, 1:-1] = u
        padded[0, 1:-1] = u[0]
        padded[-1, 1:-1] = u[-1]
        padded[1:-1, 0] = u[:, 0]
        padded[1:-1, -1] = u[:, -1]
        np.add(padded[:-2, 1:-1], padded[2:, 1:-1], out=out)
        np.add(out, padded[1:-1, :-2], out=out)
        np.add(out, padded[1:-1, 2:], out=out)
        np.multiply(out, ${HEAT}, out=out)
        np.multiply(u, 1 - 4 * ${HEAT}, out=part)
        np.add(out, part, out=out)
    return call, lambda: (out * out).sum()

def gradient(n):
    u, part, smooth = grid(n), np.empty((n, n)), np.empty((n, n))
    down, across = np.empty((n, n)), np.empty((n, n))
    def one(u, part, smooth, out):
        np.multiply(u, 0.125, out=part)
        np.multiply(u, 0.25, out=smooth)
        np.add(smooth[1:], part[:-1], out=smooth[1:])
        np.add(smooth[:-1], part[1:], out=smooth[:-1])
        np.add(smooth[0], part[0], out=smooth[0])
        np.add(smooth[-1], part[-1], out=smooth[-1])
        np.subtract(smooth[:, 2:], smooth[:, :-2], out=out[:, 1:-1])
        np.subtract(smooth[:, 1], smooth[:, 0], out=out[:, 0])
        np.subtract(smooth[:, -1], smooth[:, -2], out=out[:, -1])
    def call():
        one(u, part, smooth, across)
        one(u.T, part.T, smooth.T, down.T)
    return call, lambda: (across * across).sum() + 2 * (down * down).sum()

def entropies(n):
    u, p, logs, bins, held = grid(n), np.empty((n, n)), np.empty((n, n)), np.empty(n * n, dtype=np.intp), [0.0]
    def call():
        np.abs(u, out=p)
        np.divide(p, p.sum(), out=p)
        np.log(p, out=logs)
        np.multiply(p, logs, out=logs)
        spatial = -logs.sum()
        low, high = u.min(), u.max()
        np.subtract(u, low, out=p)
        np.multiply(p, ${BINS} / (high - low), out=p)
        np.minimum(p, ${BINS - 1}, out=p)
        np.copyto(bins, p.ravel(), casting='unsafe')
        counts = np.bincount(bins, minlength=${BINS})
        share = counts[counts > 0] / counts.sum()
        held[0] = spatial - (share * np.log(share)).sum() + (share.size - 1) / (2 * n * n)
    return call, lambda: held[0]

def boltzmann(n):
    u, w = grid(n), np.empty((n, n))
    def call():
        np.subtract(u, u.min(), out=w)
        np.multiply(w, -1 / ${TEMPERATURE}, out=w)
        np.exp(w, out=w)
        np.divide(w, w.sum(), out=w)
    return call, lambda: (w * w).sum()

CALLS = dict(heat=heat, gradient=gradient, entropies=entropies, boltzmann=boltzmann)
`;

/** What is compared at one size. */
function callsOf(size: number): readonly SidedCall[] {
  const cells = size * size;
  const arena = createArena(ARENA_MIB);
  const take = () => arena.float64(cells);
  const [values, out, other] = [take(), take(), take()];
  for (let at = 0; at < cells; at++) values[at] = cellOf(at);
  const grid = createGridPlan(arena, size, size);
  const statistics = createStatisticsPlan(arena, BINS);
  const counts = arena.uint32(BINS);
  const squares = (array: Float64Array) => array.reduce((sum, value) => sum + value * value, 0);
  const gradient = { scheme: 'SOBEL', boundary: 'NEUMANN', spacing: 1 } as const;
  let entropies = 0;
  const side = (
    name: string,
    title: string,
    bar: number,
    call: () => void,
    checksum: () => number,
  ): SidedCall => ({
    name,
    size,
    title: `${title}, ${size} x ${size}, against NumPy on one thread`,
    bar,
    call,
    checksum,
    tolerance: 1e-10,
    notes: ['float64, out= arrays'],
  });
  return [
    side(
      'heat',
      'heat step, mirrored edges',
      3,
      () => grid.heatStep(values, { boundary: 'NEUMANN', number: HEAT }, out),
      () => squares(out),
    ),
    side(
      'gradient',
      'Sobel gradient, mirrored edges',
      3,
      () => grid.gradient(values, gradient, out, other),
      () => squares(other) + 2 * squares(out),
    ),
    side(
      'entropies',
      `spatial entropy and entropy of ${BINS} bins`,
      1,
      () => {
        const { positive, negative, min, max } = statistics.moments(values);
        counts.fill(0);
        statistics.histogram(values, min, max, counts);
        const { entropy } = statistics.sizeEntropy(values, positive - negative);
        entropies = entropy + histogramEntropy(counts)!;
      },
      () => entropies,
    ),
    side(
      'boltzmann',
      'Boltzmann weights',
      0.5,
      () => statistics.weights(values, statistics.least(values), TEMPERATURE, out),
      () => squares(out),
    ),
  ];
}

export const kernels = besideNumpy(
  { id: 'P6', title: 'kernels of energy maps against NumPy on one thread', bar: 3 },
  PROGRAM,
  () => {
    const bySize = SIZES.map(callsOf);
    return bySize[0]!.map((_, which) => bySize.map((calls) => () => calls[which]!));
  },
);
