/** What every estimate of powers goes through: the window maps are measured in, shrinkage to shells, a floor. */
import { type SpectralGrid, shellsOf } from './modes.ts';
import { siteVariance } from './prior.ts';

/** Maps that the shell means count for. */
const SHRINKAGE_MAPS = 8;
/** Least power of a mode as a share of the mean power; where the maps are constant, of 1. */
const FLOOR = 1e-6;

/** Shrinks powers (a plane) estimated of `count` maps to their shells and lifts them to the floor; gives the share. */
export function flooredPowers(grid: SpectralGrid, power: Float64Array, count: number): number {
  const shrinkage = SHRINKAGE_MAPS / (count + SHRINKAGE_MAPS);
  shrinkToShells(grid, power, shrinkage);
  const floor = FLOOR * (siteVariance(grid, power) || 1);
  for (let k = 0; k < power.length; k++) power[k] = Math.max(floor, power[k]!);
  return shrinkage;
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

/** Hann window of both sides, scaled so that white noise keeps its power. */
export function taper(rows: number, cols: number): Float64Array {
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
