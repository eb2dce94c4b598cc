/** Reading a Predict request: the rules across its fields, its maps as cells, and what its reply may weigh. */
import { type FieldViolation, fieldError } from '../../errors.ts';
import type { PredictRequest } from '../../gen/homeostat/energy/v1/energy_service_pb.ts';
import { energyError } from '../errors.ts';
import { type GivenMap, readMapInput } from '../map/map-input.ts';
import { applyNegativeRule } from '../map/negative-policy.ts';
import { allowedFromProto } from './forecast-message.ts';
import type { ForecastOptions } from './forecaster.ts';

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
  const asked = (map?.cells.length ?? 0) * request.history.length;
  if (asked > HISTORY_CELLS_MAX)
    throw energyError('WORK_TOO_LARGE', { limit: HISTORY_CELLS_MAX, asked }, { retryAfterMs: -1 });
  for (const [at, grid] of request.history.entries()) {
    const read = readMapInput(
      { ...request.map!, grid, observed: new Uint8Array(0) },
      `history[${at}]`,
      violations,
    );
    if (!map || !read) continue;
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

/** WORK_TOO_LARGE where the grids of a reply pass the send limit. */
export function refuseLargeReply(
  request: PredictRequest,
  steps: number,
  cells: number,
  bytesMax: number,
): void {
  const grids = 3 + (request.returnTrajectory ? steps - 1 : 0);
  const asked = REPLY_BYTES_BASE + grids * 4 * cells;
  if (asked > bytesMax) throw energyError('WORK_TOO_LARGE', { limit: bytesMax, asked }, { retryAfterMs: -1 });
}
