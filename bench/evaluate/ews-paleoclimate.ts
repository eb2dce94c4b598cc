/**
 * Abrupt climate shifts (V. Dakos and others, PNAS 105, 2008) with the indicators published by T. Bury and others,
 * PNAS 118, 2021. Controls are the published taus of autoregressive surrogates.
 */
import { join } from 'node:path';
import { loadCsv, loadJsonList, numbersOf } from './data-set.ts';
import { type PublishedRecord, parityFigures, readTaus } from './early-warning-parity.ts';
import type { EvaluationSet } from './figure.ts';
import { numberAt, numbersAt, objectAt, textAt } from './json-members.ts';

export const ewsPaleoclimate: EvaluationSet = {
  name: 'ews_paleoclimate',
  measures: 'indicators before abrupt climate shifts beside the published ones',
  async *run(folder) {
    const path = join(folder, 'records.json');
    const entries = loadJsonList(path);
    const records = entries.map((entry): PublishedRecord => {
      const csv = join(folder, `${textAt(entry, 'file', path)}_published_ews.csv.gz`);
      const table = loadCsv(csv, ['state', 'residuals']);
      const values = numbersOf(table, 'state', csv);
      const published = readTaus(objectAt(entry, 'published_kendall_tau', path), path);
      return {
        path: csv,
        detrending: { values, bandwidthPoints: numberAt(entry, 'gaussian_bandwidth_points', path) },
        residuals: numbersOf(table, 'residuals', csv),
        windowPoints: numberAt(entry, 'rolling_window_points', path),
        skipped: 1,
        isTransition: true,
        taus: [{ points: values.length, published }],
      };
    });
    const nulls = (name: string) => entries.flatMap((entry) => numbersAt(entry, name, path));
    yield* parityFigures(records, {
      controls: {
        variance: nulls('published_null_kendall_tau_variance'),
        autocorrelation: nulls('published_null_kendall_tau_ac1'),
      },
      direction: { variance: 1, autocorrelation: 1 },
      publishedAreas: {
        variance: { 'all records early': 0.636, 'all records late': 0.588 },
        autocorrelation: { 'all records early': 0.675, 'all records late': 0.749 },
      },
    });
  },
};
