/** The reasons diffusion can give, domain `homeostat.diffusion`: one row per value of its ErrorReason. */
import { defineErrors, fieldInvalid, reason } from '../errors.ts';

export const diffusionError = defineErrors('homeostat.diffusion', {
  FIELD_INVALID: fieldInvalid,
  SHAPE_MISMATCH: reason(
    'INVALID_ARGUMENT',
    ['expected', 'given'],
    (m) => `a map of ${m.given} was given where ${m.expected} is needed`,
  ),
  PRIOR_NOT_FOUND: reason('NOT_FOUND', ['prior_id'], (m) => `there is no prior ${m.prior_id}`),
  VERSION_CONFLICT: reason('ABORTED', ['current'], (m) => `the prior has version ${m.current}`),
  WORK_TOO_LARGE: reason(
    'RESOURCE_EXHAUSTED',
    ['limit', 'asked'],
    (m) => `${m.asked} were asked for, cells times steps or bytes, which is over ${m.limit}`,
  ),
  WORKERS_BUSY: reason('RESOURCE_EXHAUSTED', [], () => 'every worker thread is busy'),
  GUIDANCE_UNBOUNDED: reason('FAILED_PRECONDITION', ['fault'], (m) =>
    m.fault === 'CONFLICT'
      ? 'two totals that contradict each other are to be held exactly'
      : 'in some mode the guidance outgrows the prior, so there is no such density',
  ),
  GUIDANCE_DEGENERATE: reason(
    'FAILED_PRECONDITION',
    ['effective'],
    (m) => `only ${m.effective} particles count for anything: take more of them, more steps or less weight`,
  ),
  GAUSSIAN_NEEDED: reason(
    'FAILED_PRECONDITION',
    ['what'],
    (m) => `${m.what} needs a Gaussian prior, and this one is a mixture`,
  ),
  NO_FORECAST: reason(
    'FAILED_PRECONDITION',
    ['domain', 'cluster'],
    (m) => `there is no forecast of ${m.domain}/${m.cluster}`,
  ),
  NOT_CONVERGED: reason(
    'FAILED_PRECONDITION',
    ['iterations', 'residual'],
    (m) => `after ${m.iterations} iterations the residual is still ${m.residual}`,
  ),
  TOO_FEW_MAPS: reason(
    'FAILED_PRECONDITION',
    ['least', 'given'],
    (m) =>
      `a prior takes at least ${m.least} maps, and there are ${m.given}; of a stream those over 16,384 cells, ` +
      'or with less than half of them observed, are not held',
  ),
  IDEMPOTENCY_KEY_REUSED: reason(
    'ALREADY_EXISTS',
    ['idempotency_key'],
    (m) => `idempotency key ${m.idempotency_key} was used for another request`,
  ),
});
