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
  BROKER_OVERLOADED: reason('UNAVAILABLE', [], () => 'the broker has no room, or too much waits for it'),
});

/** FIELD_INVALID naming the broken fields. */
export function fieldsInvalid(violations: readonly FieldViolation[]) {
  return fieldError(DOMAIN, violations);
}

/** The refusals of the broker in telemetry's own words; anything else as it is. */
export function brokerRefusal(error: unknown): unknown {
  if (!(error instanceof AppError) || error.reason !== 'BROKER_DOWN') return error;
  return telemetryError('BROKER_DOWN', {}, retryOf(error));
}

/** The same for OpenTelemetry exporters, which are to retry also when the broker is full or overloaded. */
export function exportRefusal(error: unknown): unknown {
  if (error instanceof AppError && (error.reason === 'OVERLOADED' || error.reason === 'STORAGE_FULL'))
    return telemetryError('BROKER_OVERLOADED', {}, retryOf(error));
  return brokerRefusal(error);
}

function retryOf(error: AppError) {
  return { retryAfterMs: error.retryAfterMs ?? RETRY_AFTER_MS, cause: error };
}
