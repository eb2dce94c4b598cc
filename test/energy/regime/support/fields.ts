/** Judging fields as a stream does: maps one after the other, without a pause. */

import type { Field } from '../../../../bench/fields/field.ts';
import { nextMap } from '../../../../bench/fields/samples.ts';
import type { RegimeMap } from '../../../../src/energy/regime/observation.ts';
import type { RegimeJudgement } from '../../../../src/energy/regime/regime.ts';
import { REGIME_DEFAULTS, RegimeTracker } from '../../../../src/energy/regime/regime-tracker.ts';
import { runThrough } from '../../../../src/numeric/slices.ts';

export const freshTracker = () => new RegimeTracker(REGIME_DEFAULTS);

/** Maps of a field, as a stream's from its first on. */
export function mapsOf(field: Field, count: number): RegimeMap[] {
  return Array.from({ length: count }, (_, at) => nextMap(field, at));
}

/** Folds maps; what was judged of each. */
export function foldAll(tracker: RegimeTracker, maps: readonly RegimeMap[]): RegimeJudgement[] {
  return maps.map((map) => runThrough(tracker.fold(map)));
}
