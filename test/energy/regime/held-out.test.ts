/** The regime model on fields it was not fitted to; the whole held-out set is in docs/models/regime.md. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { describe, expect, test } from '@jest/globals';
import type { Verdict } from '../../../bench/fields/verdict.ts';
import { FEATURE_NAMES, SHAPE_NAMES } from '../../../src/energy/regime/feature.ts';
import { JUDGED } from '../../../src/energy/regime/regime.ts';
import { SERIES_MODEL, SPATIAL_MODEL } from '../../../src/energy/regime/regime-model.ts';

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

  test('energy.regime tells held-out fields: balanced accuracy 92 %, Brier 0.12, calibration error 0.05', async () => {
    // In a process of its own: fields take a thousand times more random numbers than a test's sandbox is fast at.
    const { stdout } = await promisify(execFile)(process.execPath, [
      '--import',
      './test/support/typescript-loader.mjs',
      'bench/fields/held-out.ts',
      String(SEED),
      String(FIELDS),
    ]);
    const verdict = JSON.parse(stdout) as Verdict;
    expect(verdict.count).toBe(FIELDS * JUDGED);
    expect(verdict.balancedAccuracy).toBeGreaterThanOrEqual(0.92);
    expect(verdict.brier).toBeLessThanOrEqual(0.12);
    expect(verdict.calibrationError).toBeLessThanOrEqual(0.05);
  }, 60_000);
});
