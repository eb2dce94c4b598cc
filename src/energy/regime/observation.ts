/**
 * A map as the regime of its stream is judged from it: its cells, and the numbers its state already holds. Cells are
 * row-major, in the unit of the map; times are milliseconds since 1970.
 */
import type { Steps } from '../../numeric/slices.ts';
import { type MapCells, spreadSteps, type Totals } from '../map/state.ts';
import type { StatePlans } from '../map/state-plan.ts';

/** One map in time. Arrays are borrowed until the next map. */
export interface RegimeMap {
  readonly rows: number;
  readonly cols: number;
  /** What its cells are laid out on: another layout or shape starts what is spatial anew. */
  readonly layout: string;
  readonly startMs: number;
  readonly cells: Float64Array;
  /** One byte a cell, 1 observed. */
  readonly observed: Uint8Array;
  /** Observed cells. */
  readonly count: number;
  /** Sum of the observed cells. */
  readonly net: number;
  /** Of its state, nats; undefined for a map of zeros. */
  readonly spatialEntropy: number | undefined;
  /** Population variance of the observed cells. */
  readonly variance: number;
  /** VRMSE of the forecast of this map one window before; undefined without one. */
  readonly vrmse: number | undefined;
  /** Mean surprise of the observed nodes, nats; undefined for maps that have none. */
  readonly surprise: number | undefined;
}

/** Which map of a series a given one is. */
export interface RegimePlace {
  readonly layout: string;
  readonly startMs: number;
}

/** A map handed in as one to be judged. O(cells). */
export function* observeSteps(
  field: Omit<MapCells, 'cellArea'>,
  place: RegimePlace,
  plans: StatePlans,
): Steps<RegimeMap> {
  const { rows, cols, cells, observed } = field;
  const spread = yield* spreadSteps({ rows, cols, cells, observed, cellArea: 1 }, plans);
  return observedAs(field, place, spread);
}

/** The same where its totals, of cells of area 1, and its variance are known. O(1), O(cells) without a mask. */
export function observedAs(
  { rows, cols, cells, observed }: Omit<MapCells, 'cellArea'>,
  { layout, startMs }: RegimePlace,
  { totals, variance }: { readonly totals: Totals; readonly variance: number },
): RegimeMap {
  const { count, net, spatialEntropy } = totals;
  return {
    rows,
    cols,
    layout,
    startMs,
    cells,
    observed: observed ?? new Uint8Array(cells.length).fill(1),
    count,
    net,
    spatialEntropy,
    variance,
    vrmse: undefined,
    surprise: undefined,
  };
}
