/**
 * The statistical map on real servers: the Server Machine Dataset (38 metrics, one sample a minute), learned online
 * from the first minute on. Skipped, by name, without the data.
 */
import { describe, expect } from '@jest/globals';
import { describeResults, judgeSet, meanOf, type ServerSet, testOnData } from '../support/server-set.ts';

const SMD: ServerSet = {
  folder: 'smd',
  windowSeconds: 60,
  principalComponents: { 'machine-1-6': 0.861, 'machine-2-1': 0.159, 'machine-2-7': 0.714 },
};

describe('the Server Machine Dataset', () => {
  testOnData(
    'surprise learned online tells the incidents of each machine better than its principal components do, and |z| names their metrics',
    () => {
      const results = judgeSet(SMD);
      console.info(describeResults(results));
      for (const { averagePrecision, baseline, allFinite, worstSum } of results) {
        expect(averagePrecision).toBeGreaterThan(baseline);
        expect(allFinite).toBe(true);
        expect(worstSum).toBeLessThan(1e-9);
      }
      expect(meanOf(results, 'averagePrecision')).toBeGreaterThan(0.62);
      expect(meanOf(results, 'auroc')).toBeGreaterThanOrEqual(0.85);
      expect(meanOf(results, 'attributed')).toBeGreaterThanOrEqual(0.8);
    },
    120_000,
  );
});
