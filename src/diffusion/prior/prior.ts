/**
 * Priors: what maps of a shape look like, as a Gaussian random field whose modes are independent, or a mixture of
 * several. Cells hold the mean; powers are E|X_k - M_k|^2 of the unitary transform, so their mean over the whole spectrum
 * is the variance of a cell.
 */
import { keptColumns, type Modes, planeOf, type SpectralGrid, stiffness } from './modes.ts';

/** A prior as it is kept and handed to workers. */
export interface Prior {
  readonly rows: number;
  readonly cols: number;
  /** 1..8, heaviest first; one makes it a Gaussian. Weights sum to 1. */
  readonly components: readonly Component[];
}

/** One Gaussian of a prior. */
export interface Component {
  /** Over 0. */
  readonly weight: number;
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

/** A component in the modes of a grid of its shape. One transform. */
export function gaussianOf(grid: SpectralGrid, component: Pick<Component, 'mean' | 'power'>): ModeGaussian {
  const mean = grid.newModes();
  grid.forward(component.mean, mean);
  return { mean, power: planeOf(grid, component.power, 1) };
}

/** Mean power over the whole spectrum: the variance of a cell. */
export function siteVariance(grid: SpectralGrid, power: Float64Array): number {
  let sum = 0;
  for (let k = 0; k < power.length; k++) sum += grid.shares[k]! * power[k]!;
  return sum / grid.cells;
}

/** ln density of a grid under a Gaussian, nats; -Infinity where a pinned mode is off its mean. O(modes). */
export function logLikelihood(grid: SpectralGrid, gaussian: ModeGaussian, x: Modes): number {
  return noisyLikelihood(grid, gaussian, 1, 0, x);
}

/** ln density of `x` = signal times a draw of a Gaussian, and white noise of variance `noise` a cell; nats. O(modes). */
export function noisyLikelihood(
  grid: SpectralGrid,
  gaussian: ModeGaussian,
  signal: number,
  noise: number,
  x: Modes,
): number {
  return noisyScale(grid, gaussian, signal, noise) - noisyDistance(grid, gaussian, signal, noise, x) / 2;
}

/** The part of `noisyLikelihood` that is the same for every `x`. */
export function noisyScale(
  grid: SpectralGrid,
  { power }: ModeGaussian,
  signal: number,
  noise: number,
): number {
  let sum = 0;
  for (let k = 0; k < power.length; k++) {
    const share = grid.shares[k]!;
    if (share > 0) sum += share * Math.log(2 * Math.PI * (signal * signal * power[k]! + noise));
  }
  return -sum / 2;
}

/** Squared distance of `x`, as in `noisyLikelihood`, from its mean in standard deviations. */
export function noisyDistance(
  grid: SpectralGrid,
  { mean, power }: ModeGaussian,
  signal: number,
  noise: number,
  x: Modes,
): number {
  const square = signal * signal;
  let sum = 0;
  for (let k = 0; k < power.length; k++) {
    const share = grid.shares[k]!;
    if (share === 0) continue;
    const re = x.re[k]! - signal * mean.re[k]!;
    const im = x.im[k]! - signal * mean.im[k]!;
    sum += (share * (re * re + im * im)) / (square * power[k]! + noise);
  }
  return sum / grid.cells;
}

/** `logLikelihood` of many grids under one Gaussian, none of whose modes is pinned: its logarithms are taken once. */
export function densityOf(grid: SpectralGrid, { mean, power }: ModeGaussian): (x: Modes) => number {
  const inverse = new Float64Array(grid.size);
  let logs = 0;
  for (let k = 0; k < grid.size; k++) {
    const share = grid.shares[k]!;
    inverse[k] = share / (grid.cells * power[k]!);
    if (share > 0) logs += share * Math.log(2 * Math.PI * power[k]!);
  }
  return ({ re, im }) => {
    let sum = logs;
    for (let k = 0; k < inverse.length; k++) {
      const [offRe, offIm] = [re[k]! - mean.re[k]!, im[k]! - mean.im[k]!];
      sum += inverse[k]! * (offRe * offRe + offIm * offIm);
    }
    return -sum / 2;
  };
}

/** Squared distance of a grid from the mean in standard deviations: chi-square of as many degrees as there are cells. */
export function squaredDistance(grid: SpectralGrid, gaussian: ModeGaussian, x: Modes): number {
  return noisyDistance(grid, gaussian, 1, 0, x);
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

/** Numbers of a prior as one run of bytes: mean, then powers of each component; of several, then their weights. Doubles. */
export function priorBytes({ components }: Prior): Uint8Array {
  const parts = components.flatMap(({ mean, power }) => [mean, power]);
  if (components.length > 1) parts.push(Float64Array.from(components, ({ weight }) => weight));
  const numbers = new Float64Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    numbers.set(part, at);
    at += part.length;
  }
  return new Uint8Array(numbers.buffer);
}

/** Undoes `priorBytes`. RangeError for bytes of another shape. */
export function priorFromBytes(rows: number, cols: number, bytes: Uint8Array): Prior {
  const cells = rows * cols;
  const size = cells + rows * keptColumns(cols);
  const isGaussian = bytes.length === 8 * size;
  const count = isGaussian ? 1 : bytes.length / (8 * (size + 1));
  if (!Number.isInteger(count) || count < 1)
    throw new RangeError(`${bytes.length} bytes for a prior of ${rows} x ${cols}`);
  // A copy: bytes from a database need not be aligned.
  const numbers = new Float64Array(bytes.slice().buffer);
  const components = Array.from({ length: count }, (_, j) => ({
    weight: isGaussian ? 1 : numbers[count * size + j]!,
    mean: numbers.slice(j * size, j * size + cells),
    power: numbers.slice(j * size + cells, (j + 1) * size),
  }));
  return { rows, cols, components };
}
