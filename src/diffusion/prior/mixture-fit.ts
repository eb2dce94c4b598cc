/**
 * Which maps belong together: a mixture of Gaussians with independent modes, fitted by expectation maximization (A.
 * Dempster, N. Laird and D. Rubin, 1977) in the modes of the maps, and as many components as the Bayesian information
 * criterion (G. Schwarz, 1978) calls for. Each number of them is tried from two starts: clusters of the maps themselves,
 * and of their spectra. Deterministic.
 */
import { chosenShare, logSumExp, sharesOfLogs, uniformAt } from './mixture.ts';
import { type Modes, packedOf, type SpectralGrid, shellsOf } from './modes.ts';
import { densityOf, type ModeGaussian } from './prior.ts';
import { flooredPowers } from './spectrum.ts';

/** The maps, and how many components they may have at most. */
interface Question {
  readonly maps: readonly Float32Array[];
  readonly components: number;
  readonly seed: bigint;
}

/** Rounds of expectation and maximization, at most, and of clustering. */
export const EM_ROUNDS = 25;
const CLUSTER_ROUNDS = 8;
/** Gain of the mean ln likelihood of a map, nats, under which a round is the last. */
const ENOUGH = 1e-6;
/** Maps a component must have. */
const MAPS_LEAST = 8;

/**
 * Of each component, the share it has in each map; the shares in a map sum to 1. One transform a map, and at most
 * 2 EM_ROUNDS components (components + 1) / 2 passes over the modes of all maps.
 */
export function sharesOfMaps(
  grid: SpectralGrid,
  { maps, components, seed }: Question,
  window: Float64Array | undefined,
): readonly Float64Array[] {
  const all = [new Float64Array(maps.length).fill(1)];
  const most = Math.min(components, Math.floor(maps.length / MAPS_LEAST));
  if (most < 2) return all;
  const modes = modesOf(grid, maps, window);
  const features = [whitened(grid, modes), spectra(grid, modes)];
  let best: { shares: readonly Float64Array[]; criterion: number } = {
    shares: all,
    criterion: criterionOf(grid, modes, all),
  };
  for (let count = 2; count <= most; count++) {
    for (const [start, points] of features.entries()) {
      const stream = count * features.length + start;
      const uniform = (turn: number) => uniformAt(grid, seed, stream, turn);
      const shares = maximize(grid, modes, clusters(points, count, uniform));
      if (shares === undefined) continue;
      const criterion = criterionOf(grid, modes, shares);
      if (criterion < best.criterion) best = { shares, criterion };
    }
  }
  return best.shares;
}

/** Modes of the maps' deviations from their mean, in the window. */
function modesOf(
  grid: SpectralGrid,
  maps: readonly Float32Array[],
  window: Float64Array | undefined,
): readonly Modes[] {
  const mean = new Float64Array(grid.cells);
  for (const map of maps) for (let i = 0; i < mean.length; i++) mean[i] = mean[i]! + map[i]! / maps.length;
  const cells = new Float64Array(grid.cells);
  return maps.map((map) => {
    for (let i = 0; i < cells.length; i++) cells[i] = (map[i]! - mean[i]!) * (window ? window[i]! : 1);
    const modes = grid.newModes();
    grid.forward(cells, modes);
    return modes;
  });
}

/** Each map as a point whose distances are those of its modes, in standard deviations of all maps. */
function whitened(grid: SpectralGrid, modes: readonly Modes[]): readonly Float64Array[] {
  const { mean, power } = gaussianOfShares(grid, modes, new Float64Array(modes.length).fill(1));
  return modes.map(({ re, im }) => {
    const point = new Float64Array(2 * grid.size);
    for (let k = 0; k < grid.size; k++) {
      const scale = Math.sqrt(grid.shares[k]! / power[k]!);
      point[k] = scale * (re[k]! - mean.re[k]!);
      point[grid.size + k] = scale * (im[k]! - mean.im[k]!);
    }
    return point;
  });
}

/** Each map as the logarithms of its power in each shell. */
function spectra(grid: SpectralGrid, modes: readonly Modes[]): readonly Float64Array[] {
  const shells = shellsOf(grid.rows, grid.cols);
  const length = 1 + shells.reduce((a, b) => Math.max(a, b), 0);
  const shares = packedOf(grid, grid.shares);
  const counts = new Float64Array(length);
  for (const [at, shell] of shells.entries()) counts[shell] = counts[shell]! + shares[at]!;
  return modes.map(({ re, im }) => {
    const squares = packedOf(
      grid,
      re.map((value, k) => value * value + im[k]! * im[k]!),
    );
    const point = new Float64Array(length);
    for (const [at, shell] of shells.entries()) point[shell] = point[shell]! + shares[at]! * squares[at]!;
    // Of a shell of n modes the logarithm scatters by about the root of 2 / n.
    return point.map((sum, shell) =>
      counts[shell] === 0
        ? 0
        : Math.sqrt(counts[shell]! / 2) * Math.log(sum / counts[shell]! + Number.MIN_VALUE),
    );
  });
}

