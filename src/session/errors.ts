/** The reasons session can give, domain `homeostat.session`. */
import { defineErrors, fieldInvalid, reason } from '../errors.ts';

export const sessionError = defineErrors('homeostat.session', {
  FIELD_INVALID: fieldInvalid,
  SESSION_NOT_FOUND: reason('NOT_FOUND', ['session_id'], (m) => `no session ${m.session_id}`),
  IDEMPOTENCY_KEY_REUSED: reason(
    'ALREADY_EXISTS',
    ['idempotency_key'],
    (m) => `idempotency key ${m.idempotency_key} was used for another request`,
  ),
  WRONG_STATE: reason(
    'FAILED_PRECONDITION',
    ['state', 'allowed'],
    (m) => `the session is ${m.state}, which allows ${m.allowed || 'no command'}`,
  ),
  VERSION_CONFLICT: reason('ABORTED', ['current'], (m) => `the session has version ${m.current}`),
  ADMISSION_REFUSED: reason(
    'RESOURCE_EXHAUSTED',
    ['cause', 'level'],
    (m) => `not admitted: ${m.cause} at defense level ${m.level}`,
  ),
  NOT_OWNER: reason('PERMISSION_DENIED', [], () => "the session is somebody else's"),
});
