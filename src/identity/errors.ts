/**
 * Why identity refuses a command, and why it does not start. What any call may be refused for (no credentials, no
 * permission, its rate) the gRPC edge says, from the same domain; together they are the ErrorReason enum.
 */
import { defineErrors, fieldInvalid, reason } from '../errors.ts';

export const identityError = defineErrors('homeostat.identity', {
  FIELD_INVALID: fieldInvalid,
  INVALID_CREDENTIALS: reason('UNAUTHENTICATED', [], () => 'no such user, or another password'),
  LOGIN_THROTTLED: reason(
    'RESOURCE_EXHAUSTED',
    [],
    () => 'too many attempts; this one was not looked at, wait before the next',
  ),
  REFRESH_INVALID: reason('UNAUTHENTICATED', [], () => 'the refresh token is not good, log in again'),
  REFRESH_REUSED: reason(
    'UNAUTHENTICATED',
    [],
    () => 'the refresh token was used before; its login has ended, log in again',
  ),
  SCOPE_EXCEEDS: reason(
    'PERMISSION_DENIED',
    ['scope'],
    (m) => `scope ${m.scope} is wider than what its principal may do`,
  ),
  PRINCIPAL_NOT_FOUND: reason('NOT_FOUND', ['principal_id'], (m) => `no principal ${m.principal_id}`),
  USERNAME_TAKEN: reason('ALREADY_EXISTS', ['username'], (m) => `the name ${m.username} is taken`),
  WEAK_PASSWORD: reason('INVALID_ARGUMENT', ['rule'], (m) => `the password ${m.rule}`),
  LAST_ADMIN: reason('FAILED_PRECONDITION', [], () => 'nobody would be left who may administer'),
  VERSION_CONFLICT: reason('ABORTED', ['current'], (m) => `it has version ${m.current}`),
  ROLE_NOT_FOUND: reason('NOT_FOUND', ['role'], (m) => `no role ${m.role}`),
  ROLE_CYCLE: reason('INVALID_ARGUMENT', ['path'], (m) => `the role would inherit itself: ${m.path}`),
  UNKNOWN_PERMISSION: reason(
    'INVALID_ARGUMENT',
    ['permission'],
    (m) => `no call needs permission ${m.permission}`,
  ),
  BUILT_IN: reason('FAILED_PRECONDITION', ['role'], (m) => `role ${m.role} is built in and does not change`),
  ROLE_IN_USE: reason(
    'FAILED_PRECONDITION',
    ['role', 'count'],
    (m) => `${m.count} principals or roles have role ${m.role}`,
  ),
  TOO_MANY_KEYS: reason(
    'RESOURCE_EXHAUSTED',
    ['limit'],
    (m) => `the owner has ${m.limit} keys already; revoke one first`,
  ),
  KEY_NOT_FOUND: reason('NOT_FOUND', ['key_id'], (m) => `no API key ${m.key_id}`),
  KEY_REVOKED: reason(
    'FAILED_PRECONDITION',
    ['key_id'],
    (m) => `API key ${m.key_id} was revoked or has expired`,
  ),
  IDEMPOTENCY_KEY_REUSED: reason(
    'ALREADY_EXISTS',
    ['idempotency_key'],
    (m) => `idempotency key ${m.idempotency_key} was used for another request`,
  ),
  CHAIN_BROKEN: reason(
    'DATA_LOSS',
    ['sequence', 'detail'],
    (m) => `the audit trail does not link from entry ${m.sequence} on: ${m.detail}`,
  ),
  METHOD_NOT_FOUND: reason('NOT_FOUND', ['method'], (m) => `no RPC ${m.method}`),
  SUBJECT_NOT_FOUND: reason('NOT_FOUND', ['subject'], (m) => `nothing named ${m.subject} to revoke`),
});

/** One sentence for the operator; never travels. */
export const identityStartError = defineErrors('homeostat.identity', {
  ADMIN_KEY_FOREIGN: reason(
    'FAILED_PRECONDITION',
    ['path'],
    (m) =>
      `${m.path} is there, but the database has no administrator: it belongs to another one, move it away`,
  ),
});
