/**
 * A Rijke tube driven into thermoacoustic instability, and steady runs of it as controls, with the indicators
 * published by T. Bury and others, PNAS 118, 2021. The publication detrends by Lowess; its residuals are the start.
 */
import { join } from 'node:path';
import { DataError } from './data-error.ts';
import { loadCsv, loadJson, numbersOf } from './data-set.ts';
import { type PublishedRecord, parityFigures, readTaus } from './early-warning-parity.ts';
import type { EvaluationSet } from './figure.ts';
import { type JsonObject, numberAt, objectAt, objectsAt } from './json-members.ts';

/** The last point a published tau covers, as a share of the record. */
const LAST_GRID = 0.98;
const TAUS = 'published_kendall_tau_at_last_grid_time';

export const ewsThermoacoustic: EvaluationSet = {
  name: 'ews_thermoacoustic',
  measures: 'indicators before thermoacoustic instability beside the published ones',
  async *run(folder) {
    const path = join(folder, 'records.json');
    const file = loadJson(path);
    const number = (entry: JsonObject, name: string) => numberAt(entry, name, path);
    const read = (stem: string, entry: JsonObject, isTransition: boolean): PublishedRecord => {
      const csv = join(folder, `${stem}_published_ews.csv.gz`);
      const residuals = numbersOf(loadCsv(csv, ['residuals']), 'residuals', csv);
      if (!residuals.every(Number.isFinite)) throw new DataError(csv, 'must have a residual in every row');
      return {
        path: csv,
        detrending: undefined,
        residuals,
        windowPoints: Math.floor(residuals.length / 2),
        skipped: 1,
        isTransition,
        taus: [
          {
            points: Math.floor(LAST_GRID * residuals.length) + 1,
            published: readTaus(objectAt(entry, TAUS, path), path),
          },
        ],
      };
    };
    const two = (value: number) => String(value).padStart(2, '0');
    const records = [
      ...objectsAt(file, 'forced', path).map((entry) =>
        read(`rijke_${two(number(entry, 'tsid'))}`, entry, true),
      ),
      ...objectsAt(file, 'null', path).map((entry) =>
        read(`null_${two(number(entry, 'null'))}_${number(entry, 'segment')}`, entry, false),
      ),
    ];
    yield* parityFigures(records, {
      controls: { variance: [], autocorrelation: [] },
      direction: { variance: 1, autocorrelation: 1 },
      publishedAreas: {
        variance: { 'all records early': 0.809, 'all records late': 0.933 },
        autocorrelation: { 'all records early': 0.849, 'all records late': 0.952 },
      },
    });
  },
};
