/**
 * The handlers that make, show and delete priors. A fit is computed before its transaction, which then only stores and
 * announces it: repeated under the same key it is computed again, and answered with the prior of the first time.
 */
import { create } from '@bufbuild/protobuf';
import { timestampFromMs } from '@bufbuild/protobuf/wkt';
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
import { runCommand } from '../../rpc/command.ts';
import type { Handlers } from '../../rpc/handler.ts';
import type { Store } from '../../store/store.ts';
import { diffusionError } from '../errors.ts';
import { readGrid } from '../grid-message.ts';
import { refuseLargeWork, refuseShape, refuseViolations, retriable, type Shape } from '../limits.ts';
import { recordPriorFitted } from '../publish.ts';
import type { PriorStore } from '../store.ts';
import type { Workers } from '../worker.ts';
import { type Fit, type FitJob, type MeanSource, shellPowers } from './fit.ts';

export interface PriorDeps {
  readonly clock: Pick<Clock, 'nowMs'>;
  readonly store: Pick<Store, 'transactInTurn'>;
  readonly bus: Pick<Bus, 'record'>;
  readonly priors: PriorStore;
  readonly workers: Pick<Workers, 'fit'>;
  readonly newId: NewId;
}

type PriorMethods = 'fitPrior' | 'getPrior' | 'listPriors' | 'deletePrior';

const MAPS_LEAST = 8;
const PAGE_SIZE = 50;
/** Of a prior, which never changes. */
const VERSION = 1n;
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

export function createPriorHandlers(deps: PriorDeps): Pick<Handlers<typeof DiffusionService>, PriorMethods> {
  const { priors } = deps;
  const reused = (key: string) => () => diffusionError('IDEMPOTENCY_KEY_REUSED', { idempotency_key: key });
  return {
    async fitPrior(request, call) {
      const job = parseFit(request);
      const fit = await retriable(deps.workers.fit(job, call.signal));
      const message = create(PriorSchema, {
        priorId: deps.newId(),
        version: VERSION,
        rows: job.rows,
        cols: job.cols,
        fittedAt: timestampFromMs(deps.clock.nowMs()),
        card: cardOf(request, fit),
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

/** Throws FIELD_INVALID, TOO_FEW_MAPS, SHAPE_MISMATCH or WORK_TOO_LARGE, looked at in this order. */
function parseFit(request: FitPriorRequest): FitJob {
  const violations: FieldViolation[] = [];
  const grids = request.maps.map((map, at) => readGrid(map, `maps[${at}]`, violations)!);
  const isGiven = request.meanSource === MeanSourceProto.GIVEN;
  const given = isGiven ? readGrid(request.mean, 'mean', violations) : undefined;
  if (!isGiven && request.mean !== undefined)
    violations.push({ field: 'mean', description: 'must be unset unless mean_source is GIVEN' });
  refuseViolations(violations);
  const [first] = grids;
  if (first === undefined || grids.length < MAPS_LEAST)
    throw diffusionError('TOO_FEW_MAPS', { least: MAPS_LEAST, given: grids.length });
  const shape: Shape = first;
  for (const grid of given ? [...grids, given] : grids) refuseShape(shape, grid);
  refuseLargeWork(shape.rows * shape.cols * grids.length);
  let mean: MeanSource = request.meanSource === MeanSourceProto.ZERO ? 'ZERO' : 'CLIMATOLOGY';
  if (given) mean = { given: new Float64Array(given.cells) };
  return {
    rows: shape.rows,
    cols: shape.cols,
    maps: grids.map(({ cells }) => cells),
    mean,
    periodic: request.boundary === Boundary.PERIODIC,
  };
}

function cardOf(request: FitPriorRequest, { prior, ...fit }: Fit) {
  let meanTotal = 0;
  for (const cell of prior.mean) meanTotal += cell;
  return {
    ...fit,
    mapCount: request.maps.length,
    meanSource: request.meanSource || MeanSourceProto.CLIMATOLOGY,
    boundary: request.boundary || Boundary.NEUMANN,
    meanTotal,
    shellPowers: [...shellPowers(prior)],
  };
}
