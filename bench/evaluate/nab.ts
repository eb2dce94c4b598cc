/**
 * The Numenta Anomaly Benchmark: servers and sensors, one metric each, with labeled windows. The map's score is the
 * detector's; whatever detectors the publication lists are its baselines.
 */
import { basename, join } from 'node:path';
import { DataError } from './data-error.ts';
import { loadJson } from './data-set.ts';
import type { Span } from './detection-metrics.ts';
import type { EvaluationContext, EvaluationSet, Figure } from './figure.ts';
import { type JsonObject, listAt, numberAt, objectAt } from './json-members.ts';
import { nabScore, type ScoredSeries } from './nab-score.ts';
import { judgeSeries, loadTimeSeries, type TimeSeries } from './time-series.ts';

/** Least accepted score: what random cut forests reach. */
const TARGET = 60;
/** Detector that never detects, left out of the baselines. */
const NULL_DETECTOR = 'null';

export const nab: EvaluationSet = {
  name: 'nab',
  measures:
    'labeled windows of the Numenta Anomaly Benchmark detected by the score of the maps, learned online',
  run: evaluateNab,
};

async function* evaluateNab(
  folder: string,
  context: EvaluationContext,
): AsyncGenerator<Figure, void, undefined> {
  const publishedPath = join(folder, 'published_scores_standard_profile.json');
  const published = loadJson(publishedPath);
  const windowsPath = join(folder, 'combined_windows.json');
  const windowsOf = loadJson(windowsPath);
  const keys = Object.keys(windowsOf);
  const judged: ScoredSeries[] = [];
  for (const key of keys) {
    const series = loadTimeSeries(join(folder, `${basename(key)}.gz`), basename(key, '.csv'), {
      time: 'timestamp',
      value: 'value',
    });
    const windows = listAt(windowsOf, key, windowsPath).map((ends) => findWindow(series, ends, windowsPath));
    judged.push({ scores: (await judgeSeries(series, context)).scores, windows });
  }
  const { score, heldOut, perSeries } = nabScore(judged);
  const windows = judged.reduce((sum, one) => sum + one.windows.length, 0);
  const perFile = objectAt(published, 'per_file', publishedPath);
  yield* keys.map((key, at) => ({
    metric: `score of ${basename(key, '.csv')}, ${judged[at]!.windows.length} windows`,
    ours: perSeries[at]!,
    baselines: byDetector(objectAt(perFile, key, publishedPath), 'score', publishedPath),
    target: undefined,
    better: 'HIGHER' as const,
  }));
  yield {
    metric: `NAB score, standard profile, ${windows} windows in ${keys.length} series`,
    ours: score,
    baselines: byDetector(objectAt(published, 'detectors', publishedPath), 'normalised', publishedPath),
    target: TARGET,
    better: 'HIGHER',
  };
  yield {
    metric: 'the same, the threshold of each series chosen on the others',
    ours: heldOut,
    baselines: {},
    target: undefined,
    better: 'HIGHER',
  };
}

/** The steps from the first one at the start of a window to the first one at its end. */
function findWindow({ name, times }: TimeSeries, ends: unknown, path: string): Span {
  const [from, last] = Array.isArray(ends) ? ends.map((end) => times.indexOf(String(end).slice(0, 19))) : [];
  if (from === undefined || last === undefined || from < 0 || last < from)
    throw new DataError(path, `has the window ${JSON.stringify(ends)}, whose ends are no steps of ${name}`);
  return { from, to: last + 1 };
}

function byDetector(detectors: JsonObject, quantity: string, path: string): Record<string, number> {
  const names = Object.keys(detectors).filter((name) => name !== NULL_DETECTOR);
  return Object.fromEntries(
    names.map((name) => [name, numberAt(objectAt(detectors, name, path), quantity, path)]),
  );
}
