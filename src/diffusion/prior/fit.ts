/**
 * Fitting a prior to maps: the mean of each cell and the power of each mode, the latter drawn towards the mean of its
 * shell (modes of about one wave number), the more the fewer maps there are. Deterministic; maps are taken in order.
 */
import { type FilledMaps, fillMaps } from './fill.ts';
import { logJoint, logSumExp, mixtureOf } from './mixture.ts';
import { sharesOfMaps } from './mixture-fit.ts';
import { createSpectralGrid, keptColumns, packedOf, type SpectralGrid, shellsOf } from './modes.ts';
import { type Component, gaussianOf, type Prior, siteVariance } from './prior.ts';
import { flooredPowers, taper } from './spectrum.ts';

/** Where the mean comes from; cells where it is given. */
export type MeanSource = 'CLIMATOLOGY' | 'ZERO' | { readonly given: Float64Array };

/** What is to be fitted. */
export interface FitJob {
  readonly rows: number;
  readonly cols: number;
  /** Row-major; at least 2. */
  readonly maps: readonly Float32Array[];
  /** Of each map which cells were observed, one bit a cell, least significant first; undefined, or absent, for all. */
  readonly observed?: readonly (Uint8Array | undefined)[];
  /** Of one component; several find their own. */
  readonly mean: MeanSource;
  /** Whether opposite edges meet; if not, maps are tapered before their power is measured. */
  readonly periodic: boolean;
  /** Most components, at least 1. */
  readonly components: number;
  /** Of what the search for components starts from. */
  readonly seed: bigint;
}

/** What is told of a Gaussian, or of a whole mixture. */
export interface Figures {
  /** Sum of the mean over all cells. */
  readonly meanTotal: number;
  /** Variance of a cell. */
  readonly siteVariance: number;
  /** Share of the shell means in the powers, 0..1. */
  readonly shrinkage: number;
  /** Mean power of each shell, from wave number 0 on; 0 for a shell without modes. */
  readonly shellPowers: Float64Array;
}

export interface Fit extends Figures {
  readonly prior: Prior;
  /** Mean ln density of the fitted maps, nats a cell. */
  readonly logLikelihoodPerCell: number;
  /** Cells of all maps together that were not observed. */
  readonly filledCells: number;
  /** One each where there are several. */
  readonly components: readonly (Figures & { readonly weight: number })[];
}

/** Fits a prior. Two transforms a map; of several components some hundred passes over the maps for each. */
export function fitPrior(job: FitJob): Fit {
  const { rows, cols, periodic, mean } = job;
  const given = typeof mean === 'object' ? mean.given : undefined;
  const grid = createSpectralGrid(rows, cols);
  const window = periodic ? undefined : taper(rows, cols);
  const filled = fillMaps(job.maps, job.observed ?? [], given, window);
  const { maps, filledCells } = filled;
  const shares = sharesOfMaps(grid, { ...job, maps }, window);
  const fitted = shares
    .map((of) => fitComponent(grid, filled, of, shares.length > 1 ? 'CLIMATOLOGY' : mean, window))
    .sort((a, b) => b.component.weight - a.component.weight);
  const prior = { rows, cols, components: fitted.map(({ component }) => component) };
  const figures = fitted.map(({ component, shrinkage }) => figuresOf(grid, [component], shrinkage));
  const shrinkage = fitted.reduce((sum, one) => sum + one.component.weight * one.shrinkage, 0);
  return {
    ...figuresOf(grid, prior.components, shrinkage),
    prior,
    filledCells,
    logLikelihoodPerCell: meanLikelihood(grid, prior, maps) / grid.cells,
    components:
      figures.length > 1 ? figures.map((one, j) => ({ ...one, weight: prior.components[j]!.weight })) : [],
  };
}

