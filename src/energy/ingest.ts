/**
 * Closed windows of telemetry become maps. Events come in stream order, one batch at a time. Per stream a batch is
 * folded in memory, then committed in one transaction: maps, explanations, the windows themselves until a snapshot
 * covers them, and the announcements. A stream whose batch fails is forgotten and read back from the last commit, so a
 * repeat finds it as it was; parts committed before are dropped as duplicates.
 */
import { create } from '@bufbuild/protobuf';
import type { Bus } from '../bus/bus.ts';
import type { Clock } from '../clock.ts';
import { MapMode, StreamConfigSchema } from '../gen/homeostat/energy/v1/energy_service_pb.ts';
import type { WindowClosed } from '../gen/homeostat/telemetry/v1/telemetry_events_pb.ts';
import { runInSlices, type Steps } from '../numeric/slices.ts';
import type { Store } from '../store/store.ts';
import { saveLogits } from './feedback/label-store.ts';
import { commitModels, type DatedChange, takeUpFeedback } from './feedback/model-ingest.ts';
import { packModels } from './feedback/model-store.ts';
import { StreamModels } from './feedback/stream-models.ts';
import type { ForecastSettings } from './forecast/forecast-store.ts';
import type { Forecaster } from './forecast/forecaster.ts';
import { nextVrmse, type Scored, type ScoredWindow } from './forecast/score.ts';
import { forecastSettings } from './forecast/settings.ts';
import { type Assembly, createAssembly } from './map/assembly.ts';
import { type MappedWindow, StreamMapper } from './map/energy-map.ts';
import { type JudgedWindow, modeToProto, type StreamName, streamKey } from './map/map-message.ts';
import { mapSettings, type StreamDefaults } from './map/settings.ts';
import { type MapWindow, readWindow } from './map/window.ts';
import type { MapStore } from './map-store.ts';
import { recordForecastScored, recordMapUpdated, recordRegimeChanged } from './publish.ts';
import { regimeSettings } from './regime/regime-message.ts';
import { RegimeTracker } from './regime/regime-tracker.ts';
import type { StreamStore } from './store.ts';
import { createTurns } from './turns.ts';
import type { MapFeed } from './watch.ts';

export interface IngestDeps {
  readonly clock: Clock;
  readonly store: Store;
  readonly streams: StreamStore;
  readonly maps: MapStore;
  readonly bus: Pick<Bus, 'record'>;
  readonly feed: MapFeed;
  readonly defaults: StreamDefaults;
  /** Longest time one computation holds the event loop, ms. */
  readonly sliceMs: number;
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

/** A stream in memory. */
interface LiveStream {
  readonly mapper: StreamMapper;
  readonly models: StreamModels;
  forecastSettings: ForecastSettings;
  readonly regime: RegimeTracker;
  readonly assembly: Assembly;
  configVersion: number;
  /** Windows mapped when the last snapshot was taken; undefined before the first. */
  snapshotAt: number | undefined;
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

/** What came of one window. */
interface FoldedWindow {
  readonly map: JudgedWindow;
  readonly scored: readonly Scored[];
  readonly changes: readonly DatedChange[];
}

/** The map of the next window with its regime, how its forecasts did, and what followed for the models. */
function* foldWindow(
  { mapper, models, forecastSettings: settings, regime }: LiveStream,
  window: MapWindow,
): Steps<FoldedWindow> {
  const map: MappedWindow = yield* mapper.fold(window);
  const { startMs, endMs, observed, state } = map;
  const { rows, cols, version } = map.layout;
  const layout = `${map.mode} ${version}`;
  const cells = new Float64Array(map.cells);
  const place = { rows, cols, layout, startMs, cells, observed };
  const { scored, changes } = yield* models.fold({ ...settings, ...place, endMs });
  const judged = yield* regime.fold({
    ...place,
    boundary: settings.boundary,
    count: state.totals.count,
    net: state.totals.net,
    spatialEntropy: state.totals.spatialEntropy,
    variance: state.variance,
    vrmse: nextVrmse(scored),
    surprise: map.surprise,
  });
  const dated = changes.map((change) => ({ ...change, atMs: endMs }));
  return { map: { ...map, regime: judged }, scored, changes: dated };
}

/**
 * Reads a stream back as the last commit left it: the snapshot, then the windows after it folded again. The first commit
 * of a stream writes a snapshot, so without one there are no windows either.
 */
async function openStream(deps: IngestDeps, stream: StreamName): Promise<LiveStream> {
  const { snapshot, inputs } = await deps.streams.recover(stream);
  if (snapshot === undefined) {
    const record = await deps.streams.find(stream);
    const config = record?.config ?? create(StreamConfigSchema);
    return {
      mapper: new StreamMapper(mapSettings(config, deps.defaults)),
      models: new StreamModels(),
      forecastSettings: forecastSettings(config),
      regime: new RegimeTracker(regimeSettings(config)),
      assembly: createAssembly(Number.MIN_SAFE_INTEGER),
      configVersion: record?.version ?? 0,
      snapshotAt: undefined,
    };
  }
  const mapper = StreamMapper.restore(snapshot.state);
  const config = (await deps.streams.find(stream))?.config ?? create(StreamConfigSchema);
  const current = {
    mapper,
    models: new StreamModels(snapshot.forecast?.models),
    forecastSettings: snapshot.forecast?.settings ?? forecastSettings(config),
    regime: new RegimeTracker(snapshot.regime ?? regimeSettings(config)),
    assembly: createAssembly(snapshot.throughMs),
    configVersion: snapshot.configVersion,
    snapshotAt: mapper.windows,
  };
  for (const input of inputs) {
    for (const parts of current.assembly.offer(input).ready)
      await runInSlices(foldWindow(current, readWindow(parts)), deps);
  }
  return current;
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
      const { map, scored, changes: next } = await runInSlices(foldWindow(current, readWindow(ready)), deps);
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
  const packed = isDue ? packModels(models.state()) : undefined;
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

/** Puts a configuration committed since the last batch in force; true when there is one. */
async function configureNext(deps: IngestDeps, stream: StreamName, current: LiveStream): Promise<boolean> {
  const record = await deps.streams.find(stream);
  const version = record?.version ?? 0;
  if (record === undefined || version === current.configVersion) return false;
  current.mapper.configure(mapSettings(record.config, deps.defaults));
  current.forecastSettings = forecastSettings(record.config);
  current.regime.configure(regimeSettings(record.config));
  current.configVersion = version;
  return true;
}
