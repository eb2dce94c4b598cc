/**
 * What identity announces of principals, roles and credentials: recorded, in the caller's transaction. The key of an
 * event names what changed and its version, so a repeat is the same event. `by` is the principal that made the change,
 * empty for the server itself.
 */
import { timestampFromMs } from '@bufbuild/protobuf/wkt';
import type { Bus } from '../bus/bus.ts';
import { topics } from '../bus/topics.ts';
import { CredentialRevoked_Subject as Subject } from '../gen/homeostat/identity/v1/identity_events_pb.ts';
import type { Call } from '../rpc/handler.ts';
import type { Tx } from '../store/store.ts';
import { roleToProto, userToProto } from './contract.ts';
import type { StoredPrincipal } from './principal/principal.ts';
import type { Role } from './principal/role.ts';

type Recorder = Pick<Bus, 'record'>;

/** Who made a change, and in which trace. */
export interface Author {
  readonly by: string;
  readonly traceparent: string | undefined;
}

/** The caller of a command as the author of what it changes. */
export function authorOf(call: Call): Author {
  return { by: call.principal.id, traceparent: call.traceparent };
}

/** Announces a principal after its change. */
export async function recordPrincipalChanged(
  bus: Recorder,
  tx: Tx,
  principal: StoredPrincipal,
  hasPassword: boolean,
  author: Author,
): Promise<void> {
  const message = {
    user: userToProto(principal, hasPassword),
    deleted: principal.deleted,
    changedBy: author.by,
  };
  const key = `${principal.id}.${principal.version}`;
  await bus.record(tx, topics.principalChanged, key, message, author.traceparent);
}

/** Announces a role after its change. One made anew under a name begins at 1 again, so the time is part of the key. */
export async function recordRoleChanged(
  bus: Recorder,
  tx: Tx,
  role: Role,
  change: { readonly deleted: boolean; readonly atMs: number },
  author: Author,
): Promise<void> {
  const message = { role: roleToProto(role), deleted: change.deleted, changedBy: author.by };
  const key = `${role.name}.${role.version}.${change.atMs}${change.deleted ? '.deleted' : ''}`;
  await bus.record(tx, topics.roleChanged, key, message, author.traceparent);
}

/** Announces that every token of a principal is worthless from now on; `epoch` is the one that begins. */
export async function recordTokensEnded(
  bus: Recorder,
  tx: Tx,
  ended: {
    readonly principalId: string;
    readonly epoch: number;
    readonly reason: string;
    readonly atMs: number;
  },
  author: Author,
): Promise<void> {
  const key = `principal.${ended.principalId}.${ended.epoch}`;
  await recordRevoked(bus, tx, key, Subject.PRINCIPAL, ended.principalId, ended, author);
}

/** Announces that an API key is refused from now on. A key is revoked once. */
export async function recordKeyRevoked(
  bus: Recorder,
  tx: Tx,
  revoked: { readonly prefix: string; readonly reason: string; readonly atMs: number },
  author: Author,
): Promise<void> {
  await recordRevoked(bus, tx, `key.${revoked.prefix}`, Subject.API_KEY, revoked.prefix, revoked, author);
}

async function recordRevoked(
  bus: Recorder,
  tx: Tx,
  key: string,
  subject: Subject,
  subjectId: string,
  about: { readonly reason: string; readonly atMs: number },
  author: Author,
): Promise<void> {
  const message = {
    subject,
    subjectId,
    revokedBy: author.by,
    reason: about.reason,
    revokedAt: timestampFromMs(about.atMs),
  };
  await bus.record(tx, topics.credentialRevoked, key, message, author.traceparent);
}
