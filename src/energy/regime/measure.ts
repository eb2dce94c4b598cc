/**
 * What is kept of one map for the regime of its stream: a few numbers of its own, and how it stands to the three maps
 * before it. Powers are of the map less its mean, unobserved cells at the mean; frequencies are in cycles a cell.
 */
import { arenaFor } from '../../numeric/kernels/arena.ts';
import { createGridFft } from '../../numeric/kernels/fft-plan.ts';
import { PATTERNS, patternOf } from '../../numeric/permutation-entropy.ts';
import type { Steps } from '../../numeric/slices.ts';
import type { RegimeMap } from './observation.ts';

/** Larger maps are judged by what needs neither a spectrum nor the maps before. */
export const SPECTRAL_CELLS_MAX = 16_384;
/** Cells handled between two yields. */
const STEP_CELLS = 16_384;
/** Variance below this share of the squared mean is rounding: cells are float32. */
const ROUNDING = 1e-13;
/** Power that counts as none, as a share of the mean power. */
const POWER_MIN = 1e-9;

/** How the cells of one map lie; undefined where they do not vary, or are too many. */
export interface Shape {
  /** Slope of ln power over ln frequency, between shells. */
  readonly slope: number | undefined;
  /** Mean frequency by power. */
  readonly centroid: number | undefined;
  /** Geometric over arithmetic mean of the powers: 0.56 for white noise. */
  readonly flatness: number | undefined;
  /** Excess kurtosis of the differences between neighbors. */
  readonly kurtosis: number | undefined;
}

/** What is kept of one window. */
export interface WindowRecord extends Shape {
  readonly startMs: number;
  /** Net energy by observed cell, which nodes that come and go do not move. */
  readonly energy: number;
  /** Spatial entropy less its greatest possible value, ln of the observed cells; undefined for a map of zeros. */
  readonly entropy: number | undefined;
  readonly logVariance: number;
  /** Amplitudes of the mean and of the longest wave down the rows (real, imaginary) and across; empty without spectra. */
  readonly modes: readonly number[];
  /** Mean squared differences of cells to the map before and to the one before that; 0 without those. */
  readonly apart: readonly [number, number];
  /** Cells by the order of their last four values. */
  readonly patterns: readonly number[];
}

/** A map before, to be compared with. */
export interface HeldMap {
  readonly cells: Float32Array;
  readonly observed: Uint8Array;
}

/** Maps before that are compared with. */
export const HELD_MAPS = 3;

/** Measures maps of one shape. Owns scratch memory only: what it says depends on nothing but its arguments. */
export interface Measure {
  /** What is kept of a map; `before`: up to three maps, the newest first. O(cells log cells). */
  record(map: RegimeMap, before: readonly HeldMap[]): Steps<WindowRecord>;
}

export function createMeasure(rows: number, cols: number): Measure {
  const isSpectral = rows * cols <= SPECTRAL_CELLS_MAX;
  const spectrum = isSpectral ? createSpectrum(rows, cols) : undefined;
  return {
    *record(map, before) {
      const energy = map.net / map.count;
      const kurtosis = yield* slopeKurtosis(map);
      const waves = spectrum?.(map, energy);
      yield;
      const { apart, patterns } = isSpectral
        ? compared(map, before)
        : { apart: [0, 0] as const, patterns: [] };
      yield;
      return {
        startMs: map.startMs,
        energy,
        entropy: map.spatialEntropy === undefined ? undefined : map.spatialEntropy - Math.log(map.count),
        logVariance: Math.log(Math.max(map.variance, Number.MIN_VALUE)),
        slope: waves?.slope,
        centroid: waves?.centroid,
        flatness: waves?.flatness,
        kurtosis,
        modes: waves?.modes ?? [],
        apart,
        patterns,
      };
    },
  };
}

function* slopeKurtosis(map: RegimeMap): Steps<number | undefined> {
  const sums: SlopeSums = { count: 0, second: 0, fourth: 0 };
  const rowsAtOnce = Math.max(1, Math.floor(STEP_CELLS / map.cols));
  for (let row = 0; row < map.rows; row += rowsAtOnce) {
    addSlopes(map, row, Math.min(map.rows, row + rowsAtOnce), sums);
    if (row + rowsAtOnce < map.rows) yield;
  }
  const { count, second, fourth } = sums;
  const kurtosis = (fourth * count) / (second * second) - 3;
  return Number.isFinite(kurtosis) ? kurtosis : undefined;
}

/** Number, squares and fourth powers of differences between neighbors. */
interface SlopeSums {
  count: number;
  second: number;
  fourth: number;
}

/** Adds the differences of each cell of these rows to the one on its right and the one below it. */
function addSlopes(
  { rows, cols, cells, observed }: RegimeMap,
  from: number,
  to: number,
  sums: SlopeSums,
): void {
  let { count, second, fourth } = sums;
  for (let row = from; row < to; row++) {
    for (let col = 0, at = row * cols; col < cols; col++, at++) {
      if (observed[at] === 0) continue;
      if (col + 1 < cols && observed[at + 1] !== 0) {
        const square = (cells[at + 1]! - cells[at]!) ** 2;
        count++;
        second += square;
        fourth += square * square;
      }
      if (row + 1 < rows && observed[at + cols] !== 0) {
        const square = (cells[at + cols]! - cells[at]!) ** 2;
        count++;
        second += square;
        fourth += square * square;
      }
    }
  }
  sums.count = count;
  sums.second = second;
  sums.fourth = fourth;
}

