/**
 * How usual a map is under a prior: its density, the chance of one as far out, each cell against all the others, and the
 * wave numbers that stand out. Under a mixture each component answers, weighed by its responsibility: for the whole map,
 * and for a cell by that which all the others give it.
 */
import { gammaQ } from '../../numeric/incomplete-gamma.ts';
import { logJoint, logSumExp, type ModeMixture, sharesOfLogs } from '../prior/mixture.ts';
import { type Modes, type SpectralGrid, shellsOf } from '../prior/modes.ts';
import { type ModeGaussian, siteVariance, squaredDistance } from '../prior/prior.ts';

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
  /** Chance of each component to have made the map. */
  readonly responsibilities: Float64Array;
}

const TOP = 5;

/** Scores a map. A transform, and one back for each component. */
export function score(grid: SpectralGrid, mixture: ModeMixture, cells: ArrayLike<number>): MapScore {
  const { components } = mixture;
  const x = grid.newModes();
  grid.forward(cells, x);
  const logs = logJoint(grid, mixture, 1, 0, x);
  const shares = sharesOfLogs(logs);
  const p = components.map((gaussian) => gammaQ(grid.cells / 2, squaredDistance(grid, gaussian, x) / 2));
  const most = shares.indexOf(shares.reduce((a, b) => Math.max(a, b)));
  return {
    logLikelihood: logSumExp(logs),
    pValue: p.reduce((sum, value, j) => sum + shares[j]! * value, 0),
    leaveOneOutZ: predictiveZ(
      components.map((gaussian) => leaveOneOut(grid, gaussian, x)),
      logs,
    ),
    topShells: topShells(grid, components[most]!, x.re, x.im),
    responsibilities: shares,
  };
}

/** What a Gaussian says of each cell given all the others: how far it is off, and by what deviation it may be. */
interface Prediction {
  /** Cell less its expectation, a cell each. */
  readonly off: Float64Array;
  /** The same for every cell. */
  readonly sd: number;
}

function leaveOneOut(grid: SpectralGrid, { mean, power }: ModeGaussian, x: Modes): Prediction {
  const inverse = power.map((variance) => 1 / variance);
  const modes = grid.newModes();
  for (let k = 0; k < grid.size; k++) {
    modes.re[k] = (x.re[k]! - mean.re[k]!) * inverse[k]!;
    modes.im[k] = (x.im[k]! - mean.im[k]!) * inverse[k]!;
  }
  const off = new Float64Array(grid.cells);
  grid.back(modes, off);
  // The diagonal of the inverse covariance is the same for every cell.
  const precision = siteVariance(grid, inverse);
  for (let i = 0; i < off.length; i++) off[i] = off[i]! / precision;
  return { off, sd: 1 / Math.sqrt(precision) };
}

/** Deviation of each cell in those of its prediction: of several, mixed as likely as all other cells make them. */
function predictiveZ(predictions: readonly Prediction[], logs: Float64Array): Float64Array {
  const [first] = predictions;
  if (predictions.length === 1) return first!.off.map((off) => off / first!.sd);
  const without = new Float64Array(predictions.length);
  return first!.off.map((_, i) => {
    // ln density of the other cells is that of all less that of this one given them.
    for (const [j, { off, sd }] of predictions.entries())
      without[j] = logs[j]! + Math.log(sd) + (off[i]! / sd) ** 2 / 2;
    const shares = sharesOfLogs(without);
    let mean = 0;
    let square = 0;
    for (const [j, { off, sd }] of predictions.entries()) {
      mean += shares[j]! * off[i]!;
      square += shares[j]! * (off[i]! ** 2 + sd * sd);
    }
    return mean / Math.sqrt(square - mean * mean);
  });
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
