/**
 * How probable each regime is of a map that somebody makes a claim about: judged as the next map of its stream, or as
 * the stream's newest where it is that one; of itself alone where there is no stream, or the stream's maps have another
 * shape.
 */
import type { Clock } from '../../clock.ts';
import { runInSlices } from '../../numeric/slices.ts';
import type { Forecaster, ForecastMap } from '../forecast/forecaster.ts';
import type { MapField } from '../map/state.ts';
import { createStatePlans } from '../map/state-plan.ts';
import type { StreamName } from '../stream/stream-name.ts';
import { createMapTools, judgeMapsSteps } from './judge-maps.ts';
import { observeSteps } from './observation.ts';
import { REGIME_MODEL_VERSION } from './regime-model.ts';
import type { RegimeTracker } from './regime-tracker.ts';

export interface JudgeDeps {
  readonly clock: Clock;
  /** Longest time one computation holds the event loop, ms. */
  readonly sliceMs: number;
  /** Lends what was learned of a stream to some work, while no batch changes it. */
  readonly withStream: <Result>(
    stream: StreamName,
    work: (live: { readonly forecaster: Forecaster; readonly regime: RegimeTracker }) => Promise<Result>,
  ) => Promise<Result>;
}

export interface RegimeOpinion {
  /** In the order of Regime. */
  readonly posterior: readonly number[];
  readonly modelVersion: number;
}

/** Plans held between calls: 40 bytes a cell each. */
const PLANS_KEPT = 2;

export function createJudge(deps: JudgeDeps) {
  const tools = createMapTools(createStatePlans(PLANS_KEPT));
  return async (
    stream: StreamName | undefined,
    map: MapField,
    signal: AbortSignal,
  ): Promise<RegimeOpinion> => {
    const options = { clock: deps.clock, sliceMs: deps.sliceMs, signal };
    const alone = () => runInSlices(judgeMapsSteps([map], tools), options);
    const inStream = (name: StreamName) =>
      deps.withStream(name, async ({ forecaster: { latest }, regime }) => {
        if (latest?.rows !== map.rows || latest.cols !== map.cols) return alone();
        if (isSame(latest, map)) return regime.latest;
        const place = { layout: latest.layout, startMs: latest.endMs };
        const next = await runInSlices(observeSteps(map, place, tools.plans), options);
        return runInSlices(regime.judge([next]), options);
      });
    const { posterior } = await (stream ? inStream(stream) : alone());
    return { posterior, modelVersion: REGIME_MODEL_VERSION };
  };
}

/** Whether a map handed in is the stream's own, which travels as float32. */
function isSame(latest: ForecastMap, { cells, observed }: MapField): boolean {
  return latest.cells.every(
    (value, at) =>
      latest.observed[at] === (observed?.[at] ?? 1) && Math.fround(value) === Math.fround(cells[at]!),
  );
}
