/**
 * The models of this context as an inference server names them. A table; who serves it is another matter. Both take maps
 * of one shape, oldest first and evenly spaced, every cell observed; what a stream has taught is asked with Predict and
 * Classify.
 */
import type { Clock } from '../clock.ts';
import { runInSlices, type Steps } from '../numeric/slices.ts';
import { type Model, refuseOtherTensor, type Tensor } from '../numeric/tensor.ts';
import { Forecaster, type ForecastMap } from './forecast/forecaster.ts';
import { createStatePlans } from './map/state-plan.ts';
import { createMapTools, type GivenCells, judgeMapsSteps } from './regime/judge-maps.ts';
import { REGIME_MODEL_VERSION } from './regime/regime-model.ts';

export interface ModelDeps {
  readonly clock: Clock;
  /** Longest time one computation holds the event loop, ms. */
  readonly sliceMs: number;
}

const MAPS = { name: 'maps', datatype: 'FP32', shape: [-1, -1, -1] } as const;
const POSTERIOR = { name: 'posterior', datatype: 'FP64', shape: [5] } as const;
const PREDICTION = { name: 'prediction', datatype: 'FP32', shape: [-1, -1] } as const;
/** Of the forecaster that starts anew with each request. */
const FORECAST_VERSION = '1';

/** The probability of each regime, in the order of Regime, and the map that comes next. */
export function listModels(deps: ModelDeps): readonly Model[] {
  const tools = createMapTools(createStatePlans(1));
  const run = <Result>(steps: Steps<Result>, signal: AbortSignal) =>
    runInSlices(steps, { clock: deps.clock, sliceMs: deps.sliceMs, signal });
  return [
    {
      name: 'energy.regime',
      version: String(REGIME_MODEL_VERSION),
      inputs: [MAPS],
      outputs: [POSTERIOR],
      async infer([maps], signal) {
        const { posterior } = await run(judgeMapsSteps(mapsOf(maps), tools), signal);
        return [{ ...POSTERIOR, data: Float64Array.from(posterior) }];
      },
    },
    {
      name: 'energy.forecast',
      version: FORECAST_VERSION,
      inputs: [MAPS],
      outputs: [PREDICTION],
      async infer([given], signal) {
        const maps = mapsOf(given);
        const { rows, cols } = maps[0]!;
        const next = await run(nextSteps(maps), signal);
        return [{ ...PREDICTION, shape: [rows, cols], data: Float32Array.from(next) }];
      },
    },
  ];
}

/** The map after the last one. */
function* nextSteps(maps: readonly GivenCells[]): Steps<Float64Array> {
  const forecaster = new Forecaster();
  for (const [at, map] of maps.entries()) yield* forecaster.fold(inTime(map, at));
  const forecast = yield* forecaster.predict({ steps: 1, coverage: 0.9 });
  if (forecast === undefined) throw new RangeError('maps are too large to be forecast');
  return forecast.path[0]!;
}

function inTime({ rows, cols, cells }: GivenCells, at: number): ForecastMap {
  return {
    rows,
    cols,
    boundary: 'NEUMANN',
    layout: '',
    conserves: false,
    startMs: at,
    endMs: at + 1,
    cells,
    observed: new Uint8Array(cells.length).fill(1),
  };
}

/** The maps of a tensor. Throws RangeError. */
function mapsOf(tensor: Tensor | undefined): readonly GivenCells[] {
  refuseOtherTensor(MAPS, tensor);
  const { shape, data } = tensor!;
  const [count, rows, cols] = shape as [number, number, number];
  const size = rows * cols;
  return Array.from({ length: count }, (_, at) => ({
    rows,
    cols,
    cells: Float64Array.from(data.subarray(at * size, (at + 1) * size)),
  }));
}
