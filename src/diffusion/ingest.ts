/**
 * Energy maps as they are announced become maps a prior can be fitted to. Only those that carry their grid, every cell
 * of it observed, are kept; a map announced twice is kept once. What a batch adds is committed before it is
 * acknowledged.
 */
import { timestampMs } from '@bufbuild/protobuf/wkt';
import type { Clock } from '../clock.ts';
import type { EnergyMapUpdated } from '../gen/homeostat/energy/v1/energy_events_pb.ts';
import type { Store } from '../store/store.ts';
import type { MapIndex, StoredMap } from './prior/map-store.ts';

export interface MapIngestDeps {
  readonly store: Pick<Store, 'transact'>;
  readonly index: Pick<MapIndex, 'add'>;
  readonly clock: Pick<Clock, 'nowMs'>;
}

/** Maps taken in, by what became of them. */
export interface MapCounts {
  kept: number;
  /** Too large for their event. */
  withoutGrid: number;
  /** Some cell not observed. */
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
  const { rows, cols, values, rawValues } = map.grid;
  const cells = rawValues.length > 0 ? new Float32Array(rawValues.slice().buffer) : Float32Array.from(values);
  if (cells.length !== rows * cols)
    throw new TypeError(`${cells.length} cells in a map of ${rows} x ${cols}`);
  const isObserved = (at: number) =>
    map.observed.length === 0 || ((map.observed[at >> 3]! >> (at & 7)) & 1) === 1;
  if (!cells.every((_, at) => isObserved(at))) return 'incomplete';
  const { domain, cluster } = map.stream;
  return {
    domain,
    cluster,
    startMs: timestampMs(map.start),
    endMs: timestampMs(map.end),
    rows,
    cols,
    layoutVersion: map.layoutVersion,
    cells,
  };
}
