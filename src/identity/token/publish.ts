/** What is announced of single tokens and logins that were revoked; a principal's whole stock is announced with it. */
import { timestampFromMs } from '@bufbuild/protobuf/wkt';
import type { Bus } from '../../bus/bus.ts';
import { topics } from '../../bus/topics.ts';
import { CredentialRevoked_Subject as SubjectProto } from '../../gen/homeostat/identity/v1/identity_events_pb.ts';
import type { Tx } from '../../store/store.ts';
import type { Author } from '../publish.ts';

export interface Revoked {
  readonly subject: 'TOKEN' | 'FAMILY';
  readonly id: string;
  readonly reason: string;
  readonly atMs: number;
}

/** Announces a revocation; one of the same token or login again is the same event. */
export async function recordRevoked(
  bus: Pick<Bus, 'record'>,
  tx: Tx,
  { subject, id, reason, atMs }: Revoked,
  { by, traceparent }: Author,
): Promise<void> {
  const message = {
    subject: SubjectProto[subject],
    subjectId: id,
    revokedBy: by,
    reason,
    revokedAt: timestampFromMs(atMs),
  };
  await bus.record(tx, topics.credentialRevoked, `${subject.toLowerCase()}.${id}`, message, traceparent);
}
