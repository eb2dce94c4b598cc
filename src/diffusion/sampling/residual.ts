/**
 * Energies that are not quadratic, as particles are weighed by them: of a map that is known only up to a Gaussian
 * remainder, the expected energy and its slope. With no remainder it is the energy itself. Cost: a transform pair or a
 * pass over the modes each.
 */
import { logJoint, logSumExp, type ModeMixture, sharesOfLogs } from '../prior/mixture.ts';
import { type Modes, packedOf, type SpectralGrid, shellsOf } from '../prior/modes.ts';
import { type ModeGaussian, siteVariance } from '../prior/prior.ts';
import { type GuidanceFault, type Guide, type GuidedGaussian, guided } from './guidance.ts';

/**
 * Gives the expected energy of a map of mean `x` and of remaining power (a plane), and adds the modes of its slope in
 * the cells of `x` to `slope`.
 */
export type ResidualEnergy = (x: Modes, remaining: Float64Array, slope: Modes) => number;

/** sum of mass / 2 x^2 + quartic / 4 x^4 over cells, weight included. */
export interface Quartic {
  readonly mass: number;
  /** At least 0. */
  readonly quartic: number;
}

/** stiffness / 2 * sum over shells of ln(P / P*)^2, weight included. */
export interface TargetSpectrum {
  readonly stiffness: number;
  /** P* from wave number 0 on; 0 leaves a shell alone. */
  readonly powers: readonly number[];
}

/** A target density: a weighted sum of Gaussians, each times e^-E of what is left. */
export interface Target {
  /** Weights sum to 1. */
  readonly parts: readonly Part[];
  /** ln of the mean of what went into the bases beyond the guides, under the Gaussians guided by these alone. */
  readonly logFactor: number;
}

/** What one component of a prior has become. */
export interface Part {
  readonly weight: number;
  readonly base: ModeGaussian;
  readonly energies: readonly ResidualEnergy[];
}

/** The energies themselves, over a temperature. */
export function residualEnergies(
  grid: SpectralGrid,
  temperature: number,
  quartic: Quartic | undefined,
  spectra: readonly TargetSpectrum[],
): ResidualEnergy[] {
  const energies = spectra.map((spectrum) => spectrumEnergy(grid, spectrum, 1 / temperature));
  return quartic ? [quarticEnergy(grid, quartic, 1 / temperature), ...energies] : energies;
}

const HARTREE_ROUNDS = 100;

/**
 * Factors p^(1/T) times exp of minus the energies over T. Of a quartic, the parabola that resembles it most under the
 * resulting Gaussian goes into the base (the self-consistent field of D. Hartree), which leaves far less to weigh. A
 * mixture becomes that of its heated components, times what p^(1/T) differs by from it.
 */
export function targetOf(
  grid: SpectralGrid,
  prior: ModeMixture,
  guides: readonly Guide[],
  temperature: number,
  quartic: Quartic | undefined,
  spectra: readonly TargetSpectrum[],
): Target | GuidanceFault {
  const { weights, components } = prior;
  const found: Omit<Part, 'weight'>[] = [];
  const plain = new Float64Array(components.length);
  const whole = new Float64Array(components.length);
  const heat = components.length > 1 && temperature !== 1 ? [heatEnergy(grid, prior, temperature)] : [];
  for (const [j, component] of components.entries()) {
    const guide = guided(grid, component, guides, temperature);
    if (typeof guide === 'string') return guide;
    const held = quartic && hartreeField(grid, component, guides, temperature, quartic, guide);
    if (typeof held === 'string') return held;
    const base = held?.base ?? guide;
    const energies = residualEnergies(grid, temperature, held?.left, spectra);
    found.push({ base, energies: [...energies, ...heat] });
    plain[j] = Math.log(weights[j]!) / temperature + guide.logMass;
    whole[j] = Math.log(weights[j]!) / temperature + base.logMass;
  }
  const shares = sharesOfLogs(whole);
  const parts = found.map((part, j) => ({ ...part, weight: shares[j]! }));
  return { parts, logFactor: logSumExp(whole) - logSumExp(plain) };
}

/** The Gaussian guided by the parabola that resembles a quartic most under it, and what that leaves of the quartic. */
function hartreeField(
  grid: SpectralGrid,
  prior: ModeGaussian,
  guides: readonly Guide[],
  temperature: number,
  { mass, quartic: u }: Quartic,
  plain: ModeGaussian,
): { base: GuidedGaussian; left: Quartic } | GuidanceFault {
  const under = (stiffness: number) => {
    const field = { functional: { kind: 'QUADRATIC', stiffness }, weight: 1 } as const;
    return guided(grid, prior, [...guides, field], temperature);
  };
  let parabola = Math.max(0, mass) + 3 * u * meanSquare(grid, plain);
  for (let round = 0; round < HARTREE_ROUNDS; round++) {
    const next = under(parabola);
    if (typeof next === 'string') return next;
    parabola = (parabola + Math.max(0, mass + 3 * u * meanSquare(grid, next))) / 2;
  }
  const base = under(parabola);
  return typeof base === 'string' ? base : { base, left: { mass: mass - parabola, quartic: u } };
}

