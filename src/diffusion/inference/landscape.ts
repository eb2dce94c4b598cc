/**
 * An objective as single cells move: by how much moving one changes the energy. Energies of neighbors and totals take a
 * few operations; the prior takes as few to ask and a pass over the cells to move; a target spectrum a pass over the modes
 * for either. A landscape follows one map at a time.
 */
import { logSumExp, type ModeMixture } from '../prior/mixture.ts';
import { type SpectralGrid, shellsOf } from '../prior/modes.ts';
import type { ModeGaussian } from '../prior/prior.ts';
import type { TargetSpectrum } from '../sampling/residual.ts';
import type { Objective } from './optimize.ts';

/** A part of an energy. */
interface Term {
  /** Takes up a map, which the landscape changes as cells move; before anything else. */
  place(cells: Float64Array): void;
  /** What moving a cell by so much adds. */
  change(at: number, by: number): number;
  /** Told after a cell has moved. */
  moved(at: number, by: number): void;
}

/** All of an energy; moving a cell moves it in the map taken up. */
export interface Landscape {
  place(cells: Float64Array): void;
  change(at: number, by: number): number;
  move(at: number, by: number): void;
}

export function createLandscape(grid: SpectralGrid, prior: ModeMixture, objective: Objective): Landscape {
  const terms = [localTerm(grid, objective), totalTerm(objective)];
  if (objective.priorWeight > 0) terms.push(priorTerm(grid, prior, objective.priorWeight));
  terms.push(...objective.spectra.map((spectrum) => spectrumTerm(grid, spectrum)));
  let map: Float64Array = new Float64Array(0);
  return {
    place(cells) {
      map = cells;
      for (const term of terms) term.place(cells);
    },
    change: (at, by) => terms.reduce((sum, term) => sum + term.change(at, by), 0),
    move(at, by) {
      map[at] = map[at]! + by;
      for (const term of terms) term.moved(at, by);
    },
  };
}

/** Targets, tension, mass and quartic: a cell and its four neighbors. */
function localTerm({ rows, cols, cells: count }: SpectralGrid, { guides, quartic }: Objective): Term {
  let stiffness = quartic?.mass ?? 0;
  let tension = 0;
  const pull = new Float64Array(count);
  for (const { functional, weight } of guides) {
    if (functional.kind === 'QUADRATIC') {
      stiffness += weight * functional.stiffness;
      const { target } = functional;
      if (target)
        for (let i = 0; i < count; i++) pull[i] = pull[i]! + weight * functional.stiffness * target[i]!;
    }
    if (functional.kind === 'GRADIENT') {
      stiffness += weight * functional.mass;
      tension += weight * functional.tension;
    }
  }
  const u = quartic?.quartic ?? 0;
  // A side of one cell has no slope along it.
  const own = (rows > 1 ? 2 : 0) + (cols > 1 ? 2 : 0);
  let map: Float64Array = new Float64Array(0);
  const bend = (at: number): number => {
    const [row, col] = [Math.floor(at / cols), at % cols];
    let sum = own * map[at]!;
    if (rows > 1) sum -= map[((row + 1) % rows) * cols + col]! + map[((row + rows - 1) % rows) * cols + col]!;
    if (cols > 1) sum -= map[row * cols + ((col + 1) % cols)]! + map[row * cols + ((col + cols - 1) % cols)]!;
    return sum;
  };
  return {
    place(cells) {
      map = cells;
    },
    change(at, by) {
      const x = map[at]!;
      const linear = stiffness * x - pull[at]! + (tension === 0 ? 0 : tension * bend(at));
      // (x + by)^4 - x^4, without taking one from the other.
      const fourth = by * (2 * x + by) * (x * x + (x + by) ** 2);
      return by * linear + ((stiffness + tension * own) * by * by) / 2 + (u / 4) * fourth;
    },
    moved: () => undefined,
  };
}

/** Totals that are aimed at. */
function totalTerm({ guides }: Objective): Term {
  let stiffness = 0;
  let pull = 0;
  for (const { functional, weight } of guides) {
    if (functional.kind !== 'TOTAL_ENERGY') continue;
    const by = weight * (functional.stiffness ?? 0) * functional.cellArea;
    stiffness += by * functional.cellArea;
    pull += by * functional.total;
  }
  let sum = 0;
  return {
    place(cells) {
      sum = cells.reduce((a, b) => a + b, 0);
    },
    change: (_at, by) => by * (stiffness * sum - pull) + (stiffness * by * by) / 2,
    moved(_at, by) {
      sum += by;
    },
  };
}

/** Weight times minus ln density of the prior, up to a constant. */
function priorTerm(grid: SpectralGrid, { weights, components }: ModeMixture, weight: number): Term {
  const parts = components.map((gaussian, j) => distancePart(grid, gaussian, Math.log(weights[j]!)));
  const energies = new Float64Array(parts.length);
  const densities = () => -weight * (parts.length === 1 ? energies[0]! : logSumExp(energies));
  return {
    place(cells) {
      for (const part of parts) part.place(cells);
    },
    change(at, by) {
      for (const [j, part] of parts.entries()) energies[j] = part.log();
      const before = densities();
      for (const [j, part] of parts.entries()) energies[j] = energies[j]! - part.change(at, by);
      return densities() - before;
    },
    moved(at, by) {
      for (const part of parts) part.moved(at, by);
    },
  };
}

