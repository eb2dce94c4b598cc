/** Reading a Predict request: the rules across its fields, its maps as cells, and what its reply may weigh. */
import { type FieldViolation, fieldError } from '../../errors.ts';
import type { PredictRequest } from '../../gen/homeostat/energy/v1/energy_service_pb.ts';
import { applyNegativeRule } from '../../numeric/negative-policy.ts';
import { energyError, refuseLargeReply } from '../errors.ts';
import { type GivenMap, readGridLike, readMapInput } from '../map/map-input.ts';
import { allowedFromProto } from './forecast-message.ts';
import { FORECAST_CELLS_MAX, type ForecastOptions } from './forecaster.ts';

/** Room for what is no grid in a reply, bytes. */
const REPLY_BYTES_BASE = 4096;
const COVERAGE = 0.9;

/** A request read: what it starts from and what it asks. */
export interface Question {
  readonly map: GivenMap | undefined;
  readonly history: readonly Float64Array[];
  readonly dtSeconds: number | undefined;
  readonly options: ForecastOptions;
  readonly request: PredictRequest;
}

/** Cells of all maps of a history, which is learned while somebody waits: some two seconds. */
const HISTORY_CELLS_MAX = 2 ** 20;

/**
 * Reads a request whose fields the edge has checked one by one. FIELD_INVALID, SHAPE_MISMATCH, NEGATIVE_ENERGY,
 * WORK_TOO_LARGE.
 */
export function readQuestion(request: PredictRequest): Question {
  const violations: FieldViolation[] = [];
  if (!request.map && !request.stream)
    violations.push({ field: 'map', description: 'or stream must be set' });
  const map = request.map && readMapInput(request.map, 'map', violations);
  const history: Float64Array[] = [];
  if (request.history.length > 0 && !request.map)
    violations.push({ field: 'history', description: 'comes before a map, which is not set' });
  if (map && request.history.length > 0) {
    refuseCells(map.cells.length, FORECAST_CELLS_MAX);
    refuseCells(map.cells.length * request.history.length, HISTORY_CELLS_MAX);
  }
  for (const [at, grid] of request.history.entries()) {
    const read = map && readGridLike(request.map!, grid, `history[${at}]`, violations);
    if (!read) continue;
    if (read.field.rows !== map.field.rows || read.field.cols !== map.field.cols)
      throw energyError('SHAPE_MISMATCH', {
        before: `${read.field.rows}x${read.field.cols}`,
        after: `${map.field.rows}x${map.field.cols}`,
      });
    const cell = applyNegativeRule(read.field.cells, undefined, read.negativeRule);
    if (cell !== undefined) throw energyError('NEGATIVE_ENERGY', { cell });
    history.push(read.field.cells);
  }
  if (violations.length > 0) throw fieldError(energyError.domain, violations);
  const allowed = allowedFromProto(request.predictors);
  return {
    map,
    history,
    dtSeconds: request.dtSeconds,
    options: {
      steps: request.steps ?? 1,
      coverage: request.coverage ?? COVERAGE,
      ...(allowed && { allowed }),
    },
    request,
  };
}

function refuseCells(asked: number, limit: number): void {
  if (asked <= limit) return;
  throw energyError('WORK_TOO_LARGE', { limit, asked, unit: 'cells' }, { retryAfterMs: -1 });
}

/** WORK_TOO_LARGE where the grids of a reply pass the send limit. */
export function refuseLargeAnswer(
  request: PredictRequest,
  steps: number,
  cells: number,
  bytesMax: number,
): void {
  const grids = 3 + (request.returnTrajectory ? steps - 1 : 0);
  refuseLargeReply(REPLY_BYTES_BASE + grids * 4 * cells, bytesMax);
}
