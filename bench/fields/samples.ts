/** Features of labeled fields: what a tracker computes of the last map, and what that map shows alone. */

import { createStatePlans } from '../../src/energy/map/state-plan.ts';
import { FEATURE_NAMES, SHAPE_NAMES, shapeOf } from '../../src/energy/regime/feature.ts';
import { createMeasure } from '../../src/energy/regime/measure.ts';
import { observeSteps, type RegimeMap } from '../../src/energy/regime/observation.ts';
import type { RegimeName } from '../../src/energy/regime/regime.ts';
import { REGIME_DEFAULTS, RegimeTracker } from '../../src/energy/regime/regime-tracker.ts';
import { runThrough } from '../../src/numeric/slices.ts';
import type { Field, LabeledField } from './field.ts';

export interface Sample {
  readonly label: RegimeName;
  readonly family: string;
  /** In the order of FEATURE_NAMES. */
  readonly series: readonly (number | undefined)[];
  /** In the order of SHAPE_NAMES. */
  readonly spatial: readonly (number | undefined)[];
}

const plans = createStatePlans(2);

/** A map of a field, and what lies beyond its edge. */
export type FieldMap = RegimeMap & Pick<Field, 'boundary'>;

/** The next map of a field as a stream's `at`th; rounded to float32, as maps of streams are. */
export function nextMap(field: Field, at: number): FieldMap {
  const { rows, cols, boundary } = field;
  const cells = new Float64Array(Float32Array.from(field.next()));
  const map = { rows, cols, cells, observed: undefined };
  const seen = runThrough(observeSteps(map, { layout: '', startMs: at * 10_000 }, plans));
  return { ...seen, boundary };
}

/** What is seen of the field's last window, after all before it. */
export function sampleOf({ label, family, windows, field }: LabeledField): Sample {
  const tracker = new RegimeTracker(REGIME_DEFAULTS);
  for (let at = 0; at < windows - 1; at++) runThrough(tracker.learn(nextMap(field, at)));
  const last = nextMap(field, windows - 1);
  const { features } = runThrough(tracker.fold(last));
  const byName = new Map(features.map(({ name, value }) => [name, value]));
  const shape = runThrough(createMeasure(field.rows, field.cols).record(last, []));
  return {
    label,
    family,
    series: FEATURE_NAMES.map((name) => byName.get(name)),
    spatial: shapeOf(shape).slice(0, SHAPE_NAMES.length),
  };
}
