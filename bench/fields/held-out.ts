/**
 * How well the regime model does on fields it was not fitted to, as JSON: `node bench/fields/held-out.js <first seed>
 * <fields of each regime>`.
 */
import { JUDGED, posteriorOf, REGIMES } from '../../src/energy/regime/regime.ts';
import { logitsOf, SERIES_MODEL } from '../../src/energy/regime/regime-model.ts';
import { LABELS, labeledField } from './labeled.ts';
import { sampleOf } from './samples.ts';
import { verdictOf } from './verdict.ts';

const [seed, fields] = process.argv.slice(2).map(Number) as [number, number];
const told = Array.from({ length: fields }, (_, at) => at).flatMap((at) =>
  LABELS.map((label) => {
    const { series } = sampleOf(labeledField(label, seed + at));
    const posterior = posteriorOf(logitsOf(SERIES_MODEL, series), 1).slice(0, JUDGED);
    return { label: REGIMES.indexOf(label), posterior };
  }),
);
process.stdout.write(JSON.stringify(verdictOf(told, JUDGED)));
