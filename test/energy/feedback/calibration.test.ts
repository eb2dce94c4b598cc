/** The temperature that mends probabilities of regimes, how far they are off, and outcomes of kept forecasts. */
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { fitTemperature, type Label, standingOf } from '../../../src/energy/feedback/calibration.ts';
import { outcomeOf } from '../../../src/energy/feedback/outcome.ts';
import { posteriorOf } from '../../../src/energy/regime/regime.ts';
import { createRandom } from '../../../src/random.ts';

/** Labels that are as probable as the logits say at a temperature. */
function labelsAt(temperature: number, count: number, seed: number): Label[] {
  const random = createRandom(seed);
  return Array.from({ length: count }, () => {
    const logits = Array.from({ length: 4 }, () => 2 * random.normal());
    let rest = random.uniform();
    const regime = posteriorOf(logits, temperature).findIndex((probability) => {
      rest -= probability;
      return rest < 0;
    });
    return { logits, regime: Math.max(0, regime) };
  });
}

/** Mean -ln probability of the regimes reported. */
const loss = (labels: readonly Label[], temperature: number) =>
  labels.reduce((sum, { logits, regime }) => sum - Math.log(posteriorOf(logits, temperature)[regime]!), 0) /
  labels.length;

describe('energy.feedback calibration', () => {
  test('finds the temperature that labels were drawn at', () => {
    for (const temperature of [0.5, 1, 2]) {
      const fitted = fitTemperature(labelsAt(temperature, 500, 3));
      expect(Math.abs(Math.log(fitted / temperature))).toBeLessThan(0.2);
    }
  });

  test('stays between 0.25 and 4, and at 1 without labels', () => {
    const sure = { logits: [3, 0, 0, 0] };
    expect(fitTemperature([{ ...sure, regime: 0 }])).toBeCloseTo(0.25, 9);
    expect(fitTemperature([{ ...sure, regime: 1 }])).toBeCloseTo(4, 9);
    expect(fitTemperature([])).toBe(1);
    expect(fitTemperature([{ logits: [1e4, 0, 0, 0], regime: 1 }])).toBeCloseTo(4, 9);
  });

  test('no other temperature explains the labels better', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 1e6 }),
        fc.double({ min: 0.3, max: 3, noNaN: true }),
        (seed, temperature) => {
          const labels = labelsAt(temperature, 60, seed);
          const least = loss(labels, fitTemperature(labels));
          for (let log = -2; log <= 2; log += 0.125)
            expect(least).toBeLessThanOrEqual(loss(labels, 2 ** log) + 1e-9);
        },
      ),
      { numRuns: 50 },
    );
  });

  test('lowers the calibration error of labels that have shifted', () => {
    for (const temperature of [0.4, 3]) {
      const labels = labelsAt(temperature, 500, 11);
      const later = labelsAt(temperature, 500, 12);
      const fitted = standingOf(later, fitTemperature(labels))!;
      expect(fitted.error).toBeLessThan(0.06);
      expect(fitted.error).toBeLessThan(standingOf(later, 1)!.error / 2);
    }
  });

  test('tells Brier score and calibration error by hand', () => {
    const even = { logits: [0, 0, Number.NEGATIVE_INFINITY, Number.NEGATIVE_INFINITY] };
    expect(standingOf([{ ...even, regime: 0 }], 1)).toEqual({ brier: 0.5, error: 0.5 });
    const both = [0, 2].map((regime) => ({ ...even, regime }));
    // Half right where half was promised; the second regime was held impossible.
    expect(standingOf(both, 1)).toEqual({ brier: (0.5 + 1.5) / 2, error: 0 });
    expect(standingOf([], 1)).toBeUndefined();
  });
});

describe('energy.feedback outcomes of forecasts', () => {
  const forecast = {
    prediction: Float32Array.of(1, 2, 3, 4),
    lower: Float32Array.of(0, 1, 2, 3),
    upper: Float32Array.of(2, 3, 4, 5),
  };

  test('count observed cells only', () => {
    const cells = Float64Array.of(1, 2, 3, 99);
    expect(outcomeOf(forecast, cells, Uint8Array.of(1, 1, 1, 0))).toEqual({ vrmse: 0, covered: 1 });
    const all = outcomeOf(forecast, Float64Array.of(1, 2, 3, 8), Uint8Array.of(1, 1, 1, 1))!;
    // Squared errors 0, 0, 0, 16; the cells have mean 3.5 and variance 7.25.
    expect(all.vrmse).toBeCloseTo(Math.sqrt(4 / 7.25), 7);
    expect(all.covered).toBe(0.75);
  });

  test('are none where nothing was observed', () => {
    expect(outcomeOf(forecast, new Float64Array(4), new Uint8Array(4))).toBeUndefined();
  });
});
