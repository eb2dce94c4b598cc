/**
 * The Microsoft Cloud Monitoring Dataset: metrics of services in production, one each, every anomalous step labeled by
 * hand. Series without any label have no precision and are left out.
 */
import { join } from 'node:path';
import { loadJsonList } from './data-set.ts';
import { averagePrecision, mean } from './detection-metrics.ts';
import type { EvaluationContext, EvaluationSet, Figure } from './figure.ts';
import { textAt } from './json-members.ts';
import { judgeSeries, loadTimeSeries } from './time-series.ts';

/** Mean average precision of the deviation from the trailing median over the trailing MAD (60 min or 24 h). */
const TRAILING_MAD = 0.377;

export const cloudmon: EvaluationSet = {
  name: 'cloudmon',
  measures: 'labeled steps of services in production found by their maps, learned online',
  run: evaluateCloudmon,
};

async function* evaluateCloudmon(
  folder: string,
  context: EvaluationContext,
): AsyncGenerator<Figure, void, undefined> {
  const manifest = join(folder, 'manifest.json');
  const ofScore: number[] = [];
  const ofSurprise: number[] = [];
  for (const entry of loadJsonList(manifest)) {
    const file = textAt(entry, 'file', manifest);
    const columns = { time: 'TimeStamp', value: 'Value', label: 'Label' };
    const series = loadTimeSeries(join(folder, file), file, columns);
    if (!series.labels.includes(1)) continue;
    const { scores, surprises } = await judgeSeries(series, context);
    ofScore.push(averagePrecision(scores, series.labels));
    ofSurprise.push(averagePrecision(surprises, series.labels));
  }
  for (const [what, precisions] of [
    ['score', ofScore],
    ['surprise', ofSurprise],
  ] as const)
    yield {
      metric: `mean average precision of the ${what}, ${precisions.length} series`,
      ours: mean(precisions),
      baselines: { 'trailing MAD': TRAILING_MAD },
      target: TRAILING_MAD,
      better: 'HIGHER',
    };
}
