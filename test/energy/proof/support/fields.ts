/**
 * Periodic maps of 16 x 16 with known laws, and what a forger would make of them. Power falls as k^-3 a wave, so that
 * every shell stands above the noise; the mean is ten times the spread, as energies are.
 */
import { createArena } from '../../../../src/numeric/kernels/arena.ts';
import { createGridFft } from '../../../../src/numeric/kernels/fft-plan.ts';
import type { Random } from '../../../../src/random.ts';

export const SIDE = 16;
export const CELLS = SIDE * SIDE;
export const MEAN = 10;

const arena = createArena(2);
const fft = createGridFft(arena, 'float64', SIDE, SIDE);
const grid = arena.float64(CELLS);
const re = arena.float64(SIDE * fft.stride);
const im = arena.float64(SIDE * fft.stride);

/** Radians a cell. */
const wave = (k: number) => (2 * Math.PI * (2 * k > SIDE ? k - SIDE : k)) / SIDE;

/** Multiplies each wave by size e^(i turn); the mean stays. */
function filtered(
  cells: Float64Array,
  law: (p: number, q: number, at: number) => { readonly size: number; readonly turn?: number },
): Float64Array {
  grid.set(cells);
  fft.forward(grid, re, im);
  for (let i = 0; i < SIDE; i++)
    for (let j = 0; j < fft.kept; j++) {
      const at = i * fft.stride + j;
      if (at === 0) continue;
      const { size, turn = 0 } = law(wave(i), wave(j), at);
      const [a, b] = [re[at]!, im[at]!];
      re[at] = size * (a * Math.cos(turn) - b * Math.sin(turn));
      im[at] = size * (a * Math.sin(turn) + b * Math.cos(turn));
    }
  fft.back(re, im, grid);
  return grid.slice();
}

/** As it travels. */
export function held(cells: Float64Array): Float64Array {
  return new Float64Array(new Float32Array(cells));
}

export function white(random: Random): Float64Array {
  return Float64Array.from({ length: CELLS }, () => random.normal());
}

/** A random map of mean 10 and spread about 1. */
export function randomMap(random: Random): Float64Array {
  const rough = filtered(white(random), (p, q) => ({ size: Math.hypot(p, q) ** -1.5 }));
  return standardized(rough);
}

function standardized(cells: Float64Array): Float64Array {
  const { mean, spread } = momentsOf(cells);
  return cells.map((value) => MEAN + (value - mean) / spread);
}

export function momentsOf(cells: Float64Array): { readonly mean: number; readonly spread: number } {
  const mean = cells.reduce((sum, value) => sum + value, 0) / cells.length;
  const variance = cells.reduce((sum, value) => sum + (value - mean) ** 2, 0) / cells.length;
  return { mean, spread: Math.sqrt(variance) };
}

/** The map after drifting by cells and spreading by nu |k|^2. */
export function moved(
  cells: Float64Array,
  { nu = 0, rowShift = 0, colShift = 0 }: { nu?: number; rowShift?: number; colShift?: number },
): Float64Array {
  return filtered(cells, (p, q) => ({
    size: Math.exp(-nu * (p * p + q * q)),
    turn: -(p * rowShift + q * colShift),
  }));
}

/** With noise of a share of the spread, as instruments have. */
export function noisy(cells: Float64Array, share: number, random: Random): Float64Array {
  const { spread } = momentsOf(cells);
  return cells.map((value) => value + share * spread * random.normal());
}

/** The same power in every wave, with the phases of another map. */
export function rephased(cells: Float64Array, other: Float64Array): Float64Array {
  grid.set(other);
  fft.forward(grid, re, im);
  const turns = Float64Array.from(re, (x, at) => Math.atan2(im[at]!, x));
  grid.set(cells);
  fft.forward(grid, re, im);
  const phases = Float64Array.from(re, (x, at) => Math.atan2(im[at]!, x));
  // Waves that are their own conjugates keep their sign.
  const isOwn = (p: number, q: number) => Math.sin(p) ** 2 + Math.sin(q) ** 2 < 1e-9;
  return filtered(cells, (p, q, at) => ({ size: 1, turn: isOwn(p, q) ? 0 : turns[at]! - phases[at]! }));
}

/** All cells, in an order at random. */
export function anyOrder(random: Random): Uint32Array {
  const order = Uint32Array.from({ length: CELLS }, (_, at) => at);
  for (let at = CELLS - 1; at > 0; at--) {
    const other = random.below(at + 1);
    [order[at], order[other]] = [order[other]!, order[at]!];
  }
  return order;
}

/** Another map with the mean and spread of this one. */
export function alike(cells: Float64Array, other: Float64Array): Float64Array {
  const { mean, spread } = momentsOf(cells);
  return standardized(other).map((value) => mean + spread * (value - MEAN));
}
