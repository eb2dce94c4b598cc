/**
 * Intervals between beats of chick-heart aggregates, half of which double their period, with the indicators published
 * by T. Bury and others, Nature Communications 14, 2023. Before this transition the variance rises and the lag-1
 * autocorrelation falls.
 */
import { join } from 'node:path';
import { DataError } from './data-error.ts';
import { loadCsv, loadJson, numbersOf } from './data-set.ts';
import { type PublishedRecord, parityFigures, readTaus } from './early-warning-parity.ts';
import type { EvaluationSet } from './figure.ts';
import { numberAt, objectAt, objectsAt, textAt } from './json-members.ts';

const BANDWIDTH_POINTS = 20;

export const ewsChickHeart: EvaluationSet = {
  name: 'ews_chick_heart',
  measures: 'indicators before period doubling of heart cells beside the published ones',
  async *run(folder) {
    const path = join(folder, 'records.json');
    const file = loadJson(path);
    const intervals = readSeries(join(folder, 'ibi.csv.gz'), 'ibi_s');
    const residuals = readSeries(join(folder, 'published_ews.csv.gz'), 'residuals');
    const records = objectsAt(file, 'records', path).map((entry): PublishedRecord => {
      const key = `${textAt(entry, 'type', path)},${numberAt(entry, 'tsid', path)}`;
      const points = numberAt(entry, 'points_used', path);
      return {
        path: `${path} ${key}`,
        detrending: { values: intervals(key).slice(0, points), bandwidthPoints: BANDWIDTH_POINTS },
        residuals: residuals(key).slice(0, points),
        windowPoints: numberAt(entry, 'rolling_window_points', path),
        skipped: 0,
        isTransition: entry['type'] === 'pd',
        taus: objectsAt(entry, 'published_kendall_tau', path).map((tau) => ({
          points: Math.floor(numberAt(tau, 'eval_beat', path)) + 1,
          published: readTaus(tau, path),
        })),
      };
    });
    const listed = objectAt(file, 'auc_of_published_kendall_tau_this_half', path);
    yield* parityFigures(records, {
      controls: { variance: [], autocorrelation: [] },
      direction: { variance: 1, autocorrelation: -1 },
      publishedAreas: {
        variance: { listed: numberAt(listed, 'variance', path), 'all records': 0.899 },
        autocorrelation: { listed: numberAt(listed, 'minus_ac1', path), 'all records': 0.813 },
      },
    });
  },
};

/** The values of a column by `type,tsid`, in the order of beats. */
function readSeries(path: string, column: string): (key: string) => Float64Array {
  const table = loadCsv(path, ['type', 'tsid', column]);
  const values = numbersOf(table, column, path);
  const [type, tsid] = [table.header.indexOf('type'), table.header.indexOf('tsid')];
  const series = new Map<string, number[]>();
  table.rows.forEach((row, at) => {
    const key = `${row[type]},${row[tsid]}`;
    const one = series.get(key) ?? [];
    one.push(values[at]!);
    series.set(key, one);
  });
  return (key) => {
    const one = series.get(key);
    if (one === undefined) throw new DataError(path, `has no series ${key}`);
    return Float64Array.from(one);
  };
}