/**
 * What p^(1/T) of a mixture lacks of the sum of (w_j N_j)^(1/T), as an energy: ln of that sum less ln p over T, which
 * lies between 0 and (1 - 1/T) ln of the number of components. Of a map still noisy it is taken at its mean.
 */
function heatEnergy(grid: SpectralGrid, prior: ModeMixture, temperature: number): ResidualEnergy {
  return (x, _remaining, slope) => {
    const logs = logJoint(grid, prior, 1, 0, x);
    const heated = logs.map((log) => log / temperature);
    const [cold, hot] = [sharesOfLogs(logs), sharesOfLogs(heated)];
    for (const [j, { mean, power }] of prior.components.entries()) {
      const by = (cold[j]! - hot[j]!) / temperature;
      if (by === 0) continue;
      for (let k = 0; k < grid.size; k++) {
        if (grid.shares[k] === 0) continue;
        slope.re[k] = slope.re[k]! + (by * (x.re[k]! - mean.re[k]!)) / power[k]!;
        slope.im[k] = slope.im[k]! + (by * (x.im[k]! - mean.im[k]!)) / power[k]!;
      }
    }
    return logSumExp(heated) - logSumExp(logs) / temperature;
  };
}

/** Mean over cells of the expected square. */
function meanSquare(grid: SpectralGrid, { mean, power }: ModeGaussian): number {
  let squares = 0;
  for (let k = 0; k < grid.size; k++) squares += grid.shares[k]! * (mean.re[k]! ** 2 + mean.im[k]! ** 2);
  return siteVariance(grid, power) + squares / grid.cells ** 2;
}

function quarticEnergy(grid: SpectralGrid, { mass, quartic: u }: Quartic, scale: number): ResidualEnergy {
  const cells = new Float64Array(grid.cells);
  const modes = grid.newModes();
  return (x, remaining, slope) => {
    const variance = siteVariance(grid, remaining);
    grid.back(x, cells);
    let energy = 0;
    for (let i = 0; i < cells.length; i++) {
      const cell = cells[i]!;
      const square = cell * cell;
      energy +=
        (mass / 2) * (square + variance) +
        (u / 4) * (square * square + 6 * square * variance + 3 * variance * variance);
      cells[i] = scale * cell * (mass + u * (square + 3 * variance));
    }
    grid.forward(cells, modes);
    for (let k = 0; k < grid.size; k++) {
      slope.re[k] = slope.re[k]! + modes.re[k]!;
      slope.im[k] = slope.im[k]! + modes.im[k]!;
    }
    return scale * energy;
  };
}

function spectrumEnergy(
  grid: SpectralGrid,
  { stiffness, powers }: TargetSpectrum,
  scale: number,
): ResidualEnergy {
  const { rows, kept, stride } = grid;
  const shells = shellsOf(grid.rows, grid.cols);
  const shares = packedOf(grid, grid.shares);
  const counts = new Float64Array(powers.length);
  for (const [at, shell] of shells.entries())
    if (shell < counts.length) counts[shell] = counts[shell]! + shares[at]!;
  const found = new Float64Array(powers.length);
  return (x, remaining, slope) => {
    found.fill(0);
    const each = (visit: (k: number, shell: number) => void) => {
      for (let row = 0; row < rows; row++)
        for (let col = 0; col < kept; col++) {
          const shell = shells[row * kept + col]!;
          if (shell < powers.length && powers[shell]! > 0) visit(row * stride + col, shell);
        }
    };
    each((k, shell) => {
      const power = (x.re[k]! ** 2 + x.im[k]! ** 2) / grid.cells + remaining[k]!;
      found[shell] = found[shell]! + (grid.shares[k]! * power) / counts[shell]!;
    });
    let energy = 0;
    const pulls = found.map((power, shell) => {
      if (!(power > 0) || !(powers[shell]! > 0)) return 0;
      const off = Math.log(power / powers[shell]!);
      energy += (stiffness / 2) * off * off;
      return (2 * scale * stiffness * off) / (power * counts[shell]!);
    });
    each((k, shell) => {
      slope.re[k] = slope.re[k]! + pulls[shell]! * x.re[k]!;
      slope.im[k] = slope.im[k]! + pulls[shell]! * x.im[k]!;
    });
    return scale * energy;
  };
}
