/**
 * Why identity does not start: one sentence for the operator, which never travels. What a caller is refused for (no
 * credentials, unknown ones, no permission) the gRPC edge says, from the same domain.
 */
import { defineErrors, reason } from '../errors.ts';

export const identityStartError = defineErrors('homeostat.identity', {
  ADMIN_KEY_FOREIGN: reason(
    'FAILED_PRECONDITION',
    ['path'],
    (m) =>
      `${m.path} is there, but the database has no administrator: it belongs to another one, move it away`,
  ),
});
