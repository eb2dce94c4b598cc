/** What is stationary stays in its regime, and raises few alarms; figures by family are in docs/regimes.md. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { beforeAll, describe, expect, test } from '@jest/globals';
import type { Calm } from '../../../bench/fields/calm.ts';

/** Seeds that neither the model's training nor its card have. */
const SEED = 900_000;
const FIELDS = 160;
const RUNS = 5;

describe('stationary streams', () => {
  let calm: Calm;
  beforeAll(async () => {
    // In a process of its own: a test's sandbox is slow at random numbers.
    const { stdout } = await promisify(execFile)(process.execPath, [
      '--import',
      './test/support/typescript-loader.mjs',
      'bench/fields/calm.ts',
      ...[SEED, FIELDS, RUNS].map(String),
    ]);
    calm = JSON.parse(stdout);
  }, 120_000);

  test('energy.regime labels of the families of the card flip in at most 1 % of windows', () => {
    const families = Object.values(calm.flips);
    const sum = (name: 'flips' | 'windows' | 'atRest') =>
      families.reduce((total, each) => total + each[name], 0);
    expect(Object.keys(calm.flips)).toHaveLength(7);
    expect(sum('windows')).toBe(FIELDS * 120);
    expect(sum('flips') / sum('windows')).toBeLessThanOrEqual(0.01);
    expect(sum('atRest') / sum('windows')).toBeGreaterThan(0.9);
  });

  test('energy.regime false alarms of a tracker come no sooner than 0.8 of the interval asked for', () => {
    expect(Object.keys(calm.alarms)).toHaveLength(4);
    for (const { asked, windows, alarms } of Object.values(calm.alarms)) {
      expect(alarms).toBeGreaterThan(10);
      expect(windows / alarms).toBeGreaterThanOrEqual(0.8 * asked);
    }
  });
});
