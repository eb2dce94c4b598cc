/**
 * The product's forecasts of a series of maps, scored as they come: each map is learned, then the maps ahead are
 * foretold from all up to it. The forecaster is that of a stream at its defaults, without broker and store.
 */

import { CliFailure } from '../../src/cli/failure.ts';
import { Forecaster, type ForecastMap } from '../../src/energy/forecast/forecaster.ts';
import { PREDICTORS, type PredictorKind } from '../../src/energy/forecast/predictor.ts';
import { runThrough } from '../../src/numeric/slices.ts';
import type { EvaluationContext, Figure } from './figure.ts';

/** Maps of one shape, evenly spaced. */
export interface FieldSeries {
  readonly rows: number;
  readonly cols: number;
  /** Milliseconds from a map to the next. */
  readonly stepMs: number;
  readonly maps: readonly Float64Array[];
  /** One byte a cell of each map, 1 observed; all are when absent. */
  readonly observed?: readonly Uint8Array[];
}

/** A forecast beside what came. Arrays are borrowed until the next one. */
export interface Told {
  /** Maps ahead. */
  readonly lead: number;
  /** Place of the map it starts from. */
  readonly from: number;
  readonly cells: Float64Array;
}

export interface Asked {
  /** Maps ahead, rising. */
  readonly leads: readonly number[];
  /** Place of the first map that is forecast from. */
  readonly first: number;
  /** The mixture when absent. */
  readonly predictor?: PredictorKind;
}

/** Every forecast asked for whose map is in the series, in the order of their starts. */
export async function* foretell(
  series: FieldSeries,
  { leads, first, predictor }: Asked,
  { signal, progress }: EvaluationContext,
): AsyncGenerator<Told> {
  const { rows, cols, stepMs, maps } = series;
  const forecaster = new Forecaster();
  const everything = new Uint8Array(rows * cols).fill(1);
  const allowed = predictor && PREDICTORS.map((kind) => kind === predictor);
  for (const [at, cells] of maps.entries()) {
    if (signal.aborted) throw new CliFailure(1, 'interrupted');
    const observed = series.observed?.[at] ?? everything;
    const [startMs, endMs] = [at * stepMs, (at + 1) * stepMs];
    const map: ForecastMap = {
      ...{ rows, cols, boundary: 'NEUMANN', layout: '1', conserves: false },
      ...{ startMs, endMs, cells, observed },
    };
    runThrough(forecaster.fold(map));
    progress.show(() => `map ${at + 1} of ${maps.length}`);
    if (at < first) continue;
    for (const lead of leads) {
      if (at + lead >= maps.length) continue;
      const options = { steps: lead, coverage: 0.9, ...(allowed && { allowed }) };
      const { path } = runThrough(forecaster.predict(options))!;
      yield { lead, from: at, cells: path.at(-1)! };
    }
    // Lets an interrupt in.
    await new Promise((resolve) => setImmediate(resolve));
  }
}

/** A running mean. */
export class Mean {
  #count = 0;
  #sum = 0;

  add(value: number): void {
    this.#count++;
    this.#sum += value;
  }

  /** NaN of nothing. */
  get value(): number {
    return this.#sum / this.#count;
  }
}

/** A figure that must not be over `target`. */
export function atMost(
  metric: string,
  ours: number,
  target: number | undefined,
  baselines: Figure['baselines'] = {},
): Figure {
  return { metric, ours, baselines, target, better: 'LOWER' };
}