/** Nearest centers, the first chosen far from each other (D. Arthur and S. Vassilvitskii, 2007): shares of 0 and 1. */
function clusters(
  points: readonly Float64Array[],
  count: number,
  uniform: (turn: number) => number,
): readonly Float64Array[] {
  let centers = [points[Math.min(points.length - 1, Math.floor(uniform(0) * points.length))]!];
  while (centers.length < count) {
    const far = Float64Array.from(points, (point) =>
      centers.reduce(
        (least, center) => Math.min(least, squareBetween(point, center)),
        Number.POSITIVE_INFINITY,
      ),
    );
    const sum = far.reduce((a, b) => a + b, 0);
    const shares = far.map((square) => (sum > 0 ? square / sum : 1 / far.length));
    centers.push(points[chosenShare(shares, uniform(centers.length))]!);
  }
  let members: number[] = [];
  for (let round = 0; round < CLUSTER_ROUNDS; round++) {
    members = points.map((point) => nearest(point, centers));
    centers = centers.map((center, j) => centerOf(points.filter((_, n) => members[n] === j)) ?? center);
  }
  return centers.map((_, j) => Float64Array.from(members, (member) => (member === j ? 1 : 0)));
}

function squareBetween(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += (a[i]! - b[i]!) ** 2;
  return sum;
}

function nearest(point: Float64Array, centers: readonly Float64Array[]): number {
  let best = 0;
  let least = Number.POSITIVE_INFINITY;
  for (const [j, center] of centers.entries()) {
    const square = squareBetween(point, center);
    if (square < least) [best, least] = [j, square];
  }
  return best;
}

function centerOf(points: readonly Float64Array[]): Float64Array | undefined {
  const [first] = points;
  if (first === undefined) return undefined;
  const center = new Float64Array(first.length);
  for (const point of points)
    for (let i = 0; i < center.length; i++) center[i] = center[i]! + point[i]! / points.length;
  return center;
}

/** Rounds until the likelihood gains no more; undefined where a component is left with too few maps. */
function maximize(
  grid: SpectralGrid,
  modes: readonly Modes[],
  start: readonly Float64Array[],
): readonly Float64Array[] | undefined {
  let shares = start;
  let before = Number.NEGATIVE_INFINITY;
  for (let round = 0; round < EM_ROUNDS; round++) {
    if (shares.some((of) => of.reduce((a, b) => a + b, 0) < MAPS_LEAST)) return undefined;
    const logs = logJointOfMaps(grid, modes, shares);
    const mean = logs.reduce((sum, of) => sum + logSumExp(of), 0) / modes.length;
    const next = logs.map(sharesOfLogs);
    shares = shares.map((_, j) => Float64Array.from(next, (of) => of[j]!));
    if (mean - before < ENOUGH) break;
    before = mean;
  }
  return shares.some((of) => of.reduce((a, b) => a + b, 0) < MAPS_LEAST) ? undefined : shares;
}

/** Of each map, ln of weight times density of each component as its shares in the maps make it. */
function logJointOfMaps(
  grid: SpectralGrid,
  modes: readonly Modes[],
  shares: readonly Float64Array[],
): readonly Float64Array[] {
  const found = shares.map((of) => ({
    log: Math.log(of.reduce((a, b) => a + b, 0) / modes.length),
    density: densityOf(grid, gaussianOfShares(grid, modes, of)),
  }));
  return modes.map((x) => Float64Array.from(found, ({ log, density }) => log + density(x)));
}

function gaussianOfShares(grid: SpectralGrid, modes: readonly Modes[], shares: Float64Array): ModeGaussian {
  const count = shares.reduce((a, b) => a + b, 0);
  const mean = grid.newModes();
  const power = new Float64Array(grid.size);
  for (const [n, { re, im }] of modes.entries()) {
    const by = shares[n]! / count;
    if (by === 0) continue;
    for (let k = 0; k < grid.size; k++) {
      mean.re[k] = mean.re[k]! + by * re[k]!;
      mean.im[k] = mean.im[k]! + by * im[k]!;
    }
  }
  const freedom = (count - 1) * grid.cells;
  for (const [n, { re, im }] of modes.entries()) {
    const by = shares[n]! / freedom;
    if (by === 0) continue;
    for (let k = 0; k < grid.size; k++)
      power[k] = power[k]! + by * ((re[k]! - mean.re[k]!) ** 2 + (im[k]! - mean.im[k]!) ** 2);
  }
  flooredPowers(grid, power, count);
  return { mean, power };
}

/** -2 ln likelihood + parameters ln maps: of each component a mean a cell, a power a kept mode, and a weight. */
function criterionOf(grid: SpectralGrid, modes: readonly Modes[], shares: readonly Float64Array[]): number {
  const logs = logJointOfMaps(grid, modes, shares);
  const likelihood = logs.reduce((sum, of) => sum + logSumExp(of), 0);
  const powers = grid.shares.reduce((sum, share) => sum + (share > 0 ? 1 : 0), 0);
  const parameters = shares.length * (grid.cells + powers + 1) - 1;
  return parameters * Math.log(modes.length) - 2 * likelihood;
}
