/** Particles, against integrals done numerically and against the exact method where there is one. */
import { describe, expect, test } from '@jest/globals';
import { createSpectralGrid, type SpectralGrid, shellsOf } from '../../../src/diffusion/prior/modes.ts';
import { type ModeGaussian, standardGaussian } from '../../../src/diffusion/prior/prior.ts';
import type { Guide } from '../../../src/diffusion/sampling/guidance.ts';
import { descend } from '../../../src/diffusion/sampling/particles.ts';
import {
  type Part,
  type ResidualEnergy,
  type Target,
  targetOf,
} from '../../../src/diffusion/sampling/residual.ts';
import { levelsOf, single, whiteGaussian } from '../support.ts';

const levels = levelsOf({ kind: 'LINEAR' }, 10);
const PICKS = 32;

function expectTarget(target: ReturnType<typeof targetOf>): Target {
  if (typeof target === 'string') throw new Error(target);
  return target;
}

/** Swarms of many seeds: mean over them of the normalizer, and of squares of the first cell of a pick each. */
function average(grid: SpectralGrid, target: Target, seeds: number, particles = 64) {
  const cells = new Float64Array(grid.cells);
  let normalizer = 0;
  let squares = 0;
  let effective = Number.POSITIVE_INFINITY;
  for (let seed = 0; seed < seeds; seed++) {
    const swarm = descend(grid, target, { particles, levels, seed: BigInt(seed) });
    normalizer += Math.exp(swarm.logNormalizer) / seeds;
    effective = Math.min(effective, swarm.finalEffective);
    for (let sample = 0; sample < PICKS; sample++) {
      grid.back(swarm.pick(sample), cells);
      squares += cells[0]! ** 2 / (PICKS * seeds);
    }
  }
  return { normalizer, squares, effective };
}

/** Moments of e^(-(x^2/(2 variance) + mass x^2/2 + quartic x^4/4)/T), the weight relative to the Gaussian alone. */
function integrate(variance: number, mass: number, quartic: number, temperature: number) {
  let [whole, part, squares] = [0, 0, 0];
  for (let x = -12; x <= 12; x += 0.001) {
    const gaussian = Math.exp(-(x * x) / (2 * variance * temperature));
    const weight = gaussian * Math.exp(-((mass * x * x) / 2 + (quartic * x ** 4) / 4) / temperature);
    whole += gaussian;
    part += weight;
    squares += weight * x * x;
  }
  return { normalizer: part / whole, squares: squares / part };
}

describe('a quartic', () => {
  const one = createSpectralGrid(1, 1);

  test.each([
    [1, 0, 1, 1],
    [1, -3, 1, 1],
    [0.5, 0.5, 4, 0.7],
  ])(
    'diffusion quality: of one cell, variance %d, mass %d, quartic %d, T %d',
    (variance, mass, quartic, T) => {
      const target = expectTarget(
        targetOf(one, single(whiteGaussian(one, variance)), [], T, { mass, quartic }, []),
      );
      const found = average(one, target, 100);
      const wanted = integrate(variance, mass, quartic, T);
      expect(Math.abs(found.normalizer / wanted.normalizer - 1)).toBeLessThan(0.03);
      expect(Math.abs(found.squares / wanted.squares - 1)).toBeLessThan(0.08);
    },
  );

  test('of a field keeps most particles alive, since most of it goes into the base', () => {
    const grid = createSpectralGrid(8, 8);
    const quartic = { mass: 0, quartic: 0.5 };
    const target = expectTarget(targetOf(grid, single(standardGaussian(grid)), [], 1, quartic, []));
    expect(average(grid, target, 5).effective).toBeGreaterThan(16);
  });

  test('with no weight at all is the Gaussian: every particle counts, the normalizer is 1', () => {
    const grid = createSpectralGrid(3, 4);
    const target = expectTarget(
      targetOf(grid, single(standardGaussian(grid)), [], 1, { mass: 0, quartic: 0 }, []),
    );
    const swarm = descend(grid, target, { particles: 16, levels, seed: 1n });
    expect(swarm.finalEffective).toBeCloseTo(16, 9);
    expect(swarm.logNormalizer).toBeCloseTo(0, 9);
  });

  test('a parabola left to the particles gives what the exact method gives', () => {
    const [{ base, energies }] = expectTarget(
      targetOf(one, single(whiteGaussian(one, 1)), [], 1, { mass: 1, quartic: 1e-12 }, []),
    ).parts as [Part];
    expect(base.power[0]).toBeCloseTo(0.5, 6);
    const part = { weight: 1, base: whiteGaussian(one, 1), energies: [halfSquare(one)] };
    const plain: Target = { parts: [part], logFactor: 0 };
    expect(energies).toHaveLength(1);
    const found = average(one, plain, 100);
    expect(Math.abs(found.squares / 0.5 - 1)).toBeLessThan(0.08);
    expect(Math.abs(found.normalizer / Math.SQRT1_2 - 1)).toBeLessThan(0.03);
  });
});

