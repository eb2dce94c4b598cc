/**
 * The handlers that make, show and delete priors. A fit is computed before its transaction, which then only stores and
 * announces it: repeated under the same key it is computed again, and answered with the prior of the first time.
 */
import { create } from '@bufbuild/protobuf';
import { timestampFromMs, timestampMs } from '@bufbuild/protobuf/wkt';
import type { Bus } from '../../bus/bus.ts';
import type { Clock } from '../../clock.ts';
import type { FieldViolation } from '../../errors.ts';
import {
  DiffusionService,
  type FitPriorRequest,
  MeanSource as MeanSourceProto,
  PriorSchema,
} from '../../gen/homeostat/diffusion/v1/diffusion_service_pb.ts';
import { Boundary } from '../../gen/homeostat/type/v1/grid_pb.ts';
import type { NewId } from '../../ids.ts';
import { readGrid } from '../../numeric/given-grid.ts';
import { runCommand } from '../../rpc/command.ts';
import type { Handlers } from '../../rpc/handler.ts';
import type { Store } from '../../store/store.ts';
import { diffusionError } from '../errors.ts';
import { refuseLargeWork, refuseShape, refuseViolations, retriable } from '../limits.ts';
import { recordPriorFitted } from '../publish.ts';
import type { PriorStore } from '../store.ts';
import type { Workers } from '../worker.ts';
import type { Figures, Fit, FitJob, MeanSource } from './fit.ts';
import type { MapIndex, StreamName } from './map-store.ts';
import { EM_ROUNDS } from './mixture-fit.ts';

/** A forecast of a stream's next map. */
export interface ForecastMap {
  readonly rows: number;
  readonly cols: number;
  /** Row-major. */
  readonly cells: ArrayLike<number>;
}

/** Who forecasts streams. */
export interface Forecasts {
  /** The forecast of the next map of a stream; undefined where there is none. */
  latest(stream: StreamName): Promise<ForecastMap | undefined>;
}

export interface PriorDeps {
  readonly clock: Pick<Clock, 'nowMs'>;
  readonly store: Pick<Store, 'transactInTurn'>;
  readonly bus: Pick<Bus, 'record'>;
  readonly priors: PriorStore;
  readonly maps: Pick<MapIndex, 'list'>;
  readonly forecasts: Forecasts;
  readonly workers: Pick<Workers, 'fit'>;
  readonly newId: NewId;
}

type PriorMethods = 'fitPrior' | 'getPrior' | 'listPriors' | 'deletePrior';

const MAPS_LEAST = 8;
/** Cells of all maps that more than one component are fitted to: 64 MiB of modes. */
const MIXTURE_CELLS_MAX = 2 ** 22;
const PAGE_SIZE = 50;
/** Of a prior, which never changes. */
const VERSION = 1n;
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

export function createPriorHandlers(deps: PriorDeps): Pick<Handlers<typeof DiffusionService>, PriorMethods> {
  const { priors } = deps;
  const reused = (key: string) => () => diffusionError('IDEMPOTENCY_KEY_REUSED', { idempotency_key: key });
  return {
    async fitPrior(request, call) {
      const order = await prepareFit(deps, request);
      const { job, stream } = order;
      const fit = await retriable(deps.workers.fit(job, call.signal));
      const message = create(PriorSchema, {
        priorId: deps.newId(),
        version: VERSION,
        rows: job.rows,
        cols: job.cols,
        fittedAt: timestampFromMs(deps.clock.nowMs()),
        card: cardOf(order, fit),
        ...(stream && { stream }),
      });
      return runCommand(deps, call, {
        method: DiffusionService.method.fitPrior,
        request,
        key: request.idempotencyKey,
        reused: reused(request.idempotencyKey),
        resource: ({ prior }) => prior!.priorId,
        async work(tx) {
          await priors.add(tx, message, fit.prior);
          await recordPriorFitted(deps.bus, tx, message, call.traceparent);
          return { prior: message };
        },
      });
    },

    async getPrior({ priorId }) {
      const prior = await priors.find(priorId);
      if (prior === undefined) throw diffusionError('PRIOR_NOT_FOUND', { prior_id: priorId });
      return { prior };
    },

    async listPriors({ page }) {
      const size = page?.pageSize ?? PAGE_SIZE;
      const before = page?.pageToken || undefined;
      if (before !== undefined && !UUID.test(before))
        refuseViolations([{ field: 'page.page_token', description: 'must be a next_page_token' }]);
      const found = await priors.list(before, size + 1);
      const shown = found.slice(0, size);
      return { priors: [...shown], nextPageToken: found.length > size ? shown.at(-1)!.priorId : '' };
    },

    deletePrior(request, call) {
      const { priorId, version, idempotencyKey } = request;
      return runCommand(deps, call, {
        method: DiffusionService.method.deletePrior,
        request,
        key: idempotencyKey,
        reused: reused(idempotencyKey),
        resource: () => priorId,
        async work(tx) {
          const deletion = await priors.remove(tx, priorId, Number(version));
          if (deletion === 'NOT_FOUND') throw diffusionError('PRIOR_NOT_FOUND', { prior_id: priorId });
          if (deletion !== 'DELETED') throw diffusionError('VERSION_CONFLICT', deletion);
          return {};
        },
      });
    },
  };
}

