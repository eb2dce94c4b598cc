/**
 * Closed windows of telemetry become maps. Events come in stream order, one batch at a time. Per stream a batch is
 * folded in memory, then committed in one transaction: maps, explanations, the windows themselves until a snapshot
 * covers them, and the announcements. A stream whose batch fails is forgotten and read back from the last commit, so a
 * repeat finds it as it was; parts committed before are dropped as duplicates.
 */
import type { Bus } from '../bus/bus.ts';
import { MapMode } from '../gen/homeostat/energy/v1/energy_service_pb.ts';
import type { WindowClosed } from '../gen/homeostat/telemetry/v1/telemetry_events_pb.ts';
import { runInSlices } from '../numeric/slices.ts';
import type { Store } from '../store/store.ts';
import { saveLogits } from './feedback/label-store.ts';
import { commitModels, type DatedChange, takeUpFeedback } from './feedback/model-ingest.ts';
import { packModels } from './feedback/model-store.ts';
import type { Forecaster } from './forecast/forecaster.ts';
import type { ScoredWindow } from './forecast/score.ts';
import type { ForecastSettings } from './forecast/settings.ts';
import { type JudgedWindow, modeToProto } from './map/map-message.ts';
import type { MapStore } from './map-store.ts';
import { recordForecastScored, recordMapUpdated, recordRegimeChanged } from './publish.ts';
import type { RegimeTracker } from './regime/regime-tracker.ts';
import {
  configureNext,
  foldWindow,
  type LiveDeps,
  type LiveStream,
  openStream,
} from './stream/live-stream.ts';
import { type StreamName, streamKey } from './stream/stream-name.ts';
import { createTurns } from './turns.ts';
import type { MapFeed } from './watch.ts';

export interface IngestDeps extends LiveDeps {
  readonly store: Store;
  readonly maps: MapStore;
  readonly bus: Pick<Bus, 'record'>;
  readonly feed: MapFeed;
  /** Windows between two snapshots of what was learned. */
  readonly snapshotWindows: number;
}

/** What became of the parts and windows taken in since the start. */
export interface IngestCounts {
  readonly parts: number;
  readonly duplicates: number;
  readonly incomplete: number;
  readonly maps: number;
  /** Streams in memory. */
  readonly streams: number;
}

export interface MapIngest {
  /** Folds and commits one batch; rejects when any stream of it could not be, the others being committed. */
  take(batch: readonly WindowClosed[]): Promise<void>;
  /**
   * Does work with what was learned of a stream, while no batch changes it; a stream without windows has learned
   * nothing. Waits for the batch and the work before it.
   */
  withStream<Result>(stream: StreamName, work: (live: StreamView) => Promise<Result>): Promise<Result>;
  counts(): IngestCounts;
}

/** What was learned of a stream; borrowed. */
export interface StreamView {
  /** The forecaster of the ACTIVE model. */
  readonly forecaster: Forecaster;
  /** Number of that model, from 1. */
  readonly modelVersion: number;
  readonly settings: ForecastSettings;
  readonly regime: RegimeTracker;
}

/** Parts of a stream committed at once: a transaction holds the event loop. */
const PARTS_AT_ONCE = 16;