/** E = sum of x^2 / 2, written down anew. */
function halfSquare(grid: SpectralGrid): ResidualEnergy {
  return (x, remaining, slope) => {
    let energy = 0;
    for (let k = 0; k < grid.size; k++) {
      const square = (x.re[k]! ** 2 + x.im[k]! ** 2) / grid.cells;
      energy += (grid.shares[k]! * (square + remaining[k]!)) / 2;
      slope.re[k]! += x.re[k]!;
      slope.im[k]! += x.im[k]!;
    }
    return energy;
  };
}

describe('a target spectrum', () => {
  test('draws the power of a shell to where it is wanted', () => {
    const grid = createSpectralGrid(8, 8);
    const prior: ModeGaussian = whiteGaussian(grid, 1);
    const powers = [0, 0, 0, 3];
    const powerOf = (stiffness: number) => {
      const target = expectTarget(targetOf(grid, single(prior), [], 1, undefined, [{ stiffness, powers }]));
      let sum = 0;
      let count = 0;
      for (let seed = 0; seed < 6; seed++) {
        const x = descend(grid, target, { particles: 64, levels, seed: BigInt(seed) }).pick(0);
        for (const [at, shell] of shellsOf(8, 8).entries()) {
          if (shell !== 3) continue;
          const k = Math.floor(at / grid.kept) * grid.stride + (at % grid.kept);
          sum += (grid.shares[k]! * (x.re[k]! ** 2 + x.im[k]! ** 2)) / grid.cells;
          count += grid.shares[k]!;
        }
      }
      return sum / count;
    };
    expect(Math.abs(powerOf(0) - 1)).toBeLessThan(0.3);
    expect(Math.abs(powerOf(60) - 3)).toBeLessThan(0.75);
  });
});

test('energies have the slopes they say they have', () => {
  const grid = createSpectralGrid(4, 6);
  const prior = standardGaussian(grid);
  const guides: Guide[] = [];
  const spectra = [{ stiffness: 2, powers: [1, 2, 0, 0.5] }];
  const target = targetOf(grid, single(prior), guides, 2, { mass: -1, quartic: 0.8 }, spectra);
  const { energies } = expectTarget(target).parts[0]!;
  const cells = Float64Array.from({ length: 24 }, (_, i) => Math.sin(3 * i) + 0.1 * i);
  const remaining = prior.power.map((power) => 0.3 * power);
  const x = grid.newModes();
  const energyOf = (at: Float64Array, energy: ResidualEnergy) => {
    grid.forward(at, x);
    const slope = grid.newModes();
    const value = energy(x, remaining, slope);
    const slopes = new Float64Array(24);
    grid.back(slope, slopes);
    return { value, slopes };
  };
  expect(energies).toHaveLength(2);
  for (const energy of energies)
    for (const at of [0, 5, 17]) {
      const moved = (by: number) =>
        energyOf(
          cells.map((cell, i) => (i === at ? cell + by : cell)),
          energy,
        ).value;
      const measured = (moved(1e-5) - moved(-1e-5)) / 2e-5;
      expect(Math.abs(energyOf(cells, energy).slopes[at]! - measured)).toBeLessThan(1e-7);
    }
});
