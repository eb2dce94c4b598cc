/**
 * Maps become samples of the standing metrics. Events come in stream order; what a batch adds is committed before it is
 * acknowledged, and a batch that fails is taken back and comes again. Maps run ahead of the windows by no more than
 * their detectors can hold: their consumer waits for the windows instead of letting go what a look will need.
 */
import { timestampMs } from '@bufbuild/protobuf/wkt';
import type { Clock } from '../../clock.ts';
import type { EnergyMapUpdated } from '../../gen/homeostat/energy/v1/energy_events_pb.ts';
import type { Store } from '../../store/store.ts';
import type { CellName } from '../cells/cell.ts';
import { cellKey } from '../fleet.ts';
import { LEAD_SLOTS } from './detector.ts';
import type { Detectors } from './detectors.ts';
import { samplesOfMap } from './standing-metrics.ts';
import type { RiskStore } from './store.ts';

export interface MapIngestDeps {
  readonly detectors: Detectors;
  readonly table: RiskStore;
  readonly store: Pick<Store, 'transact'>;
  readonly clock: Clock;
}

/** The one writer of the maps' detectors. */
export interface MapIngest {
  /** Puts the detectors of maps back as they were committed; before the first batch. */
  recover(): Promise<void>;
  /** Takes and commits one batch; rejects, with nothing changed, when it cannot be committed. */
  take(batch: readonly EnergyMapUpdated[]): Promise<void>;
  /** Ends a wait for windows. */
  stop(): void;
}

/** How long one wait for windows lasts before it is looked again whether there are any, wall time. */
const WAIT_MS = 1_000;

export function createMapIngest({ detectors, table, store, clock }: MapIngestDeps): MapIngest {
  const stopping = new AbortController();
  let isStale = true;

  const recover = async () => {
    const saved = await table.loadDetectors('maps');
    detectors.restore('maps', new Map(saved.map(({ cell, state }) => [cellKey(cell), state])));
    isStale = false;
  };
  /** Until the windows of a cell are near enough to a map's; at once for a cell without any. */
  const windowsNear = async (key: string, endMs: number) => {
    for (;;) {
      const windows = detectors.find('windows', key);
      if (!windows || endMs <= windows.passedMs + LEAD_SLOTS * windows.intervalMs) return;
      await detectors.changed('windows', WAIT_MS, stopping.signal);
    }
  };

  return {
    recover,
    async take(batch) {
      if (isStale) await recover();
      isStale = true;
      const touched = new Map<string, CellName>();
      for (const { map } of batch) {
        if (!map?.stream || !map.start || !map.end)
          throw new TypeError('a map names its stream, start and end');
        const { domain, cluster } = map.stream;
        const key = cellKey({ domain, cluster });
        const span = { startMs: timestampMs(map.start), endMs: timestampMs(map.end) };
        await windowsNear(key, span.endMs);
        detectors.take('maps', key, span, samplesOfMap(map));
        touched.set(key, { domain, cluster });
      }
      const saved = [...touched].map(([key, cell]) => ({
        cell,
        state: detectors.find('maps', key)!.state(),
      }));
      const nowMs = clock.nowMs();
      await store.transact((tx) => table.saveDetectors(tx, 'maps', saved, nowMs));
      isStale = false;
    },
    stop: () => stopping.abort(new Error('maps are no longer taken in')),
  };
}
