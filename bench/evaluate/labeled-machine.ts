/**
 * One machine of a labelled set: an unlabelled training part, then a test part with incidents and the metrics each one
 * affected. Files `<machine>_train`, `<machine>_test` (arrays of metrics x steps) and `<machine>_labels.json`.
 */
import { join } from 'node:path';
import { DataError } from './data-error.ts';
import { loadArray, loadJson, type NumericArray, samplingMs } from './data-set.ts';
import type { Span } from './detection-metrics.ts';
import { type JsonObject, listAt, numberAt, numbersAt, objectsAt } from './json-members.ts';

/** A labelled run of test steps. */
export interface Incident extends Span {
  /** Indices of the metrics it affected; at least one. */
  readonly metrics: readonly number[];
}

export interface LabeledMachine {
  readonly name: string;
  readonly metricCount: number;
  /** Time from a step to the next, ms. */
  readonly stepMs: number;
  /** Metrics x steps in C order. */
  readonly train: NumericArray;
  readonly test: NumericArray;
  /** In the order of their starts. */
  readonly incidents: readonly Incident[];
}

/** Reads a machine. Throws a DataError when a file is missing or the files do not fit together. */
export function loadMachine(folder: string, name: string): LabeledMachine {
  const stem = join(folder, name);
  const train = loadArray(`${stem}_train`, 2);
  const test = loadArray(`${stem}_test`, 2);
  const [metricCount, steps] = test.shape as [number, number];
  if (train.shape[0] !== metricCount)
    throw new DataError(
      `${stem}_test.json`,
      `has ${metricCount} metrics, the training part ${train.shape[0]}`,
    );
  const stepMs = samplingMs(train.sidecar, `${stem}_train.json`);
  if (samplingMs(test.sidecar, `${stem}_test.json`) !== stepMs)
    throw new DataError(`${stem}_test.json`, 'has another sampling than the training part');
  const incidents = loadIncidents(`${stem}_labels.json`, metricCount, steps);
  return { name, metricCount, stepMs, train, test, incidents };
}

/**
 * The steps of an incident are those of the labelled segment that begins with it: publishers differ in whether the
 * end they write belongs to it.
 */
function loadIncidents(path: string, metricCount: number, steps: number): Incident[] {
  const labels = loadJson(path);
  if (numberAt(labels, 'test_length', path) !== steps)
    throw new DataError(path, `is about ${String(labels['test_length'])} steps, the test part has ${steps}`);
  const segments = readSegments(labels, path, steps);
  const labeled = [...segments].reduce((sum, [from, to]) => sum + to - from, 0);
  if (labeled !== numberAt(labels, 'anomalous_steps', path))
    throw new DataError(
      path,
      `labels ${labeled} steps, not the ${String(labels['anomalous_steps'])} it says`,
    );
  const incidents = objectsAt(labels, 'interpretation', path).map((entry) => {
    const from = numberAt(entry, 'start', path);
    const to = segments.get(from);
    if (to === undefined)
      throw new DataError(path, `has an incident at ${from} where no labelled segment begins, or two do`);
    segments.delete(from);
    return { from, to, metrics: readMetrics(entry, path, metricCount) };
  });
  const [left] = segments.keys();
  if (left !== undefined) throw new DataError(path, `has no incident for the segment that begins at ${left}`);
  return incidents.sort((a, b) => a.from - b.from);
}

/** End of each segment, exclusive, by its start. */
function readSegments(labels: JsonObject, path: string, steps: number): Map<number, number> {
  const segments = new Map<number, number>();
  let before = 0;
  for (const segment of listAt(labels, 'segments_inclusive_0based', path)) {
    const [from, last] = Array.isArray(segment) ? (segment as unknown[]) : [];
    const isSpan = Number.isSafeInteger(from) && Number.isSafeInteger(last);
    if (
      !isSpan ||
      (from as number) < before ||
      (last as number) < (from as number) ||
      (last as number) >= steps
    )
      throw new DataError(path, `has the segment ${JSON.stringify(segment)}, out of order or out of range`);
    before = (last as number) + 1;
    segments.set(from as number, before);
  }
  return segments;
}

function readMetrics(entry: JsonObject, path: string, metricCount: number): number[] {
  const metrics = numbersAt(entry, 'metrics_1based', path).map((metric) => metric - 1);
  const isKnown = (metric: number) => Number.isSafeInteger(metric) && metric >= 0 && metric < metricCount;
  if (metrics.length === 0 || !metrics.every(isKnown))
    throw new DataError(path, `must name the affected metrics of each incident, from 1 to ${metricCount}`);
  return metrics;
}
