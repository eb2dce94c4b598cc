/** The labeled fields are what they are called: exact energies of Ising, moments and memory of random fields, chaos. */
import { describe, expect, test } from '@jest/globals';
import { drifting, switched } from '../../../bench/fields/changing.ts';
import type { Field } from '../../../bench/fields/field.ts';
import { grayScottField } from '../../../bench/fields/gray-scott.ts';
import { CRITICAL_TEMPERATURE, createIsing } from '../../../bench/fields/ising.ts';
import { LABELS, labeledField } from '../../../bench/fields/labeled.ts';
import { logisticField } from '../../../bench/fields/logistic.ts';
import { gaussianField } from '../../../bench/fields/stationary.ts';
import { createRandom } from '../../../src/random.ts';

const meanOf = (cells: ArrayLike<number>) => Array.from(cells).reduce((sum, x) => sum + x / cells.length, 0);
const levelOf = (field: Field, from: number, to: number) => {
  const means = Array.from({ length: to }, () => meanOf(field.next())).slice(from);
  return meanOf(means);
};

describe('Ising', () => {
  test('has the exact energies of a 4x4 lattice', () => {
    for (const [temperature, energy] of [
      [2, -1.755380289],
      [3, -1.017069627],
    ] as const) {
      const ising = createIsing(4, temperature, 100, createRandom(1));
      let sum = 0;
      const sweeps = 20_000;
      for (let at = 0; at < sweeps; at++) {
        ising.sweep();
        sum += ising.energy() / sweeps;
      }
      expect(Math.abs(sum - energy)).toBeLessThan(0.03);
    }
    expect(CRITICAL_TEMPERATURE).toBeCloseTo(2.269185314, 8);
  });

  test('reaches the energy of a large lattice by clusters and by sweeps', () => {
    const ising = createIsing(64, 2.5, 200, createRandom(2));
    let sum = 0;
    for (let at = 0; at < 150; at++) {
      ising.sweep();
      sum += ising.energy() / 150;
    }
    expect(Math.abs(sum - -1.106079204)).toBeLessThan(0.02);
  });
});

describe('random fields', () => {
  test('have mean 0, variance 1 and the memory asked for', () => {
    const field = gaussianField({ rows: 16, cols: 16, memory: 0.6, smoothing: 2 }, createRandom(3));
    let [square, product, count] = [0, 0, 0];
    let before = field.next();
    for (let at = 0; at < 400; at++) {
      const now = field.next();
      for (const [cell, value] of now.entries()) {
        square += value * value;
        product += value * before[cell]!;
        count++;
      }
      before = now;
    }
    expect(square / count).toBeCloseTo(1, 1);
    expect(product / square).toBeCloseTo(0.6, 1);
  });

  test('drift by and by, and switch at once, by the deviations asked for', () => {
    const white = () => gaussianField({ rows: 8, cols: 8, memory: 0, smoothing: 0 }, createRandom(4));
    expect(levelOf(switched(white(), { level: 3, spread: 0 }, 20), 20, 60)).toBeCloseTo(3, 0);
    expect(levelOf(switched(white(), { level: 3, spread: 0 }, 20), 0, 20)).toBeCloseTo(0, 0);
    expect(levelOf(drifting(white(), { level: 4, spread: 0 }, 0, 40), 15, 25)).toBeCloseTo(2, 0);
  });
});

test('Gray-Scott patterns are at rest, and not even', () => {
  const field = grayScottField(24, createRandom(5));
  const [first, second] = [field.next(), field.next()];
  expect(second).toEqual(first);
  expect(Math.max(...first) - Math.min(...first)).toBeGreaterThan(0.1);
});

test('neighboring starts of a logistic lattice part', () => {
  const law = { rows: 6, cols: 6, growth: 4, coupling: 0.1 };
  const [one, other] = [logisticField(law, createRandom(6)), logisticField(law, createRandom(7))];
  const [a, b] = [one.next(), other.next()];
  expect(a.every((x) => x >= 0 && x <= 1)).toBe(true);
  expect(a).not.toEqual(b);
});

test('a labeled field is the same from the same seed, and another from another', () => {
  for (const label of LABELS) {
    const [once, again, other] = [labeledField(label, 5), labeledField(label, 5), labeledField(label, 6)];
    expect(once.label).toBe(label);
    expect(again.windows).toBe(once.windows);
    const cells = once.field.next();
    expect(again.field.next()).toEqual(cells);
    expect(other.field.next()).not.toEqual(cells);
  }
});
