/**
 * Rain over Finland seen by radar (Finnish Meteorological Institute, in pysteps-data): 40 composites of 256 x 256 km,
 * each forecast from those before it, beside the rigid shift that its description lists. No echo counts as 0 dBZ.
 */
import { join } from 'node:path';
import { loadArray } from './data-set.ts';
import { atMost, type FieldSeries, foretell, Mean } from './field-forecast.ts';
import type { EvaluationSet } from './figure.ts';
import { numberAt, objectAt } from './json-members.ts';

const STEM = '20160928_256x256';
const STEP_MINUTES = 5;
const LEADS_MINUTES = [5, 15, 30, 60];
/** The listed scores are of all frames that have three before them. */
const HISTORY = 3;

export const radarFmi: EvaluationSet = {
  name: 'radar_fmi',
  measures: 'rain radar forecast an hour ahead beside one rigid shift',
  async *run(folder, context) {
    const path = join(folder, STEM);
    const { values, shape, sidecar } = loadArray(path, 3);
    const [frames, rows, cols] = shape as readonly [number, number, number];
    const cells = rows * cols;
    const maps = Array.from({ length: frames }, (_, frame) =>
      Float64Array.from(values.subarray(frame * cells, (frame + 1) * cells), floored),
    );
    const series: FieldSeries = { rows, cols, stepMs: STEP_MINUTES * 60_000, maps };
    const leads = LEADS_MINUTES.map((minutes) => minutes / STEP_MINUTES);
    const errors = new Map(leads.map((lead) => [lead, new Mean()]));
    for await (const told of foretell(series, { leads, first: HISTORY }, context)) {
      const came = maps[told.from + told.lead]!;
      let error = 0;
      for (let at = 0; at < cells; at++) error += Math.abs(floored(told.cells[at]!) - came[at]!) / cells;
      errors.get(told.lead)!.add(error);
    }
    const listed = objectAt(objectAt(sidecar, 'baselines_on_max0dBZ', path), 'leads', path);
    for (const minutes of LEADS_MINUTES) {
      const scores = objectAt(listed, `${minutes} min`, path);
      const shift = numberAt(scores, 'translation_MAE', path);
      const ours = errors.get(minutes / STEP_MINUTES)!.value;
      yield atMost(`mean absolute error ${minutes} min ahead, dBZ`, ours, shift, {
        'rigid shift': shift,
        persistence: numberAt(scores, 'persistence_MAE', path),
      });
    }
  },
};

function floored(value: number): number {
  return Math.max(0, value);
}
