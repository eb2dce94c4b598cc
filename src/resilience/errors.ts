/**
 * The reasons this context can give, one row per value of `homeostat.resilience.v1.ErrorReason`.
 */
import { defineErrors, fieldInvalid, reason } from '../errors.ts';

/** Makes an error of this context: `resilienceError('CELL_NOT_FOUND', { domain, cluster })`. */
export const resilienceError = defineErrors('homeostat.resilience', {
  FIELD_INVALID: fieldInvalid,
  CELL_NOT_FOUND: reason(
    'NOT_FOUND',
    ['domain', 'cluster'],
    ({ domain, cluster }) => `there is no cell ${domain}/${cluster}`,
  ),
  WORKERS_BUSY: reason('RESOURCE_EXHAUSTED', [], () => 'all workers are busy and their queue is full'),
  WORK_TOO_LARGE: reason(
    'RESOURCE_EXHAUSTED',
    ['work', 'limit'],
    ({ work, limit }) => `the request asks for ${work} multiply-adds, more than ${limit}`,
  ),
});
