/** What is read off a window and off a map. */
import { describe, expect, test } from '@jest/globals';
import { samplesOfMap, samplesOfWindow } from '../../../src/resilience/phase-risk/standing-metrics.ts';
import { energyMap } from './worlds.ts';

const reading = (mean: number) => ({ node: 'a', mean, coveredSeconds: 60 });

describe('a window', () => {
  test('gives the mean over nodes and the logarithm of their variance', () => {
    expect(samplesOfWindow([reading(0.2), reading(0.4), reading(0.9)])).toEqual([
      { metric: 'utilization', value: expect.closeTo(0.5, 12) },
      { metric: 'load_variance', value: expect.closeTo(Math.log(0.13), 12) },
    ]);
  });

  test('gives no variance where there is none to take the logarithm of', () => {
    expect(samplesOfWindow([reading(0.5), reading(0.5)])).toEqual([{ metric: 'utilization', value: 0.5 }]);
    expect(samplesOfWindow([reading(0)])).toEqual([{ metric: 'utilization', value: 0 }]);
  });

  test('without readings gives nothing', () => {
    expect(samplesOfWindow([])).toEqual([]);
  });
});

describe('a map', () => {
  const samples = (shape: Partial<Parameters<typeof energyMap>[0]>) =>
    samplesOfMap(energyMap({ index: 0, ...shape }).map!);

  test('gives the logarithm of its net energy and its spatial entropy', () => {
    expect(samples({ net: Math.E ** 3, entropyRatio: 0.75 })).toEqual([
      { metric: 'map_energy', value: expect.closeTo(3, 12) },
      { metric: 'map_entropy', value: 0.75 },
    ]);
  });

  test('gives no logarithm of what is not positive, and no entropy that is absent', () => {
    expect(samples({ net: 0 })).toEqual([]);
    expect(samples({ net: -1, entropyRatio: 0 })).toEqual([{ metric: 'map_entropy', value: 0 }]);
  });

  test('gives nothing while no cell of it is observed, or without a state', () => {
    expect(samples({ observedCount: 0, entropyRatio: 0.5 })).toEqual([]);
    const { map } = energyMap({ index: 0 });
    expect(samplesOfMap({ ...map!, state: undefined } as never)).toEqual([]);
  });
});
