/**
 * Finding a map of least energy by projected gradient descent: steps as long as the last two slopes suggest (J. Barzilai
 * and J. Borwein, 1988), halved until the energy falls enough, each map brought back within its bounds and to its total.
 * Finds a local minimum. A search is plain data between two iterations.
 */
import { logJoint, logSumExp, type ModeMixture, onlyComponent, sharesOfLogs } from '../prior/mixture.ts';
import type { SpectralGrid } from '../prior/modes.ts';
import { addDistance, type Guide, quadraticForm } from '../sampling/guidance.ts';
import {
  type Quartic,
  type ResidualEnergy,
  residualEnergies,
  type TargetSpectrum,
} from '../sampling/residual.ts';

/** What is minimized. */
export interface Objective {
  /** Energies that are quadratic, none of them exact. */
  readonly guides: readonly Guide[];
  readonly quartic: Quartic | undefined;
  readonly spectra: readonly TargetSpectrum[];
  /** Weight of minus ln density of the prior, at least 0. */
  readonly priorWeight: number;
}

/** Where the map must stay: lower <= upper, and a total that cells within them can have. */
export interface Constraint {
  readonly lower: number;
  readonly upper: number;
  /** Sum of the cells. */
  readonly total: number | undefined;
}

/** A search between two iterations. */
export interface Search {
  readonly cells: Float64Array;
  readonly energy: number;
  /** Root mean square of how far a unit step along the slope would move the map within its bounds. */
  readonly slope: number;
  readonly iterations: number;
  /** Length of the next step tried. */
  readonly stride: number;
  /** Whether the slope is at most the tolerance. */
  readonly converged: boolean;
  /** Whether no step along the slope gets any lower. */
  readonly stuck: boolean;
}

export interface Optimizer {
  energyOf(cells: Float64Array): number;
  begin(start: Float64Array): Search;
  /** At most `iterations` more. One to some forty evaluations each, a transform pair or two. */
  improve(search: Search, iterations: number): Search;
}

/** Share of the fall that the slope promises which a step must achieve. */
const ARMIJO = 1e-4;
const HALVINGS_MAX = 40;
const STRIDE = { least: 1e-12, greatest: 1e12 };
/** Of so many steps of a projection one halves the bracket. */
const NEWTON_STEPS = 8;

export function createOptimizer(
  grid: SpectralGrid,
  prior: ModeMixture,
  objective: Objective,
  constraint: Constraint,
  tolerance: number,
): Optimizer {
  const evaluate = createEvaluation(grid, prior, objective);
  const searchOf = (
    cells: Float64Array,
    energy: number,
    gradient: Float64Array,
    rest: { iterations: number; stride: number; stuck: boolean },
  ) => {
    const ahead = project(
      cells.map((cell, i) => cell - gradient[i]!),
      constraint,
    );
    const slope = Math.sqrt(ahead.reduce((sum, cell, i) => sum + (cell - cells[i]!) ** 2, 0) / cells.length);
    return { cells, energy, slope, converged: slope <= tolerance, ...rest };
  };
  const spare = new Float64Array(grid.cells);
  return {
    energyOf: (cells) => evaluate(cells, spare),
    begin(start) {
      const cells = project(start, constraint);
      const gradient = new Float64Array(cells.length);
      const energy = evaluate(cells, gradient);
      return searchOf(cells, energy, gradient, { iterations: 0, stride: 1, stuck: false });
    },
    improve(search, iterations) {
      let current = search;
      const gradient = new Float64Array(grid.cells);
      evaluate(current.cells, gradient);
      for (let i = 0; i < iterations && !current.converged && !current.stuck; i++)
        current = iterate(current, gradient);
      return current;
    },
  };

  /** One step; leaves the gradient at where it ends. */
  function iterate(
    { cells, energy, slope, iterations, stride: first }: Search,
    gradient: Float64Array,
  ): Search {
    const next = new Float64Array(cells.length);
    let stride = first;
    for (let halving = 0; halving < HALVINGS_MAX; halving++, stride /= 2) {
      const moved = project(
        cells.map((cell, i) => cell - stride * gradient[i]!),
        constraint,
      );
      let promised = 0;
      for (let i = 0; i < cells.length; i++) promised += gradient[i]! * (cells[i]! - moved[i]!);
      const reached = evaluate(moved, next);
      if (!(reached <= energy - ARMIJO * promised) || !(promised > 0)) continue;
      let along = 0;
      let bent = 0;
      for (let i = 0; i < cells.length; i++) {
        const step = moved[i]! - cells[i]!;
        along += step * step;
        bent += step * (next[i]! - gradient[i]!);
      }
      const suggested = bent > 0 ? along / bent : 2 * stride;
      gradient.set(next);
      return searchOf(moved, reached, next, {
        iterations: iterations + 1,
        stride: Math.min(STRIDE.greatest, Math.max(STRIDE.least, suggested)),
        stuck: false,
      });
    }
    return { cells, energy, slope, iterations: iterations + 1, stride, converged: false, stuck: true };
  }
}

