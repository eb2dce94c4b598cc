/**
 * EnergyService: requests in, maps, explanations and configurations out. Translation only; maps come from SQL as they
 * were committed, computations on maps handed in are map/service.ts. Defaults and ranges are those of the contract.
 */
import { type Timestamp, timestampMs } from '@bufbuild/protobuf/wkt';
import type { Bus } from '../bus/bus.ts';
import type { Clock } from '../clock.ts';
import { fieldError } from '../errors.ts';
import { type EnergyMap, EnergyService, MapMode } from '../gen/homeostat/energy/v1/energy_service_pb.ts';
import type { StreamRef } from '../gen/homeostat/type/v1/stream_ref_pb.ts';
import { runInSlices } from '../numeric/slices.ts';
import { type Handlers, type ServiceBinding, serviceBinding } from '../rpc/handler.ts';
import type { Store } from '../store/store.ts';
import { energyError, refuseLargeReply } from './errors.ts';
import { createForecastHandlers, type ForecastDeps } from './forecast/forecast-service.ts';
import { explainNode, explainNodesSteps } from './map/explanation.ts';
import { createLevels, type Levels } from './map/levels.ts';
import {
  coarsened,
  explainedToProto,
  explanationBytes,
  gridCells,
  gridToProto,
  mapBytes,
} from './map/map-message.ts';
import { createComputeHandlers } from './map/service.ts';
import { configViolations, type StreamDefaults, withDefaults } from './map/settings.ts';
import type { MapStore } from './map-store.ts';
import { recordStreamConfigured } from './publish.ts';
import { createRegimeHandlers } from './regime/regime-service.ts';
import type { StreamRecord, StreamStore } from './store.ts';
import type { StreamName } from './stream/stream-name.ts';
import { type MapFeed, watchMaps } from './watch.ts';

export interface ServiceDeps extends Pick<ForecastDeps, 'withStream'> {
  readonly clock: Clock;
  readonly store: Store;
  readonly streams: StreamStore;
  readonly maps: MapStore;
  readonly bus: Pick<Bus, 'record'>;
  readonly feed: MapFeed;
  readonly defaults: StreamDefaults;
  readonly sliceMs: number;
  readonly sendBytesMax: number;
  readonly heartbeatMs: number;
  readonly unavailable: () => readonly string[];
}

const PAGE_SIZE = 50;
const EXPLAINED_METRICS = 10;
/** Maps read from SQL at once. */
const READ_AT_ONCE = 64;
/** Room for what is no map in a reply, bytes. */
const REPLY_BYTES_BASE = 256;
/** Where a stream without maps stands: before every window. */
const BEFORE_ALL_MS = Number.MIN_SAFE_INTEGER;

/** A stream, or STREAM_NOT_FOUND. */
export async function requireStream(streams: StreamStore, stream: StreamName): Promise<StreamRecord> {
  const record = await streams.find(stream);
  if (record === undefined) throw energyError('STREAM_NOT_FOUND', { ...stream });
  return record;
}

export function createEnergyService(deps: ServiceDeps): ServiceBinding {
  const { streams, maps } = deps;
  const levels = createLevels();

  const streamOf = (name: StreamName) => requireStream(streams, name);
  const mapOf = async (name: StreamName, at: Timestamp | undefined): Promise<EnergyMap> => {
    const map = await maps.find(name, at && timestampMs(at));
    if (map !== undefined) return map;
    await streamOf(name);
    throw energyError('MAP_NOT_FOUND', { ...name });
  };

  /** The map, alone in its reply, or WORK_TOO_LARGE. */
  const sendable = (map: EnergyMap): EnergyMap => {
    refuseLargeReply(REPLY_BYTES_BASE + mapBytes(map), deps.sendBytesMax);
    return map;
  };

  const handlers: Handlers<typeof EnergyService> = {
    ...createComputeHandlers(deps),
    ...createForecastHandlers({ ...deps, requireStream: streamOf }),
    ...createRegimeHandlers({ ...deps, requireStream: streamOf }),

    async getMap(request) {
      const held = await mapOf(streamName(request.stream), request.at);
      return { map: sendable(readable(held, request.level, levels)) };
    },

    listMaps: (request) => listMaps(deps, levels, streamOf, request),

    async *watchMaps(request, call) {
      const stream = streamName(request.stream);
      const seenMs = await resumePoint(deps, stream, request.resumeToken);
      const watched = watchMaps(
        {
          clock: deps.clock,
          feed: deps.feed,
          heartbeatMs: deps.heartbeatMs,
          mapsAfter: (startMs) => mapsAfter(maps, stream, startMs),
        },
        {
          stream,
          seenMs,
          latestMs: async () => (await maps.latestStartMs(stream)) ?? BEFORE_ALL_MS,
          signal: call.signal,
        },
      );
      for await (const { map, seenMs: token } of watched)
        yield {
          resumeToken: String(token),
          ...(map && { map: sendable(readable(map, request.level, levels)) }),
        };
    },

    async explainMap(request, call) {
      const stream = streamName(request.stream);
      const map = await mapOf(stream, request.at);
      if (map.mode === MapMode.PHYSICAL) throw energyError('NOT_STATISTICAL', {});
      const explanation = await maps.explanation(stream, timestampMs(map.start!));
      const reply = { start: map.start, end: map.end };
      if (explanation === undefined) return { ...reply, nodes: [] };
      const top = request.top ?? EXPLAINED_METRICS;
      if (request.node === '') {
        refuseLargeReply(REPLY_BYTES_BASE + explanationBytes(explanation, top), deps.sendBytesMax);
        const explained = await runInSlices(explainNodesSteps(explanation, top), {
          clock: deps.clock,
          sliceMs: deps.sliceMs,
          signal: call.signal,
        });
        return { ...reply, nodes: explained.map(explainedToProto) };
      }
      const node = explainNode(explanation, request.node, top);
      if (node === undefined) throw energyError('NODE_NOT_FOUND', { node: request.node });
      return { ...reply, nodes: [explainedToProto(node)] };
    },

    async getStream(request) {
      const record = await streamOf(streamName(request.stream));
      return {
        config: withDefaults(record.config, deps.defaults),
        version: BigInt(record.version),
        effectiveMode: record.effectiveMode,
        mapCount: BigInt(record.mapCount),
      };
    },

    configureStream: (request) => configureStream(deps, request),
  };
  return serviceBinding(EnergyService, handlers, deps.unavailable);
}

