/** The Ising model: its exact numbers, and that the fields made of it have them. */
import { describe, expect, test } from '@jest/globals';
import { CRITICAL_TEMPERATURE, createIsing } from '../../../bench/fields/ising.ts';
import { createRandom } from '../../../src/random.ts';

/** Complete elliptic integral of the first kind, by the modulus k' = sqrt(1 - k^2) and Gauss's mean. */
function ellipticK(complement: number): number {
  let [a, g] = [1, complement];
  for (let step = 0; step < 60; step++) [a, g] = [(a + g) / 2, Math.sqrt(a * g)];
  return Math.PI / (2 * a);
}

/** Energy by spin of the infinite lattice (L. Onsager, Phys. Rev. 65, 117, 1944). */
function onsagerEnergy(temperature: number): number {
  const tanh = Math.tanh(2 / temperature);
  const lack = 2 * tanh * tanh - 1;
  return -(1 / tanh) * (1 + (2 / Math.PI) * lack * ellipticK(Math.abs(lack)));
}

/** Magnetization by spin of the infinite lattice below the critical temperature (C. Yang, Phys. Rev. 85, 808, 1952). */
const magnetization = (temperature: number) => (1 - Math.sinh(2 / temperature) ** -4) ** (1 / 8);

/** How many of the 2^16 states of a periodic 4x4 lattice have each energy. */
function energiesOf4x4(): Map<number, number> {
  const counts = new Map<number, number>();
  for (let state = 0; state < 65_536; state++) {
    const spin = (row: number, col: number) => ((state >> (4 * (row % 4) + (col % 4))) & 1) * 2 - 1;
    let energy = 0;
    for (let at = 0; at < 16; at++) {
      const [row, col] = [at >> 2, at & 3];
      energy -= spin(row, col) * (spin(row, col + 1) + spin(row + 1, col));
    }
    counts.set(energy, (counts.get(energy) ?? 0) + 1);
  }
  return counts;
}

/** Means over the sweeps of a lattice in equilibrium, with the standard errors of batches. */
function measured(side: number, temperature: number, sweeps: number, seed: number) {
  const ising = createIsing(side, temperature, 200, createRandom(seed));
  for (let burn = 0; burn < 50; burn++) ising.sweep();
  const batches = 20;
  const energies = new Float64Array(batches);
  const magnets = new Float64Array(batches);
  for (let at = 0; at < sweeps; at++) {
    ising.sweep();
    const batch = Math.floor((at * batches) / sweeps);
    energies[batch]! += (ising.energy() * batches) / sweeps;
    const sum = ising.spins.reduce((total, spin) => total + spin, 0);
    magnets[batch]! += (Math.abs(sum) / side / side) * (batches / sweeps);
  }
  const estimate = (values: Float64Array) => {
    const mean = values.reduce((sum, value) => sum + value / batches, 0);
    const square = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
    return { mean, error: Math.sqrt(square / (batches - 1) / batches) };
  };
  return { energy: estimate(energies), magnet: estimate(magnets) };
}

/** Within four standard errors, which are small enough for that to say something. */
function expectWithin({ mean, error }: { mean: number; error: number }, exact: number): void {
  expect(error).toBeLessThan(0.004);
  expect(Math.abs(mean - exact)).toBeLessThan(4 * error);
}

describe('energy.golden Ising', () => {
  test('critical temperature, energies and magnetization of the infinite lattice', () => {
    expect(CRITICAL_TEMPERATURE / 2.269185314).toBeCloseTo(1, 9);
    for (const [temperature, energy] of [
      [2, -1.745564575],
      [CRITICAL_TEMPERATURE, -Math.SQRT2],
      [2.5, -1.106079204],
      [3, -0.817309593],
    ] as const)
      expect(onsagerEnergy(temperature) / energy).toBeCloseTo(1, 8);
    expect(magnetization(2) / 0.911319378).toBeCloseTo(1, 8);
  });

  test('energy and ln Z of a periodic 4x4 lattice, by all its states', () => {
    const counts = [...energiesOf4x4()];
    const sum = (temperature: number, value: (energy: number) => number) =>
      counts.reduce(
        (total, [energy, count]) => total + count * Math.exp(-energy / temperature) * value(energy),
        0,
      );
    const energyOf = (temperature: number) =>
      sum(temperature, (energy) => energy / 16) / sum(temperature, () => 1);
    expect(energyOf(2) / -1.755380289).toBeCloseTo(1, 8);
    expect(energyOf(3) / -1.017069627).toBeCloseTo(1, 8);
    expect(Math.log(sum(2, () => 1)) / 16 / 1.069085445).toBeCloseTo(1, 8);
  });

  test.each([
    [4, 2, 40_000, -1.755380289],
    [4, 3, 40_000, -1.017069627],
    [64, 2, 200, -1.745564575],
    [64, 2.5, 400, -1.106079204],
    [64, 3, 200, -0.817309593],
  ])('a made lattice of side %d has its energy at temperature %d', (side, temperature, sweeps, energy) => {
    const { energy: found, magnet } = measured(side, temperature, sweeps, 1);
    expectWithin(found, energy);
    if (side === 64 && temperature === 2) expectWithin(magnet, magnetization(2));
  });
});
