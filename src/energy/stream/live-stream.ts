/**
 * A stream in memory: read back as the last commit left it, and what one window of it becomes. Everything here follows
 * the windows, so the same ones give the same bits, wherever it was read back between them.
 */
import { create } from '@bufbuild/protobuf';
import type { Clock } from '../../clock.ts';
import { StreamConfigSchema } from '../../gen/homeostat/energy/v1/energy_service_pb.ts';
import type { WindowClosed } from '../../gen/homeostat/telemetry/v1/telemetry_events_pb.ts';
import { runInSlices, type Steps } from '../../numeric/slices.ts';
import type { DatedChange } from '../feedback/model-ingest.ts';
import { StreamModels } from '../feedback/stream-models.ts';
import { nextVrmse, type Scored } from '../forecast/score.ts';
import { type ForecastSettings, forecastSettings } from '../forecast/settings.ts';
import { type Assembly, createAssembly } from '../map/assembly.ts';
import { StreamMapper } from '../map/energy-map.ts';
import type { JudgedWindow } from '../map/map-message.ts';
import { mapSettings, type StreamDefaults } from '../map/settings.ts';
import { windowSteps } from '../map/window.ts';
import { regimeSettings } from '../regime/regime-message.ts';
import { RegimeTracker } from '../regime/regime-tracker.ts';
import type { StreamStore } from '../store.ts';
import type { StreamName } from './stream-name.ts';

export interface LiveStream {
  readonly mapper: StreamMapper;
  readonly models: StreamModels;
  forecastSettings: ForecastSettings;
  readonly regime: RegimeTracker;
  readonly assembly: Assembly;
  configVersion: number;
  /** Windows mapped when the last snapshot was taken; undefined before the first. */
  snapshotAt: number | undefined;
}

/** What came of one window. */
export interface FoldedWindow {
  readonly map: JudgedWindow;
  readonly scored: readonly Scored[];
  readonly changes: readonly DatedChange[];
}

export interface LiveDeps {
  readonly clock: Clock;
  readonly streams: StreamStore;
  readonly defaults: StreamDefaults;
  /** Longest time one computation holds the event loop, ms. */
  readonly sliceMs: number;
}

/**
 * The map of the next window, given as its parts, with its regime, how its forecasts did, and what followed for the
 * models.
 */
export function* foldWindow(
  { mapper, models, forecastSettings: settings, regime }: LiveStream,
  parts: readonly WindowClosed[],
): Steps<FoldedWindow> {
  const map = yield* mapper.fold(yield* windowSteps(parts));
  const { startMs, endMs, observed, state } = map;
  const { rows, cols, version } = map.layout;
  const layout = `${map.mode} ${version}`;
  const cells = new Float64Array(map.cells);
  const place = { rows, cols, layout, startMs, cells, observed };
  const { scored, changes } = yield* models.fold({ ...settings, ...place, endMs });
  const judged = yield* regime.fold({
    ...place,
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
export async function openStream(deps: LiveDeps, stream: StreamName): Promise<LiveStream> {
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
      await runInSlices(foldWindow(current, parts), deps);
  }
  return current;
}

/** Puts a configuration committed since the last batch in force; true when there is one. */
export async function configureNext(
  deps: LiveDeps,
  stream: StreamName,
  current: LiveStream,
): Promise<boolean> {
  const record = await deps.streams.find(stream);
  const version = record?.version ?? 0;
  if (record === undefined || version === current.configVersion) return false;
  current.mapper.configure(mapSettings(record.config, deps.defaults));
  current.forecastSettings = forecastSettings(record.config);
  current.regime.configure(regimeSettings(record.config));
  current.configVersion = version;
  return true;
}
