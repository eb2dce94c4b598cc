/** The reasons telemetry can give; the values of `homeostat.telemetry.v1.ErrorReason`. */
import { AppError, defineErrors, type FieldViolation, fieldError, fieldInvalid, reason } from '../errors.ts';

const DOMAIN = 'homeostat.telemetry';

/** When to try a broker again that does not say. */
const RETRY_AFTER_MS = 1_000;

export const telemetryError = defineErrors(DOMAIN, {
  FIELD_INVALID: fieldInvalid,
  STREAM_NOT_FOUND: reason(
    'NOT_FOUND',
    ['domain', 'cluster'],
    ({ domain, cluster }) => `nothing was ever offered to the stream ${domain}.${cluster}`,
  ),
  RESUME_TOO_OLD: reason(
    'FAILED_PRECONDITION',
    ['oldest', 'asked'],
    ({ oldest, asked }) => `the broker holds nothing before ${oldest}, asked to resume from ${asked}`,
  ),
  CREDIT_EXCEEDED: reason(
    'RESOURCE_EXHAUSTED',
    ['credit'],
    ({ credit }) => `more than ${credit} batches are unanswered; wait for acknowledgements`,
  ),
  BROKER_DOWN: reason('UNAVAILABLE', [], () => 'the broker cannot be reached'),
});

/** FIELD_INVALID naming the broken fields. */
export function fieldsInvalid(violations: readonly FieldViolation[]) {
  return fieldError(DOMAIN, violations);
}

/** The refusals of the broker in telemetry's own words; anything else as it is. */
export function brokerRefusal(error: unknown): unknown {
  if (!(error instanceof AppError) || error.reason !== 'BROKER_DOWN') return error;
  return telemetryError(
    'BROKER_DOWN',
    {},
    { retryAfterMs: error.retryAfterMs ?? RETRY_AFTER_MS, cause: error },
  );
}
