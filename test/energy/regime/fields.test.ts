/** The labeled fields are what they are called: patterns of Gray-Scott, moments and memory of random fields, chaos. */
import { describe, expect, test } from '@jest/globals';
import { drifting, switched } from '../../../bench/fields/changing.ts';
import { deviationOf, type Field } from '../../../bench/fields/field.ts';
import { createReaction, REACTIONS, type ReactionName } from '../../../bench/fields/gray-scott.ts';
import { LABELS, labeledField } from '../../../bench/fields/labeled.ts';
import { logisticField } from '../../../bench/fields/logistic.ts';
import { gaussianField } from '../../../bench/fields/stationary.ts';
import { createRandom } from '../../../src/random.ts';

const meanOf = (cells: ArrayLike<number>) => Array.from(cells).reduce((sum, x) => sum + x / cells.length, 0);
const levelOf = (field: Field, from: number, to: number) => {
  const means = Array.from({ length: to }, () => meanOf(field.next())).slice(from);
  return meanOf(means);
};

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

describe('energy.golden Gray-Scott', () => {
  test('feed and kill rates of the six patterns', () => {
    expect(REACTIONS).toEqual({
      gliders: { feed: 0.014, kill: 0.054 },
      bubbles: { feed: 0.098, kill: 0.057 },
      maze: { feed: 0.029, kill: 0.057 },
      worms: { feed: 0.058, kill: 0.065 },
      spirals: { feed: 0.018, kill: 0.051 },
      spots: { feed: 0.03, kill: 0.062 },
    });
  });

  test.each([
    ['gliders', 'moves'],
    ['bubbles', 'rests'],
    ['maze', 'rests'],
    ['worms', 'rests'],
    ['spirals', 'moves'],
    ['spots', 'rests'],
  ] as const)('%s keep a pattern, which %s', (name: ReactionName, end) => {
    const reaction = createReaction(name, 64, createRandom(1));
    reaction.run(6000);
    const before = reaction.b().slice();
    reaction.run(300);
    const after = reaction.b();
    for (const cells of [reaction.a(), after]) {
      expect(Math.min(...cells)).toBeGreaterThanOrEqual(0);
      expect(Math.max(...cells)).toBeLessThanOrEqual(1);
    }
    const deviation = deviationOf(after);
    expect(deviation).toBeGreaterThan(0.05);
    const change = Math.sqrt(meanOf(after.map((value, at) => (value - before[at]!) ** 2)));
    if (end === 'rests') expect(change).toBeLessThan(0.1 * deviation);
    else expect(change).toBeGreaterThan(0.5 * deviation);
  });
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
