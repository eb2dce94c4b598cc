/**
 * A day of a serving fleet as maps whose cells are its containers, one a tick, forecast half an hour ahead beside the
 * value now and the mean of the last 30 ticks. A container that is absent at a tick is an unobserved cell.
 */
import { loadCsv, numbersOf } from './data-set.ts';
import { atMost, type FieldSeries, foretell, Mean } from './field-forecast.ts';
import type { EvaluationContext, Figure } from './figure.ts';

const TICK_SECONDS = 57;
const LEAD = 30;
/** Mean absolute error to be under: of the mean of the last 30 ticks, and of the value now. */
const METRICS = [
  { name: 'gpu_util_pct', bar: 8.43, baselines: { 'trailing mean': 8.43, persistence: 9.39 } },
  { name: 'mem_util', bar: 0.0095, baselines: { 'trailing mean': 0.0101, persistence: 0.0095 } },
] as const;

/** The errors of each metric, reading the events at `path`. A data set too short to forecast has none. */
export async function* fleetForecasts(path: string, context: EvaluationContext): AsyncIterable<Figure> {
  for (const { name, bar, baselines } of METRICS) {
    const { series, values } = readFleet(path, name);
    if (series.maps.length <= LEAD) continue;
    const error = new Mean();
    for await (const { from, lead, cells } of foretell(series, { leads: [LEAD], first: 0 }, context)) {
      const [now, came] = [values[from]!, values[from + lead]!];
      for (let at = 0; at < cells.length; at++)
        if (!Number.isNaN(now[at]! + came[at]!)) error.add(Math.abs(cells[at]! - came[at]!));
    }
    yield atMost(`${name}: mean absolute error ${LEAD} ticks ahead`, error.value, bar, baselines);
  }
}

/** A metric as maps, containers in the order of their names, and as values that are NaN where there is none. */
function readFleet(
  path: string,
  metric: string,
): { readonly series: FieldSeries; readonly values: readonly Float64Array[] } {
  const table = loadCsv(path, ['t_s', 'metric', 'container', 'value']);
  const column = (name: string) => table.header.indexOf(name);
  const [kind, container] = [column('metric'), column('container')];
  const times = numbersOf(table, 't_s', path);
  const samples = numbersOf(table, 'value', path);
  const chosen = Array.from(table.rows.keys()).filter((row) => table.rows[row]![kind] === metric);
  const names = [...new Set(chosen.map((row) => table.rows[row]![container]!))].sort();
  const place = new Map(names.map((name, at) => [name, at]));
  const cols = Math.ceil(Math.sqrt(names.length));
  const rows = Math.ceil(names.length / Math.max(1, cols));
  const tickOf = (row: number) => Math.round(times[row]! / TICK_SECONDS);
  const ticks = chosen.reduce((last, row) => Math.max(last, tickOf(row) + 1), 0);
  const values = Array.from({ length: ticks }, () => new Float64Array(rows * cols).fill(Number.NaN));
  for (const row of chosen) values[tickOf(row)]![place.get(table.rows[row]![container]!)!] = samples[row]!;
  // An unobserved cell holds its last value, as in a stream's maps.
  const held = new Float64Array(rows * cols);
  const maps = values.map((tick) => {
    for (const [at, value] of tick.entries()) if (!Number.isNaN(value)) held[at] = Math.fround(value);
    return held.slice();
  });
  const observed = values.map((tick) => Uint8Array.from(tick, (value) => (Number.isNaN(value) ? 0 : 1)));
  return { series: { rows, cols, stepMs: TICK_SECONDS * 1_000, maps, observed }, values };
}
