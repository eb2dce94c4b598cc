/**
 * How usual a map is under a Gaussian prior: its density, the chance of one as far out, each cell against all the others,
 * and the wave numbers that stand out.
 */
import { gammaQ } from '../../numeric/incomplete-gamma.ts';
import { type SpectralGrid, shellsOf } from '../prior/modes.ts';
import { logLikelihood, type ModeGaussian, siteVariance, squaredDistance } from '../prior/prior.ts';

export interface ShellScore {
  /** Cycles along the longer side. */
  readonly waveNumber: number;
  /** Power over that of the prior. */
  readonly powerRatio: number;
  /** Distance of its chi-square from the mean, in standard deviations. */
  readonly z: number;
}

export interface MapScore {
  /** Nats. */
  readonly logLikelihood: number;
  readonly pValue: number;
  /** Deviation of each cell from its mean given all other cells, in its standard deviations. */
  readonly leaveOneOutZ: Float64Array;
  /** Farthest first. */
  readonly topShells: readonly ShellScore[];
}

const TOP = 5;

/** Scores a map. One transform pair. */
export function score(grid: SpectralGrid, gaussian: ModeGaussian, cells: ArrayLike<number>): MapScore {
  const { mean, power } = gaussian;
  const x = grid.newModes();
  grid.forward(cells, x);
  const distance = squaredDistance(grid, gaussian, x);
  const inverse = power.map((variance) => 1 / variance);
  const result = {
    logLikelihood: logLikelihood(grid, gaussian, x),
    pValue: gammaQ(grid.cells / 2, distance / 2),
    topShells: topShells(grid, gaussian, x.re, x.im),
  };
  for (let k = 0; k < grid.size; k++) {
    x.re[k] = (x.re[k]! - mean.re[k]!) * inverse[k]!;
    x.im[k] = (x.im[k]! - mean.im[k]!) * inverse[k]!;
  }
  const leaveOneOutZ = new Float64Array(grid.cells);
  grid.back(x, leaveOneOutZ);
  // The diagonal of the inverse covariance is the same for every cell.
  const scale = 1 / Math.sqrt(siteVariance(grid, inverse));
  for (let i = 0; i < leaveOneOutZ.length; i++) leaveOneOutZ[i] = leaveOneOutZ[i]! * scale;
  return { ...result, leaveOneOutZ };
}

function topShells(
  grid: SpectralGrid,
  { mean, power }: ModeGaussian,
  re: Float64Array,
  im: Float64Array,
): ShellScore[] {
  const { rows, cols, kept, stride } = grid;
  const shells = shellsOf(rows, cols);
  const found = new Map<number, { freedom: number; squares: number }>();
  for (let row = 0; row < rows; row++) {
    for (let col = 0; col < kept; col++) {
      const k = row * stride + col;
      const waveNumber = shells[row * kept + col]!;
      const shell = found.get(waveNumber) ?? { freedom: 0, squares: 0 };
      const square = ((re[k]! - mean.re[k]!) ** 2 + (im[k]! - mean.im[k]!) ** 2) / grid.cells;
      shell.freedom += grid.shares[k]!;
      shell.squares += (grid.shares[k]! * square) / power[k]!;
      found.set(waveNumber, shell);
    }
  }
  return [...found]
    .map(([waveNumber, { freedom, squares }]) => ({
      waveNumber,
      powerRatio: squares / freedom,
      z: (squares - freedom) / Math.sqrt(2 * freedom),
    }))
    .sort((a, b) => Math.abs(b.z) - Math.abs(a.z) || a.waveNumber - b.waveNumber)
    .slice(0, TOP);
}
