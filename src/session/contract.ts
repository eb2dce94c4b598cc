/** Crosses the contract: sessions to their messages, and what a request says about a session to the domain. */
import type { MessageInitShape } from '@bufbuild/protobuf';
import { timestampFromMs } from '@bufbuild/protobuf/wkt';
import { RefusalCause as RefusalCauseProto } from '../gen/homeostat/session/v1/session_events_pb.ts';
import {
  type CreateSessionRequest,
  Priority as PriorityProto,
  type SessionSchema,
  SessionState as SessionStateProto,
} from '../gen/homeostat/session/v1/session_service_pb.ts';
import type { RefusalCause } from './admission.ts';
import type { Description, Priority, Session, SessionState } from './session.ts';

export const stateToProto: Readonly<Record<SessionState, SessionStateProto>> = {
  CREATED: SessionStateProto.CREATED,
  CANCELLED: SessionStateProto.CANCELLED,
  EXPIRED: SessionStateProto.EXPIRED,
};

export const priorityToProto: Readonly<Record<Priority, PriorityProto>> = {
  LOW: PriorityProto.LOW,
  NORMAL: PriorityProto.NORMAL,
  HIGH: PriorityProto.HIGH,
  CRITICAL: PriorityProto.CRITICAL,
};

export const causeToProto: Readonly<Record<RefusalCause, RefusalCauseProto>> = {
  SERVER_LIMIT: RefusalCauseProto.SERVER_LIMIT,
  OWNER_LIMIT: RefusalCauseProto.OWNER_LIMIT,
  DEFENSE_LEVEL: RefusalCauseProto.DEFENSE_LEVEL,
  PLACEMENT: RefusalCauseProto.PLACEMENT,
};

/** The domain's state; undefined for UNSPECIFIED. */
export function stateFromProto(state: SessionStateProto): SessionState | undefined {
  return (Object.keys(stateToProto) as SessionState[]).find((name) => stateToProto[name] === state);
}

/** The domain's priority; NORMAL for UNSPECIFIED. */
function priorityFromProto(priority: PriorityProto | undefined): Priority {
  return (
    (Object.keys(priorityToProto) as Priority[]).find((name) => priorityToProto[name] === priority) ??
    'NORMAL'
  );
}

/** What a request says about the session to create. The arrays are copied. */
export function descriptionFromProto(request: CreateSessionRequest): Description {
  const { name, description, metadata } = request;
  return {
    name,
    description,
    project: metadata?.project ?? '',
    environment: metadata?.environment ?? '',
    tags: [...(metadata?.tags ?? [])],
    priority: priorityFromProto(metadata?.priority),
  };
}

export function sessionToProto(session: Session): MessageInitShape<typeof SessionSchema> {
  const { about } = session;
  return {
    sessionId: session.sessionId,
    owner: session.owner,
    name: about.name,
    description: about.description,
    metadata: {
      project: about.project,
      environment: about.environment,
      tags: [...about.tags],
      priority: priorityToProto[about.priority],
    },
    state: stateToProto[session.state],
    version: BigInt(session.version),
    createdAt: timestampFromMs(session.createdAtMs),
    updatedAt: timestampFromMs(session.updatedAtMs),
    ...(session.startByMs !== undefined && { expiresAt: timestampFromMs(session.startByMs) }),
    endReason: session.endReason,
  };
}
