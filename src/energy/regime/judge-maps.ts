/** Regimes of maps handed in: of a series as a stream's would be, of fewer maps than 16 by how the newest one's cells lie. */
import type { Steps } from '../../numeric/slices.ts';
import type { StatePlans } from '../map/state-plan.ts';
import { shapeOf } from './feature.ts';
import { createMeasure, type Measure } from './measure.ts';
import { observeSteps, type RegimeMap } from './observation.ts';
import { likeliest, NOTHING_JUDGED, posteriorOf, type RegimeJudgement, WINDOWS_MIN } from './regime.ts';
import { logitsOf, namedFeatures, SPATIAL_MODEL } from './regime-model.ts';
import { REGIME_DEFAULTS, RegimeTracker } from './regime-tracker.ts';

/** A map of a series; all of one have one shape. */
export interface GivenCells {
  readonly rows: number;
  readonly cols: number;
  readonly cells: Float64Array;
  /** One byte a cell, 1 observed; absent when all are. */
  readonly observed?: Uint8Array | undefined;
}

/** What maps handed in are measured with, kept from one call to the next. */
export interface MapTools {
  readonly plans: StatePlans;
  /** A measure for maps of a shape; calls whose slices take turns may use the same one. */
  measureOf(rows: number, cols: number): Measure;
}

/** Measures held, of the shapes asked for last. */
const MEASURES_KEPT = 4;

export function createMapTools(plans: StatePlans): MapTools {
  /** By shape; the one used last stands last. */
  const measures = new Map<string, Measure>();
  return {
    plans,
    measureOf(rows, cols) {
      const key = `${rows}x${cols}`;
      const measure = measures.get(key) ?? createMeasure(rows, cols);
      measures.delete(key);
      measures.set(key, measure);
      if (measures.size > MEASURES_KEPT) measures.delete(measures.keys().next().value!);
      return measure;
    },
  };
}

/**
 * Judges the newest of some maps, at least one, oldest first and evenly spaced; `onsetMs` is the number of a map, from 0,
 * and `sinceOnsetMs` a count of maps. O(cells log cells) a map.
 */
export function* judgeMapsSteps(maps: readonly GivenCells[], tools: MapTools): Steps<RegimeJudgement> {
  if (maps.length < WINDOWS_MIN) return yield* judgeAloneSteps(yield* observe(maps.at(-1)!, 0, tools), tools);
  const tracker = new RegimeTracker({ ...REGIME_DEFAULTS, windows: Math.max(WINDOWS_MIN, maps.length) });
  const last = maps.length - 1;
  for (let at = 0; at < last; at++) yield* tracker.learn(yield* observe(maps[at]!, at, tools));
  const judged = yield* tracker.fold(yield* observe(maps[last]!, last, tools), 'SERIES');
  return { ...judged, label: likeliest(judged.posterior), changedFrom: undefined };
}

function* observe(map: GivenCells, at: number, { plans }: MapTools) {
  return yield* observeSteps({ ...map, observed: map.observed }, { layout: '', startMs: at }, plans);
}

/** Judges a map by how its cells lie. O(cells log cells). */
export function* judgeAloneSteps(seen: RegimeMap, tools: MapTools): Steps<RegimeJudgement> {
  if (seen.count === 0) return { ...NOTHING_JUDGED, basis: 'SPATIAL', windows: 1 };
  const features = shapeOf(yield* tools.measureOf(seen.rows, seen.cols).record(seen, []));
  const logits = logitsOf(SPATIAL_MODEL, features);
  const posterior = posteriorOf(logits, 1);
  return {
    ...NOTHING_JUDGED,
    label: likeliest(posterior),
    posterior,
    logits,
    features: namedFeatures(SPATIAL_MODEL, features),
    basis: 'SPATIAL',
    windows: 1,
  };
}
