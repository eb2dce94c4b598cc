/**
 * Energy maps as they are announced become maps a prior can be fitted to. Only those that carry their grid, at least half
 * of it observed, are kept; a map announced twice is kept once. What a batch adds is committed before it is acknowledged.
 */
import { timestampMs } from '@bufbuild/protobuf/wkt';
import type { Clock } from '../clock.ts';
import type { FieldViolation } from '../errors.ts';
import type { EnergyMapUpdated } from '../gen/homeostat/energy/v1/energy_events_pb.ts';
import { readGrid, readMask } from '../numeric/given-grid.ts';
import type { Store } from '../store/store.ts';
import type { MapIndex, StoredMap } from './prior/map-store.ts';

export interface MapIngestDeps {
  readonly store: Pick<Store, 'transact'>;
  readonly index: Pick<MapIndex, 'add'>;
  readonly clock: Pick<Clock, 'nowMs'>;
}

/**
 * Share of its cells a map must have observed. Hardly any map has all: an automatic arrangement has spare cells, up to a
 * quarter of it once nodes have left; this leaves room for one in three of the nodes in it to be silent besides.
 */
const OBSERVED_SHARE_LEAST = 0.5;

/** Maps taken in, by what became of them. */
export interface MapCounts {
  kept: number;
  /** Too large for their event. */
  withoutGrid: number;
  /** Too few of their cells observed. */
  incomplete: number;
}

export interface MapIngest {
  /** Keeps what a batch has to keep, in one commit; rejects where that cannot be. */
  take(batch: readonly EnergyMapUpdated[]): Promise<void>;
  counts(): Readonly<MapCounts>;
}

export function createMapIngest({ store, index, clock }: MapIngestDeps): MapIngest {
  const counts: MapCounts = { kept: 0, withoutGrid: 0, incomplete: 0 };
  return {
    async take(batch) {
      const maps: StoredMap[] = [];
      const seen: MapCounts = { kept: 0, withoutGrid: 0, incomplete: 0 };
      for (const event of batch) {
        const map = readMap(event);
        if (typeof map === 'object') maps.push(map);
        seen[typeof map === 'object' ? 'kept' : map]++;
      }
      const nowMs = clock.nowMs();
      await store.transact(async (tx) => {
        await index.add(tx, maps, nowMs);
        tx.afterCommit(() => {
          for (const name of ['kept', 'withoutGrid', 'incomplete'] as const) counts[name] += seen[name];
        });
      });
    },
    counts: () => counts,
  };
}

/** The map of an event, or why it is not kept. Throws TypeError for one that no publisher makes. */
function readMap({ map }: EnergyMapUpdated): StoredMap | 'withoutGrid' | 'incomplete' {
  if (!map?.stream || !map.start || !map.end) throw new TypeError('a map names its stream, start and end');
  if (map.grid === undefined) return 'withoutGrid';
  const faults: FieldViolation[] = [];
  const grid = readGrid(map.grid, 'map.grid', faults);
  const mask = grid && readMask(map.observed, grid.cells.length, 'map.observed', faults);
  if (grid === undefined || mask === 'INVALID')
    throw new TypeError(faults.map(({ field, description }) => `${field}: ${description}`).join(', '));
  const { rows, cols, cells } = grid;
  const observed = mask?.reduce((sum, bit) => sum + bit, 0) ?? cells.length;
  if (observed < OBSERVED_SHARE_LEAST * cells.length) return 'incomplete';
  const { domain, cluster } = map.stream;
  return {
    domain,
    cluster,
    startMs: timestampMs(map.start),
    endMs: timestampMs(map.end),
    rows,
    cols,
    layoutVersion: map.layoutVersion,
    unit: map.unit,
    cells,
    // A copy: it must not keep the whole event alive.
    observed: mask && map.observed.slice(),
  };
}
