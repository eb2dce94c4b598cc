/**
 * Anoxic events of the Mediterranean in sediment cores (R. Hennekam and others, Geophysical Research Letters 47, 2020), two elements each, with the
 * indicators published by T. Bury and others, PNAS 118, 2021. Controls are the published taus of surrogates.
 */
import { join } from 'node:path';
import { loadCsv, loadJsonList, numbersOf } from './data-set.ts';
import { type PublishedRecord, parityFigures, pointsThrough, readTaus } from './early-warning-parity.ts';
import type { EvaluationSet } from './figure.ts';
import { numberAt, objectAt } from './json-members.ts';

const ELEMENTS = ['Mo', 'U'];
/** Smoothing as a share of the record. */
const BANDWIDTH = 0.2;

export const ewsAnoxia: EvaluationSet = {
  name: 'ews_anoxia',
  measures: 'indicators before anoxic events in sediment cores beside the published ones',
  async *run(folder) {
    const path = join(folder, 'records.json');
    const series = loadJsonList(path).flatMap((entry) => {
      const number = String(numberAt(entry, 'tsid', path)).padStart(2, '0');
      return ELEMENTS.map((element) => ({
        csv: join(folder, `sapropel_${number}_${element}_published_ews.csv.gz`),
        published: objectAt(objectAt(entry, 'published', path), element, path),
      }));
    });
    const records = series.map(({ csv, published }): PublishedRecord => {
      const table = loadCsv(csv, ['time_kyr', 'state', 'residuals']);
      const values = numbersOf(table, 'state', csv);
      const taus = objectAt(published, 'kendall_tau_at_last_grid_time', path);
      const points = pointsThrough(numbersOf(table, 'time_kyr', csv), numberAt(taus, 'time', path));
      return {
        path: csv,
        detrending: { values, bandwidthPoints: BANDWIDTH * values.length },
        residuals: numbersOf(table, 'residuals', csv),
        windowPoints: numberAt(published, 'rolling_window_points', path),
        skipped: 1,
        isTransition: true,
        taus: [{ points, published: readTaus(taus, path) }],
      };
    });
    const nulls = series.map(({ published }) =>
      readTaus(objectAt(published, 'null_kendall_tau_at_last_grid_time', path), path),
    );
    yield* parityFigures(records, {
      controls: {
        variance: nulls.map(({ variance }) => variance),
        autocorrelation: nulls.map(({ autocorrelation }) => autocorrelation),
      },
      direction: { variance: 1, autocorrelation: 1 },
      publishedAreas: {
        variance: { 'all records early': 0.796, 'all records late': 0.899 },
        autocorrelation: { 'all records early': 0.451, 'all records late': 0.594 },
      },
    });
  },
};
