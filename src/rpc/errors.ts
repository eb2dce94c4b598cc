/**
 * The reasons any call may meet, whatever its service: those of the edge itself (domain `homeostat.edge`) and those of
 * credentials, permissions, rates and audit (domain `homeostat.identity`), which identity's services raise as well.
 */
import { defineErrors, reason } from '../errors.ts';

export const edgeError = defineErrors('homeostat.edge', {
  INTERNAL: reason(
    'INTERNAL',
    ['request_id'],
    (m) => `a fault of the server, logged as request ${m.request_id}`,
  ),
  DRAINING: reason('UNAVAILABLE', [], () => 'the server is shutting down'),
  STORE_DOWN: reason('UNAVAILABLE', [], () => 'the database does not answer'),
  STORE_READ_ONLY: reason('UNAVAILABLE', [], () => 'the database takes no writes'),
  STORAGE_FULL: reason('RESOURCE_EXHAUSTED', [], () => 'the disk is full'),
  BROKER_DOWN: reason('UNAVAILABLE', [], () => 'the broker does not answer'),
  OVERLOADED: reason(
    'RESOURCE_EXHAUSTED',
    ['cause', 'criticality'],
    (m) => `the server is overloaded (${m.cause}); calls of criticality ${m.criticality} are refused`,
  ),
  SLOW_READER: reason(
    'RESOURCE_EXHAUSTED',
    ['unsent_bytes'],
    (m) => `the client did not take ${m.unsent_bytes} bytes in time`,
  ),
  DEADLINE: reason('DEADLINE_EXCEEDED', [], () => 'the deadline passed'),
  CANCELLED: reason('CANCELLED', [], () => 'the client gave the call up'),
  MALFORMED: reason('INVALID_ARGUMENT', ['type'], (m) => `the request is not a ${m.type}`),
  REPLY_TOO_LARGE: reason(
    'RESOURCE_EXHAUSTED',
    ['limit', 'asked'],
    (m) => `the reply has ${m.asked} bytes, more than ${m.limit}; ask for less`,
  ),
  BODY_TOO_LARGE: reason(
    'RESOURCE_EXHAUSTED',
    ['limit'],
    (m) => `the body has more than ${m.limit} bytes; send less at a time`,
  ),
  BODY_TYPE_UNKNOWN: reason(
    'INVALID_ARGUMENT',
    ['header', 'allowed'],
    (m) => `${m.header} must be ${m.allowed}`,
  ),
  BODY_TOO_SLOW: reason('DEADLINE_EXCEEDED', [], () => 'the body did not come in time'),
  SERVICE_NOT_FOUND: reason('NOT_FOUND', ['service'], (m) => `no service ${m.service} here`),
});

export const identityError = defineErrors('homeostat.identity', {
  MISSING_CREDENTIALS: reason(
    'UNAUTHENTICATED',
    [],
    () => 'the call carries no credentials; send metadata "authorization: Bearer <key>"',
  ),
  BAD_TOKEN: reason('UNAUTHENTICATED', [], () => 'the credentials are not known here'),
  TOKEN_EXPIRED: reason('UNAUTHENTICATED', [], () => 'the credentials have expired'),
  TOKEN_REVOKED: reason('UNAUTHENTICATED', [], () => 'the credentials were revoked'),
  CERTIFICATE_MISMATCH: reason(
    'UNAUTHENTICATED',
    [],
    () => 'the client certificate is not the one these credentials go with',
  ),
  REVOCATION_STALE: reason(
    'UNAVAILABLE',
    [],
    () => 'whether credentials were revoked elsewhere is not known at the moment',
  ),
  NO_PERMISSION: reason('PERMISSION_DENIED', ['permission'], (m) => `this needs permission ${m.permission}`),
  RATE_LIMITED: reason(
    'RESOURCE_EXHAUSTED',
    ['tier', 'cost'],
    (m) => `the call costs ${m.cost} tokens, more than tier ${m.tier} has left`,
  ),
  AUDIT_UNAVAILABLE: reason(
    'UNAVAILABLE',
    [],
    () => 'the audit trail cannot be written, and this call needs it',
  ),
});
