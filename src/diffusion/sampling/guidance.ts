/**
 * Guidance by an energy: sampling p(x)^(1/T) e^(-w E(x) / T) instead of p(x). For a Gaussian p and a quadratic E the
 * result is a Gaussian again, computed here exactly, and any sampler then draws from it. Energies add up, and so do
 * their precisions. A mixture at T = 1 stays one: each component is guided, and weighs what the energy leaves of it.
 */
import { type ModeMixture, sharesOfLogs } from '../prior/mixture.ts';
import { type Modes, type SpectralGrid, stiffness } from '../prior/modes.ts';
import type { ModeGaussian } from '../prior/prior.ts';

export type Functional =
  | {
      readonly kind: 'QUADRATIC';
      /** E = stiffness / 2 |x - target|^2, stiffness at least 0. */
      readonly stiffness: number;
      /** A cell each; absent for zeros. */
      readonly target?: Float64Array;
    }
  | {
      readonly kind: 'GRADIENT';
      /** E = sum of tension / 2 |grad x|^2 + mass / 2 x^2 over cells, tension at least 0, edges periodic. */
      readonly tension: number;
      readonly mass: number;
    }
  | {
      readonly kind: 'TOTAL_ENERGY';
      /** E = stiffness / 2 (sum of x times cell area - total)^2; undefined holds the total exactly. */
      readonly stiffness: number | undefined;
      readonly total: number;
      /** Over 0. */
      readonly cellArea: number;
    };

export interface Guide {
  readonly functional: Functional;
  /** At least 0. */
  readonly weight: number;
}

/** UNBOUNDED: in some mode the energy falls faster than the prior can hold. CONFLICT: two totals are to be exact. */
export type GuidanceFault = 'UNBOUNDED' | 'CONFLICT';

/** A Gaussian after guidance. */
export interface GuidedGaussian extends ModeGaussian {
  /** ln of the integral of p^(1/T) e^(-E/T), up to a number that shape, T and what is held exactly alone decide. */
  readonly logMass: number;
}

/** constant + sum over all modes of (precision |x|^2 / 2 - Re(conj(pull) x)) / cells. */
export interface QuadraticForm {
  readonly precision: Float64Array;
  readonly pull: Modes;
  constant: number;
}

/** The sum of energies, none of them exact, each times its weight. A transform for each target. */
export function quadraticForm(grid: SpectralGrid, guides: readonly Guide[]): QuadraticForm {
  const form = { precision: new Float64Array(grid.size), pull: grid.newModes(), constant: 0 };
  for (const { functional, weight } of guides) addFunctional(grid, functional, weight, form);
  return form;
}

/** Adds weight times half the squared distance from a Gaussian's mean in its standard deviations; no mode pinned. */
export function addDistance(
  grid: SpectralGrid,
  { mean, power }: ModeGaussian,
  weight: number,
  form: QuadraticForm,
): void {
  for (let k = 0; k < grid.size; k++) add(grid, form, k, weight / power[k]!, mean.re[k]!, mean.im[k]!);
}

/** The guided Gaussian at a temperature over 0, or why there is none. O(modes) and a transform for each target. */
export function guided(
  grid: SpectralGrid,
  prior: ModeGaussian,
  guides: readonly Guide[],
  temperature: number,
): GuidedGaussian | GuidanceFault {
  const { size, shares, cells } = grid;
  const form = quadraticForm(grid, []);
  const { precision, pull } = form;
  addDistance(grid, prior, 1, form);
  let pinned: number | undefined;
  for (const { functional, weight } of guides) {
    if (functional.kind === 'TOTAL_ENERGY' && functional.stiffness === undefined) {
      // The mode of wave number 0 is the plain sum of the cells.
      const sum = functional.total / functional.cellArea;
      if (pinned !== undefined && pinned !== sum) return 'CONFLICT';
      pinned = sum;
    } else addFunctional(grid, functional, weight, form);
  }
  const power = new Float64Array(size);
  let logMass = 0;
  let least = form.constant;
  for (let k = 0; k < size; k++) {
    power[k] = 1;
    if (shares[k] === 0) continue;
    const by = precision[k]!;
    const isPinned = k === 0 && pinned !== undefined;
    if (!(by > 0) && !isPinned) return 'UNBOUNDED';
    logMass -= (shares[k]! * Math.log(prior.power[k]!)) / (2 * temperature);
    if (isPinned) {
      least += (pinned! * (by * pinned! - 2 * pull.re[0]!)) / (2 * cells);
      power[0] = 0;
      pull.re[0] = pinned!;
      pull.im[0] = 0;
      continue;
    }
    power[k] = temperature / by;
    logMass += (shares[k]! * Math.log(power[k]!)) / 2;
    least -= (shares[k]! * (pull.re[k]! ** 2 + pull.im[k]! ** 2)) / (2 * cells * by);
    pull.re[k] = pull.re[k]! / by;
    pull.im[k] = pull.im[k]! / by;
  }
  return { mean: pull, power, logMass: logMass - least / temperature };
}

/** The guided mixture, or why there is none. More than one component are mixed again at temperature 1 alone. */
export function guidedMixture(
  grid: SpectralGrid,
  { weights, components }: ModeMixture,
  guides: readonly Guide[],
  temperature: number,
): ModeMixture | GuidanceFault {
  const found: GuidedGaussian[] = [];
  for (const component of components) {
    const result = guided(grid, component, guides, temperature);
    if (typeof result === 'string') return result;
    found.push(result);
  }
  const logs = Float64Array.from(found, ({ logMass }, j) => Math.log(weights[j]!) + logMass);
  return { weights: sharesOfLogs(logs), components: found };
}

/** Adds to a mode a precision and its pull towards a value. */
function add(grid: SpectralGrid, form: QuadraticForm, k: number, by: number, re: number, im: number): void {
  const { precision, pull } = form;
  precision[k] = precision[k]! + by;
  pull.re[k] = pull.re[k]! + by * re;
  pull.im[k] = pull.im[k]! + by * im;
  form.constant += (grid.shares[k]! * by * (re * re + im * im)) / (2 * grid.cells);
}

function addFunctional(
  grid: SpectralGrid,
  functional: Functional,
  weight: number,
  form: QuadraticForm,
): void {
  switch (functional.kind) {
    case 'QUADRATIC': {
      const target = grid.newModes();
      if (functional.target) grid.forward(functional.target, target);
      const by = weight * functional.stiffness;
      for (let k = 0; k < grid.size; k++) add(grid, form, k, by, target.re[k]!, target.im[k]!);
      return;
    }
    case 'GRADIENT': {
      const bending = stiffness(grid);
      for (let k = 0; k < grid.size; k++)
        add(grid, form, k, weight * (functional.tension * bending[k]! + functional.mass), 0, 0);
      return;
    }
    case 'TOTAL_ENERGY': {
      const { stiffness: by = 0, total, cellArea } = functional;
      add(grid, form, 0, weight * by * cellArea * cellArea * grid.cells, total / cellArea, 0);
      return;
    }
  }
}
