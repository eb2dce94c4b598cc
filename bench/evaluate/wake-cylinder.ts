/**
 * The wake of a cylinder at Reynolds number 100 as its steady flow gives way to vortex shedding (Nek5000 modes and
 * amplitudes in pysindy's examples): maps of kinetic energy per cell, forecast by dynamic mode decomposition over the
 * last third, where the oscillation grows fastest, and judged for their regime from the first.
 */
import { join } from 'node:path';
import { createStatePlans } from '../../src/energy/map/state-plan.ts';
import { observeSteps } from '../../src/energy/regime/observation.ts';
import { REGIME_DEFAULTS, RegimeTracker } from '../../src/energy/regime/regime-tracker.ts';
import { runThrough } from '../../src/numeric/slices.ts';
import { loadArray, loadCsv, numbersOf } from './data-set.ts';
import { quantile } from './detection-metrics.ts';
import { atMost, type FieldSeries, foretell } from './field-forecast.ts';
import type { EvaluationSet, Figure } from './figure.ts';

const MODES = 9;
const STEP_MS = 100;
/** Maps ahead, with the greatest median error allowed; and of the worst forecast. */
const LEADS = [
  { lead: 1, median: 0.001 },
  { lead: 20, median: 0.005 },
] as const;
const WORST = 0.05;

export const wakeCylinder: EvaluationSet = {
  name: 'wake_cylinder',
  measures: 'kinetic energy of a flow that leaves its steady state, forecast and warned of',
  async *run(folder, context) {
    const { series, amplitudes } = readWake(folder);
    const { maps } = series;
    const from = Math.floor((2 * maps.length) / 3);
    const leads = LEADS.map(({ lead }) => lead);
    const errors = new Map<number, number[]>(leads.map((lead) => [lead, []]));
    const asked = { leads, first: from - Math.max(...leads), predictor: 'DMD' } as const;
    for await (const { lead, from: start, cells } of foretell(series, asked, context))
      if (start + lead >= from) errors.get(lead)!.push(relativeError(cells, maps[start + lead]!));
    for (const { lead, median } of LEADS) {
      const all = Float64Array.from(errors.get(lead)!);
      yield atMost(`dmd, median VRMSE ${lead} ahead, last third`, quantile(all, 0.5), median);
      yield atMost(`dmd, worst VRMSE ${lead} ahead, last third`, quantile(all, 1), WORST);
    }
    yield* warningFigures(series, amplitudes);
  },
};

function readWake(folder: string): { readonly series: FieldSeries; readonly amplitudes: Float64Array } {
  const { values, shape } = loadArray(join(folder, 'base_and_modes'), 4);
  const [rows, cols] = [shape[2]!, shape[3]!];
  const cells = rows * cols;
  const names = Array.from({ length: MODES }, (_, mode) => `a${mode + 1}`);
  const path = join(folder, 'coefficients_t000_t070.csv.gz');
  const table = loadCsv(path, names);
  const factors = names.map((name) => numbersOf(table, name, path));
  const maps = Array.from(factors[0]!, (_, step) => {
    const velocity = Float64Array.from(values.subarray(0, 2 * cells));
    for (const [mode, factor] of factors.entries()) {
      const start = (mode + 1) * 2 * cells;
      for (let at = 0; at < 2 * cells; at++)
        velocity[at] = velocity[at]! + factor[step]! * values[start + at]!;
    }
    const energy = (at: number) => 0.5 * (velocity[at]! ** 2 + velocity[cells + at]! ** 2);
    // Maps are float32 on the wire.
    return Float64Array.from({ length: cells }, (_, at) => Math.fround(energy(at)));
  });
  const amplitudes = factors[0]!.map((first, step) => Math.hypot(first, factors[1]![step]!));
  return { series: { rows, cols, stepMs: STEP_MS, maps }, amplitudes };
}

/** Since when the regime of the maps has not read EQUILIBRIUM as the oscillation is half grown; NaN when it does then. */
function* warningFigures(
  { rows, cols, stepMs, maps }: FieldSeries,
  amplitudes: Float64Array,
): Iterable<Figure> {
  const half = amplitudes.reduce((a, b) => Math.max(a, b), 0) / 2;
  const grown = amplitudes.findIndex((amplitude) => amplitude >= half);
  const tracker = new RegimeTracker(REGIME_DEFAULTS);
  const plans = createStatePlans(1);
  let warned = Number.NaN;
  for (const [at, cells] of maps.slice(0, grown + 1).entries()) {
    const field = { rows, cols, cells, observed: undefined };
    const seen = runThrough(observeSteps(field, { layout: '1', startMs: at * stepMs }, plans));
    const { label } = runThrough(tracker.fold(seen));
    if (label !== 'TRANSITION' && label !== 'CRITICAL') warned = Number.NaN;
    else if (Number.isNaN(warned)) warned = at;
  }
  yield atMost(
    'step since when the regime has been TRANSITION or CRITICAL at half amplitude',
    warned,
    grown,
    {
      'half amplitude': grown,
    },
  );
}

function relativeError(told: Float64Array, came: Float64Array): number {
  const mean = came.reduce((sum, value) => sum + value / came.length, 0);
  let error = 0;
  let variance = 0;
  for (let at = 0; at < came.length; at++) {
    error += (told[at]! - came[at]!) ** 2;
    variance += (came[at]! - mean) ** 2;
  }
  return Math.sqrt(error / variance);
}
