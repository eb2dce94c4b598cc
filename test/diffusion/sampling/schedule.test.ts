/** Noise schedules: published values, the shape every schedule has, and which levels are visited. */
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import {
  type Schedule,
  scheduleLevels,
  visitedLevels,
  withoutFinalSignal,
} from '../../../src/diffusion/sampling/schedule.ts';

const SCHEDULES: readonly Schedule[] = [
  ...(['LINEAR', 'SCALED_LINEAR', 'COSINE', 'SIGMOID', 'KARRAS'] as const).map((kind) => ({ kind })),
  { kind: 'BOLTZMANN', temperature: 10 },
];
const logSnr = (level: number) => Math.log(level / (1 - level));

describe('schedules', () => {
  test('diffusion.golden schedule: the linear one keeps 4.036e-5 of the signal after 1,000 steps', () => {
    const levels = scheduleLevels({ kind: 'LINEAR' }, 1000);
    expect(levels[0]).toBeCloseTo(0.9999, 12);
    expect(levels[999]! * 1e5).toBeCloseTo(4.036, 3);
  });

  test('every schedule falls strictly within (0, 1), and each step adds some noise but not only noise', () => {
    fc.assert(
      fc.property(fc.constantFrom(...SCHEDULES), fc.integer({ min: 2, max: 10_000 }), (schedule, steps) => {
        const levels = scheduleLevels(schedule, steps);
        let before = 1;
        for (const level of levels) {
          const beta = 1 - level / before;
          if (!(level > 0 && beta > 0 && beta < 1)) return false;
          before = level;
        }
        return levels.length === steps;
      }),
      { numRuns: 60 },
    );
  });

  test('diffusion.golden schedule: the Boltzmann one runs between the ends of the linear one', () => {
    const levels = scheduleLevels({ kind: 'BOLTZMANN', temperature: 10 }, 50);
    expect(logSnr(levels[0]!)).toBeCloseTo(9.21024, 5);
    expect(logSnr(levels[49]!)).toBeCloseTo(-10.117673, 5);
  });

  test('a hot Boltzmann schedule is uniform in log-SNR', () => {
    const hot = [...scheduleLevels({ kind: 'BOLTZMANN', temperature: 1e8 }, 101)].map(logSnr);
    for (let t = 1; t < hot.length; t++) expect(hot[t]! - hot[t - 1]!).toBeCloseTo(-0.19327913, 5);
  });

  test.each([2, 101, 10_000])('a Boltzmann schedule of %d steps as cold as may be still falls', (steps) => {
    const cold = scheduleLevels({ kind: 'BOLTZMANN', temperature: 1e-3 }, steps);
    for (let t = 1; t < steps; t++) if (!(cold[t]! < cold[t - 1]!)) throw new Error(`not at step ${t}`);
    expect(logSnr(cold[0]!)).toBeCloseTo(9.21024, 5);
    expect(logSnr(cold.at(-1)!)).toBeCloseTo(-10.117673, 5);
  });

  test('rescaled, a schedule ends without signal and starts where it did', () => {
    const levels = scheduleLevels({ kind: 'LINEAR' }, 1000);
    const rescaled = withoutFinalSignal(levels);
    expect(rescaled[999]).toBe(0);
    expect(rescaled[0]).toBeCloseTo(levels[0]!, 12);
    for (let t = 1; t < rescaled.length; t++) expect(rescaled[t]!).toBeLessThan(rescaled[t - 1]!);
  });
});

describe('spacing', () => {
  const index = Float64Array.from({ length: 1000 }, (_, t) => t);

  test('trailing ends at the noisiest level, leading at the cleanest, linspace at both', () => {
    expect([...visitedLevels(index, 'TRAILING', 4)]).toEqual([999, 749, 499, 249]);
    expect([...visitedLevels(index, 'LEADING', 4)]).toEqual([750, 500, 250, 0]);
    expect([...visitedLevels(index, 'LINSPACE', 4)]).toEqual([999, 666, 333, 0]);
    expect([...visitedLevels(index, 'LINSPACE', 1)]).toEqual([999]);
  });

  test('no level is visited twice, however many there are', () => {
    const spacings = fc.constantFrom('TRAILING' as const, 'LEADING' as const, 'LINSPACE' as const);
    const sizes = fc
      .integer({ min: 2, max: 300 })
      .chain((all) => fc.tuple(fc.constant(all), fc.integer({ min: 1, max: all })));
    fc.assert(
      fc.property(spacings, sizes, (spacing, [all, steps]) => {
        const levels = Float64Array.from({ length: all }, (_, t) => t);
        const visited = visitedLevels(levels, spacing, steps);
        for (let i = 1; i < steps; i++) if (!(visited[i]! < visited[i - 1]!)) return false;
        return true;
      }),
    );
  });
});