/** Energy of cells; writes its slope. */
function createEvaluation(grid: SpectralGrid, prior: ModeMixture, objective: Objective) {
  const form = quadraticForm(grid, objective.guides);
  const energies = residualEnergies(grid, 1, objective.quartic, objective.spectra);
  const single = onlyComponent(prior);
  if (single) addDistance(grid, single, objective.priorWeight, form);
  else if (objective.priorWeight > 0) energies.push(surprise(grid, prior, objective.priorWeight));
  const x = grid.newModes();
  const slope = grid.newModes();
  const nothing = new Float64Array(grid.size);
  const { precision, pull } = form;
  return (cells: Float64Array, gradient: Float64Array): number => {
    grid.forward(cells, x);
    let sum = 0;
    for (let k = 0; k < grid.size; k++) {
      const [re, im] = [x.re[k]!, x.im[k]!];
      slope.re[k] = precision[k]! * re - pull.re[k]!;
      slope.im[k] = precision[k]! * im - pull.im[k]!;
      sum += grid.shares[k]! * (re * (slope.re[k]! - pull.re[k]!) + im * (slope.im[k]! - pull.im[k]!));
    }
    let energy = form.constant + sum / (2 * grid.cells);
    for (const add of energies) energy += add(x, nothing, slope);
    grid.back(slope, gradient);
    return energy;
  };
}

/** Weight times minus ln density of a mixture. */
function surprise(grid: SpectralGrid, prior: ModeMixture, weight: number): ResidualEnergy {
  return (x, _remaining, slope) => {
    const logs = logJoint(grid, prior, 1, 0, x);
    const shares = sharesOfLogs(logs);
    for (const [j, { mean, power }] of prior.components.entries()) {
      const by = weight * shares[j]!;
      for (let k = 0; k < grid.size; k++) {
        slope.re[k] = slope.re[k]! + (by * (x.re[k]! - mean.re[k]!)) / power[k]!;
        slope.im[k] = slope.im[k]! + (by * (x.im[k]! - mean.im[k]!)) / power[k]!;
      }
    }
    return -weight * logSumExp(logs);
  };
}

/**
 * The nearest map within bounds and of the total: all cells moved alike, then cut off. How far follows by Newton's steps,
 * since the total is linear in it while no cell comes to a bound, each kept within what is known to be too little and too
 * much. Some fifteen passes over the cells, one to three where there are no bounds or no total.
 */
export function project(cells: Float64Array, { lower, upper, total }: Constraint): Float64Array {
  const moved = new Float64Array(cells.length);
  /** Moves the cells; tells their sum, that of their sizes, and how many are off their bounds. */
  const move = (by: number) => {
    let sum = 0;
    let size = 0;
    let free = 0;
    for (let i = 0; i < moved.length; i++) {
      const cell = cells[i]! + by;
      const cut = cell < lower ? lower : cell > upper ? upper : cell;
      moved[i] = cut;
      sum += cut;
      size += Math.abs(cut);
      if (cut === cell) free++;
    }
    return { sum, size, free };
  };
  if (total === undefined) {
    move(0);
    return moved;
  }
  // The total rises with the shift, and between these two all cells pass from one bound, or beyond the total, to the other.
  const most = cells.reduce((a, b) => Math.max(a, Math.abs(b)), Math.abs(total));
  const reach =
    2 * most + Math.abs(Number.isFinite(lower) ? lower : 0) + Math.abs(Number.isFinite(upper) ? upper : 0);
  let low = -reach;
  let high = reach;
  let by = 0;
  for (let pass = 1; ; pass++) {
    const { sum, size, free } = move(by);
    const gap = total - sum;
    const newton = by + gap / free;
    if (Math.abs(gap) <= Number.EPSILON * size || newton === by) return moved;
    if (gap > 0) low = by;
    else high = by;
    by = pass % NEWTON_STEPS > 0 && newton > low && newton < high ? newton : (low + high) / 2;
    if (!(by > low && by < high)) return moved;
  }
}
