/**
 * Energies that are not quadratic, as particles are weighed by them: of a map that is known only up to a Gaussian
 * remainder, the expected energy and its slope. With no remainder it is the energy itself. Cost: a transform pair or a
 * pass over the modes each.
 */
import { type Modes, packedOf, type SpectralGrid, shellsOf } from '../prior/modes.ts';
import { type ModeGaussian, siteVariance } from '../prior/prior.ts';
import { type GuidanceFault, type Guide, guided } from './guidance.ts';

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

/** A target density: a Gaussian times e^-E of what is left. */
export interface Factored {
  readonly base: ModeGaussian;
  readonly energies: readonly ResidualEnergy[];
  /** ln of the mean of what went into the base beyond `guides`, under the Gaussian guided by these alone. */
  readonly logFactor: number;
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
 * Factors exp of minus the energies over the temperature. Of a quartic, the parabola that resembles it most under the
 * resulting Gaussian goes into the base (the self-consistent field of D. Hartree), which leaves far less to weigh.
 */
export function factored(
  grid: SpectralGrid,
  prior: ModeGaussian,
  guides: readonly Guide[],
  temperature: number,
  quartic: Quartic | undefined,
  spectra: readonly TargetSpectrum[],
): Factored | GuidanceFault {
  const plain = guided(grid, prior, guides, temperature);
  if (typeof plain === 'string') return plain;
  if (quartic === undefined)
    return { base: plain, energies: residualEnergies(grid, temperature, undefined, spectra), logFactor: 0 };
  const { mass, quartic: u } = quartic;
  let parabola = Math.max(0, mass) + 3 * u * meanSquare(grid, plain);
  let base = plain;
  for (let round = 0; round < HARTREE_ROUNDS; round++) {
    const field = { functional: { kind: 'QUADRATIC', stiffness: parabola }, weight: 1 } as const;
    const next = guided(grid, prior, [...guides, field], temperature);
    if (typeof next === 'string') return next;
    base = next;
    parabola = (parabola + Math.max(0, mass + 3 * u * meanSquare(grid, base))) / 2;
  }
  const last = { functional: { kind: 'QUADRATIC', stiffness: parabola }, weight: 1 } as const;
  const final = guided(grid, prior, [...guides, last], temperature);
  if (typeof final === 'string') return final;
  base = final;
  const left = { mass: mass - parabola, quartic: u };
  return {
    base,
    energies: residualEnergies(grid, temperature, left, spectra),
    logFactor: logFactorOf(grid, plain, base),
  };
}

/** Mean over cells of the expected square. */
function meanSquare(grid: SpectralGrid, { mean, power }: ModeGaussian): number {
  let squares = 0;
  for (let k = 0; k < grid.size; k++) squares += grid.shares[k]! * (mean.re[k]! ** 2 + mean.im[k]! ** 2);
  return siteVariance(grid, power) + squares / grid.cells ** 2;
}

/** ln of the mean under `from` of the parabola that turns it into `to`. */
function logFactorOf(grid: SpectralGrid, from: ModeGaussian, to: ModeGaussian): number {
  let sum = 0;
  const exponent = ({ mean, power }: ModeGaussian, k: number) =>
    (mean.re[k]! ** 2 + mean.im[k]! ** 2) / (grid.cells * power[k]!);
  for (let k = 0; k < grid.size; k++) {
    if (grid.shares[k] === 0 || from.power[k] === 0) continue;
    sum += grid.shares[k]! * (Math.log(to.power[k]! / from.power[k]!) + exponent(to, k) - exponent(from, k));
  }
  return sum / 2;
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
