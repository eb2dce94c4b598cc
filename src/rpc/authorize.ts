/**
 * Who may do what. A permission is `<noun>.<verb>`; a granted one may have `*` for either part. What nothing grants is
 * denied.
 */
import type { Principal } from './handler.ts';

/** Every granted permission that covers `permission`; nothing covers the empty one. */
export function grantsOf(permission: string): ReadonlySet<string> {
  const dot = permission.indexOf('.');
  if (dot < 1 || dot === permission.length - 1) return new Set();
  const noun = permission.slice(0, dot);
  const verb = permission.slice(dot + 1);
  return new Set([permission, `${noun}.*`, `*.${verb}`, '*.*']);
}

/** Whether one of the principal's permissions is among `grants`. */
export function isAllowed(principal: Principal, grants: ReadonlySet<string>): boolean {
  const { permissions } = principal;
  for (let i = 0; i < permissions.length; i++) if (grants.has(permissions[i]!)) return true;
  return false;
}
