/**
 * What this context announces: maps as they are made, changes of regime, forecasts once scored, and configurations. All
 * recorded, in the caller's transaction.
 */
import { timestampFromMs } from '@bufbuild/protobuf/wkt';
import type { Bus } from '../bus/bus.ts';
import { topics } from '../bus/topics.ts';
import type { StreamConfig } from '../gen/homeostat/energy/v1/energy_service_pb.ts';
import type { Tx } from '../store/store.ts';
import { scoreToProto } from './forecast/forecast-message.ts';
import type { ScoredWindow } from './forecast/score.ts';
import { type JudgedWindow, mapToProto } from './map/map-message.ts';
import { posteriorToProto, regimeToProto } from './regime/regime-message.ts';
import { type StreamName, streamKey } from './stream/stream-name.ts';

/** Larger grids are left out of events. */
const EVENT_GRID_BYTES_MAX = 64 * 1024;

/** Announces a map; the same stream and window always make the same event. */
export async function recordMapUpdated(
  bus: Pick<Bus, 'record'>,
  tx: Tx,
  stream: StreamName,
  mapped: JudgedWindow,
): Promise<void> {
  const map = mapToProto(stream, mapped, 'VALUES');
  if (mapped.cells.byteLength > EVENT_GRID_BYTES_MAX) delete map.grid;
  // A fleet's names alone may be more than one message of the broker holds.
  map.nodes = [];
  const key = `${streamKey(stream)}.${mapped.startMs}`;
  await bus.record(tx, topics.energyMapUpdated, key, { map, endOfInput: mapped.endOfInput });
}

/** Announces that a map changed the label of its stream; nothing where it did not. */
export async function recordRegimeChanged(
  bus: Pick<Bus, 'record'>,
  tx: Tx,
  stream: StreamName,
  { startMs, regime }: JudgedWindow,
): Promise<void> {
  const { changedFrom, label, posterior, onsetMs } = regime;
  if (changedFrom === undefined) return;
  await bus.record(tx, topics.regimeChanged, `${streamKey(stream)}.${startMs}`, {
    stream: { ...stream },
    start: timestampFromMs(startMs),
    from: regimeToProto(changedFrom),
    to: regimeToProto(label),
    posterior: posteriorToProto(posterior),
    ...(onsetMs !== undefined && { onset: timestampFromMs(onsetMs) }),
  });
}

/** Announces a configuration, defaults filled in. */
export async function recordStreamConfigured(
  bus: Pick<Bus, 'record'>,
  tx: Tx,
  stream: StreamName,
  configured: { readonly config: StreamConfig; readonly version: number; readonly atMs: number },
): Promise<void> {
  const key = `${streamKey(stream)}.${configured.version}`;
  await bus.record(tx, topics.streamConfigured, key, {
    stream: { ...stream },
    config: configured.config,
    version: BigInt(configured.version),
    configuredAt: timestampFromMs(configured.atMs),
  });
}

/** Announces how the forecasts of a window did; the same stream and window always make the same event. */
export async function recordForecastScored(
  bus: Pick<Bus, 'record'>,
  tx: Tx,
  stream: StreamName,
  { startMs, scored }: ScoredWindow,
): Promise<void> {
  await bus.record(tx, topics.forecastScored, `${streamKey(stream)}.${startMs}`, {
    stream: { ...stream },
    start: timestampFromMs(startMs),
    scores: scored.map(scoreToProto),
  });
}
