/**
 * How a change of a session becomes a fact: stored, recorded as an event and counted in one transaction. The event's key
 * is session and version, so a repeat is the same event. A refusal is transient: it changes nothing, and a flood of
 * them must cost next to nothing.
 */
import { create, toBinary } from '@bufbuild/protobuf';
import { timestampFromMs } from '@bufbuild/protobuf/wkt';
import type { Bus } from '../bus/bus.ts';
import { topics } from '../bus/topics.ts';
import {
  type SessionStateChanged,
  SessionStateChangedSchema,
} from '../gen/homeostat/session/v1/session_events_pb.ts';
import { SessionState as SessionStateProto } from '../gen/homeostat/session/v1/session_service_pb.ts';
import type { Tx } from '../store/store.ts';
import type { RefusalCause } from './admission.ts';
import { causeToProto, priorityToProto, sessionToProto, stateToProto } from './contract.ts';
import { apply, type Priority, type Session, type SessionEvent, type SessionState } from './session.ts';
import { saveChange } from './store.ts';

/** A session that was not admitted. */
export interface Refusal {
  readonly owner: string;
  readonly cause: RefusalCause;
  /** Defense level of the fleet, 1..5. */
  readonly level: number;
  readonly priority: Priority;
  readonly atMs: number;
}

/** What is counted for the metrics, after the fact. */
export interface Counters {
  changed(to: SessionState): void;
  refused(cause: RefusalCause): void;
}

/** A change as it is being committed. */
export interface Change {
  /** The session after it. */
  readonly session: Session;
  /** What is told about it. */
  readonly message: SessionStateChanged;
}

/**
 * Puts an event on a session (`before` is undefined for a new one) in the caller's transaction; `traceparent` is the
 * trace context of the command behind it.
 */
export async function commitChange(
  deps: { readonly bus: Pick<Bus, 'record'>; readonly counters: Counters },
  tx: Tx,
  before: Session | undefined,
  event: SessionEvent,
  traceparent?: string,
): Promise<Change> {
  const session = apply(before, event);
  await saveChange(tx, session, event);
  const message = create(SessionStateChangedSchema, {
    session: sessionToProto(session),
    fromState: before === undefined ? SessionStateProto.UNSPECIFIED : stateToProto[before.state],
  });
  const key = `${session.sessionId}.${session.version}`;
  await deps.bus.record(tx, topics.sessionStateChanged, key, message, traceparent);
  tx.afterCommit(() => deps.counters.changed(session.state));
  return { session, message };
}

/** A change as the ledger keeps it: the bytes of its event. */
export function changeBytes(change: Change): Uint8Array {
  return toBinary(SessionStateChangedSchema, change.message);
}

/** Tells whoever listens; `id` is one token. */
export function publishRefused(
  bus: Pick<Bus, 'publish'>,
  id: string,
  refusal: Refusal,
  traceparent?: string,
): void {
  const { owner, cause, level, priority, atMs } = refusal;
  const message = {
    owner,
    cause: causeToProto[cause],
    level,
    priority: priorityToProto[priority],
    refusedAt: timestampFromMs(atMs),
  };
  bus.publish(topics.sessionRefused, id, message, traceparent);
}
