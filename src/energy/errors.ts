/** The reasons this context can give, one row per value of `homeostat.energy.v1.ErrorReason`. */
import { defineErrors, fieldInvalid, reason } from '../errors.ts';

export const energyError = defineErrors('homeostat.energy', {
  FIELD_INVALID: fieldInvalid,
  SHAPE_MISMATCH: reason(
    'INVALID_ARGUMENT',
    ['before', 'after'],
    (m) => `the maps differ: ${m.before} before, ${m.after} after`,
  ),
  NEGATIVE_ENERGY: reason(
    'INVALID_ARGUMENT',
    ['cell'],
    (m) => `cell ${m.cell} is negative, which the policy rejects`,
  ),
  WORK_TOO_LARGE: reason(
    'RESOURCE_EXHAUSTED',
    ['limit', 'asked'],
    (m) => `${m.asked} bytes of reply were asked for, which is over ${m.limit}`,
  ),
  STREAM_NOT_FOUND: reason(
    'NOT_FOUND',
    ['domain', 'cluster'],
    (m) => `there is no stream ${m.domain}/${m.cluster}`,
  ),
  MAP_NOT_FOUND: reason(
    'NOT_FOUND',
    ['domain', 'cluster'],
    (m) => `stream ${m.domain}/${m.cluster} holds no such map`,
  ),
  NODE_NOT_FOUND: reason('NOT_FOUND', ['node'], (m) => `the map observed no node ${m.node}`),
  NOT_STATISTICAL: reason('FAILED_PRECONDITION', [], () => 'a physical map has no attribution'),
  VERSION_CONFLICT: reason('ABORTED', ['current'], (m) => `the configuration has version ${m.current}`),
  RESUME_TOO_OLD: reason(
    'FAILED_PRECONDITION',
    ['oldest'],
    (m) => `the maps to resume from are no longer held; the oldest one is from ${m.oldest}`,
  ),
});