/** Half the squared distance from a Gaussian's mean in its standard deviations, as cells move. */
function distancePart(grid: SpectralGrid, { mean, power }: ModeGaussian, logWeight: number) {
  const { rows, cols } = grid;
  const modes = grid.newModes();
  let logScale = logWeight;
  for (let k = 0; k < grid.size; k++) {
    if (grid.shares[k] === 0) continue;
    modes.re[k] = 1 / power[k]!;
    logScale -= (grid.shares[k]! * Math.log(power[k]!)) / 2;
  }
  // What a unit step of the first cell adds to the slope at every cell.
  const response = new Float64Array(grid.cells);
  grid.back(modes, response);
  const slope = new Float64Array(grid.cells);
  let distance = 0;
  const change = (at: number, by: number) => by * slope[at]! + (response[0]! * by * by) / 2;
  return {
    place(cells: Float64Array) {
      grid.forward(cells, modes);
      distance = 0;
      for (let k = 0; k < grid.size; k++) {
        const [re, im] = [modes.re[k]! - mean.re[k]!, modes.im[k]! - mean.im[k]!];
        distance += (grid.shares[k]! * (re * re + im * im)) / (2 * grid.cells * power[k]!);
        modes.re[k] = re / power[k]!;
        modes.im[k] = im / power[k]!;
      }
      grid.back(modes, slope);
    },
    /** ln of weight times density, up to what is the same for all components. */
    log: () => logScale - distance,
    change,
    moved(at: number, by: number) {
      distance += change(at, by);
      const [row, col] = [Math.floor(at / cols), at % cols];
      for (let r = 0; r < rows; r++) {
        const from = ((r - row + rows) % rows) * cols;
        const to = r * cols;
        for (let c = 0; c < cols; c++) {
          const along = c < col ? c - col + cols : c - col;
          slope[to + c] = slope[to + c]! + by * response[from + along]!;
        }
      }
    },
  };
}

/** Power in shells: every mode follows every cell. */
function spectrumTerm(grid: SpectralGrid, { stiffness, powers }: TargetSpectrum): Term {
  const { rows, cols, kept, stride } = grid;
  const shells = shellsOf(rows, cols);
  const counts = new Float64Array(powers.length);
  /** Modes that count: their place in a plane, row, column and shell. */
  const active: (readonly [k: number, row: number, col: number, shell: number])[] = [];
  for (let row = 0; row < rows; row++)
    for (let col = 0; col < kept; col++) {
      const shell = shells[row * kept + col]!;
      if (!(shell < powers.length && powers[shell]! > 0)) continue;
      active.push([row * stride + col, row, col, shell]);
      counts[shell] = counts[shell]! + grid.shares[row * stride + col]!;
    }
  const turn = (length: number) =>
    Array.from({ length }, (_, i) => {
      const angle = (2 * Math.PI * i) / length;
      return [Math.cos(angle), Math.sin(angle)] as const;
    });
  const [turnsDown, turnsAlong] = [turn(rows), turn(cols)];
  const modes = grid.newModes();
  const found = new Float64Array(powers.length);
  const after = new Float64Array(powers.length);
  const energyOf = (of: Float64Array) =>
    of.reduce((sum, power, shell) => {
      if (!(counts[shell]! > 0 && power > 0)) return sum;
      return sum + (stiffness / 2) * Math.log(power / powers[shell]!) ** 2;
    }, 0);
  /** Calls back with each mode and what a unit step of a cell adds to it. */
  const each = (at: number, visit: (k: number, shell: number, re: number, im: number) => void) => {
    const [down, along] = [Math.floor(at / cols), at % cols];
    for (const [k, row, col, shell] of active) {
      const [cosDown, sinDown] = turnsDown[(row * down) % rows]!;
      const [cosAlong, sinAlong] = turnsAlong[(col * along) % cols]!;
      const re = cosDown * cosAlong - sinDown * sinAlong;
      visit(k, shell, re, -(cosDown * sinAlong + sinDown * cosAlong));
    }
  };
  const add = (of: Float64Array, k: number, shell: number, square: number) => {
    of[shell] = of[shell]! + (grid.shares[k]! * square) / (counts[shell]! * grid.cells);
  };
  /** Powers as they are once a cell has moved. */
  const follow = (of: Float64Array, at: number, by: number) => {
    each(at, (k, shell, re, im) =>
      add(of, k, shell, by * (2 * (modes.re[k]! * re + modes.im[k]! * im) + by)),
    );
  };
  return {
    place(cells) {
      grid.forward(cells, modes);
      found.fill(0);
      for (const [k, , , shell] of active) add(found, k, shell, modes.re[k]! ** 2 + modes.im[k]! ** 2);
    },
    change(at, by) {
      after.set(found);
      follow(after, at, by);
      return energyOf(after) - energyOf(found);
    },
    moved(at, by) {
      follow(found, at, by);
      each(at, (k, _shell, re, im) => {
        modes.re[k] = modes.re[k]! + by * re;
        modes.im[k] = modes.im[k]! + by * im;
      });
    },
  };
}
