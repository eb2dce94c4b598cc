/**
 * Priors: what maps of a shape look like, as a Gaussian random field whose modes are independent. Cells hold the mean;
 * powers are E|X_k - M_k|^2 of the unitary transform, so their mean over the whole spectrum is the variance of a cell.
 */
import { keptColumns, type Modes, planeOf, type SpectralGrid, stiffness } from './modes.ts';

/** A prior as it is kept and handed to workers. */
export interface Prior {
  readonly rows: number;
  readonly cols: number;
  /** Mean of each cell, row-major. */
  readonly mean: Float64Array;
  /** Power of each kept mode, rows x (cols / 2 + 1); over 0. */
  readonly power: Float64Array;
}

/** A prior in the modes of a grid. Powers of 0 pin a mode to its mean. */
export interface ModeGaussian {
  readonly mean: Modes;
  /** A plane; 1 past the kept modes. */
  readonly power: Float64Array;
}

/** Square of the inverse correlation length of the STANDARD prior, cells^-2. */
const MASS = 0.5;

/** Zero mean, power in proportion to 1 / (4 - 2 cos k_x - 2 cos k_y + 1/2), unit variance of a cell. O(cells). */
export function standardGaussian(grid: SpectralGrid): ModeGaussian {
  const power = stiffness(grid);
  for (let k = 0; k < power.length; k++) power[k] = 1 / (power[k]! + MASS);
  const scale = 1 / siteVariance(grid, power);
  for (let k = 0; k < power.length; k++) power[k] = grid.shares[k] === 0 ? 1 : power[k]! * scale;
  return { mean: grid.newModes(), power };
}

/** A kept prior in the modes of a grid of its shape. One transform. */
export function gaussianOf(grid: SpectralGrid, prior: Prior): ModeGaussian {
  const mean = grid.newModes();
  grid.forward(prior.mean, mean);
  return { mean, power: planeOf(grid, prior.power, 1) };
}

/** Mean power over the whole spectrum: the variance of a cell. */
export function siteVariance(grid: SpectralGrid, power: Float64Array): number {
  let sum = 0;
  for (let k = 0; k < power.length; k++) sum += grid.shares[k]! * power[k]!;
  return sum / grid.cells;
}

/** ln density of a grid under a Gaussian, nats; -Infinity where a pinned mode is off its mean. O(modes). */
export function logLikelihood(grid: SpectralGrid, { mean, power }: ModeGaussian, x: Modes): number {
  let sum = 0;
  for (let k = 0; k < power.length; k++) {
    const share = grid.shares[k]!;
    if (share === 0) continue;
    const re = x.re[k]! - mean.re[k]!;
    const im = x.im[k]! - mean.im[k]!;
    sum += share * (Math.log(2 * Math.PI * power[k]!) + (re * re + im * im) / (grid.cells * power[k]!));
  }
  return -sum / 2;
}

/** Squared distance of a grid from the mean in standard deviations: chi-square of as many degrees as there are cells. */
export function squaredDistance(grid: SpectralGrid, { mean, power }: ModeGaussian, x: Modes): number {
  let sum = 0;
  for (let k = 0; k < power.length; k++) {
    const re = x.re[k]! - mean.re[k]!;
    const im = x.im[k]! - mean.im[k]!;
    sum += (grid.shares[k]! * (re * re + im * im)) / power[k]!;
  }
  return sum / grid.cells;
}

/** Turns the modes of white noise into a draw of the Gaussian as it is at a level of signal, 0..1, in place. */
export function drawAt({ mean, power }: ModeGaussian, level: number, x: Modes): void {
  const signal = Math.sqrt(level);
  for (let k = 0; k < power.length; k++) {
    const deviation = Math.sqrt(level * power[k]! + 1 - level);
    x.re[k] = signal * mean.re[k]! + deviation * x.re[k]!;
    x.im[k] = signal * mean.im[k]! + deviation * x.im[k]!;
  }
}

/** Numbers of a prior of a shape as one run of bytes: mean, then powers, doubles. */
export function priorBytes(prior: Prior): Uint8Array {
  const numbers = new Float64Array(prior.mean.length + prior.power.length);
  numbers.set(prior.mean);
  numbers.set(prior.power, prior.mean.length);
  return new Uint8Array(numbers.buffer);
}

/** Undoes `priorBytes`. RangeError for bytes of another shape. */
export function priorFromBytes(rows: number, cols: number, bytes: Uint8Array): Prior {
  const cells = rows * cols;
  const count = cells + rows * keptColumns(cols);
  if (bytes.length !== 8 * count)
    throw new RangeError(`${bytes.length} bytes for a prior of ${rows} x ${cols}`);
  // A copy: bytes from a database need not be aligned.
  const numbers = new Float64Array(bytes.slice().buffer);
  return { rows, cols, mean: numbers.slice(0, cells), power: numbers.slice(cells) };
}
