/** The regime model on fields it was not fitted to; the whole held-out set is in docs/models/regime.md. */
import { describe, expect, test } from '@jest/globals';
import { LABELS, labeledField } from '../../../bench/fields/labeled.ts';
import { sampleOf } from '../../../bench/fields/samples.ts';
import { verdictOf } from '../../../bench/fields/verdict.ts';
import { FEATURE_NAMES, SHAPE_NAMES } from '../../../src/energy/regime/feature.ts';
import { JUDGED, posteriorOf, REGIMES } from '../../../src/energy/regime/regime.ts';
import { logitsOf, SERIES_MODEL, SPATIAL_MODEL } from '../../../src/energy/regime/regime-model.ts';

/** Neither the seeds of training nor those of the card. */
const SEED = 900_000;
const FIELDS = 30;

describe('the regime model', () => {
  test('energy.regime has a weight for every term of every regime', () => {
    for (const [model, names] of [
      [SERIES_MODEL, FEATURE_NAMES],
      [SPATIAL_MODEL, SHAPE_NAMES],
    ] as const) {
      const n = names.length;
      expect(model.names).toEqual(names);
      expect([model.mean.length, model.deviation.length]).toEqual([n, n]);
      expect(model.weights.map((row) => row.length)).toEqual(
        new Array(JUDGED).fill(1 + n + (n * (n + 1)) / 2),
      );
    }
  });

  test('energy.regime tells held-out fields: balanced accuracy 92 %, Brier 0.12, calibration error 0.05', () => {
    const told = Array.from({ length: FIELDS }, (_, at) => at).flatMap((at) =>
      LABELS.map((label) => {
        const { series } = sampleOf(labeledField(label, SEED + at));
        const posterior = posteriorOf(logitsOf(SERIES_MODEL, series), 1).slice(0, JUDGED);
        return { label: REGIMES.indexOf(label), posterior };
      }),
    );
    const verdict = verdictOf(told, JUDGED);
    expect(verdict.balancedAccuracy).toBeGreaterThanOrEqual(0.92);
    expect(verdict.brier).toBeLessThanOrEqual(0.12);
    expect(verdict.calibrationError).toBeLessThanOrEqual(0.05);
  });
});