/** A Gaussian of maps, each counting for its share, 0..1. */
function fitComponent(
  grid: SpectralGrid,
  filled: FilledMaps,
  shares: Float64Array,
  source: MeanSource,
  window: Float64Array | undefined,
): { component: Component; shrinkage: number } {
  const count = shares.reduce((a, b) => a + b, 0);
  const { maps } = filled;
  const mean = meanOf(maps, shares, source, grid.cells);
  // An estimated mean takes one degree of freedom of every cell.
  const freedom = source === 'CLIMATOLOGY' ? count - 1 : count;
  const power = periodogram(grid, filled, shares, mean, window);
  for (let k = 0; k < power.length; k++) power[k] = power[k]! / freedom;
  const shrinkage = flooredPowers(grid, power, count);
  return { component: { weight: count / maps.length, mean, power: packedOf(grid, power) }, shrinkage };
}

function meanOf(
  maps: readonly Float32Array[],
  shares: Float64Array,
  source: MeanSource,
  cells: number,
): Float64Array {
  if (typeof source === 'object') return source.given;
  const mean = new Float64Array(cells);
  if (source === 'ZERO') return mean;
  let count = 0;
  for (const [n, map] of maps.entries()) {
    const share = shares[n]!;
    count += share;
    if (share > 0) for (let i = 0; i < cells; i++) mean[i] = mean[i]! + share * map[i]!;
  }
  for (let i = 0; i < cells; i++) mean[i] = mean[i]! / count;
  return mean;
}

/** Sum over maps of the power of each mode, as a plane, that of cells which were not observed made up for. */
function periodogram(
  grid: SpectralGrid,
  { maps, observedShares }: FilledMaps,
  shares: Float64Array,
  mean: Float64Array,
  window: Float64Array | undefined,
): Float64Array {
  const power = new Float64Array(grid.size);
  const modes = grid.newModes();
  const deviation = new Float64Array(grid.cells);
  for (const [n, map] of maps.entries()) {
    if (shares[n] === 0) continue;
    for (let i = 0; i < deviation.length; i++)
      deviation[i] = (map[i]! - mean[i]!) * (window === undefined ? 1 : window[i]!);
    grid.forward(deviation, modes);
    const share = shares[n]! / grid.cells;
    for (let k = 0; k < power.length; k++) {
      // The mean of a map, its first mode, has lost nothing.
      const by = k === 0 ? share : share / observedShares[n]!;
      power[k] = power[k]! + by * (modes.re[k]! ** 2 + modes.im[k]! ** 2);
    }
  }
  return power;
}

function meanLikelihood(grid: SpectralGrid, prior: Prior, maps: readonly Float32Array[]): number {
  const mixture = mixtureOf(grid, prior);
  const modes = grid.newModes();
  let sum = 0;
  for (const map of maps) {
    grid.forward(map, modes);
    sum += logSumExp(logJoint(grid, mixture, 1, 0, modes));
  }
  return sum / maps.length;
}

/** Of components taken together, the scatter of their means included. */
function figuresOf(grid: SpectralGrid, components: readonly Component[], shrinkage: number): Figures {
  const whole = components.reduce((sum, { weight }) => sum + weight, 0);
  const found = components.map((component) => ({
    share: component.weight / whole,
    gaussian: gaussianOf(grid, component),
  }));
  const power = new Float64Array(grid.size);
  const mean = grid.newModes();
  for (const { share, gaussian } of found)
    for (let k = 0; k < grid.size; k++) {
      mean.re[k] = mean.re[k]! + share * gaussian.mean.re[k]!;
      mean.im[k] = mean.im[k]! + share * gaussian.mean.im[k]!;
    }
  for (const { share, gaussian } of found)
    for (let k = 0; k < grid.size; k++) {
      const off = (gaussian.mean.re[k]! - mean.re[k]!) ** 2 + (gaussian.mean.im[k]! - mean.im[k]!) ** 2;
      power[k] = power[k]! + share * (gaussian.power[k]! + off / grid.cells);
    }
  return {
    meanTotal: mean.re[0]!,
    siteVariance: siteVariance(grid, power),
    shrinkage,
    shellPowers: shellPowers(grid.rows, grid.cols, packedOf(grid, power)),
  };
}

/** Mean power of each shell of kept modes, from wave number 0 on; 0 for a shell without any. */
export function shellPowers(rows: number, cols: number, power: Float64Array): Float64Array {
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