type Requests = {
  [Name in keyof Handlers<typeof EnergyService>]: Parameters<Handlers<typeof EnergyService>[Name]>[0];
};

async function listMaps(
  deps: ServiceDeps,
  levels: Levels,
  streamOf: (name: StreamName) => Promise<StreamRecord>,
  request: Requests['listMaps'],
) {
  const stream = streamName(request.stream);
  await streamOf(stream);
  const { start, end } = request.range ?? {};
  const place = parsePlace(request.page?.pageToken ?? '', 'page.page_token');
  const limit = request.page?.pageSize ?? PAGE_SIZE;
  const ends = [end && timestampMs(end), place].filter((ms) => ms !== undefined);
  const span = {
    fromMs: start && timestampMs(start),
    beforeMs: ends.length > 0 ? Math.min(...ends) : undefined,
  };
  const page: EnergyMap[] = [];
  let bytes = REPLY_BYTES_BASE;
  for await (const map of newestFirst(deps.maps, stream, span)) {
    const shown = readable(map, request.level, levels);
    bytes += mapBytes(shown);
    if (page.length === 0) refuseLargeReply(bytes, deps.sendBytesMax);
    if (page.length === limit || bytes > deps.sendBytesMax)
      return { maps: page, nextPageToken: String(timestampMs(page.at(-1)!.start!)) };
    page.push(shown);
  }
  return { maps: page, nextPageToken: '' };
}

/** The maps of a span one after the other, a few of which are in memory at once. */
async function* newestFirst(
  maps: MapStore,
  stream: StreamName,
  span: { readonly fromMs: number | undefined; readonly beforeMs: number | undefined },
): AsyncIterable<EnergyMap> {
  let { beforeMs } = span;
  for (;;) {
    const read = await maps.list(stream, { ...span, beforeMs, order: 'NEWEST', limit: READ_AT_ONCE });
    if (read.length === 0) return;
    yield* read;
    beforeMs = timestampMs(read.at(-1)!.start!);
  }
}

async function configureStream(deps: ServiceDeps, request: Requests['configureStream']) {
  const stream = streamName(request.stream);
  const given = request.config!;
  const violations = configViolations(given);
  if (violations.length > 0) throw fieldError(energyError.domain, violations);
  const config = withDefaults(given, deps.defaults);
  const outcome = await deps.store.transact(async (tx) => {
    const written = await deps.streams.configure(tx, stream, given, Number(request.version));
    if ('version' in written) {
      const { version } = written;
      await recordStreamConfigured(deps.bus, tx, stream, { config, version, atMs: deps.clock.nowMs() });
    }
    return written;
  });
  if ('conflict' in outcome) throw energyError('VERSION_CONFLICT', { current: outcome.conflict });
  return { config, version: BigInt(outcome.version) };
}

/** Where a watch resumes: undefined without a token. Refused where maps after it are no longer held. */
async function resumePoint(
  deps: ServiceDeps,
  stream: StreamName,
  token: string,
): Promise<number | undefined> {
  const seenMs = parsePlace(token, 'resume_token');
  if (seenMs === undefined) return undefined;
  const { prunedThroughMs } = (await deps.streams.find(stream)) ?? {};
  if (prunedThroughMs === undefined || seenMs >= prunedThroughMs) return seenMs;
  const oldestMs = await deps.maps.oldestStartMs(stream);
  throw energyError('RESUME_TOO_OLD', { oldest: oldestMs === undefined ? 'none' : timeText(oldestMs) });
}

async function mapsAfter(maps: MapStore, stream: StreamName, startMs: number) {
  const page = await maps.list(stream, { fromMs: startMs + 1, order: 'OLDEST', limit: READ_AT_ONCE });
  return page.map((map) => ({ startMs: timestampMs(map.start!), map }));
}

/** A place in a stream's maps: the start of a window in ms, as tokens carry it; undefined for an empty one. */
function parsePlace(token: string, field: string): number | undefined {
  if (token === '') return undefined;
  const place = /^-?\d{1,16}$/.test(token) ? Number(token) : Number.NaN;
  if (!Number.isSafeInteger(place))
    throw fieldError(energyError.domain, [{ field, description: 'is not a token of this service' }]);
  return place;
}

/** A held map as replies show it: at the level asked for, its grid as plain values. */
function readable(map: EnergyMap, level: number, levels: Levels): EnergyMap {
  const shown = coarsened(map, level, levels);
  const grid = shown.grid!;
  if (grid.rawValues.length === 0) return shown;
  return { ...shown, grid: gridToProto(gridCells(grid), grid.rows, grid.cols, 'VALUES') };
}

function streamName(ref: StreamRef | undefined): StreamName {
  return { domain: ref!.domain, cluster: ref!.cluster };
}

function timeText(ms: number): string {
  return new Date(ms).toISOString();
}
