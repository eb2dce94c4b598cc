/**
 * The statistical map on real servers: the Application Server Dataset (19 metrics, one sample in five minutes), learned
 * online with nothing set otherwise than for any stream. Skipped, by name, without the data.
 */
import { describe, expect } from '@jest/globals';
import { describeResults, judgeSet, meanOf, type ServerSet, testOnData } from '../support/server-set.ts';

const ASD: ServerSet = {
  folder: 'asd',
  windowSeconds: 300,
  principalComponents: {
    'omi-1': 0.101,
    'omi-2': 0.426,
    'omi-3': 0.051,
    'omi-4': 0.15,
    'omi-5': 0.241,
    'omi-6': 0.21,
  },
};

describe('the Application Server Dataset', () => {
  testOnData(
    'surprise learned online tells the incidents of each server better than its principal components do, and |z| names their metrics',
    () => {
      const results = judgeSet(ASD);
      console.info(describeResults(results));
      for (const { averagePrecision, baseline, allFinite, worstSum } of results) {
        expect(averagePrecision).toBeGreaterThan(baseline);
        expect(allFinite).toBe(true);
        expect(worstSum).toBeLessThan(1e-9);
      }
      expect(meanOf(results, 'averagePrecision')).toBeGreaterThan(0.25);
      expect(meanOf(results, 'attributed')).toBeGreaterThanOrEqual(0.8);
    },
    60_000,
  );
});