export function createMapIngest(deps: IngestDeps): MapIngest {
  const live = new Map<string, LiveStream>();
  const inTurn = createTurns();
  const totals = { parts: 0, duplicates: 0, incomplete: 0, maps: 0 };

  const opened = async (stream: StreamName): Promise<LiveStream> => {
    const key = streamKey(stream);
    const current = live.get(key) ?? (await openStream(deps, stream));
    live.set(key, current);
    return current;
  };

  return {
    async take(batch) {
      const byStream = new Map<string, { stream: StreamName; parts: WindowClosed[] }>();
      for (const part of batch) {
        if (!part.stream || !part.start || !part.end)
          throw new TypeError('a closed window names its stream, start and end');
        // A window of nobody only carries the end of its stream; there is nothing to map.
        if (part.parts === 1 && part.nodes.length === 0) continue;
        const { domain, cluster } = part.stream;
        const key = streamKey({ domain, cluster });
        const group = byStream.get(key) ?? { stream: { domain, cluster }, parts: [] };
        group.parts.push(part);
        byStream.set(key, group);
      }
      const outcomes = await Promise.allSettled(
        [...byStream].map(([key, { stream, parts }]) =>
          inTurn(key, async () => {
            try {
              for (let from = 0; from < parts.length; from += PARTS_AT_ONCE) {
                const some = parts.slice(from, from + PARTS_AT_ONCE);
                const counted = await foldBatch(deps, stream, await opened(stream), some);
                for (const name of ['parts', 'duplicates', 'incomplete', 'maps'] as const)
                  totals[name] += counted[name];
              }
            } catch (error) {
              live.delete(key);
              throw error;
            }
          }),
        ),
      );
      for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason;
    },
    withStream: (stream, work) =>
      inTurn(streamKey(stream), async () => {
        const { models, forecastSettings: settings, regime } = await opened(stream);
        const { modelVersion } = models.roster.active;
        return work({ forecaster: models.active, modelVersion, settings, regime });
      }),
    counts: () => ({ ...totals, streams: live.size }),
  };
}

/** Folds the parts of one stream and commits what came of them. */
async function foldBatch(
  deps: IngestDeps,
  stream: StreamName,
  current: LiveStream,
  parts: readonly WindowClosed[],
) {
  const { mapper, models, assembly } = current;
  const reconfigured = await configureNext(deps, stream, current);
  const { isChanged, calibration } = await takeUpFeedback(deps.store, stream, current);
  const before = models.roster;
  const accepted: WindowClosed[] = [];
  const mapped: JudgedWindow[] = [];
  const scores: ScoredWindow[] = [];
  const changes: DatedChange[] = [];
  let incomplete = 0;
  for (const part of parts) {
    const offered = assembly.offer(part);
    if (!offered.accepted) continue;
    accepted.push(part);
    incomplete += offered.incomplete;
    for (const ready of offered.ready) {
      const { map, scored, changes: next } = await runInSlices(foldWindow(current, ready), deps);
      mapped.push(map);
      changes.push(...next);
      if (scored.length > 0) scores.push({ startMs: map.startMs, scored });
    }
  }
  const counted = {
    parts: parts.length,
    duplicates: parts.length - accepted.length,
    incomplete,
    maps: mapped.length,
  };
  const isOther = reconfigured || isChanged;
  if (accepted.length === 0 && !isOther) return counted;

  const learned = mapper.windows - (current.snapshotAt ?? Number.NEGATIVE_INFINITY);
  const isDue = isOther || learned >= deps.snapshotWindows;
  const throughMs = assembly.throughMs();
  const inputs = isDue ? accepted.filter((part) => assembly.unfinished().includes(part)) : accepted;
  const packed = isDue ? await runInSlices(packModels(models.state()), deps) : undefined;
  const nowMs = deps.clock.nowMs();
  await deps.store.transact(async (tx) => {
    await deps.streams.save(tx, {
      stream,
      inputs,
      mapCount: mapper.windows,
      effectiveMode: mapper.windows > 0 ? modeToProto(mapper.mode) : MapMode.UNSPECIFIED,
      snapshot: packed
        ? {
            state: mapper.snapshot(),
            forecast: { settings: current.forecastSettings, models: packed },
            regime: current.regime.state(),
            configVersion: current.configVersion,
            throughMs,
          }
        : undefined,
    });
    await deps.maps.add(tx, stream, mapped, nowMs);
    await saveLogits(
      tx,
      stream,
      mapped.map(({ startMs, regime }) => ({ startMs, logits: regime.logits })),
      nowMs,
    );
    for (const map of mapped) {
      await recordMapUpdated(deps.bus, tx, stream, map);
      await recordRegimeChanged(deps.bus, tx, stream, map);
    }
    for (const score of scores) await recordForecastScored(deps.bus, tx, stream, score);
    await commitModels(deps.bus, tx, stream, { before, models, changes, packed, calibration });
  });
  if (isDue) current.snapshotAt = mapper.windows;
  deps.feed.publish(stream, mapped);
  return counted;
}
