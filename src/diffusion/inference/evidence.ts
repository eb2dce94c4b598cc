/**
 * Which component of a mixture some observed cells speak for: their exact density under each, by the Cholesky factor of
 * their covariance, which bounds how many there may be.
 */
import { cholesky, logDeterminant, solveLower } from '../../numeric/cholesky.ts';
import { type ModeMixture, onlyComponent, sharesOfLogs } from '../prior/mixture.ts';
import type { SpectralGrid } from '../prior/modes.ts';
import type { ModeGaussian } from '../prior/prior.ts';
import type { Observations } from './impute.ts';

/** Observed cells a mixture is weighed by: a factor of 8 MiB, and a third of a billion products. */
export const EVIDENCE_CELLS_MAX = 1024;

/** Chance of each component given the observations; undefined where a covariance is singular to working precision. */
export function responsibilities(
  grid: SpectralGrid,
  mixture: ModeMixture,
  seen: Observations,
): Float64Array | undefined {
  if (onlyComponent(mixture)) return Float64Array.of(1);
  const logs = new Float64Array(mixture.components.length);
  for (const [j, component] of mixture.components.entries()) {
    const log = logEvidence(grid, component, seen);
    if (log === undefined) return undefined;
    logs[j] = Math.log(mixture.weights[j]!) + log;
  }
  return sharesOfLogs(logs);
}

/** ln density of the observations, up to what their number alone decides. */
function logEvidence(
  grid: SpectralGrid,
  { mean, power }: ModeGaussian,
  { places, values, noise }: Observations,
): number | undefined {
  const { rows, cols } = grid;
  const n = places.length;
  // Covariances depend on the distance of two cells alone: those to the first cell are all there are.
  const toFirst = new Float64Array(grid.cells);
  grid.back(
    { re: power.map((value, k) => (grid.shares[k] === 0 ? 0 : value)), im: new Float64Array(grid.size) },
    toFirst,
  );
  const center = new Float64Array(grid.cells);
  grid.back(mean, center);
  const matrix = new Float64Array(n * n);
  for (const [i, at] of places.entries()) {
    const [row, col] = [Math.floor(at / cols), at % cols];
    for (let j = 0; j <= i; j++) {
      const other = places[j]!;
      const down = (row - Math.floor(other / cols) + rows) % rows;
      const along = (col - (other % cols) + cols) % cols;
      matrix[i * n + j] = toFirst[down * cols + along]!;
    }
    matrix[i * n + i] = matrix[i * n + i]! + noise * noise;
  }
  if (!cholesky(matrix, n, matrix)) return undefined;
  const off = Float64Array.from(places, (at, i) => values[i]! - center[at]!);
  solveLower(matrix, n, off, off);
  return -(logDeterminant(matrix, n) + off.reduce((sum, value) => sum + value * value, 0)) / 2;
}
