/**
 * The metrics against the figures published with the Application Server Dataset: its simplest detector, done again
 * here, must come out the same. Skipped, by name, where the data is not beside the repository.
 */
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from '@jest/globals';
import type { NumericArray } from '../../bench/evaluate/data-set.ts';
import { averagePrecision, judgeAlarms, quantile } from '../../bench/evaluate/detection-metrics.ts';
import { loadMachine } from '../../bench/evaluate/labeled-machine.ts';

const folder = join(dirname(fileURLToPath(import.meta.url)), '../../../shared/data/asd');
const present = existsSync(join(folder, 'baselines.json'));

/** Largest deviation of any metric from its mean in standard deviations of the training part. */
function largestDeviation(train: NumericArray, part: NumericArray): Float64Array {
  const [metricCount, trainSteps] = train.shape as [number, number];
  const steps = part.shape[1]!;
  const scores = new Float64Array(steps);
  for (let metric = 0; metric < metricCount; metric++) {
    const row = Float64Array.from(train.values.subarray(metric * trainSteps, (metric + 1) * trainSteps));
    const mean = row.reduce((sum, value) => sum + value, 0) / trainSteps;
    const variance = row.reduce((sum, value) => sum + (value - mean) ** 2, 0) / trainSteps;
    const deviation = Math.max(0.01, Math.sqrt(variance));
    for (let step = 0; step < steps; step++) {
      const z = Math.abs(part.values[metric * steps + step]! - mean) / deviation;
      scores[step] = Math.max(scores[step]!, Math.min(20, z));
    }
  }
  return scores;
}

describe('the Application Server Dataset', () => {
  (present ? test.each([1, 2, 3, 4, 5, 6]) : test.skip.each([1]))(
    'omi-%i: the largest deviation has the published average precision, hits and false alarms',
    (number) => {
      const machine = loadMachine(folder, `omi-${number}`);
      const published = JSON.parse(readFileSync(join(folder, 'baselines.json'), 'utf8'));
      const expected = published.per_machine[machine.name].max_abs_z;
      const { train, test: tested, incidents } = machine;
      const scores = largestDeviation(train, tested);
      const labels = new Uint8Array(scores.length);
      for (const { from, to } of incidents) labels.fill(1, from, to);
      const threshold = quantile(largestDeviation(train, train), 0.999);
      const { incidentsHit, falseAlarmEpisodes } = judgeAlarms(scores, threshold, incidents);
      expect(averagePrecision(scores, labels)).toBeCloseTo(expected.average_precision, 3);
      expect({ hit: `${incidentsHit}/${incidents.length}`, falseAlarmEpisodes }).toEqual({
        hit: expected.at_train_q999.incidents_hit,
        falseAlarmEpisodes: expected.at_train_q999.false_alarm_episodes,
      });
    },
  );
});