/** Squared differences to the maps before, and the orders cells stood in over the last four. */
function compared({ cells, observed }: RegimeMap, before: readonly HeldMap[]) {
  const [one, two, three] = before;
  const patterns = new Array<number>(PATTERNS).fill(0);
  let count = 0;
  let next = 0;
  let second = 0;
  if (!one || !two) return { apart: [0, 0] as const, patterns };
  for (let at = 0; at < cells.length; at++) {
    if (observed[at] === 0 || one.observed[at] === 0 || two.observed[at] === 0) continue;
    // As the maps before are held.
    const value = Math.fround(cells[at]!);
    count++;
    next += (value - one.cells[at]!) ** 2;
    second += (value - two.cells[at]!) ** 2;
    if (three === undefined || three.observed[at] === 0) continue;
    const pattern = patternOf(three.cells[at]!, two.cells[at]!, one.cells[at]!, value);
    if (pattern >= 0) patterns[pattern] = patterns[pattern]! + 1;
  }
  const share = 1 / Math.max(1, count);
  return { apart: [next * share, second * share] as const, patterns };
}

type Waves = Omit<Shape, 'kurtosis'> & { readonly modes: readonly number[] };

/** A plan for spectra of maps of one shape. */
function createSpectrum(rows: number, cols: number): (map: RegimeMap, mean: number) => Waves {
  const bytes = 8 * (rows * cols + 8 * rows * (cols / 2 + 8)) + 4096 * (rows + cols);
  const arena = arenaFor(bytes);
  const plan = createGridFft(arena, 'float64', rows, cols);
  const { kept, stride } = plan;
  const grid = arena.float64(rows * cols);
  const re = arena.float64(rows * stride);
  const im = arena.float64(rows * stride);
  const side = Math.max(rows, cols);
  const shells = Math.floor(side / 2);
  /** Of each wave kept, row by row; waves of both signs are kept once. */
  const frequencies = new Float64Array(rows * kept);
  /** Shell of each; the last is of those beyond all others, which none is fitted to. */
  const shellOf = new Uint16Array(rows * kept);
  const signs = (j: number) => (j === 0 || 2 * j === cols ? 1 : 2);
  const [power, weight] = [new Float64Array(shells + 2), new Float64Array(shells + 2)];
  for (let wave = 1; wave < rows * kept; wave++) {
    const [i, j] = [Math.floor(wave / kept), wave % kept];
    frequencies[wave] = Math.hypot(Math.min(i, rows - i) / rows, j / cols);
    shellOf[wave] = Math.min(shells + 1, Math.round(frequencies[wave]! * side));
    weight[shellOf[wave]!] = weight[shellOf[wave]!]! + signs(j);
  }
  const scale = 1 / Math.sqrt(rows * cols);
  return (map, mean) => {
    for (let at = 0; at < grid.length; at++) grid[at] = map.observed[at] === 0 ? 0 : map.cells[at]! - mean;
    plan.forward(grid, re, im);
    const wave = (at: number, length: number) => (length > 1 ? [re[at]! * scale, im[at]! * scale] : []);
    const modes = [mean / scale, ...wave(stride, rows), ...wave(1, cols)];
    const varies = map.variance > ROUNDING * mean * mean;
    if (!varies) return { slope: undefined, centroid: undefined, flatness: undefined, modes };
    power.fill(0);
    const floor = POWER_MIN * map.variance * map.count;
    const count = rows * cols - 1;
    let total = 0;
    let logs = 0;
    let moment = 0;
    let product = 1;
    for (let i = 0; i < rows; i++) {
      for (let j = 0; j < kept; j++) {
        if (i === 0 && j === 0) continue;
        const at = i * stride + j;
        const wave = i * kept + j;
        const waves = signs(j);
        const size = re[at]! ** 2 + im[at]! ** 2;
        total += waves * size;
        const term = size + floor;
        // One logarithm of a product in place of one each, where products stay well within doubles.
        if (term < 1e-60 || term > 1e60) logs += waves * Math.log(term);
        else product *= waves === 2 ? term * term : term;
        if (product < 1e-150 || product > 1e150) {
          logs += Math.log(product);
          product = 1;
        }
        moment += waves * size * frequencies[wave]!;
        const shell = shellOf[wave]!;
        power[shell] = power[shell]! + waves * size;
      }
    }
    return {
      slope: shellSlope(power.subarray(0, -1), weight, floor),
      centroid: moment / total,
      flatness: Math.exp((logs + Math.log(product)) / count) / (total / count),
      modes,
    };
  };
}

/** Least squares of ln mean power over ln frequency; undefined with fewer than two shells. */
function shellSlope(power: Float64Array, weight: Float64Array, floor: number): number | undefined {
  let n = 0;
  let x = 0;
  let xx = 0;
  let y = 0;
  let xy = 0;
  for (let shell = 1; shell < power.length; shell++) {
    if (weight[shell] === 0) continue;
    const logFrequency = Math.log(shell);
    const logPower = Math.log(power[shell]! / weight[shell]! + floor);
    n++;
    x += logFrequency;
    xx += logFrequency ** 2;
    y += logPower;
    xy += logFrequency * logPower;
  }
  const determinant = n * xx - x * x;
  return n >= 2 && determinant > 0 ? (n * xy - x * y) / determinant : undefined;
}