/** A fit as it was asked for. */
interface FitOrder {
  readonly job: FitJob;
  readonly source: MeanSourceProto;
  readonly boundary: Boundary;
  /** Undefined where the maps were given. */
  readonly stream: StreamName | undefined;
  /** First and last instant of the windows of the stream's maps. */
  readonly span: { readonly startMs: number; readonly endMs: number } | undefined;
}

/** Maps to be fitted, all of one shape where there are any. */
interface FitMaps extends Pick<FitOrder, 'stream' | 'span'> {
  readonly maps: readonly {
    readonly rows: number;
    readonly cols: number;
    readonly cells: Float32Array;
    /** One bit a cell; undefined, or absent, for all. */
    readonly observed?: Uint8Array | undefined;
  }[];
}

/** Throws FIELD_INVALID, TOO_FEW_MAPS, SHAPE_MISMATCH, NO_FORECAST or WORK_TOO_LARGE, looked at in this order. */
async function prepareFit(deps: PriorDeps, request: FitPriorRequest): Promise<FitOrder> {
  const source = request.meanSource || MeanSourceProto.CLIMATOLOGY;
  const components = request.components ?? 1;
  const violations: FieldViolation[] = [];
  const given = source === MeanSourceProto.GIVEN ? readGrid(request.mean, 'mean', violations) : undefined;
  if (source !== MeanSourceProto.GIVEN && request.mean !== undefined)
    violations.push({ field: 'mean', description: 'must be unset unless mean_source is GIVEN' });
  if (source === MeanSourceProto.FORECAST && request.stream === undefined)
    violations.push({ field: 'stream', description: 'is required where mean_source is FORECAST' });
  if (components > 1 && source !== MeanSourceProto.CLIMATOLOGY)
    violations.push({ field: 'mean_source', description: 'must be CLIMATOLOGY for more than one component' });
  if (request.stream === undefined && request.range !== undefined)
    violations.push({ field: 'range', description: 'must be unset without a stream' });
  const found = request.stream
    ? await mapsOfStream(deps, request, violations)
    : givenMaps(request, violations);
  const [first] = found.maps;
  if (first === undefined || found.maps.length < MAPS_LEAST)
    throw diffusionError('TOO_FEW_MAPS', { least: MAPS_LEAST, given: found.maps.length });
  for (const grid of given ? [...found.maps, given] : found.maps) refuseShape(first, grid);
  let mean: MeanSource = source === MeanSourceProto.ZERO ? 'ZERO' : 'CLIMATOLOGY';
  if (given) mean = { given: new Float64Array(given.cells) };
  if (source === MeanSourceProto.FORECAST) {
    const forecast = await deps.forecasts.latest(found.stream!);
    if (forecast === undefined) throw diffusionError('NO_FORECAST', { ...found.stream! });
    refuseShape(first, forecast);
    mean = { given: Float64Array.from(forecast.cells) };
  }
  const { rows, cols } = first;
  // The modes of all maps are then in memory at once, and twice while the search starts.
  if (components > 1) refuseLargeWork(rows * cols * found.maps.length, MIXTURE_CELLS_MAX);
  const passes = components > 1 ? EM_ROUNDS * components * (components + 1) : 1;
  refuseLargeWork(rows * cols * found.maps.length * passes);
  return {
    stream: found.stream,
    span: found.span,
    source,
    boundary: request.boundary || Boundary.NEUMANN,
    job: {
      rows,
      cols,
      maps: found.maps.map(({ cells }) => cells),
      observed: found.maps.map(({ observed }) => observed),
      mean,
      periodic: request.boundary === Boundary.PERIODIC,
      components,
      seed: request.seed,
    },
  };
}

/** Throws FIELD_INVALID. */
function givenMaps(request: FitPriorRequest, violations: FieldViolation[]): FitMaps {
  const maps = request.maps.map((map, at) => readGrid(map, `maps[${at}]`, violations)!);
  refuseViolations(violations);
  return { maps, stream: undefined, span: undefined };
}

/** The maps held of a stream. Throws FIELD_INVALID. */
async function mapsOfStream(
  { maps: index }: PriorDeps,
  { stream, range, maps: given }: FitPriorRequest,
  violations: FieldViolation[],
): Promise<FitMaps> {
  if (given.length > 0) violations.push({ field: 'maps', description: 'must be none with a stream' });
  refuseViolations(violations);
  const name = { domain: stream!.domain, cluster: stream!.cluster };
  const maps = await index.list(name, {
    fromMs: range?.start && timestampMs(range.start),
    beforeMs: range?.end && timestampMs(range.end),
  });
  const span = maps.length > 0 ? { startMs: maps[0]!.startMs, endMs: maps.at(-1)!.endMs } : undefined;
  return { maps, stream: name, span };
}

function cardOf({ job, source, boundary, span }: FitOrder, fit: Fit) {
  const { prior: _prior, components, ...whole } = fit;
  const figures = ({ shellPowers, ...rest }: Figures) => ({ ...rest, shellPowers: [...shellPowers] });
  return {
    ...whole,
    ...figures(whole),
    mapCount: job.maps.length,
    meanSource: source,
    boundary,
    components: components.map((component) => ({ ...figures(component), weight: component.weight })),
    ...(span && { windows: { start: timestampFromMs(span.startMs), end: timestampFromMs(span.endMs) } }),
  };
}
