/**
 * Fitting a prior to maps: the mean of each cell and the power of each mode, the latter drawn towards the mean of its
 * shell (modes of about one wave number), the more the fewer maps there are. Deterministic; maps are taken in order.
 */
import { createSpectralGrid, keptColumns, packedOf, type SpectralGrid, shellsOf } from './modes.ts';
import { gaussianOf, logLikelihood, type Prior, siteVariance } from './prior.ts';

/** Where the mean comes from; cells where it is given. */
export type MeanSource = 'CLIMATOLOGY' | 'ZERO' | { readonly given: Float64Array };

/** What is to be fitted. */
export interface FitJob {
  readonly rows: number;
  readonly cols: number;
  /** Fully observed maps, row-major; at least 2. */
  readonly maps: readonly Float32Array[];
  readonly mean: MeanSource;
  /** Whether opposite edges meet; if not, maps are tapered before their power is measured. */
  readonly periodic: boolean;
}

export interface Fit {
  readonly prior: Prior;
  /** Variance of a cell. */
  readonly siteVariance: number;
  /** Mean ln density of the fitted maps, nats a cell. */
  readonly logLikelihoodPerCell: number;
  /** Share of the shell means in the powers, 0..1. */
  readonly shrinkage: number;
}

/** Maps that the shell means count for. */
const SHRINKAGE_MAPS = 8;
/** Least power of a mode as a share of the mean power; where the maps are constant, of 1. */
const FLOOR = 1e-6;

/** Fits a prior. Two transforms a map. */
export function fitPrior({ rows, cols, maps, mean: source, periodic }: FitJob): Fit {
  const grid = createSpectralGrid(rows, cols);
  const mean = meanOf(maps, source, grid.cells);
  // An estimated mean takes one degree of freedom of every cell.
  const freedom = source === 'CLIMATOLOGY' ? maps.length - 1 : maps.length;
  const power = periodogram(grid, maps, mean, periodic ? undefined : taper(rows, cols));
  for (let k = 0; k < power.length; k++) power[k] = power[k]! / freedom;
  const shrinkage = SHRINKAGE_MAPS / (maps.length + SHRINKAGE_MAPS);
  shrinkToShells(grid, power, shrinkage);
  const floor = FLOOR * (siteVariance(grid, power) || 1);
  for (let k = 0; k < power.length; k++) power[k] = Math.max(floor, power[k]!);
  const prior = { rows, cols, mean, power: packedOf(grid, power) };
  return {
    prior,
    siteVariance: siteVariance(grid, power),
    logLikelihoodPerCell: meanLikelihood(grid, prior, maps) / grid.cells,
    shrinkage,
  };
}

function meanOf(maps: readonly Float32Array[], source: MeanSource, cells: number): Float64Array {
  if (typeof source === 'object') return source.given;
  const mean = new Float64Array(cells);
  if (source === 'ZERO') return mean;
  for (const map of maps) for (let i = 0; i < cells; i++) mean[i] = mean[i]! + map[i]!;
  for (let i = 0; i < cells; i++) mean[i] = mean[i]! / maps.length;
  return mean;
}

/** Sum over maps of the power of each mode, as a plane. */
function periodogram(
  grid: SpectralGrid,
  maps: readonly Float32Array[],
  mean: Float64Array,
  window: Float64Array | undefined,
): Float64Array {
  const power = new Float64Array(grid.size);
  const modes = grid.newModes();
  const deviation = new Float64Array(grid.cells);
  for (const map of maps) {
    for (let i = 0; i < deviation.length; i++)
      deviation[i] = (map[i]! - mean[i]!) * (window === undefined ? 1 : window[i]!);
    grid.forward(deviation, modes);
    for (let k = 0; k < power.length; k++)
      power[k] = power[k]! + (modes.re[k]! ** 2 + modes.im[k]! ** 2) / grid.cells;
  }
  return power;
}

/** Hann window of both sides, scaled so that white noise keeps its power. */
function taper(rows: number, cols: number): Float64Array {
  const side = (length: number) =>
    Float64Array.from({ length }, (_, i) => Math.sin((Math.PI * (i + 0.5)) / length) ** 2);
  const [down, along] = [side(rows), side(cols)];
  const window = new Float64Array(rows * cols);
  let squares = 0;
  for (let i = 0; i < window.length; i++) {
    window[i] = down[Math.floor(i / cols)]! * along[i % cols]!;
    squares += window[i]! ** 2;
  }
  const scale = Math.sqrt(window.length / squares);
  for (let i = 0; i < window.length; i++) window[i] = window[i]! * scale;
  return window;
}

function shrinkToShells(grid: SpectralGrid, power: Float64Array, shrinkage: number): void {
  const { rows, cols, kept, stride } = grid;
  const shells = shellsOf(rows, cols);
  const sums = new Float64Array(rows + cols + 1);
  const counts = new Float64Array(sums.length);
  const each = (visit: (at: number, shell: number) => void) => {
    for (let row = 0; row < rows; row++)
      for (let col = 0; col < kept; col++) visit(row * stride + col, shells[row * kept + col]!);
  };
  each((at, shell) => {
    sums[shell] = sums[shell]! + grid.shares[at]! * power[at]!;
    counts[shell] = counts[shell]! + grid.shares[at]!;
  });
  each((at, shell) => {
    power[at] = (1 - shrinkage) * power[at]! + (shrinkage * sums[shell]!) / counts[shell]!;
  });
}

function meanLikelihood(grid: SpectralGrid, prior: Prior, maps: readonly Float32Array[]): number {
  const gaussian = gaussianOf(grid, prior);
  const modes = grid.newModes();
  let sum = 0;
  for (const map of maps) {
    grid.forward(map, modes);
    sum += logLikelihood(grid, gaussian, modes);
  }
  return sum / maps.length;
}

/** Mean power of each shell, from wave number 0 on; 0 for a shell without modes. */
export function shellPowers({ rows, cols, power }: Prior): Float64Array {
  const kept = keptColumns(cols);
  const shells = shellsOf(rows, cols);
  let last = 0;
  for (const shell of shells) last = Math.max(last, shell);
  const sums = new Float64Array(last + 1);
  const counts = new Float64Array(last + 1);
  for (let k = 0; k < power.length; k++) {
    const col = k % kept;
    const share = col === 0 || 2 * col === cols ? 1 : 2;
    sums[shells[k]!] = sums[shells[k]!]! + share * power[k]!;
    counts[shells[k]!] = counts[shells[k]!]! + share;
  }
  return sums.map((sum, shell) => (counts[shell] === 0 ? 0 : sum / counts[shell]!));
}
