/** A stream's regime over time: warming up, calm, changes, restoring, asking without learning. */
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { switched } from '../../../bench/fields/changing.ts';
import type { Field } from '../../../bench/fields/field.ts';
import { gaussianField, statisticalFleet } from '../../../bench/fields/stationary.ts';
import { REGIME_DEFAULTS, RegimeTracker } from '../../../src/energy/regime/regime-tracker.ts';
import { runThrough } from '../../../src/numeric/slices.ts';
import { createRandom } from '../../../src/random.ts';
import { foldAll, freshTracker, mapsOf } from './support/fields.ts';

const SHAPE = { rows: 4, cols: 5 };
const calm = (seed: number): Field => statisticalFleet(SHAPE, createRandom(seed));
const white = (seed: number): Field =>
  gaussianField({ ...SHAPE, memory: 0, smoothing: 0 }, createRandom(seed));

describe('a stream', () => {
  test('energy.regime is WARMING_UP for 15 windows, and judged from the 16th on', () => {
    const judged = foldAll(freshTracker(), mapsOf(calm(1), 17));
    for (const [at, each] of judged.entries()) {
      expect(each.posterior.reduce((sum, p) => sum + p, 0)).toBeCloseTo(1, 12);
      expect(each.windows).toBe(at + 1);
      if (at < 15)
        expect(each).toMatchObject({ label: 'WARMING_UP', posterior: [0, 0, 0, 0, 1], logits: [] });
    }
    expect(judged[15]).toMatchObject({ changedFrom: 'WARMING_UP', basis: 'STREAM' });
    expect(judged[15]!.logits).toHaveLength(4);
    expect(judged[16]!.changedFrom).toBeUndefined();
  });

  test('energy.regime of a fleet whose level jumps is TRANSITION soon after, and EQUILIBRIUM again later', () => {
    for (let seed = 1; seed <= 5; seed++) {
      const field = switched(white(seed), { level: 3, spread: 0 }, 150);
      const judged = foldAll(freshTracker(), mapsOf(field, 260));
      const found = judged.findIndex(({ label }, at) => at >= 150 && label === 'TRANSITION');
      expect(found).toBeLessThan(165);
      const alarmed = judged.findIndex(({ sinceAlarm }) => sinceAlarm === 0);
      expect(alarmed).toBeGreaterThan(150);
      expect(alarmed).toBeLessThan(165);
      const onset = judged[alarmed]!.onsetMs! / 10_000;
      expect(onset).toBeGreaterThan(150 - 20);
      expect(onset).toBeLessThan(alarmed);
      expect(judged.at(-1)!.label).toBe('EQUILIBRIUM');
    }
  });

  test('an unobserved map changes nothing', () => {
    const tracker = freshTracker();
    foldAll(tracker, mapsOf(white(1), 16));
    const before = structuredClone(tracker.state());
    const [map] = mapsOf(white(2), 1);
    foldAll(tracker, [{ ...map!, count: 0 }]);
    expect(tracker.state()).toEqual({ ...before, latest: { ...before.latest, changedFrom: undefined } });
  });

  test('another layout, or other settings, begin anew; the temperature stays', () => {
    const tracker = freshTracker();
    tracker.temperature = 2;
    foldAll(tracker, mapsOf(white(1), 40));
    tracker.configure(REGIME_DEFAULTS);
    expect(tracker.state().records).toHaveLength(40);
    foldAll(
      tracker,
      mapsOf(white(1), 1).map((map) => ({ ...map, layout: '2' })),
    );
    expect(tracker.latest).toMatchObject({ windows: 1, label: 'WARMING_UP' });
    foldAll(tracker, mapsOf(white(1), 40));
    tracker.configure({ windows: 20, falseAlarmWindows: 500 });
    const judged = foldAll(tracker, mapsOf(white(1), 40));
    expect(judged[0]!.windows).toBe(1);
    expect(judged.at(-1)!.windows).toBe(20);
    expect(tracker.temperature).toBe(2);
  });

  test('a higher temperature evens the posterior out and leaves the logits', () => {
    const [cold, warm] = [freshTracker(), freshTracker()];
    warm.temperature = 4;
    const maps = mapsOf(calm(3), 64);
    const [a, b] = [foldAll(cold, maps).at(-1)!, foldAll(warm, maps).at(-1)!];
    expect(b.logits).toEqual(a.logits);
    expect(Math.max(...b.posterior)).toBeLessThan(Math.max(...a.posterior));
  });
});

describe('a tracker', () => {
  test('energy.regime goes on bit for bit from its state, cut anywhere', () => {
    const field = switched(white(5), { level: 4, spread: 0 }, 90);
    const maps = mapsOf(field, 140);
    const whole = freshTracker();
    const expected = foldAll(whole, maps);
    const cuts = fc.uniqueArray(fc.integer({ min: 1, max: 139 }), { minLength: 1, maxLength: 5 });
    fc.assert(
      fc.property(cuts, (places) => {
        let tracker = freshTracker();
        const judged = maps.map((map, at) => {
          if (places.includes(at)) tracker = new RegimeTracker(structuredClone(tracker.state()));
          return runThrough(tracker.fold(map));
        });
        expect(judged).toEqual(expected);
        expect(tracker.state()).toEqual(whole.state());
      }),
      { numRuns: 3 },
    );
    expect(expected.at(-1)!.sinceAlarm).toBeDefined();
  });

  test('judges maps as if they came next, and learns nothing from it', () => {
    const maps = mapsOf(calm(7), 70);
    const tracker = freshTracker();
    foldAll(tracker, maps.slice(0, 64));
    const before = structuredClone(tracker.state());
    const asked = runThrough(tracker.judge(maps.slice(64)));
    expect(tracker.state()).toEqual(before);
    expect(asked).toEqual(foldAll(tracker, maps.slice(64)).at(-1));
  });

  test('judges maps of one cell, of zeros, of huge and of still cells by what there is', () => {
    const field = (rows: number, cols: number, value: () => number): Field => ({
      rows,
      cols,
      boundary: 'NEUMANN',
      next: () => Float64Array.from({ length: rows * cols }, value),
    });
    const random = createRandom(9);
    const all = [
      field(1, 1, () => random.normal()),
      field(1, 7, () => random.normal()),
      field(3, 3, () => 0),
      field(3, 3, () => 5),
      field(3, 3, () => 1e38 * random.uniform()),
      field(130, 130, () => random.normal()),
    ];
    for (const each of all) {
      const last = foldAll(freshTracker(), mapsOf(each, 24)).at(-1)!;
      expect(last.posterior.every((p) => p >= 0 && p <= 1)).toBe(true);
      expect(last.posterior.reduce((sum, p) => sum + p, 0)).toBeCloseTo(1, 12);
      expect(last.features.every(({ value }) => Number.isFinite(value))).toBe(true);
    }
    const names = foldAll(freshTracker(), mapsOf(all.at(-1)!, 24))
      .at(-1)!
      .features.map(({ name }) => name);
    expect(names).not.toContain('spectral_slope');
    expect(names).toContain('gradient_kurtosis');
  });
});
