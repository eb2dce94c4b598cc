/** What one request may ask for, and the refusals that computations on the workers share. */
import { type FieldViolation, fieldError } from '../errors.ts';
import { WorkersBusyError } from '../numeric/worker-pool.ts';
import { diffusionError } from './errors.ts';
import { shapeText } from './grid-message.ts';

/** Cells times steps. */
const WORK_MAX = 2 ** 31;
/** Room for everything in a reply that is no grid. */
const REPLY_BYTES_BASE = 4096;

/** The sides of a map. */
export interface Shape {
  readonly rows: number;
  readonly cols: number;
}

/** Throws WORK_TOO_LARGE. */
export function refuseLargeWork(cellSteps: number, limit = WORK_MAX): void {
  if (cellSteps > limit)
    throw diffusionError('WORK_TOO_LARGE', { limit, asked: cellSteps }, { retryAfterMs: -1 });
}

/** Throws WORK_TOO_LARGE for more grids than a reply of `bytesMax` holds. */
export function refuseLargeReply({ rows, cols }: Shape, grids: number, bytesMax: number): void {
  const asked = REPLY_BYTES_BASE + 4 * rows * cols * grids;
  if (asked > bytesMax)
    throw diffusionError('WORK_TOO_LARGE', { limit: bytesMax, asked }, { retryAfterMs: -1 });
}

/** Throws SHAPE_MISMATCH for a map of another shape. */
export function refuseShape(expected: Shape, given: Shape): void {
  if (expected.rows !== given.rows || expected.cols !== given.cols)
    throw diffusionError('SHAPE_MISMATCH', { expected: shapeText(expected), given: shapeText(given) });
}

/** Throws FIELD_INVALID where anything was found. */
export function refuseViolations(violations: readonly FieldViolation[]): void {
  if (violations.length > 0) throw fieldError(diffusionError.domain, violations.slice(0, 16));
}

/** When a call that found the workers busy may try again. */
const RETRY_MS = 1_000;

/** What a task gives, WORKERS_BUSY in place of the pool's own refusal. */
export async function retriable<Result>(task: Promise<Result>): Promise<Result> {
  try {
    return await task;
  } catch (error) {
    if (error instanceof WorkersBusyError)
      throw diffusionError('WORKERS_BUSY', {}, { retryAfterMs: RETRY_MS });
    throw error;
  }
}
